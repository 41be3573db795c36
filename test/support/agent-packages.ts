/**
 * Brings a coding agent from npm for the tests, in the version that the quick starts name, into a folder of the temporary
 * directory: hundreds of megabytes that no user of the project should have to install. Says in one line what it did.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const INSTALL_MS_MAX = 240_000

/** The path of the agent's program; `setUp` is a script of its package that must run once, since npm runs none. @throws where npm cannot bring it. */
export function agentProgram(name: string, version: string, program: string, setUp?: string): string {
  const root = join(tmpdir(), "tallygate-test-services", `${program}-${version}`)
  const path = join(root, "node_modules", ".bin", program)
  if (!existsSync(path))
    install(root, `${name}@${version}`, setUp === undefined ? null : join("node_modules", name, setUp))
  else process.stderr.write(`tests: found ${name} ${version} in ${root}\n`)
  return path
}

/** Whole or not at all: a folder that an interrupted run left half full would be taken for the agent. */
function install(root: string, spec: string, setUp: string | null): void {
  mkdirSync(join(root, ".."), { recursive: true })
  const making = mkdtempSync(`${root}-`)
  try {
    const parameters = ["install", "--prefix", making, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", spec]
    execFileSync("npm", parameters, { cwd: making, stdio: ["ignore", "ignore", "pipe"], timeout: INSTALL_MS_MAX })
    if (setUp !== null) execFileSync("node", [setUp], { cwd: making, stdio: ["ignore", "ignore", "pipe"] })
    renameSync(making, root)
    process.stderr.write(`tests: installed ${spec} in ${root}\n`)
  } catch (cause) {
    // Another run may have been faster: its folder is as good as ours.
    if (!existsSync(root))
      throw new Error(`npm could not bring ${spec}, which the test of coding agents needs`, { cause })
  } finally {
    rmSync(making, { recursive: true, force: true })
  }
}

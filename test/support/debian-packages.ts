/**
 * Brings a program for the tests out of Debian's packages: downloaded and unpacked into a folder of the temporary
 * directory, which needs no root and leaves the system as it was.
 */
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"

const INSTALL_MS_MAX = 300_000

export type Packages = {
  readonly name: string
  /** Which of the package's dependencies are needed, itself included; those that are installed are left out. */
  readonly needed: RegExp
}

/** Where a program is unpacked to, for all runs of the tests on this machine. */
export function unpackedRoot(name: string): string {
  return join(tmpdir(), "tallygate-test-services", name)
}

/** The folders of PATH in which a program may stand. */
export function foldersOnPath(): string[] {
  return (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "")
}

/** What an unpacked program needs in its environment, since its libraries stand beside it. */
export function libraryEnvironment(root: string): Record<string, string> {
  const libraries = ["usr/lib", "lib"].flatMap((folder) => {
    const parent = join(root, folder)
    if (!existsSync(parent)) return []
    return readdirSync(parent)
      .filter((name) => name.includes("-linux-"))
      .map((name) => join(parent, name))
  })
  return libraries.length > 0 ? { LD_LIBRARY_PATH: libraries.join(delimiter) } : {}
}

/** Downloads the packages and moves them into `root` as a whole. @throws where apt-get cannot */
export function unpackPackages(root: string, { name, needed }: Packages): void {
  mkdirSync(join(root, ".."), { recursive: true })
  const making = mkdtempSync(`${root}-`)
  try {
    if (process.getuid?.() === 0) run("apt-get", ["update"])
    const exclude = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"]
    const options = exclude.map((kind) => `--no-${kind}`)
    const closure = run("apt-cache", ["depends", "--recurse", ...options, name]).split("\n")
    const names = closure.filter((line) => /^[a-z0-9]/.test(line)).map((line) => line.split(":")[0] ?? "")
    const installed = new Set(
      run("dpkg-query", ["--show"])
        .split("\n")
        .map((line) => line.split(/[:\t]/)[0] ?? ""),
    )
    const missing = [...new Set(names)].filter((found) => needed.test(found) && !installed.has(found))
    run("apt-get", ["download", ...missing], making)
    for (const file of readdirSync(making).filter((found) => found.endsWith(".deb"))) {
      run("dpkg-deb", ["-x", file, making], making)
      rmSync(join(making, file))
    }
    chmodSync(making, 0o755)
    try {
      renameSync(making, root)
    } catch (error) {
      // Another run may have been faster: its folder is as good as ours.
      if (!existsSync(root)) throw error
    }
  } finally {
    rmSync(making, { recursive: true, force: true })
  }
}

function run(program: string, parameters: string[], cwd = "/"): string {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  const stdio: ["ignore", "pipe", "pipe"] = ["ignore", "pipe", "pipe"]
  return execFileSync(program, parameters, { cwd, env, encoding: "utf8", stdio, timeout: INSTALL_MS_MAX })
}

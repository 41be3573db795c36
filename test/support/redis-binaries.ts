/**
 * Finds redis-server for the tests, or brings it: Debian's packages are downloaded and unpacked into a folder of the
 * temporary directory, which needs no root and leaves the system as it was. Says in one line what it did.
 */
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"

export interface RedisBinary {
  /** The program `redis-server` or `valkey-server`. */
  path: string
  /** Set for an unpacked program, whose libraries stand beside it. */
  environment: Record<string, string>
}

const PROGRAMS = ["redis-server", "valkey-server"]
const MAJOR_MIN = 7
const INSTALL_MS_MAX = 300_000
/** Debian's server is a link into its tools; the others are the libraries it is linked with. */
const PACKAGES =
  /^(redis-server|redis-tools|lib(jemalloc|lzf|atomic|ssl|systemd|lua|hiredis|cap|gcrypt|gpg-error|lz4|lzma|zstd).*)$/

/** The server found on PATH, else the unpacked one, made to be there. @throws when there is none and none can be brought. */
export function findRedisBinary(): RedisBinary {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "")
  for (const path of folders.flatMap((folder) => PROGRAMS.map((program) => join(folder, program)))) {
    if (existsSync(path) && majorOf({ path, environment: {} }) >= MAJOR_MIN) {
      return announced("found", { path, environment: {} })
    }
  }
  const root = join(tmpdir(), "tallygate-test-services", "redis")
  const unpacked = unpackedBinary(root)
  if (unpacked !== undefined) return announced("found the unpacked", unpacked)
  try {
    unpackPackages(root)
  } catch (cause) {
    throw new Error("no redis-server here and none could be brought by apt-get: install redis 7 or newer", { cause })
  }
  const brought = unpackedBinary(root)
  if (brought === undefined) throw new Error("apt-get went through, and yet no redis-server starts: install redis 7")
  return announced("unpacked", brought)
}

function announced(verb: string, binary: RedisBinary): RedisBinary {
  process.stderr.write(`tests: ${verb} Redis ${majorOf(binary)}, ${binary.path}\n`)
  return binary
}

function majorOf({ path, environment }: RedisBinary): number {
  const env = { ...process.env, ...environment }
  return Number(/v=(\d+)\./.exec(execFileSync(path, ["--version"], { encoding: "utf8", env }))?.[1])
}

function unpackedBinary(root: string): RedisBinary | undefined {
  const path = join(root, "usr/bin/redis-server")
  if (!existsSync(path)) return undefined
  const libraries = ["usr/lib", "lib"].flatMap((folder) => {
    const parent = join(root, folder)
    if (!existsSync(parent)) return []
    return readdirSync(parent)
      .filter((name) => name.includes("-linux-"))
      .map((name) => join(parent, name))
  })
  const binary = { path, environment: libraries.length > 0 ? { LD_LIBRARY_PATH: libraries.join(delimiter) } : {} }
  return majorOf(binary) >= MAJOR_MIN ? binary : undefined
}

/** Downloads the server and those of its libraries that are not installed, and moves them into place as a whole. */
function unpackPackages(root: string): void {
  mkdirSync(join(root, ".."), { recursive: true })
  const making = mkdtempSync(`${root}-`)
  try {
    if (process.getuid?.() === 0) run("apt-get", ["update"])
    const exclude = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"]
    const options = exclude.map((kind) => `--no-${kind}`)
    const closure = run("apt-cache", ["depends", "--recurse", ...options, "redis-server"]).split("\n")
    const names = closure.filter((line) => /^[a-z0-9]/.test(line)).map((line) => line.split(":")[0] ?? "")
    const installed = new Set(
      run("dpkg-query", ["--show"])
        .split("\n")
        .map((line) => line.split(/[:\t]/)[0] ?? ""),
    )
    const missing = [...new Set(names)].filter((name) => PACKAGES.test(name) && !installed.has(name))
    run("apt-get", ["download", ...missing], making)
    for (const file of readdirSync(making).filter((name) => name.endsWith(".deb"))) {
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

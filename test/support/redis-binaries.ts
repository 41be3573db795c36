/**
 * Finds redis-server for the tests, or brings it: unpacked from Debian's packages, which leaves the system as it was.
 * Says in one line what it did.
 */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { foldersOnPath, libraryEnvironment, unpackedRoot, unpackPackages } from "./debian-packages.ts"

export interface RedisBinary {
  /** The program `redis-server` or `valkey-server`. */
  path: string
  /** Set for an unpacked program, whose libraries stand beside it. */
  environment: Record<string, string>
}

const PROGRAMS = ["redis-server", "valkey-server"]
const MAJOR_MIN = 7
/** Debian's server is a link into its tools; the others are the libraries it is linked with. */
const PACKAGES = {
  name: "redis-server",
  needed:
    /^(redis-server|redis-tools|lib(jemalloc|lzf|atomic|ssl|systemd|lua|hiredis|cap|gcrypt|gpg-error|lz4|lzma|zstd).*)$/,
}

/** The server found on PATH, else the unpacked one, made to be there. @throws when there is none and none can be brought. */
export function findRedisBinary(): RedisBinary {
  for (const path of foldersOnPath().flatMap((folder) => PROGRAMS.map((program) => join(folder, program)))) {
    if (existsSync(path) && majorOf({ path, environment: {} }) >= MAJOR_MIN) {
      return announced("found", { path, environment: {} })
    }
  }
  const root = unpackedRoot("redis")
  const unpacked = unpackedBinary(root)
  if (unpacked !== undefined) return announced("found the unpacked", unpacked)
  try {
    unpackPackages(root, PACKAGES)
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
  const binary = { path, environment: libraryEnvironment(root) }
  return majorOf(binary) >= MAJOR_MIN ? binary : undefined
}

/**
 * Finds Python for the tests, or brings it: unpacked from Debian's packages, which leaves the system as it was. Says in
 * one line what it did.
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { foldersOnPath, libraryEnvironment, unpackedRoot, unpackPackages } from "./debian-packages.ts"

export interface PythonBinary {
  path: string
  /** Set for an unpacked program, whose libraries stand beside it. */
  environment: Record<string, string>
}

/** The oldest that the Python client of the examples is for. */
const MINOR_MIN = 9
const PACKAGES = {
  name: "python3",
  needed:
    /^(python3(\.\d+)?(-minimal)?|libpython3[\w.-]*|lib(bz2|crypt|db5|expat|ffi|lzma|ncurses|sqlite3|ssl|tinfo|uuid)[\w.-]*|zlib1g|media-types)$/,
}

/** The program found on PATH, else the unpacked one, made to be there. @throws when there is none and none can be brought. */
export function findPythonBinary(): PythonBinary {
  for (const path of [...foldersOnPath(), "/usr/bin"].map((folder) => join(folder, "python3"))) {
    if (existsSync(path) && minorOf({ path, environment: {} }) >= MINOR_MIN) {
      return announced("found", { path, environment: {} })
    }
  }
  const root = unpackedRoot("python")
  const unpacked = unpackedBinary(root)
  if (unpacked !== undefined) return announced("found the unpacked", unpacked)
  try {
    unpackPackages(root, PACKAGES)
  } catch (cause) {
    throw new Error("no Python here and none could be brought by apt-get: install python3", { cause })
  }
  const brought = unpackedBinary(root)
  if (brought === undefined) throw new Error("apt-get went through, and yet no Python starts: install python3")
  return announced("unpacked", brought)
}

function unpackedBinary(root: string): PythonBinary | undefined {
  const path = join(root, "usr/bin/python3")
  if (!existsSync(path)) return undefined
  const binary = { path, environment: { ...libraryEnvironment(root), PYTHONHOME: join(root, "usr") } }
  return minorOf(binary) >= MINOR_MIN ? binary : undefined
}

/** 11 of Python 3.11; 0 of what does not start. */
function minorOf({ path, environment }: PythonBinary): number {
  const env = { ...process.env, ...environment }
  return Number(
    /^Python 3\.(\d+)/.exec(spawnSync(path, ["--version"], { encoding: "utf8", env }).stdout ?? "")?.[1] ?? 0,
  )
}

function announced(verb: string, binary: PythonBinary): PythonBinary {
  process.stderr.write(`tests: ${verb} Python 3.${minorOf(binary)}, ${binary.path}\n`)
  return binary
}

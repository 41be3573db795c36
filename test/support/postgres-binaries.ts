/**
 * Finds the programs of a Postgres server for the tests, and on Debian brings them when there are none: installed when
 * run as root, otherwise unpacked into a folder of the temporary directory. Says in one line what it did.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, realpathSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"

export interface PostgresBinaries {
  /** The folder of `initdb` and `postgres`. */
  folder: string
  major: number
  /** Set for unpacked programs, whose libraries stand beside them. */
  environment: Record<string, string>
}

/** The oldest major version that Tallygate serves. */
const MAJOR_MIN = 14
const DEBIAN_FOLDER = "usr/lib/postgresql"
const INSTALL_MS_MAX = 300_000

/** The newest Postgres found, or made to be there. @throws when there is none and none can be brought. */
export function findPostgresBinaries(): PostgresBinaries {
  const found = newest(installedFolders(), {})
  if (found !== undefined) return announced("found", found)
  const unpackedRoot = join(tmpdir(), "tallygate-test-services", "postgres")
  const unpacked = unpackedBinaries(unpackedRoot)
  if (unpacked !== undefined) return announced("found the unpacked", unpacked)
  try {
    if (process.getuid?.() === 0) {
      run("apt-get", ["update"])
      run("apt-get", ["install", "-y", "--no-install-recommends", "postgresql"])
    } else unpackPackages(unpackedRoot)
  } catch (cause) {
    throw new Error("no Postgres server here and none could be brought by apt-get: install postgresql 14 or newer", {
      cause,
    })
  }
  const brought = newest(installedFolders(), {}) ?? unpackedBinaries(unpackedRoot)
  if (brought === undefined)
    throw new Error("apt-get went through, and yet there is no initdb: install postgresql 14 or newer")
  return announced("installed", brought)
}

function announced(verb: string, binaries: PostgresBinaries): PostgresBinaries {
  process.stderr.write(`tests: ${verb} Postgres ${binaries.major} in ${binaries.folder}\n`)
  return binaries
}

function installedFolders(): string[] {
  const onPath = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "" && existsSync(join(folder, "postgres")))
  return [...onPath.map((folder) => dirname(realpathSync(join(folder, "postgres")))), ...debianFolders("/")]
}

function debianFolders(root: string): string[] {
  const parent = join(root, DEBIAN_FOLDER)
  return existsSync(parent) ? readdirSync(parent).map((version) => join(parent, version, "bin")) : []
}

function unpackedBinaries(root: string): PostgresBinaries | undefined {
  const libraries = ["usr/lib", "lib"].flatMap((folder) => {
    const parent = join(root, folder)
    return existsSync(parent)
      ? readdirSync(parent)
          .filter((name) => name.includes("-linux-"))
          .map((name) => join(parent, name))
      : []
  })
  return newest(debianFolders(root), libraries.length > 0 ? { LD_LIBRARY_PATH: libraries.join(delimiter) } : {})
}

function newest(folders: string[], environment: Record<string, string>): PostgresBinaries | undefined {
  const complete = folders.filter(
    (folder) => existsSync(join(folder, "postgres")) && existsSync(join(folder, "initdb")),
  )
  const known = complete.flatMap((folder) => {
    const text = execFileSync(join(folder, "postgres"), ["--version"], {
      encoding: "utf8",
      env: { ...process.env, ...environment },
    })
    const major = Number(/(\d+)(\.\d+|devel|beta\d+|rc\d+)/.exec(text)?.[1])
    return major >= MAJOR_MIN ? [{ folder, major, environment }] : []
  })
  return known.sort((left, right) => right.major - left.major)[0]
}

/** Without root: downloads the server and those of its dependencies that are not installed, and unpacks them. */
function unpackPackages(root: string): void {
  mkdirSync(join(root, "packages"), { recursive: true })
  const exclude = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map(
    (kind) => `--no-${kind}`,
  )
  const closure = run("apt-cache", ["depends", "--recurse", ...exclude, "postgresql"])
  const names = closure.split("\n").filter((line) => /^[a-z0-9]/.test(line))
  const installed = new Set(
    run("dpkg-query", ["--show"])
      .split("\n")
      .map((line) => line.split(/[:\t]/)[0] ?? ""),
  )
  const missing = [...new Set(names.map((name) => name.split(":")[0] ?? ""))].filter(
    (name) => /^(postgresql|lib)/.test(name) && !installed.has(name),
  )
  const packages = join(root, "packages")
  run("apt-get", ["download", ...missing], packages)
  for (const file of readdirSync(packages)) run("dpkg-deb", ["-x", file, root], packages)
}

function run(program: string, parameters: string[], cwd = "/"): string {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  return execFileSync(program, parameters, {
    cwd,
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: INSTALL_MS_MAX,
  })
}

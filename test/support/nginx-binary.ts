/**
 * Finds nginx for the tests, or brings it: unpacked from Debian's package, which leaves the system as it was. Says in
 * one line what it did.
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { foldersOnPath, libraryEnvironment, unpackedRoot, unpackPackages } from "./debian-packages.ts"

export interface NginxBinary {
  path: string
  /** Set for an unpacked program, whose libraries stand beside it. */
  environment: Record<string, string>
}

const PACKAGES = { name: "nginx", needed: /^(nginx|lib(crypt|pcre2-8|ssl)[\w.-]*|zlib1g)$/ }

/** The program found on PATH, else the unpacked one, made to be there. @throws when there is none and none can be brought. */
export function findNginxBinary(): NginxBinary {
  const found = [...foldersOnPath(), "/usr/sbin"]
    .map((folder) => join(folder, "nginx"))
    .find((path) => existsSync(path))
  if (found !== undefined) return announced("found", { path: found, environment: {} })
  const root = unpackedRoot("nginx")
  const unpacked = unpackedBinary(root)
  if (unpacked !== undefined) return announced("found the unpacked", unpacked)
  try {
    unpackPackages(root, PACKAGES)
  } catch (cause) {
    throw new Error("no nginx here and none could be brought by apt-get: install nginx", { cause })
  }
  const brought = unpackedBinary(root)
  if (brought === undefined) throw new Error("apt-get went through, and yet there is no nginx: install nginx")
  return announced("unpacked", brought)
}

function unpackedBinary(root: string): NginxBinary | undefined {
  const path = join(root, "usr/sbin/nginx")
  return existsSync(path) ? { path, environment: libraryEnvironment(root) } : undefined
}

function announced(verb: string, binary: NginxBinary): NginxBinary {
  // nginx says its version on the error stream.
  const { stderr } = spawnSync(binary.path, ["-v"], {
    encoding: "utf8",
    env: { ...process.env, ...binary.environment },
  })
  const version = /nginx\/([\d.]+)/.exec(stderr)?.[1]
  if (version === undefined) throw new Error(`${binary.path} does not start: ${stderr}`)
  process.stderr.write(`tests: ${verb} nginx ${version}, ${binary.path}\n`)
  return binary
}

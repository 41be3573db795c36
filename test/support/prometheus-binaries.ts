/**
 * Finds Prometheus and its promtool for the tests, or brings them: unpacked from Debian's package, which leaves the
 * system as it was. Says in one line what it did.
 */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { foldersOnPath, unpackedRoot, unpackPackages } from "./debian-packages.ts"

export interface PrometheusBinaries {
  prometheus: string
  promtool: string
}

/** Go programs without libraries of their own; the package's dependencies are for its old web pages. */
const PACKAGES = { name: "prometheus", needed: /^prometheus$/ }
const MAJOR_MIN = 2

/** Both programs from PATH, else the unpacked ones, made to be there. @throws when there are none and none can be brought. */
export function findPrometheusBinaries(): PrometheusBinaries {
  for (const folder of foldersOnPath()) {
    const found = binariesIn(folder)
    if (found !== undefined) return announced("found", found)
  }
  const root = unpackedRoot("prometheus")
  const unpacked = binariesIn(join(root, "usr/bin"))
  if (unpacked !== undefined) return announced("found the unpacked", unpacked)
  try {
    unpackPackages(root, PACKAGES)
  } catch (cause) {
    throw new Error("no prometheus here and none could be brought by apt-get: install prometheus 2 or newer", { cause })
  }
  const brought = binariesIn(join(root, "usr/bin"))
  if (brought === undefined) throw new Error("apt-get went through, and yet no prometheus starts: install prometheus")
  return announced("unpacked", brought)
}

function announced(verb: string, binaries: PrometheusBinaries): PrometheusBinaries {
  process.stderr.write(`tests: ${verb} Prometheus ${versionOf(binaries.prometheus)}, ${binaries.prometheus}\n`)
  return binaries
}

function binariesIn(folder: string): PrometheusBinaries | undefined {
  const binaries = { prometheus: join(folder, "prometheus"), promtool: join(folder, "promtool") }
  const areThere = existsSync(binaries.prometheus) && existsSync(binaries.promtool)
  return areThere && Number.parseInt(versionOf(binaries.prometheus), 10) >= MAJOR_MIN ? binaries : undefined
}

function versionOf(program: string): string {
  return /version (\d+\.\d+)/.exec(execFileSync(program, ["--version"], { encoding: "utf8" }))?.[1] ?? "0"
}

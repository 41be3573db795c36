/** The data folder: whether the journal, and the embedded database, could write there. */
import { constants } from "node:fs"
import { access, rm, stat, writeFile } from "node:fs/promises"
import path from "node:path"
import type { Config } from "../../config/load.ts"
import { type Finding, ok, problem } from "./finding.ts"

export async function checkDataFolder({ data_dir: folder }: Config): Promise<Finding[]> {
  try {
    const found = await stat(folder).catch(missing)
    if (found !== null) await writeProbe(folder)
    else await access(await nearestFolder(path.dirname(folder)), constants.W_OK | constants.X_OK)
    const state = found === null ? "made at the first start" : "can be written"
    return [ok("data folder", `${folder} (${state})`)]
  } catch (error) {
    const fix =
      "Let this user write there (`chown` or `chmod`), mount a volume there, or set TALLYGATE_DATA to a folder that it can write."
    return [problem("data folder", `${folder} cannot be written: ${String(error)}.`, fix)]
  }
}

/** The superuser may write everywhere, but not on a disk that is full or mounted read-only: only trying tells. */
async function writeProbe(folder: string): Promise<void> {
  const probe = path.join(folder, `.doctor-${process.pid}`)
  try {
    await writeFile(probe, "A trace of `tallygate doctor`; it can be deleted.\n", { flag: "wx" })
  } finally {
    await rm(probe, { force: true })
  }
}

async function nearestFolder(folder: string): Promise<string> {
  const found = await stat(folder).catch(missing)
  if (found?.isDirectory() === true || path.dirname(folder) === folder) return folder
  return nearestFolder(path.dirname(folder))
}

function missing(error: unknown): null {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return null
  throw error
}

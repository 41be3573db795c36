/**
 * Opens the cluster of the embedded Postgres in its folder: makes it on the first start, refuses what it must not touch.
 * A first start that was cut short leaves a marker, and is begun again: nothing was ever acknowledged from it.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { PGlite } from "@electric-sql/pglite"
import { syncFilesOf, syncTree } from "./embedded-postgres-sync.ts"

/** What a commit survives: the end of the process, or also the loss of power (about a millisecond per commit). */
export type CommitSync = "process" | "power"

/** Why a cluster cannot be opened. */
export class ClusterError extends Error {
  readonly reason: "version" | "corrupted"

  constructor(reason: "version" | "corrupted", message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = "ClusterError"
    this.reason = reason
  }
}

/** The major version whose files this PGlite reads. */
const POSTGRES_MAJOR = "18"
const STDERR_LINES_MAX = 10
/** PGlite's own settings, less its -F (no fsync), and with a small write-ahead log. */
const SETTINGS = [
  "search_path=public",
  "exit_on_error=false",
  "log_checkpoints=false",
  "max_worker_processes=0",
  "max_parallel_workers=0",
  "max_parallel_workers_per_gather=0",
  "max_parallel_maintenance_workers=0",
  "io_method=sync",
  "max_wal_size=128MB",
  "min_wal_size=32MB",
  "wal_sync_method=fsync",
]

/**
 * Opens `<dataDir>/cluster`, whose lock the caller holds.
 * @param onFatal called inside the backend when it gives up after the start. PGlite would loop for ever at its next
 *   message, so this must end the process without returning.
 * @throws ClusterError
 */
export async function openCluster(dataDir: string, sync: CommitSync, onFatal: (line: string) => void): Promise<PGlite> {
  const cluster = join(dataDir, "cluster")
  const marker = join(dataDir, "cluster-unfinished")
  if (existsSync(marker)) rmSync(cluster, { recursive: true, force: true })
  const isNew = !existsSync(cluster) || readdirSync(cluster).length === 0
  if (isNew) writeFileSync(marker, "")
  else checkVersion(cluster)
  const database = await openPglite(cluster, sync, onFatal)
  if (sync === "power") syncFilesOf(database)
  if (sync === "power" && isNew) {
    await database.exec("CHECKPOINT")
    syncTree(dataDir)
  }
  rmSync(marker, { force: true })
  return database
}

function checkVersion(cluster: string): void {
  const file = join(cluster, "PG_VERSION")
  if (!existsSync(file))
    throw new ClusterError("corrupted", `${cluster} is not empty and holds no Postgres database (no PG_VERSION)`)
  const major = readFileSync(file, "utf8").trim()
  if (major === POSTGRES_MAJOR) return
  throw new ClusterError(
    "version",
    `${cluster} was written by Postgres ${major}, this Tallygate embeds Postgres ${POSTGRES_MAJOR}`,
  )
}

async function openPglite(cluster: string, sync: CommitSync, onFatal: (line: string) => void): Promise<PGlite> {
  const stderr: string[] = []
  let isOpen = false
  const onStderr = (text: string) => {
    stderr.push(text)
    if (stderr.length > STDERR_LINES_MAX) stderr.shift()
    if (/ (FATAL|PANIC): /.test(text)) {
      if (isOpen) onFatal(text)
      else throw new ClusterError("corrupted", text)
    }
    return false
  }
  try {
    const flags = ["--single", "-O", "-j", ...(sync === "power" ? [] : ["-F"])]
    const startParams = [...flags, ...SETTINGS.flatMap((setting) => ["-c", setting])]
    const database = await PGlite.create({ dataDir: `file://${cluster}`, startParams, onStderr })
    isOpen = true
    return database
  } catch (error) {
    const message = `the database in ${cluster} cannot be opened: ${stderr.join("; ") || String(error)}`
    throw new ClusterError("corrupted", message, { cause: error })
  }
}

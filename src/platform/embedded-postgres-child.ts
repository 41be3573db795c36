/**
 * The program of the embedded Postgres's process: `node embedded-postgres-child.ts <data directory> <process|power>`.
 * Serves PGlite on a loopback port and says so in one line of JSON on standard output. It ends when its standard input
 * closes, and only then: a terminal's Ctrl-C reaches the whole process group, but the parent still has records to write.
 */
import { randomBytes } from "node:crypto"
import { accessSync, constants, existsSync, mkdirSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { Worker } from "node:worker_threads"
import type { PGlite } from "@electric-sql/pglite"
import { removeAddress, writeAddress } from "./embedded-postgres-address.ts"
import { ClusterError, type CommitSync, openCluster } from "./embedded-postgres-cluster.ts"
import { type DataDirLock, lockDataDir } from "./embedded-postgres-lock.ts"
import type { StartReport } from "./embedded-postgres-start-report.ts"
import { runUpkeep } from "./embedded-postgres-upkeep.ts"
import { listenPostgresFront, type SocketFront } from "./postgres-socket-front.ts"
import { filterMessages, startupMessage } from "./postgres-wire.ts"

const CLOSE_MS_MAX = 10_000
const UPKEEP_EVERY_MS = 30_000
const START_FAILED_EXIT_CODE = 69
const BACKEND_LOST_EXIT_CODE = 70

await main(process.argv[2] ?? "", process.argv[3] === "power" ? "power" : "process")

async function main(dataDir: string, sync: CommitSync): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined)
  // The parent may be gone while we still close: a broken pipe must not cut that short.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined)
  const parentGone = watchParent()
  const lock = await lockOrFail(dataDir)
  const database = await openOrFail(dataDir, sync)
  const password = randomBytes(24).toString("hex")
  const front = await listenPostgresFront({
    exec: (messages) => exec(database, messages),
    parameterStatus: filterMessages(
      await exec(database, startupMessage("postgres", "postgres")),
      (type) => type === "S",
    ),
    password,
    onBackendLost: (cause) => backendLost(String(cause)),
  })
  const upkeep = startUpkeep(front, database)
  const url = `postgres://postgres:${password}@127.0.0.1:${front.port}/postgres`
  writeAddress(dataDir, url)
  report({ kind: "ready", url })
  await parentGone
  clearInterval(upkeep)
  removeAddress(dataDir)
  await close(front, database, lock)
}

function watchParent(): Promise<void> {
  const watch = new Worker(new URL("./embedded-postgres-parent-watch.ts", import.meta.url), {
    workerData: { closeMsMax: CLOSE_MS_MAX },
  })
  return new Promise((resolve) => watch.once("message", () => resolve()))
}

async function lockOrFail(dataDir: string): Promise<DataDirLock> {
  try {
    makeFolder(resolve(dataDir))
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    const result = await lockDataDir(dataDir)
    if (result.kind === "locked") return result.lock
    const { holder } = result
    const who =
      holder === undefined ? "another process" : `process ${holder.pid}, started by process ${holder.parentPid}`
    return fail({ kind: "failed", reason: "locked", message: `${dataDir} is in use by ${who}`, pid: holder?.pid })
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return fail({ kind: "failed", reason: "unwritable", message: `${dataDir} cannot be written: ${text}` })
  }
}

/** Makes a folder and those above it. Node's own recursive way spins for ever where a folder cannot be, such as /proc. */
function makeFolder(path: string): void {
  if (existsSync(path)) return
  makeFolder(dirname(path))
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // Another starter was faster.
    if (!existsSync(path)) throw error
  }
}

async function openOrFail(dataDir: string, sync: CommitSync): Promise<PGlite> {
  try {
    return await openCluster(dataDir, sync, backendLost)
  } catch (error) {
    const reason = error instanceof ClusterError ? error.reason : "unknown"
    return fail({ kind: "failed", reason, message: error instanceof Error ? error.message : String(error) })
  }
}

/** Runs messages on the backend. Its own answer buffer is passed by: it parses and keeps every message it returns. */
async function exec(database: PGlite, messages: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = []
  await database.execProtocolRawStream(messages, {
    syncToFs: false,
    onRawData: (bytes) => void chunks.push(Buffer.from(bytes)),
  })
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
}

function startUpkeep(front: SocketFront, database: PGlite): NodeJS.Timeout {
  let checkpointedMs = performance.now()
  let isRunning = false
  const turn = async () => {
    if (isRunning) return
    isRunning = true
    try {
      const done = await front.whileIdle(() => runUpkeep(database, performance.now() - checkpointedMs))
      if (done.checkpointed) checkpointedMs = performance.now()
    } catch (error) {
      process.stderr.write(`embedded Postgres: upkeep failed: ${String(error)}\n`)
    } finally {
      isRunning = false
    }
  }
  return setInterval(turn, UPKEEP_EVERY_MS)
}

async function close(front: SocketFront, database: PGlite, lock: DataDirLock): Promise<void> {
  lock.markClosing()
  await front.close()
  await database.close()
  lock.release()
  process.exit(0)
}

/** Every acknowledged row is in the write-ahead log: leaving at once is safe, going on is not. */
function backendLost(cause: string): never {
  process.stderr.write(`embedded Postgres: the backend is lost: ${cause}\n`)
  process.exit(BACKEND_LOST_EXIT_CODE)
}

function fail(failure: StartReport): never {
  report(failure)
  process.exit(START_FAILED_EXIT_CODE)
}

function report(line: StartReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

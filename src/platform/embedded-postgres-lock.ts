/**
 * One process per data directory. The lock is SQLite's exclusive lock on a file of its own: the operating system drops
 * it when the process dies, however it dies, so a stale lock cannot exist. Who holds it stands in a file beside it.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as wait } from "node:timers/promises"

export interface Holder {
  /** The process that has the directory open, and the one that started it. */
  pid: number
  parentPid: number
  state: "serving" | "closing"
}

export interface DataDirLock {
  /** Tells a starter that waits that it is worth waiting. */
  markClosing(): void
  release(): void
}

export type LockResult = { kind: "locked"; lock: DataDirLock } | { kind: "held"; holder: Holder | undefined }

const SQLITE_BUSY = 5
const POLL_MS = 50
/** The child of a killed parent needs a moment to notice, and then to close its files. */
const SERVING_WAIT_MS = 2_000
const CLOSING_WAIT_MS = 15_000

/** Locks `dataDir` for this process, waiting a moment for a predecessor that is just leaving. @throws on file system errors. */
export async function lockDataDir(dataDir: string): Promise<LockResult> {
  const holderFile = join(dataDir, "lock-holder.json")
  const startedMs = performance.now()
  for (;;) {
    const database = tryLock(join(dataDir, "lock.sqlite"))
    if (database !== undefined) return { kind: "locked", lock: heldLock(database, holderFile) }
    const holder = readHolder(holderFile)
    const waitMs = holder?.state === "closing" ? CLOSING_WAIT_MS : SERVING_WAIT_MS
    if (performance.now() - startedMs > waitMs) return { kind: "held", holder }
    await wait(POLL_MS)
  }
}

function tryLock(path: string): DatabaseSync | undefined {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec("BEGIN EXCLUSIVE")
    return database
  } catch (error) {
    database.close()
    if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) return undefined
    throw error
  }
}

function heldLock(database: DatabaseSync, holderFile: string): DataDirLock {
  const write = (state: Holder["state"]) => {
    const holder: Holder = { pid: process.pid, parentPid: process.ppid, state }
    writeFileSync(holderFile, JSON.stringify(holder))
  }
  write("serving")
  return {
    markClosing: () => write("closing"),
    release: () => database.close(),
  }
}

/** Undefined when the holder has not written its name yet, or left without a trace of the present one. */
function readHolder(holderFile: string): Holder | undefined {
  if (!existsSync(holderFile)) return undefined
  try {
    const holder = JSON.parse(readFileSync(holderFile, "utf8")) as Partial<Holder>
    if (typeof holder.pid !== "number" || !isAlive(holder.pid)) return undefined
    return {
      pid: holder.pid,
      parentPid: holder.parentPid ?? 0,
      state: holder.state === "closing" ? "closing" : "serving",
    }
  } catch {
    // Caught in the middle of being written: the next poll reads it whole.
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

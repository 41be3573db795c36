/**
 * The journal's files. Each incarnation of a process has one `<uuid>.sqlite` of its own, and beside it `<uuid>.lock`, a
 * SQLite file held by an exclusive transaction: the kernel frees that lock when the process ends, however it ends, so an
 * unlocked journal is one that nobody writes any more.
 */
import { existsSync, readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

/** What an acknowledged start survives: the death of the process, or of the machine's power (an fsync per commit). */
export type JournalSync = "process" | "power"

export type JournalPaths = {
  readonly id: string
  readonly data: string
  readonly lock: string
}

/** Holds a journal for this process until it is closed. */
export type JournalLock = {
  release(): void
}

/** Kinds of journal rows: a call that began, with the record it becomes if the process dies; and its final record. */
export const START_ROW = 0
export const END_ROW = 1

const JOURNAL_NAME = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.sqlite$/
const LOCK_NAME = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.lock$/
/** A lock without a journal is a process that starts just now, unless it is older than this. */
const ORPHAN_LOCK_AGE_MS = 3_600_000
/** What the write-ahead log shrinks to when it starts anew after a rush. */
const LOG_BYTES_KEPT = 16 * 1024 * 1024
/** 80 MB: the shipper checkpoints long before; only without it the writer has to, and stalls while it syncs. */
const CHECKPOINT_PAGES_MAX = 20_000

export function journalPaths(directory: string, id: string): JournalPaths {
  return { id, data: join(directory, `${id}.sqlite`), lock: join(directory, `${id}.lock`) }
}

/** Takes a journal's lock; null where another process or thread has it. */
export function lockJournal(paths: JournalPaths): JournalLock | null {
  const database = new DatabaseSync(paths.lock)
  try {
    database.exec("BEGIN EXCLUSIVE")
    return { release: () => database.close() }
  } catch (error) {
    database.close()
    if (isBusy(error)) return null
    throw error
  }
}

/** Opens a journal for writing, made when missing. Its lock is to be held. */
export function openJournalFile(paths: JournalPaths, sync: JournalSync): DatabaseSync {
  const database = new DatabaseSync(paths.data, { timeout: 5_000 })
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = ${sync === "power" ? "FULL" : "NORMAL"};
    PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES_MAX};
    PRAGMA journal_size_limit = ${LOG_BYTES_KEPT};
    CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS probe (only INTEGER PRIMARY KEY, written INTEGER NOT NULL);
  `)
  return database
}

/** Opens an existing journal beside its writer, or after it: to read rows and to checkpoint. */
export function openJournalReader(paths: JournalPaths): DatabaseSync {
  const database = new DatabaseSync(paths.data, { timeout: 5_000 })
  database.exec("PRAGMA wal_autocheckpoint = 0")
  return database
}

/** Deletes a journal whose rows are all in the ledger and frees its lock; the data goes first, since who finds a lock alone has nothing to adopt. */
export function removeJournal(paths: JournalPaths, lock: JournalLock): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${paths.data}${suffix}`, { force: true })
  rmSync(paths.lock, { force: true })
  lock.release()
}

/** Ids of the journals in a directory, oldest first (they are UUIDv7). */
export function listJournals(directory: string): string[] {
  return readdirSync(directory)
    .flatMap((name) => JOURNAL_NAME.exec(name)?.[1] ?? [])
    .sort()
}

/** Deletes old lock files whose journals are gone: what a kill leaves between the two deletions. */
export function removeOrphanLocks(directory: string, nowMs: number): void {
  for (const name of readdirSync(directory)) {
    const id = LOCK_NAME.exec(name)?.[1]
    if (id === undefined) continue
    const paths = journalPaths(directory, id)
    const age = statSync(paths.lock, { throwIfNoEntry: false })
    if (age === undefined || nowMs - age.mtimeMs < ORPHAN_LOCK_AGE_MS || existsSync(paths.data)) continue
    const lock = lockJournal(paths)
    if (lock !== null) removeJournal(paths, lock)
  }
}

/** Bytes that a journal takes on the disk, its write-ahead log included; 0 where it is gone. */
export function journalBytes(paths: JournalPaths): number {
  const size = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0
  return size(paths.data) + size(`${paths.data}-wal`)
}

/** SQLite's result codes (https://sqlite.org/rescode.html); the extended ones keep the primary code in their low byte. */
function resultCode(error: unknown): number | undefined {
  const code = error instanceof Error && "errcode" in error ? error.errcode : undefined
  return typeof code === "number" ? code & 0xff : undefined
}

function isBusy(error: unknown): boolean {
  const code = resultCode(error)
  return code === 5 || code === 6
}

/** True where the file is damaged or is no database at all (SQLITE_CORRUPT, SQLITE_NOTADB). */
export function isDamaged(error: unknown): boolean {
  const code = resultCode(error)
  return code === 11 || code === 26
}

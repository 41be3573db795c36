/**
 * The journal's files. Each incarnation of a process has one journal: segments `<uuid>.<sequence of the first row>.journal`,
 * and beside them `<uuid>.lock`, a SQLite file held by an exclusive transaction: the kernel frees that lock when the process
 * ends, however it ends, so an unlocked journal is one that nobody writes any more.
 */
import { readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

/** What an acknowledged start survives: the death of the process, or of the machine's power (an fsync per batch). */
export type JournalSync = "process" | "power"

/** Holds a journal for this process until it is released. */
export type JournalLock = {
  release(): void
}

export type SegmentFile = {
  readonly path: string
  /** Sequence of the first row that may be in it. */
  readonly firstSeq: number
}

const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
const SEGMENT_NAME = new RegExp(`^(${UUID})\\.(\\d{16})\\.journal$`)
const LOCK_NAME = new RegExp(`^(${UUID})\\.lock$`)
/** A lock without a segment is a process that starts just now, unless it is older than this. */
const ORPHAN_LOCK_AGE_MS = 3_600_000

export function segmentPath(directory: string, journalId: string, firstSeq: number): string {
  return join(directory, `${journalId}.${String(firstSeq).padStart(16, "0")}.journal`)
}

function lockPath(directory: string, journalId: string): string {
  return join(directory, `${journalId}.lock`)
}

/** Takes a journal's lock; null where another process or thread has it. */
export function lockJournal(directory: string, journalId: string): JournalLock | null {
  const database = new DatabaseSync(lockPath(directory, journalId))
  try {
    database.exec("BEGIN EXCLUSIVE")
    return { release: () => database.close() }
  } catch (error) {
    database.close()
    if (isBusy(error)) return null
    throw error
  }
}

/** Ids of the journals in a directory, oldest first (they are UUIDv7). */
export function listJournals(directory: string): string[] {
  const ids = readdirSync(directory).flatMap((name) => SEGMENT_NAME.exec(name)?.[1] ?? [])
  return [...new Set(ids)].sort()
}

/** The segments of a journal, oldest first. */
export function listSegments(directory: string, journalId: string): SegmentFile[] {
  return readdirSync(directory)
    .flatMap((name) => {
      const found = SEGMENT_NAME.exec(name)
      return found?.[1] === journalId ? [{ path: join(directory, name), firstSeq: Number(found[2]) }] : []
    })
    .sort((a, b) => a.firstSeq - b.firstSeq)
}

/**
 * Deletes a journal whose rows are all in the ledger and frees its lock. Oldest segment first, so that no crash leaves a
 * start whose end is gone; the lock last, since who finds a lock alone has nothing to adopt.
 */
export function removeJournal(directory: string, journalId: string, lock: JournalLock): void {
  for (const { path } of listSegments(directory, journalId)) rmSync(path, { force: true })
  rmSync(lockPath(directory, journalId), { force: true })
  lock.release()
}

/** Deletes old lock files whose journals are gone: what a kill leaves between the two deletions. */
export function removeOrphanLocks(directory: string, nowMs: number): void {
  const journals = new Set(listJournals(directory))
  for (const name of readdirSync(directory)) {
    const id = LOCK_NAME.exec(name)?.[1]
    if (id === undefined || journals.has(id)) continue
    const age = statSync(join(directory, name), { throwIfNoEntry: false })
    if (age === undefined || nowMs - age.mtimeMs < ORPHAN_LOCK_AGE_MS) continue
    const lock = lockJournal(directory, id)
    if (lock !== null) removeJournal(directory, id, lock)
  }
}

/** SQLITE_BUSY and SQLITE_LOCKED (https://sqlite.org/rescode.html); extended codes keep the primary one in their low byte. */
function isBusy(error: unknown): boolean {
  const code = error instanceof Error && "errcode" in error ? error.errcode : undefined
  return typeof code === "number" && [5, 6].includes(code & 0xff)
}

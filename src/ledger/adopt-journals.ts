/**
 * Takes over the journals of processes that are gone: the ends they had not shipped, and for every start without an end
 * the record that its body holds, `interrupted`. That is all of recovery. A journal whose lock is held is left alone.
 */
import { existsSync, renameSync } from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import type { LedgerRow } from "./ingest.ts"
import {
  END_ROW,
  isDamaged,
  type JournalPaths,
  journalPaths,
  listJournals,
  lockJournal,
  openJournalReader,
  removeJournal,
  removeOrphanLocks,
  START_ROW,
} from "./journal-file.ts"

export type Adoption =
  | { readonly kind: "adopted"; readonly journalId: string; readonly ended: number; readonly interrupted: number }
  /** What could be read was shipped; the file is kept beside the others as `<name>.damaged`. */
  | { readonly kind: "damaged"; readonly journalId: string; readonly error: string }

export type Adopting = {
  readonly directory: string
  /** The journal of this process. */
  readonly ownId: string
  readonly rowsPerBatchMax: number
  ship(journalId: string, rows: readonly LedgerRow[]): Promise<void>
  told(adoption: Adoption): void
}

/** Adopts every unlocked journal, oldest first. Throws what `ship` throws; a journal is deleted only after all of it was shipped. */
export async function adoptJournals(adopting: Adopting, nowMs: number): Promise<void> {
  removeOrphanLocks(adopting.directory, nowMs)
  for (const id of listJournals(adopting.directory)) {
    if (id === adopting.ownId) continue
    const paths = journalPaths(adopting.directory, id)
    const lock = lockJournal(paths)
    if (lock === null) continue
    let isDone = false
    try {
      // Whoever held the lock a moment ago may have shipped and deleted it.
      if (existsSync(paths.data)) adopting.told(await adoptOne(adopting, paths))
      isDone = true
    } finally {
      if (isDone) removeJournal(paths, lock)
      else lock.release()
    }
  }
}

async function adoptOne(adopting: Adopting, paths: JournalPaths): Promise<Adoption> {
  const counts = { ended: 0, interrupted: 0 }
  try {
    using database = openJournalReader(paths)
    const endedIds = readEndedIds(database)
    for (let after = 0; ; ) {
      const batch = readBatch(database, after, adopting.rowsPerBatchMax)
      const last = batch.at(-1)
      if (last === undefined) break
      const rows = batch.filter((row) => row.kind === END_ROW || !endedIds.has(row.id))
      if (rows.length > 0) await adopting.ship(paths.id, rows)
      counts.ended += rows.filter((row) => row.kind === END_ROW).length
      counts.interrupted += rows.filter((row) => row.kind === START_ROW).length
      after = last.seq
    }
    return { kind: "adopted", journalId: paths.id, ...counts }
  } catch (error) {
    if (!isDamaged(error)) throw error
    for (const suffix of ["", "-wal"]) {
      if (existsSync(paths.data + suffix)) renameSync(paths.data + suffix, `${paths.data}.damaged${suffix}`)
    }
    return { kind: "damaged", journalId: paths.id, error: String(error) }
  }
}

type JournalRow = LedgerRow & { readonly kind: number; readonly id: string }

/** The table is made when a journal is opened; one that was killed before has none, and nothing to adopt. */
function isEmptyFile(database: DatabaseSync): boolean {
  return database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'journal'").get() === undefined
}

function readEndedIds(database: DatabaseSync): Set<string> {
  if (isEmptyFile(database)) return new Set()
  const ids = new Set<string>()
  for (const row of database.prepare("SELECT id FROM journal WHERE kind = ?").iterate(END_ROW)) ids.add(String(row.id))
  return ids
}

function readBatch(database: DatabaseSync, after: number, rowsMax: number): JournalRow[] {
  if (isEmptyFile(database)) return []
  return database
    .prepare("SELECT seq, kind, id, body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?")
    .all(after, rowsMax)
    .map((row) => ({ seq: Number(row.seq), kind: Number(row.kind), id: String(row.id), body: String(row.body) }))
}

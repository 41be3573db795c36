/**
 * Takes over the journals of processes that are gone: the ends they had not shipped, and for every start without an end
 * the record that its body holds, `interrupted`. That is all of recovery. A journal whose lock is held is left alone.
 */
import { renameSync, statSync } from "node:fs"
import type { LedgerRow } from "./ingest.ts"
import { END_ROW, type JournalRow, START_ROW } from "./journal-batch.ts"
import {
  type JournalLock,
  listJournals,
  listSegments,
  lockJournal,
  removeJournal,
  removeOrphanLocks,
} from "./journal-file.ts"
import { JournalReader } from "./journal-reader.ts"

export type Adoption =
  | { readonly kind: "adopted"; readonly journalId: string; readonly ended: number; readonly interrupted: number }
  /** What could be read was shipped; the files are kept beside the others as `<name>.damaged`. */
  | { readonly kind: "damaged"; readonly journalId: string; readonly bytes: number }

export type Adopting = {
  readonly directory: string
  /** The journal of this process. */
  readonly ownId: string
  readonly rowsPerBatchMax: number
  /** The last row of a journal that the ledger has; 0 where it has none. */
  acknowledged(journalId: string): Promise<number>
  /** `writtenAtMs`: when the journal was last written. */
  ship(journalId: string, rows: readonly LedgerRow[], writtenAtMs: number): Promise<void>
  told(adoption: Adoption): void
}

/** Adopts every unlocked journal, oldest first. Throws what `ship` throws; a journal is deleted only after all of it was shipped. */
export async function adoptJournals(adopting: Adopting, nowMs: number): Promise<void> {
  const { directory, ownId } = adopting
  removeOrphanLocks(directory, nowMs)
  for (const id of listJournals(directory)) {
    if (id === ownId) continue
    const lock = lockJournal(directory, id)
    if (lock !== null) await adoptLocked(adopting, id, lock)
  }
}

async function adoptLocked(adopting: Adopting, id: string, lock: JournalLock): Promise<void> {
  let isDone = false
  try {
    // Whoever held the lock a moment ago may have shipped and deleted it.
    if (listSegments(adopting.directory, id).length > 0) await adoptOne(adopting, id)
    isDone = true
  } finally {
    if (isDone) removeJournal(adopting.directory, id, lock)
    else lock.release()
  }
}

async function adoptOne(adopting: Adopting, id: string): Promise<void> {
  const { directory, rowsPerBatchMax } = adopting
  const shippedSeq = await adopting.acknowledged(id)
  const closedIds = readClosedIds(adopting, id)
  const writtenAtMs = Math.max(...listSegments(directory, id).map(({ path }) => statSync(path).mtimeMs))
  const counts = { ended: 0, interrupted: 0 }
  const shippedStarts = new Set<string>()
  const isOwed = ({ kind, id: callId, seq }: JournalRow) => {
    if (kind === END_ROW) return seq > shippedSeq
    // A long call's start may stand in the journal more than once.
    return kind === START_ROW && !closedIds.has(callId) && !shippedStarts.has(callId)
  }
  const reader = new JournalReader(directory, id, 0)
  try {
    for (let rows = reader.read(rowsPerBatchMax); rows.length > 0; rows = reader.read(rowsPerBatchMax)) {
      const owed = rows.filter(isOwed)
      if (owed.length > 0) await adopting.ship(id, owed, writtenAtMs)
      for (const { kind, id: callId } of owed) {
        if (kind === START_ROW) shippedStarts.add(callId)
        counts[kind === START_ROW ? "interrupted" : "ended"]++
      }
    }
  } finally {
    reader.close()
  }
  if (reader.damagedBytes > 0) {
    for (const { path } of listSegments(directory, id)) renameSync(path, `${path}.damaged`)
    adopting.told({ kind: "damaged", journalId: id, bytes: reader.damagedBytes })
  }
  adopting.told({ kind: "adopted", journalId: id, ...counts })
}

/** Ids of the calls that ended or were taken back. */
function readClosedIds({ directory, rowsPerBatchMax }: Adopting, id: string): Set<string> {
  const ids = new Set<string>()
  const reader = new JournalReader(directory, id, 0)
  try {
    for (let rows = reader.read(rowsPerBatchMax); rows.length > 0; rows = reader.read(rowsPerBatchMax)) {
      for (const row of rows) if (row.kind !== START_ROW) ids.add(row.id)
    }
  } finally {
    reader.close()
  }
  return ids
}

/**
 * Takes over the journals of processes that are gone: the ends they had not shipped, and for every start without an end
 * the record that its body holds, `interrupted`. That is all of recovery. A journal whose lock is held is left alone. A
 * journal with open starts is told of as a whole whenever it is adopted, also after an adopter that died on the way.
 */
import { renameSync, statSync } from "node:fs"
import { type Adopted, KNOWN_MS } from "../admission/adopted-calls.ts"
import { uuidv7TimeMs } from "../platform/ids.ts"
import { chargedCalls } from "./charged-calls.ts"
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
  ship(journalId: string, rows: readonly LedgerRow[]): Promise<void>
  /** Told once it is in the ledger. */
  inLedger(journalId: string, adopted: Adopted): void
  told(adoption: Adoption): void
  /** All of it was shipped: it is to be deleted, and its lock freed, as soon as what was told of it is counted. */
  finished(journalId: string, lock: JournalLock): void
}

/** Adopts every unlocked journal, oldest first. Throws what `ship` throws. */
export async function adoptJournals(adopting: Adopting, nowMs: number): Promise<void> {
  const { directory, ownId } = adopting
  removeOrphanLocks(directory, nowMs)
  for (const id of listJournals(directory)) {
    if (id === ownId) continue
    const lock = lockJournal(directory, id)
    if (lock !== null) await adoptLocked(adopting, id, lock, nowMs)
  }
}

async function adoptLocked(adopting: Adopting, id: string, lock: JournalLock, nowMs: number): Promise<void> {
  // Whoever held the lock a moment ago may have shipped and deleted it.
  if (listSegments(adopting.directory, id).length === 0) return removeJournal(adopting.directory, id, lock)
  try {
    await adoptOne(adopting, id, nowMs)
  } catch (error) {
    lock.release()
    throw error
  }
  adopting.finished(id, lock)
}

async function adoptOne(adopting: Adopting, id: string, nowMs: number): Promise<void> {
  const { directory, rowsPerBatchMax } = adopting
  const shippedSeq = await adopting.acknowledged(id)
  const openIds = readOpenIds(adopting, id)
  const writtenAtMs = Math.max(...listSegments(directory, id).map(({ path }) => statSync(path).mtimeMs))
  const counts = { ended: 0, interrupted: 0 }
  const shippedStarts = new Set<string>()
  const isOwed = ({ kind, id: callId, seq }: JournalRow) => {
    if (kind === END_ROW) return seq > shippedSeq
    // A long call's start may stand in the journal more than once.
    return kind === START_ROW && openIds.has(callId) && !shippedStarts.has(callId)
  }
  const organizationIds = new Set<string>()
  const reader = new JournalReader(directory, id, 0)
  try {
    for (let rows = reader.read(rowsPerBatchMax); rows.length > 0; rows = reader.read(rowsPerBatchMax)) {
      const owed = rows.filter(isOwed)
      if (owed.length > 0) await adopting.ship(id, owed)
      const calls = chargedCalls(rows.filter((row) => isOwed(row) || isRecentEnd(row, nowMs)))
      if (calls.length > 0) {
        if (openIds.size === 0) adopting.inLedger(id, { kind: "ended", calls, writtenAtMs })
        for (const { organizationId } of calls) organizationIds.add(organizationId)
      }
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
  if (openIds.size > 0) adopting.inLedger(id, { kind: "cut", organizationIds: [...organizationIds] })
  adopting.told({ kind: "adopted", journalId: id, ...counts })
}

/** The process may have shipped an end whose settle waited for a store that was away: the store is told again, by id. */
function isRecentEnd({ kind, id }: JournalRow, nowMs: number): boolean {
  return kind === END_ROW && nowMs - uuidv7TimeMs(id) < KNOWN_MS
}

/** Ids of the calls that neither ended nor were taken back. */
function readOpenIds({ directory, rowsPerBatchMax }: Adopting, id: string): Set<string> {
  const ids = new Set<string>()
  const reader = new JournalReader(directory, id, 0)
  try {
    for (let rows = reader.read(rowsPerBatchMax); rows.length > 0; rows = reader.read(rowsPerBatchMax)) {
      for (const { kind, id } of rows) {
        if (kind === START_ROW) ids.add(id)
        else ids.delete(id)
      }
    }
  } finally {
    reader.close()
  }
  return ids
}

/**
 * What stands in the journals of a folder and is not in the ledger yet, for whoever looks from outside: read without
 * changing anything. A journal that a process has open ships by itself; one that nobody has open waits for a start.
 */
import { existsSync } from "node:fs"
import { END_ROW, START_ROW } from "./journal-batch.ts"
import { listJournals, lockJournal } from "./journal-file.ts"
import { JournalReader } from "./journal-reader.ts"

const ROWS_PER_READ = 5_000

export type JournalBacklog = {
  readonly journalId: string
  /** A process has it open and ships it. */
  readonly isOpen: boolean
  /** Ended calls that are not in the ledger; of a process that is gone, the calls that it left unfinished as well. */
  readonly rows: number
  /** When the oldest of the ended ones ended, in epoch milliseconds; null where there is none. */
  readonly oldestEndMs: number | null
}

/** Every journal of the folder; `acknowledged` tells up to which row the ledger has one, 0 for none. */
export async function readBacklog(
  directory: string,
  acknowledged: (journalId: string) => Promise<number>,
): Promise<JournalBacklog[]> {
  if (!existsSync(directory)) return []
  const backlogs: JournalBacklog[] = []
  for (const journalId of listJournals(directory)) {
    backlogs.push(readOne(directory, journalId, await acknowledged(journalId)))
  }
  return backlogs
}

function readOne(directory: string, journalId: string, shippedSeq: number): JournalBacklog {
  const isOpen = isLocked(directory, journalId)
  const openIds = new Set<string>()
  let ended = 0
  let oldestEndMs: number | null = null
  const reader = new JournalReader(directory, journalId, 0)
  try {
    for (let rows = reader.read(ROWS_PER_READ); rows.length > 0; rows = reader.read(ROWS_PER_READ)) {
      for (const { kind, id, seq, body } of rows) {
        if (kind === START_ROW) openIds.add(id)
        else openIds.delete(id)
        if (kind !== END_ROW || seq <= shippedSeq) continue
        ended++
        oldestEndMs ??= endMsOf(body)
      }
    }
  } finally {
    reader.close()
  }
  return { journalId, isOpen, rows: ended + (isOpen ? 0 : openIds.size), oldestEndMs }
}

function isLocked(directory: string, journalId: string): boolean {
  const lock = lockJournal(directory, journalId)
  lock?.release()
  return lock === null
}

/** When the call of a record ended; null where its text does not tell. */
function endMsOf(body: string): number | null {
  const record: { time?: unknown; duration_ms?: unknown } = JSON.parse(body)
  const endMs = Date.parse(String(record.time)) + Number(record.duration_ms ?? 0)
  return Number.isNaN(endMs) ? null : endMs
}

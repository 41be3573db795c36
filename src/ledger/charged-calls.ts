/**
 * What calls of a journal charge their limits, read back from the records' texts: for counters that have to be rebuilt,
 * and for calls of dead processes whose holds still stand.
 */
import { accountHoldId, type ChargedCall, type DurableCharge } from "../admission/limits.ts"
import type { EndedCalls } from "../admission/recovery.ts"
import { END_ROW } from "./journal-batch.ts"
import { JournalReader } from "./journal-reader.ts"

const ROWS_PER_READ = 1_000

/**
 * The calls that these rows tell of, and what each charges on its provider account as a call of that account's; a row
 * that is no record tells of none.
 */
export function chargedCalls(rows: readonly { readonly body: string }[]): ChargedCall[] {
  return rows.flatMap(({ body }) => readCalls(body))
}

/** The calls of an organization that ended after a row of a journal; `gap` where the rows after it are not all there. */
export function listEnded(
  journal: { readonly directory: string; readonly journalId: string },
  organizationId: string,
  afterSeq: number,
): EndedCalls {
  const reader = new JournalReader(journal.directory, journal.journalId, afterSeq)
  try {
    const calls: ChargedCall[] = []
    for (let rows = reader.read(ROWS_PER_READ); rows.length > 0; rows = reader.read(ROWS_PER_READ)) {
      const ended = rows.filter(({ kind }) => kind === END_ROW)
      calls.push(...chargedCalls(ended).filter((call) => call.organizationId === organizationId))
    }
    const isWhole = reader.firstSeq !== null && reader.firstSeq <= afterSeq + 1
    return isWhole ? { kind: "rows", rows: calls } : { kind: "gap" }
  } finally {
    reader.close()
  }
}

function readCalls(body: string): ChargedCall[] {
  try {
    const record: { id?: unknown; organization_id?: unknown; charges?: unknown } = JSON.parse(body)
    const { id, organization_id: organizationId } = record
    if (typeof id !== "string" || typeof organizationId !== "string") return []
    const all = Array.isArray(record.charges) ? (record.charges as DurableCharge[]) : []
    const own = { id, organizationId, charges: all.filter((charge) => charge.organization_id === undefined) }
    if (own.charges.length === all.length) return [own]
    const elsewhere = Map.groupBy(all, (charge) => charge.organization_id)
    elsewhere.delete(undefined)
    const onAccounts = [...elsewhere].map(([counters = "", charges]) => {
      return { id: accountHoldId(id), organizationId: counters, charges }
    })
    return [own, ...onAccounts]
  } catch {
    // The ledger has refused this row and set it aside; a person decides what it charges.
    return []
  }
}

/**
 * Brings journal rows into the ledger whatever happens on the way. Postgres away: wait and send again, since a batch sent
 * twice adds nothing. A month without a partition: make it. A row that Postgres refuses for what it holds: halve the batch
 * until the row stands alone, and set it aside. Nothing is ever dropped.
 */
import { isConnectionLost, isDataError, sqlState } from "../platform/postgres.ts"
import type { LedgerRow } from "./ingest.ts"
import { type Month, monthOf } from "./partitions.ts"

/** What shipping acts on; a test stands in for each. */
export type Shipping = {
  ingest(journalId: string, rows: readonly LedgerRow[]): Promise<unknown>
  /** Makes those partitions of these months that are missing. */
  makeMonths(months: readonly Month[]): Promise<unknown>
  setAside(journalId: string, row: LedgerRow, reason: { sqlState: string; message: string }): void
  /** Called after each failed attempt, counted from 0; returns when the next one is due, throws when there is none. */
  pause(attempt: number, error: unknown): Promise<void>
  /** Called when an attempt was answered. */
  answered(): void
}

/** Program limits, such as an index row too long: as much a fault of the row as a value out of range. */
const ROW_TOO_LARGE = /^54/
const CHECK_VIOLATION = "23514"

/** Ships rows of one journal, in its order. Throws only what `pause` or `setAside` throws. */
export async function shipRows(shipping: Shipping, journalId: string, rows: readonly LedgerRow[]): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await shipOnce(shipping, journalId, rows)
      shipping.answered()
      return
    } catch (error) {
      if (isRefusedForItsData(error)) {
        shipping.answered()
        return separate(shipping, journalId, rows, error)
      }
      await shipping.pause(attempt, error)
    }
  }
}

async function shipOnce(shipping: Shipping, journalId: string, rows: readonly LedgerRow[]): Promise<void> {
  try {
    await shipping.ingest(journalId, rows)
  } catch (error) {
    // Postgres has no state of its own for a missing partition. Another process may have made it by now, so that nothing
    // new to make does not mean that nothing was missing: the batch is always tried once more.
    if (sqlState(error) !== CHECK_VIOLATION) throw error
    await shipping.makeMonths(monthsOf(rows))
    await shipping.ingest(journalId, rows)
  }
}

async function separate(
  shipping: Shipping,
  journalId: string,
  rows: readonly LedgerRow[],
  error: unknown,
): Promise<void> {
  const [first] = rows
  if (rows.length === 1 && first !== undefined) {
    shipping.setAside(journalId, first, { sqlState: sqlState(error) ?? "", message: String(error) })
    return
  }
  const middle = Math.ceil(rows.length / 2)
  await shipRows(shipping, journalId, rows.slice(0, middle))
  await shipRows(shipping, journalId, rows.slice(middle))
}

function isRefusedForItsData(error: unknown): boolean {
  return !isConnectionLost(error) && (isDataError(error) || ROW_TOO_LARGE.test(sqlState(error) ?? ""))
}

function monthsOf(rows: readonly LedgerRow[]): Month[] {
  const months = new Map<string, Month>()
  for (const { body } of rows) {
    const month = monthOf(timeOf(body))
    if (month !== null) months.set(month.table, month)
  }
  return [...months.values()]
}

/** The record's time in epoch milliseconds; NaN where the text is no record. Only read on the way to a partition. */
function timeOf(body: string): number {
  try {
    const record: unknown = JSON.parse(body)
    return typeof record === "object" && record !== null && "time" in record
      ? Date.parse(String(record.time))
      : Number.NaN
  } catch {
    return Number.NaN
  }
}

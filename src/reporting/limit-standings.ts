/**
 * Where limits stand by the ledger: what their current window has used, what remains and when it resets. Calls in flight
 * are not in it, nor the last fraction of a second; limits are held by the store that counts, not by this.
 */
import { counterKind } from "../admission/limits.ts"
import { earlierWindows, windowAt } from "../admission/window.ts"
import { readSubject } from "../identity/counted-apart.ts"
import { type Limit, limitInForce } from "../identity/limit.ts"
import type { Sql } from "../platform/postgres.ts"

export type LimitStanding = {
  readonly limit: Limit
  /**
   * In the limit's unit; null for rates and calls in flight, which the ledger does not count, and for a limit that counts
   * several apart.
   */
  readonly used: bigint | null
  /** Never below 0. */
  readonly remaining: bigint | null
  /** Epoch milliseconds; null where the window does not end. */
  readonly resetsAtMs: number | null
}

/** In the order of the limits given, each with the cap in force. */
export async function limitStandings(sql: Sql, limits: readonly Limit[], nowMs: number): Promise<LimitStanding[]> {
  const inForce = limits.map((limit) => limitInForce(limit, nowMs))
  const spans = limits.map(({ window, timeZone, anchorDay }) => windowAt(window, timeZone, anchorDay, nowMs))
  // Of a rolling window each day is a counter.
  const windows = spans.map(({ id }) => [id, ...earlierWindows(id)])
  const counted = limits.flatMap((limit, index) => (windows[index] ?? []).map((window) => ({ limit, window })))
  const rows = await sql<{ limit_id: string; subject: string; window_id: string; settled: string }[]>`
    SELECT limit_id, subject, window_id, sum(settled)::text AS settled FROM limit_usage
    WHERE (limit_id, subject, window_id) IN (
      SELECT * FROM unnest(${counted.map(({ limit }) => limit.id)}::text[],
                           ${counted.map(({ limit }) => limit.subject)}::text[],
                           ${counted.map(({ window }) => window)}::text[]))
    GROUP BY limit_id, subject, window_id`
  const settled = new Map(rows.map((row) => [nameOf(row.limit_id, row.subject, row.window_id), BigInt(row.settled)]))
  return inForce.map((limit, index) => {
    const span = spans[index]
    const isOneCounter = limit.each === "" || readSubject(limit.subject).counted !== ""
    const isCounted = isOneCounter && counterKind(limit) === "budget"
    const amounts = (windows[index] ?? []).map((id) => settled.get(nameOf(limit.id, limit.subject, id)) ?? 0n)
    const used = isCounted ? amounts.reduce((sum, amount) => sum + amount, 0n) : null
    const remaining = used === null ? null : used < limit.cap ? limit.cap - used : 0n
    return { limit, used, remaining, resetsAtMs: span?.endsAtMs ?? null }
  })
}

function nameOf(limitId: string, subject: string, windowId: string): string {
  return `${limitId} ${subject} ${windowId}`
}

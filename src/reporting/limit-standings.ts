/**
 * Where limits stand by the ledger: what their current window has used, what remains and when it resets. Calls in flight
 * are not in it, nor the last fraction of a second; limits are held by the store that counts, not by this.
 */
import { windowAt } from "../admission/window.ts"
import type { Limit } from "../identity/limit.ts"
import type { Sql } from "../platform/postgres.ts"

export type LimitStanding = {
  readonly limit: Limit
  /** In the limit's unit; null for rates and calls in flight, which the ledger does not count. */
  readonly used: bigint | null
  /** Never below 0. */
  readonly remaining: bigint | null
  /** Epoch milliseconds; null where the window does not end. */
  readonly resetsAtMs: number | null
}

/** In the order of the limits given. */
export async function limitStandings(sql: Sql, limits: readonly Limit[], nowMs: number): Promise<LimitStanding[]> {
  const spans = limits.map(({ window, timeZone, anchorDay }) => windowAt(window, timeZone, anchorDay, nowMs))
  const rows = await sql<{ limit_id: string; window_id: string; settled: string }[]>`
    SELECT limit_id, window_id, sum(settled)::text AS settled FROM limit_usage
    WHERE (limit_id, window_id) IN (
      SELECT * FROM unnest(${limits.map(({ id }) => id)}::text[], ${spans.map(({ id }) => id)}::text[]))
    GROUP BY limit_id, window_id`
  const settled = new Map(rows.map((row) => [`${row.limit_id} ${row.window_id}`, BigInt(row.settled)]))
  return limits.map((limit, index) => {
    const span = spans[index]
    const isCounted = limit.window !== "minute" && limit.window !== "none"
    const used = isCounted ? (settled.get(`${limit.id} ${span?.id}`) ?? 0n) : null
    const remaining = used === null ? null : used < limit.cap ? limit.cap - used : 0n
    return { limit, used, remaining, resetsAtMs: span?.endsAtMs ?? null }
  })
}

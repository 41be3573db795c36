/**
 * What a limit has used in each of its windows, newest first, by the ledger: which cap was in force is read from the audit
 * log, since nothing else remembers a cap that was changed. Windows in which nothing was used or refused are left out.
 */
import { earlierWindows, spanOf, windowAt } from "../admission/window.ts"
import { readSubject } from "../identity/counted-apart.ts"
import { type Limit, limitInForce, ratePeriodMs } from "../identity/limit.ts"
import type { Sql, SqlFragment } from "../platform/postgres.ts"

/** One window of one counter. Amounts are in the limit's unit. */
export type UsedWindow = {
  /** As counters are named; of a rolling window its last day's. */
  readonly id: string
  /** Whom the limit counts apart; '' where it counts all together. */
  readonly counted: string
  /** Epoch milliseconds, `[startsAtMs, endsAtMs)` of all its days; null of what lasts for ever. */
  readonly startsAtMs: number | null
  readonly endsAtMs: number | null
  readonly isCurrent: boolean
  /** In force at its last moment, or now. */
  readonly cap: bigint
  readonly settled: bigint
  /** Calls that were refused because of it; of a rolling window on its last day. */
  readonly refused: number
  /** Calls that it would have refused while it was a shadow limit; the same. */
  readonly shadowed: number
}

export type WindowPage = {
  readonly windows: readonly UsedWindow[]
  /** What to ask for after them; null where there is nothing more. */
  readonly next: string | null
}

export type WindowsAsked = {
  /** Whose windows alone; null: all whom the limit counts. */
  readonly counted: string | null
  /** The last page's `next`; '' for the first. */
  readonly after: string
  readonly max: number
}

export async function limitWindows(sql: Sql, limit: Limit, asked: WindowsAsked, nowMs: number): Promise<WindowPage> {
  if (ratePeriodMs(limit.window) !== null || limit.window === "none") return { windows: [], next: null }
  const current = windowAt(limit.window, limit.timeZone, limit.anchorDay, nowMs).id
  const rows = await windowRows(sql, limit, current, asked)
  const changes = await capChanges(sql, limit.id)
  const windows = rows.flatMap((row) => usedWindow(limit, row, current, changes, nowMs) ?? [])
  const last = rows.length < asked.max ? undefined : rows.at(-1)
  return { windows, next: last === undefined ? null : `${last.window_id} ${last.subject}` }
}

type WindowRow = { window_id: string; subject: string; settled: string; refused: string; shadowed: string }

/** All ids of one limit are of one form, so that their order is that of time. */
function windowRows(
  sql: Sql,
  limit: Limit,
  current: string,
  { counted, after, max }: WindowsAsked,
): Promise<WindowRow[]> {
  const whose = counted === null ? sql`true` : sql`subject = ${`${limit.subject} ${counted}`}`
  const [, afterWindow = "", afterSubject = ""] = /^(\S*) (.*)$/.exec(after) ?? []
  const isAfter = sql`(window_id < ${afterWindow} COLLATE "C" OR
    (window_id = ${afterWindow} AND subject > ${afterSubject} COLLATE "C"))`
  return sql<WindowRow[]>`
    WITH used AS (${limit.window === "rolling" ? daysSummed(sql, limit, whose) : windowsUsed(sql, limit, whose)}),
    refusals AS (
      SELECT subject, window_id, refused, shadowed FROM limit_refusals
      WHERE limit_id = ${limit.id} AND window_id <> '' AND ${whose})
    SELECT window_id, subject, coalesce(settled, 0)::text AS settled, coalesce(refused, 0)::text AS refused,
           coalesce(shadowed, 0)::text AS shadowed
    FROM used FULL JOIN refusals USING (subject, window_id)
    WHERE window_id <= ${current} COLLATE "C" AND ${afterWindow === "" ? sql`true` : isAfter}
    ORDER BY window_id COLLATE "C" DESC, subject COLLATE "C" LIMIT ${max}`
}

function windowsUsed(sql: Sql, { organizationId, id }: Limit, whose: SqlFragment): SqlFragment {
  return sql`
    SELECT subject, window_id, settled FROM limit_usage
    WHERE organization_id = ${organizationId} AND limit_id = ${id} AND ${whose}`
}

/** Each day of a rolling window counts in the windows that end with it and with the days after it. */
function daysSummed(sql: Sql, { organizationId, id, anchorDay: days }: Limit, whose: SqlFragment): SqlFragment {
  return sql`
    SELECT subject, to_char(left(window_id, 10)::date + later, 'YYYY-MM-DD') || ${`~${days}`} AS window_id,
           sum(settled) AS settled
    FROM limit_usage CROSS JOIN generate_series(0, ${days - 1}) AS later
    WHERE organization_id = ${organizationId} AND limit_id = ${id} AND ${whose}
    GROUP BY 1, 2`
}

/** Null where the calendar has no such day, which a sum over days may end on. */
function usedWindow(
  limit: Limit,
  row: WindowRow,
  current: string,
  changes: readonly CapChange[],
  nowMs: number,
): UsedWindow | null {
  const { window, timeZone, anchorDay } = limit
  const id = row.window_id
  const span = spanOf(window, timeZone, anchorDay, id)
  if (span === null) return null
  const isCurrent = id === current
  const days = [...earlierWindows(id)].reverse().flatMap((day) => spanOf(window, timeZone, anchorDay, day) ?? [])
  return {
    ...{ id, isCurrent, counted: readSubject(row.subject).counted },
    startsAtMs: days[0]?.startsAtMs ?? span.startsAtMs,
    endsAtMs: span.endsAtMs,
    cap: capAt(limit, changes, isCurrent || span.endsAtMs === null ? nowMs : span.endsAtMs - 1),
    settled: BigInt(row.settled),
    ...{ refused: Number(row.refused), shadowed: Number(row.shadowed) },
  }
}

type CapChange = {
  readonly at: Date
  readonly before: string | null
  readonly after: string | null
  readonly raised_cap: string | null
  readonly raised_until: string | null
}

/** What the audit log says of the limit's cap, oldest first. */
function capChanges(sql: Sql, limitId: string): Promise<CapChange[]> {
  return sql<CapChange[]>`
    SELECT at, before ->> 'cap' AS before, after ->> 'cap' AS after, after ->> 'raised_cap' AS raised_cap,
           after ->> 'raised_until' AS raised_until
    FROM audit_log WHERE subject = ${limitId} AND action LIKE 'limit.%' ORDER BY at, id`
}

/** The cap in force at an instant: what the last change until then made of it, or what the first one found. */
function capAt(limit: Limit, changes: readonly CapChange[], atMs: number): bigint {
  const last = changes.findLast(({ at }) => at.getTime() <= atMs)
  if (last === undefined) return BigInt(changes[0]?.before ?? changes[0]?.after ?? limit.cap)
  const { after, raised_cap: raised, raised_until: until } = last
  const raise = raised === null || until === null ? null : { cap: BigInt(raised), untilMs: Date.parse(until) }
  return limitInForce({ ...limit, cap: BigInt(after ?? limit.cap), raise }, atMs).cap
}

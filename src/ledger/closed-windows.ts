/** Windows of limits that have ended lately, and what the ledger has settled in them. */
import { windowAt } from "../admission/window.ts"
import type { Limit } from "../identity/limit.ts"
import type { Sql } from "../platform/postgres.ts"

/** A window of all limits that count by this calendar. */
export type ClosedWindow = Pick<Limit, "window" | "timeZone" | "anchorDay"> & {
  readonly id: string
  readonly endsAtMs: number
}

export type ClosedCounter = {
  /** Under whose name it is counted. */
  readonly owner: string
  readonly limitId: string
  readonly subject: string
  readonly settled: bigint
  /** Something was added when the window had been over for longer than calls are counted on as they end. */
  readonly isLate: boolean
}

/** A settle that comes later than this is in the ledger alone. */
const LATE_AFTER_MS = 600_000
const ROWS_PER_PAGE = 1_000

type Calendar = Pick<Limit, "window" | "timeZone" | "anchorDay">

/** The windows that ended in `(fromMs, toMs]`, of all calendars that limits go by. */
export async function closedWindows(sql: Sql, fromMs: number, toMs: number): Promise<ClosedWindow[]> {
  const calendars = await sql<Calendar[]>`
    SELECT DISTINCT "window", time_zone AS "timeZone", anchor_day AS "anchorDay" FROM limits
    WHERE kind <> 'concurrency'`
  return calendars.flatMap((calendar) => windowsEnded(calendar, fromMs, toMs))
}

function windowsEnded({ window, timeZone, anchorDay }: Calendar, fromMs: number, toMs: number): ClosedWindow[] {
  const ended: ClosedWindow[] = []
  let endsAtMs = windowAt(window, timeZone, anchorDay, toMs).startsAtMs
  // Windows that never end begin nowhere.
  while (endsAtMs !== null && endsAtMs > fromMs) {
    const { id, startsAtMs } = windowAt(window, timeZone, anchorDay, endsAtMs - 1)
    ended.push({ window, timeZone, anchorDay, id, endsAtMs })
    endsAtMs = startsAtMs
  }
  return ended
}

type CounterRow = {
  organization_id: string
  limit_id: string
  subject: string
  settled: string
  is_late: boolean
}

/** The ledger's counters of a window, in pages, each of one statement. */
export async function* settledIn(sql: Sql, closed: ClosedWindow): AsyncGenerator<ClosedCounter[]> {
  let after: Pick<CounterRow, "organization_id" | "limit_id" | "subject"> = {
    organization_id: "",
    limit_id: "",
    subject: "",
  }
  for (;;) {
    const rows = await sql<CounterRow[]>`
      SELECT u.organization_id, u.limit_id, u.subject, u.settled::text AS settled,
             u.updated_at > ${new Date(closed.endsAtMs + LATE_AFTER_MS)} AS is_late
      FROM limit_usage u JOIN limits l ON l.id = u.limit_id
      WHERE l."window" = ${closed.window} AND l.time_zone = ${closed.timeZone} AND l.anchor_day = ${closed.anchorDay}
        AND u.window_id = ${closed.id}
        AND (u.organization_id, u.limit_id, u.subject) > (${after.organization_id}, ${after.limit_id}, ${after.subject})
      ORDER BY u.organization_id, u.limit_id, u.subject LIMIT ${ROWS_PER_PAGE}`
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows.map((row) => ({
      owner: row.organization_id,
      limitId: row.limit_id,
      subject: row.subject,
      settled: BigInt(row.settled),
      isLate: row.is_late,
    }))
    if (rows.length < ROWS_PER_PAGE) return
    after = last
  }
}

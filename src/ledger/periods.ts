/**
 * Months of an organization, in its own zone: their statements while they are open, and closing them. A closed month's
 * statement is written down and never changes; what comes later for it stands in the statement of the next open month.
 * Months are closed in their order, without gaps; the first that is closed is where an organization's books begin.
 */
import { spanOf, windowAt } from "../admission/window.ts"
import { type Actor, writeAudit } from "../identity/audit.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { formatUsd } from "../pricing/money.ts"
import { picosOf } from "./correction-entry.ts"
import { freezeLines, frozenLines, LINE_SUMS, type LineSums, type PeriodLine, readLines } from "./period-lines.ts"

/** `running`: it is not over. `open`: it is over and can be closed. */
export type PeriodState = "running" | "open" | "closed"

export type Period = {
  readonly organization_id: string
  readonly organization: string
  readonly period: string
  readonly time_zone: string
  readonly starts_at: Date
  readonly ends_at: Date
  readonly state: PeriodState
  readonly closed_at: Date | null
  readonly closed_by: string | null
  /** Whether it is the one to close next: its statement takes what came late for months before it. */
  readonly is_next: boolean
}

export type Statement = Period & {
  readonly lines: readonly PeriodLine[]
  readonly totals: LineSums
  /** Of the totals, what is of the month itself and what of earlier ones. */
  readonly own_cost_usd: string
  readonly earlier_cost_usd: string
}

export type PeriodRefusal = { readonly kind: "refused"; readonly message: string }
export type Closed = { readonly kind: "closed"; readonly isNew: boolean; readonly statement: Statement } | PeriodRefusal

/** Open months of organizations that never closed one are listed this far back. */
const LISTED_MONTHS_MAX = 24

type ClosedRow = Pick<Period, "period" | "time_zone" | "starts_at" | "ends_at"> & { closed_at: Date; closed_by: string }
type Place = { readonly id: string; readonly name: string; readonly timeZone: string }

/** Null: there is no such organization. */
async function readOrganization(sql: Sql | Transaction, id: string): Promise<Place | null> {
  const [row] = await sql<Place[]>`SELECT id, name, time_zone AS "timeZone" FROM organizations WHERE id = ${id}`
  return row ?? null
}

function readClosed(sql: Sql | Transaction, organizationId: string): Promise<ClosedRow[]> {
  return sql<ClosedRow[]>`
    SELECT period, time_zone, starts_at, ends_at, closed_at, closed_by FROM periods
    WHERE organization_id = ${organizationId} ORDER BY period`
}

/** The organization's months, newest first: the running one, those that can be closed, and those that are. */
export async function listPeriods(sql: Sql, organizationId: string, nowMs: number): Promise<Period[]> {
  const place = await readOrganization(sql, organizationId)
  if (place === null) return []
  const closed = await readClosed(sql, organizationId)
  const running = windowAt("month", place.timeZone, 1, nowMs).id
  const [first] = await sql<{ bucket: Date }[]>`
    SELECT bucket FROM usage_rollups WHERE organization_id = ${organizationId} ORDER BY bucket LIMIT 1`
  const last = closed.at(-1)?.period
  const begin =
    last === undefined
      ? windowAt("month", place.timeZone, 1, first?.bucket.getTime() ?? nowMs).id
      : monthsAfter(last, 1)
  const open: string[] = []
  for (let month = running; month >= begin && open.length < LISTED_MONTHS_MAX; month = monthsAfter(month, -1))
    open.push(month)
  const names = [...open, ...closed.map(({ period }) => period).reverse()]
  return names.flatMap((name) => periodOf(place, closed, name, nowMs) ?? [])
}

/** The statement of a month: as it was written down, or as the ledger has it now. Null: there is no such month. */
export async function readStatement(
  sql: Sql | Transaction,
  organizationId: string,
  name: string,
  nowMs: number,
): Promise<Statement | null> {
  const place = await readOrganization(sql, organizationId)
  if (place === null) return null
  const period = periodOf(place, await readClosed(sql, organizationId), name, nowMs)
  if (period === null || period.starts_at.getTime() > nowMs) return null
  const lines =
    period.state === "closed" ? await frozenLines(sql, organizationId, name) : await readLines(sql, questionOf(period))
  return withSums(period, lines)
}

/**
 * Closes a month: writes its statement down for good, with an audit row. Of several who close it at once one does; the
 * others, and whoever closes it again, get the statement that was written.
 */
export function closePeriod(
  sql: Sql,
  organizationId: string,
  name: string,
  { nowMs, actor }: { readonly nowMs: number; readonly actor: Actor },
): Promise<Closed> {
  return sql.begin(async (transaction): Promise<Closed> => {
    const place = await readOrganization(transaction, organizationId)
    if (place === null) return refused(`There is no organization ${organizationId}.`)
    const closed = await readClosed(transaction, organizationId)
    const period = periodOf(place, closed, name, nowMs)
    if (period === null) return refused(`${name} is no month; a month is written as 2026-11.`)
    const refusal = period.state === "closed" ? null : refusalOf(period, closed)
    if (refusal !== null) return refused(refusal)
    const isNew = period.state !== "closed" && (await enter(transaction, period, nowMs, actor))
    if (isNew) await freezeLines(transaction, questionOf(period))
    const statement = await readStatement(transaction, organizationId, name, nowMs)
    if (statement === null) throw new Error(`the statement of ${name} was closed and cannot be read`)
    if (isNew) {
      await writeAudit(transaction, actor, {
        organizationId,
        action: "period.close",
        subject: name,
        before: null,
        after: { ...statement.totals, earlier_cost_usd: statement.earlier_cost_usd, lines: statement.lines.length },
      })
    }
    return { kind: "closed", isNew, statement }
  }) as Promise<Closed>
}

/** False where somebody else has closed it meanwhile. */
async function enter(transaction: Transaction, period: Period, nowMs: number, { name }: Actor): Promise<boolean> {
  const rows = await transaction`
    INSERT INTO periods (organization_id, period, time_zone, starts_at, ends_at, closed_at, closed_by)
    VALUES (${period.organization_id}, ${period.period}, ${period.time_zone}, ${period.starts_at}, ${period.ends_at},
      ${new Date(nowMs)}, ${name})
    ON CONFLICT DO NOTHING RETURNING period`
  return rows.length > 0
}

/** Usage of before `endsAt` that was reported and is not in the ledger yet, whichever process took it. */
export async function reportsOnTheirWay(sql: Sql, organizationId: string, endsAt: Date): Promise<number> {
  const [row] = await sql<{ rows: number }[]>`
    SELECT count(*)::integer AS rows FROM usage_once o
    WHERE o.organization_id = ${organizationId} AND o.body IS NOT NULL AND o.record_time < ${endsAt} AND NOT EXISTS (
      SELECT FROM usage_records r
      WHERE r.organization_id = o.organization_id AND r.time = o.record_time AND r.id = o.record_id)`
  return row?.rows ?? 0
}

function refusalOf(period: Period, closed: readonly ClosedRow[]): string | null {
  const { period: name, state, ends_at: endsAt, time_zone: zone } = period
  if (state === "running")
    return `${name} is not over: it ends at ${endsAt.toISOString()} (${zone}). Close it after that.`
  const [first] = closed
  if (first !== undefined && name < first.period)
    return `${name} lies before ${first.period}, the first month that was closed: the books begin there.`
  const next = monthsAfter(closed.at(-1)?.period ?? monthsAfter(name, -1), 1)
  return name === next ? null : `Months are closed in their order: close ${next} before ${name}.`
}

function periodOf(place: Place, closed: readonly ClosedRow[], name: string, nowMs: number): Period | null {
  const { id, name: organization, timeZone } = place
  const written = closed.find(({ period }) => period === name)
  const shared = { organization_id: id, organization, period: name }
  if (written !== undefined) return { ...shared, ...written, state: "closed", is_next: false }
  const span = /^\d{4}-\d\d$/.test(name) ? spanOf("month", timeZone, 1, name) : null
  if (span?.startsAtMs == null || span.endsAtMs === null) return null
  const before = closed.find(({ period }) => period === monthsAfter(name, -1))
  return {
    ...shared,
    time_zone: timeZone,
    starts_at: before?.ends_at ?? new Date(span.startsAtMs),
    ends_at: new Date(span.endsAtMs),
    state: span.endsAtMs > nowMs ? "running" : "open",
    closed_at: null,
    closed_by: null,
    is_next: before !== undefined && before === closed.at(-1),
  }
}

function questionOf({ organization_id: organizationId, period, starts_at, ends_at, is_next }: Period) {
  return { organizationId, period, startsAt: starts_at, endsAt: ends_at, takesEarlier: is_next }
}

function withSums(period: Period, lines: readonly PeriodLine[]): Statement {
  const costOf = (some: readonly PeriodLine[]) =>
    formatUsd(some.reduce((sum, { cost_usd: cost }) => sum + picosOf(cost), 0n))
  const totals = LINE_SUMS.map((name) => {
    const total =
      name === "cost_usd" ? costOf(lines) : lines.reduce((sum, line) => sum + BigInt(line[name]), 0n).toString()
    return [name, total] as const
  })
  const own = lines.filter((line) => line.for_period === period.period)
  return {
    ...period,
    lines,
    totals: Object.fromEntries(totals) as LineSums,
    own_cost_usd: costOf(own),
    earlier_cost_usd: costOf(lines.filter((line) => !own.includes(line))),
  }
}

/** `2026-11` and so many months later or earlier. */
function monthsAfter(name: string, months: number): string {
  const [year = 0, month = 0] = name.split("-").map(Number)
  const count = year * 12 + month - 1 + months
  return `${Math.floor(count / 12)}-${String((count % 12) + 1).padStart(2, "0")}`
}

function refused(message: string): PeriodRefusal {
  return { kind: "refused", message }
}

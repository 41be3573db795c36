/**
 * Single usage records: one by its id, or a page of them in the order of time, found through the primary key and, where
 * few match, by what the rollup knows.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import { filterConditions, scopeConditions } from "./conditions.ts"
import { askedOrganizations } from "./organizations.ts"
import type { RecordsQuestion } from "./question.ts"
import { isScattered, type Stretch, stretchesOf } from "./record-stretches.ts"
import { type Refused, refused } from "./refused.ts"
import type { Scope } from "./scope.ts"
import { inSnapshot } from "./snapshot.ts"
import { SqlText } from "./sql-text.ts"
import type { TimeRange } from "./time-range.ts"
import { rangeOf } from "./usage-report.ts"

/**
 * A record as JSON, column by column, with the present names of what its ids stand for and whom its project's cost goes
 * to. Money as decimal strings, so that no reader rounds it.
 */
export type ShownRecord = Readonly<Record<string, unknown>> & { readonly id: string; readonly time: string }

export type RecordsPage = {
  readonly kind: "page"
  readonly asOfMs: number
  readonly timeZone: string
  readonly fromMs: number
  readonly toMs: number
  readonly records: readonly ShownRecord[]
  /** What to ask for as `after`; null on the last page. */
  readonly next: string | null
}

/** Where a page begins: behind this record. */
type Place = { readonly time: string; readonly id: string }

export type RecordsSelection = {
  readonly filter: RecordsQuestion
  readonly scope: Scope
  readonly organizationIds: readonly string[]
  readonly range: TimeRange
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const PLACE = /^(\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:?\d{2}))_([0-9a-f-]{36})$/i

/** The record with this id; null where there is none (yet: records arrive a fraction of a second after the answer), or none visible. */
export async function usageRecord(sql: Sql, id: string, scope: Scope): Promise<ShownRecord | null> {
  if (!UUID.test(id)) return null
  const text = new SqlText()
  const conditions = [`r.id = ${text.text(id)}::uuid`, ...scopeConditions(text, scope, "r")]
  const [row] = await text.run<{ record: ShownRecord }>(
    sql,
    `WITH page AS (SELECT r.* FROM usage_records r WHERE ${conditions.join(" AND ")} LIMIT 1) ${SHOWN_PAGE}`,
  )
  return row?.record ?? null
}

/** The entries that correct a record, oldest first. Whoever sees the record sees them: they stand under the same names. */
export async function adjustmentsOf(sql: Sql, record: ShownRecord): Promise<ShownRecord[]> {
  const text = new SqlText()
  const conditions = [
    `r.organization_id = ${text.text(String(record.organization_id))}`,
    `r.time = ${text.text(record.time)}::timestamptz`,
    `r.adjusts_id = ${text.text(record.id)}::uuid`,
  ]
  const rows = await text.run<{ record: ShownRecord }>(
    sql,
    `WITH page AS (SELECT r.* FROM usage_records r WHERE ${conditions.join(" AND ")})
     ${SHOWN_PAGE} ORDER BY r.ingested_at, r.id`,
  )
  return rows.map(({ record: entry }) => entry)
}

/** A page of the records that match; `nowMs` is the present, epoch milliseconds. */
export async function usageRecords(
  sql: Sql,
  question: RecordsQuestion,
  scope: Scope,
  nowMs: number,
): Promise<RecordsPage | Refused> {
  const after = question.after === undefined ? null : placeOf(question.after)
  if (after === "unreadable") return refused("after", "give the `next` of the page before, unchanged")
  return inSnapshot(sql, async (transaction, asOfMs) => {
    const organizations = await askedOrganizations(transaction, question, scope)
    const found = await rangeOf(transaction, question, organizations, nowMs, true)
    if ("kind" in found) return found
    const { range, timeZone } = found
    const organizationIds = organizations.map(({ id }) => id)
    const selection = { filter: question, scope, organizationIds, range }
    const records = await firstRecords(transaction, selection, after, question.limit)
    const next = nextOf(records, question.limit)
    return { kind: "page", asOfMs, timeZone, fromMs: range.fromMs, toMs: range.toMs, records, next }
  })
}

/** Records behind a place, at most `max`: where no index finds them, out of the stretches that have any. */
async function firstRecords(
  transaction: Transaction,
  selection: RecordsSelection,
  after: Place | null,
  max: number,
): Promise<ShownRecord[]> {
  if (!isScattered(selection.filter, selection.scope)) return readPage(transaction, selection, after, max)
  const range = after === null ? selection.range : rangeBehind(selection, after)
  const { stretches, isAll } = await stretchesOf(transaction, { ...selection, range, max })
  const records = await readPage(transaction, selection, after, max, { stretches })
  // Records may have been deleted where the rollup still counts them.
  return isAll || records.length === max ? records : readPage(transaction, selection, after, max)
}

/** What of the range is behind the place, to the millisecond that it stands in. */
function rangeBehind({ filter, range }: RecordsSelection, { time }: Place): TimeRange {
  const atMs = Math.min(Math.max(Date.parse(time), range.fromMs), range.toMs - 1)
  return filter.order === "newest" ? { ...range, toMs: atMs + 1 } : { ...range, fromMs: atMs }
}

/**
 * Records behind a place, at most `max`; of these stretches alone where they are given. With `asOfMs`, none that the
 * ledger took in later.
 */
export async function readPage(
  sql: Sql | Transaction,
  selection: RecordsSelection,
  after: Place | null,
  max: number,
  { asOfMs, stretches }: { readonly asOfMs?: number; readonly stretches?: readonly Stretch[] } = {},
): Promise<ShownRecord[]> {
  const { filter, scope, organizationIds, range } = selection
  const parts = stretches ?? organizationIds.map((organizationId) => ({ organizationId, ...range }))
  const text = new SqlText()
  const [than, order] = filter.order === "newest" ? ["<", "r.time DESC, r.id DESC"] : [">", "r.time, r.id"]
  const conditions = [
    "r.organization_id = p.organization_id",
    "r.time >= p.from_at",
    "r.time < p.to_at",
    `r.time >= ${text.instant(range.fromMs)}`,
    `r.time < ${text.instant(range.toMs)}`,
    ...(after === null ? [] : behind(text, after, than)),
    ...(asOfMs === undefined ? [] : [`r.ingested_at <= ${text.instant(asOfMs)}`]),
    ...filterConditions(text, filter, "records", "r"),
    ...scopeConditions(text, scope, "r"),
  ]
  const ids = text.texts(parts.map(({ organizationId }) => organizationId))
  const froms = text.instants(parts.map(({ fromMs }) => fromMs))
  const tos = text.instants(parts.map(({ toMs }) => toMs))
  // For each organization its first records in this order, since only within one does the key hold the order.
  const rows = await text.run<{ record: ShownRecord }>(
    sql,
    `WITH page AS (
       SELECT r.* FROM unnest(${ids}, ${froms}, ${tos}) AS p (organization_id, from_at, to_at) CROSS JOIN LATERAL (
         SELECT r.* FROM usage_records r WHERE ${conditions.join(" AND ")} ORDER BY ${order} LIMIT ${max}) r
       ORDER BY ${order} LIMIT ${max})
     ${SHOWN_PAGE} ORDER BY ${order}`,
  )
  return rows.map(({ record }) => record)
}

/** The time alone as well: it is what partitions are left out by. */
function behind(text: SqlText, { time, id }: Place, than: string): string[] {
  const at = `${text.text(time)}::timestamptz`
  return [`r.time ${than}= ${at}`, `(r.time, r.id) ${than} (${at}, ${text.text(id)}::uuid)`]
}

/** The place behind the last of these records, as text; null where fewer than `max` came, so that there are no more. */
export function nextOf(records: readonly ShownRecord[], max: number): string | null {
  const last = records.at(-1)
  return last === undefined || records.length < max ? null : `${last.time}_${last.id}`
}

export function placeOf(text: string): Place | "unreadable" {
  const [, time, id] = PLACE.exec(text) ?? []
  return time === undefined || id === undefined || Number.isNaN(Date.parse(time)) ? "unreadable" : { time, id }
}

const SHOWN_PAGE = `SELECT to_jsonb(r) - 'journal_id' - 'journal_seq' || jsonb_build_object(
    'time', to_char(r.time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'cost_usd', trim_scale(r.cost_usd)::text, 'provider_cost_usd', trim_scale(r.provider_cost_usd)::text,
    'base_cost_usd', trim_scale(r.base_cost_usd)::text, 'book_cost_usd', trim_scale(r.book_cost_usd)::text,
    'organization', o.name, 'project', p.name, 'client', coalesce(p.client, ''),
    'cost_center', coalesce(p.cost_center, ''), 'user', u.name, 'key', k.name) AS record
  FROM page r
  LEFT JOIN organizations o ON o.id = r.organization_id
  LEFT JOIN projects p ON p.id = r.project_id
  LEFT JOIN users u ON u.id = r.user_id
  LEFT JOIN virtual_keys k ON k.id = r.key_id`

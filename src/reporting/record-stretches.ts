/**
 * Where the records of a page stand, where matching ones are few and far between and no index of the records knows the
 * filter. The rollup tells how many each quarter of an hour has, and folded days tell which quarters are worth a look, so
 * that the records of those quarters alone are read. It is a matter of speed: the records decide what matches.
 */
import type { Transaction } from "../platform/postgres.ts"
import { filterConditions, scopeConditions } from "./conditions.ts"
import { LIST_FILTERS } from "./dimensions.ts"
import { type Piece, piecesOf } from "./pieces.ts"
import { type RecordsQuestion, recordsOnly } from "./question.ts"
import type { Scope } from "./scope.ts"
import { SqlText } from "./sql-text.ts"
import { quarterAfter, quarterBefore, type TimeRange } from "./time-range.ts"

/** A stretch of an organization's time. */
export type Stretch = { readonly organizationId: string; readonly fromMs: number; readonly toMs: number }

/** `isAll`: no other stretch of the range has a matching record. Otherwise these have as many as were asked for. */
export type Stretches = { readonly stretches: readonly Stretch[]; readonly isAll: boolean }

export type StretchesQuestion = {
  readonly filter: RecordsQuestion
  readonly scope: Scope
  readonly organizationIds: readonly string[]
  /** Exact, without what is on the pages before. */
  readonly range: TimeRange
  readonly max: number
}

type Counted = Stretch & { readonly isDay: boolean; readonly records: number }

const HOUR_MS = 3_600_000
/** How much time each look takes in beyond the last one: the newest hours hold a page of whatever is common. */
const LOOKS_MS = [6 * HOUR_MS, 4 * 24 * HOUR_MS, 64 * 24 * HOUR_MS, Number.POSITIVE_INFINITY]

/** Whether the rollup can tell where matching records stand, and no index of the records tells it anyway. */
export function isScattered(filter: RecordsQuestion, scope: Scope): boolean {
  if (filter.key !== undefined || recordsOnly(filter).length > 0) return false
  const isFiltered = LIST_FILTERS.some((name) => name !== "organization" && filter[name] !== undefined)
  return isFiltered || filter.stream !== undefined || filter.estimated !== undefined || isWithinPart(scope)
}

function isWithinPart(scope: Scope): boolean {
  if (scope.kind === "all") return false
  return [scope.projectIds, scope.userIds ?? [], scope.keyIds ?? []].some((ids) => ids.length > 0)
}

/** The stretches that hold the first `max` matching records of the range, in the filter's order of time. */
export async function stretchesOf(transaction: Transaction, question: StretchesQuestion): Promise<Stretches> {
  const { range, organizationIds, max } = question
  const isNewest = question.filter.order === "newest"
  // Quarters that the range cuts are read whatever they hold, since the rollup cannot tell on which side it is.
  const [fromMs, toMs] = [quarterAfter(range.fromMs), quarterBefore(range.toMs)]
  const cut = [
    { fromMs: quarterBefore(range.fromMs), toMs: Math.min(fromMs, quarterAfter(range.toMs)) },
    { fromMs: Math.max(toMs, quarterBefore(range.fromMs)), toMs: quarterAfter(range.toMs) },
  ]
  let found = organizationIds.flatMap((organizationId) =>
    cut
      .filter((edge) => edge.fromMs < edge.toMs)
      .map((edge) => ({ ...edge, organizationId, isDay: false, records: 0 })),
  )
  let restMs = toMs - fromMs
  for (const lookMs of LOOKS_MS) {
    if (restMs <= 0 || recordsIn(found) >= max) break
    const spanMs = Math.min(lookMs, restMs)
    const startsMs = isNewest ? fromMs + restMs - spanMs : toMs - restMs
    const pieces = await piecesOf(transaction, organizationIds, [startsMs, startsMs + spanMs])
    found = [...found, ...(await counted(transaction, question, pieces))]
    restMs -= spanMs
  }
  const near = nearest(found, max, isNewest)
  const days = near.filter(({ isDay }) => isDay)
  const quarters = await counted(
    transaction,
    question,
    days.map((day) => ({ ...day, table: "usage_rollups", organizationIds: [day.organizationId] })),
  )
  const stretches = nearest([...near.filter(({ isDay }) => !isDay), ...quarters], max, isNewest)
  return { stretches, isAll: recordsIn(stretches) < max }
}

function recordsIn(stretches: readonly Counted[]): number {
  return stretches.reduce((sum, { records }) => sum + records, 0)
}

/**
 * Those that the first `max` records can stand in. Days of several zones overlap: a stretch counts when all of it is on
 * the near side of a moment, and is one of them when any of it is.
 */
function nearest(all: readonly Counted[], max: number, isNewest: boolean): Counted[] {
  const farEnd = ({ fromMs, toMs }: Stretch) => (isNewest ? -fromMs : toMs)
  const nearEnd = ({ fromMs, toMs }: Stretch) => (isNewest ? -toMs : fromMs)
  let records = 0
  for (const stretch of all.toSorted((one, two) => farEnd(one) - farEnd(two))) {
    records += stretch.records
    if (records >= max) return all.filter((other) => nearEnd(other) < farEnd(stretch))
  }
  return [...all]
}

/** Every stretch of these pieces that has matching records: days where they are folded, else quarters of an hour. */
async function counted(
  transaction: Transaction,
  question: StretchesQuestion,
  pieces: readonly Piece[],
): Promise<Counted[]> {
  if (pieces.length === 0) return []
  const text = new SqlText()
  const branches = (["usage_day", "usage_rollups"] as const).flatMap((table) => {
    const own = pieces.filter((piece) => piece.table === table)
    return own.length === 0 ? [] : [branch(text, question, table, own)]
  })
  const rows = await text.run<{ organizationId: string; from: Date; to: Date; isDay: boolean; records: number }>(
    transaction,
    branches.join("\nUNION ALL\n"),
  )
  return rows.map(({ from, to, ...of }) => ({ ...of, fromMs: from.getTime(), toMs: to.getTime() }))
}

function branch(text: SqlText, question: StretchesQuestion, table: Piece["table"], pieces: readonly Piece[]): string {
  const flat = pieces.flatMap((piece) => piece.organizationIds.map((id) => ({ ...piece, id })))
  const ids = text.texts(flat.map(({ id }) => id))
  const zones = text.texts(flat.map((piece) => (piece.table === "usage_day" ? piece.timeZone : "")))
  const froms = text.instants(flat.map((piece) => piece.fromMs))
  const tos = text.instants(flat.map((piece) => piece.toMs))
  const isDay = table === "usage_day"
  const alias = isDay ? "s" : "t"
  const matching = [
    ...filterConditions(text, question.filter, "rollup", alias),
    ...scopeConditions(text, question.scope, alias),
  ].join(" AND ")
  // IS TRUE keeps the planner from joining: it expects few rows of a lateral table, and would look up each one's series.
  const rows = isDay
    ? `SELECT f.starts_at AS "from", f.ends_at AS "to", sum(t.records + t.adjustments) AS records
      FROM usage_day_fold f JOIN usage_day t USING (organization_id, time_zone, starts_at)
      WHERE f.organization_id = p.organization_id AND f.time_zone = p.time_zone AND f.starts_at >= p.from_at
        AND f.starts_at < p.to_at AND (t.series_id IN (SELECT s.id FROM usage_series s WHERE ${matching})) IS TRUE
      GROUP BY 1, 2`
    : `SELECT t.bucket AS "from", t.bucket + interval '15 minutes' AS "to", sum(t.records + t.adjustments) AS records
      FROM usage_rollups t
      WHERE t.organization_id = p.organization_id AND t.bucket >= p.from_at AND t.bucket < p.to_at AND ${matching}
      GROUP BY 1`
  return `SELECT p.organization_id AS "organizationId", c."from", c."to", ${isDay} AS "isDay", c.records::float8 AS records
    FROM unnest(${ids}, ${zones}, ${froms}, ${tos}) AS p (organization_id, time_zone, from_at, to_at)
    CROSS JOIN LATERAL (${rows}) c`
}

/**
 * The one statement of sums: cells of group × bucket from every source, the largest groups ranked, the rest added to one,
 * and totals over all of it, in a single pass over the rows. Its last query yields the totals, each bucket, each group and
 * each group's bucket, told apart by two columns that say what was added over.
 */
import { histogramCounts, ROLLUP_HISTOGRAMS, ROLLUP_SUMS } from "../ledger/columns.ts"
import { DAY_BINS } from "../ledger/usage-day.ts"
import { columnOf, filterConditions, type Source, scopeConditions } from "./conditions.ts"
import type { DimensionName } from "./dimensions.ts"
import { binColumns, LATENCIES, MEASURES, TOKEN_MEASURES } from "./measures.ts"
import { listedPieces, type PieceRows, spelledPiece, TIME_OF } from "./piece-rows.ts"
import type { Piece } from "./pieces.ts"
import type { ORDERS, UsageFilter } from "./question.ts"
import type { Scope } from "./scope.ts"
import type { SqlText } from "./sql-text.ts"

export type SumsQuestion = {
  readonly filter: UsageFilter
  readonly scope: Scope
  readonly groupBy: readonly DimensionName[]
  /** First moments of the buckets and the end of the last one; of one bucket where none were asked for. */
  readonly boundaries: readonly number[]
  readonly places: Places
  readonly withLatency: boolean
}

/** Which groups stand alone: the largest, or those of another answer, in its order. The rest are added to one. */
export type Places =
  | { readonly kind: "largest"; readonly top: number; readonly by: (typeof ORDERS)[number] }
  | { readonly kind: "all" }
  | { readonly kind: "given"; readonly groups: readonly (readonly string[])[] }

/** Where rows come from: the rollup's two tables, or records of these organizations. */
export type SumsSource =
  | { readonly kind: "pieces"; readonly pieces: readonly Piece[] }
  | { readonly kind: "records"; readonly organizationIds: readonly string[] }

/** Beyond it pieces travel as arrays: quick to plan, but read one after the other and not in parallel. */
const PIECES_SPELLED_MAX = 24

/** Columns of a group's values: at least two, '' where fewer were asked for. */
export function groupColumns(groupBy: readonly DimensionName[]): string[] {
  return Array.from({ length: Math.max(2, groupBy.length) }, (_, index) => `d${index + 1}`)
}

export function sumsStatement(text: SqlText, question: SumsQuestion, source: SumsSource): string {
  const columns = [...MEASURES, ...(question.withLatency ? binColumns() : [])]
  const keys = groupColumns(question.groupBy)
  const summed = columns.map((name) => `sum(c.${name}) AS ${name}`).join(", ")
  const shown = columns.map((name) => `trim_scale(coalesce(sum(${name}), 0)::numeric)::text AS ${name}`).join(", ")
  const branches =
    source.kind === "pieces"
      ? pieceBranches(text, question, source.pieces)
      : [recordsBranch(text, question, source.organizationIds)]
  // A cell that comes from two branches stays two rows: groups are added up by their places anyway, and only once. What
  // is added over comes last, when few rows are left.
  return `WITH cells AS MATERIALIZED (
${branches.join("\n    UNION ALL\n")}
), places AS MATERIALIZED (
  ${placing(text, question.places, keys)}
), placed AS (
  SELECT p.place, c.b, ${keys.map((key) => `min(p.${key}) AS ${key}`).join(", ")}, ${summed}
  FROM cells c JOIN places p ON ${sameGroup("p", "c", keys)} GROUP BY p.place, c.b
)
SELECT GROUPING(place) AS over_places, GROUPING(b) AS over_buckets, place::int AS place, b,
  ${keys.map((key) => `min(${key}) AS ${key}`).join(", ")},
  (SELECT count(*)::int FROM places p WHERE p.place = 0) AS other_groups, ${shown}
FROM placed
GROUP BY GROUPING SETS ((), (b), (place), (place, b))
ORDER BY over_places DESC, over_buckets DESC, place, b`
}

/** Each group's place from 1; 0 for those that are added to one. */
function placing(text: SqlText, places: Places, keys: readonly string[]): string {
  const group = keys.join(", ")
  if (places.kind === "given") {
    const columns = keys.map((_, index) => text.texts(places.groups.map((values) => values[index] ?? "")))
    return `SELECT ${keys.map((key) => `c.${key}`).join(", ")}, coalesce(w.place, 0) AS place
  FROM (SELECT DISTINCT ${group} FROM cells) c
  LEFT JOIN unnest(${columns.join(", ")}) WITH ORDINALITY AS w (${group}, place) ON ${sameGroup("w", "c", keys)}`
  }
  const order = ORDER_SQL[places.kind === "largest" ? places.by : "cost"]
  const place = places.kind === "largest" ? `CASE WHEN rank <= ${places.top} THEN rank ELSE 0 END` : "rank"
  return `SELECT ${group}, ${place} AS place FROM (
    SELECT ${group}, row_number() OVER (ORDER BY ${order} DESC, sum(records) DESC, ${group}) AS rank
    FROM cells GROUP BY ${group}) r`
}

function sameGroup(one: string, other: string, keys: readonly string[]): string {
  return keys.map((key) => `${one}.${key} = ${other}.${key}`).join(" AND ")
}

const ORDER_SQL = {
  cost: "sum(cost_usd)",
  records: "sum(records)",
  tokens: `sum(${TOKEN_MEASURES.join(" + ")})`,
} as const

function pieceBranches(text: SqlText, question: SumsQuestion, all: readonly Piece[]): string[] {
  return (["usage_day", "usage_rollups"] as const).flatMap((table) => {
    const pieces = all.filter((piece) => piece.table === table)
    if (pieces.length === 0) return table === "usage_rollups" && all.length === 0 ? [noRows(question)] : []
    if (all.length <= PIECES_SPELLED_MAX)
      return pieces.map((piece) => branch(text, question, table, spelledPiece(text, piece)))
    return [branch(text, question, table, listedPieces(text, table, pieces))]
  })
}

function branch(text: SqlText, question: SumsQuestion, table: Piece["table"], rows: PieceRows): string {
  const isDay = table === "usage_day"
  const alias = isDay ? "s" : "t"
  const bins = question.withLatency ? Object.keys(ROLLUP_HISTOGRAMS).flatMap((name) => binSums(name, isDay)) : []
  const sums = [...MEASURES.map((name) => `sum(t.${name}) AS ${name}`), ...bins]
  const conditions = [
    ...rows.conditions,
    ...filterConditions(text, question.filter, "rollup", alias),
    ...scopeConditions(text, question.scope, alias),
  ]
  return `    SELECT ${cell(text, question, "rollup", alias, `t.${TIME_OF[table]}`)}, ${sums.join(", ")}
    FROM ${rows.from}${isDay ? " JOIN usage_series s ON s.id = t.series_id" : ""}
    WHERE ${[...conditions, "true"].join(" AND ")} GROUP BY ${positions(question)}`
}

function binSums(histogram: string, isDay: boolean): string[] {
  const names = DAY_BINS[histogram] ?? []
  return names.map((name, index) => `sum(t.${isDay ? name : `${histogram}[${index + 1}]`}) AS ${name}`)
}

/** Each record once for every tag that it has, and once for none. */
const TAGGED_RECORDS = `(SELECT r.*, coalesce(g.tag, '') AS tag FROM usage_records r
      LEFT JOIN LATERAL (SELECT DISTINCT unnest(r.tags) AS tag) g ON true) t`

/** Records of the range, added up by the very expressions that make the rollup. */
function recordsBranch(text: SqlText, question: SumsQuestion, organizationIds: readonly string[]): string {
  const [fromMs = 0] = question.boundaries
  const toMs = question.boundaries.at(-1) ?? 0
  const bins = question.withLatency ? LATENCIES.flatMap(countedBins) : []
  const sums = [...MEASURES.map((name) => `${ROLLUP_SUMS[name]} AS ${name}`), ...bins]
  const conditions = [
    `t.organization_id = ANY (${text.texts(organizationIds)})`,
    `t.time >= ${text.instant(fromMs)}`,
    `t.time < ${text.instant(toMs)}`,
    ...filterConditions(text, question.filter, "records", "t"),
    ...scopeConditions(text, question.scope, "t"),
  ]
  const rows = question.groupBy.includes("tag") ? TAGGED_RECORDS : "usage_records t"
  return `    SELECT ${cell(text, question, "records", "t", "t.time")}, ${sums.join(", ")}
    FROM ${rows}
    WHERE ${conditions.join(" AND ")} GROUP BY ${positions(question)}`
}

function countedBins(name: string): string[] {
  const column = ROLLUP_HISTOGRAMS[`${name}_histogram`] ?? ""
  return histogramCounts(column).map((count, index) => `${count} AS ${name}_bin_${index + 1}`)
}

function cell(text: SqlText, question: SumsQuestion, source: Source, alias: string, time: string): string {
  const columns = question.groupBy.map((name) => columnOf(name, source, alias))
  const values = groupColumns(question.groupBy).map((key, index) => `${columns[index] ?? "''::text"} AS ${key}`)
  const isOneBucket = question.boundaries.length <= 2
  const bucket = isOneBucket ? "1" : `width_bucket(${time}, ${text.instants(question.boundaries)})`
  return `${values.join(", ")}, ${bucket} AS b`
}

/** The columns of a cell by their places in the list of what is selected. */
function positions({ groupBy }: SumsQuestion): string {
  return [...groupColumns(groupBy), "b"].map((_, index) => index + 1).join(", ")
}

function noRows(question: SumsQuestion): string {
  const columns = [...MEASURES, ...(question.withLatency ? binColumns() : [])]
  const values = groupColumns(question.groupBy).map((key) => `''::text AS ${key}`)
  return `    SELECT ${values.join(", ")}, 1 AS b, ${columns.map((name) => `0::numeric AS ${name}`).join(", ")} WHERE false`
}

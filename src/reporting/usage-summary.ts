/** Sums of usage and cost over a time range, by one or two dimensions, read from the 15-minute rollup. */
import type { Sql } from "../platform/postgres.ts"

/** Dimension as callers name it → column of `usage_rollups`. */
export const SUMMARY_DIMENSIONS = {
  model: "model_served",
  provider: "provider",
  provider_account: "provider_account",
  project: "project_id",
  user: "user_id",
  key: "key_id",
  endpoint: "endpoint",
  tool: "tool",
  operation: "operation",
  tier: "tier_served",
  outcome: "outcome",
  usage_source: "usage_source",
} as const
export type SummaryDimension = keyof typeof SUMMARY_DIMENSIONS

/** Half-open in time, `[from, to)`, both on a quarter of an hour. */
export type SummaryQuestion = {
  readonly organizationId: string
  readonly fromMs: number
  readonly toMs: number
  readonly groupBy: readonly SummaryDimension[]
}

const COUNTED = [
  "records",
  "unpriced_records",
  "input_uncached_tokens",
  "cache_read_tokens",
  "cache_write_5m_tokens",
  "cache_write_1h_tokens",
  "output_tokens",
  "reasoning_tokens",
  "audio_input_tokens",
  "image_input_tokens",
  "audio_output_tokens",
  "image_output_tokens",
  "web_searches",
] as const

/** Counts are numbers, money is a decimal string of dollars; unpriced records are counted and cost nothing here. */
export type UsageSums = Record<(typeof COUNTED)[number], number> & { readonly cost_usd: string }
export type SummaryRow = UsageSums & Partial<Record<SummaryDimension, string>>

export type UsageSummary = { readonly data: readonly SummaryRow[]; readonly totals: UsageSums }

const QUARTER_MS = 15 * 60_000
export const SUMMARY_ROWS_MAX = 5000

/** The instant itself or the quarter of an hour before it: what the rollup can answer exactly. */
export function quarterBefore(ms: number): number {
  return Math.floor(ms / QUARTER_MS) * QUARTER_MS
}

/** The instant itself or the quarter of an hour after it. */
export function quarterAfter(ms: number): number {
  return Math.ceil(ms / QUARTER_MS) * QUARTER_MS
}

/** Rows by falling cost, at most 5,000; `totals` covers everything in the range. */
export async function usageSummary(sql: Sql, question: SummaryQuestion): Promise<UsageSummary> {
  const [totals] = await sums(sql, question, [])
  if (totals === undefined) throw new Error("An aggregate without groups returned no row.")
  const data = question.groupBy.length === 0 ? [] : await sums(sql, question, question.groupBy)
  return { data, totals }
}

async function sums(sql: Sql, question: SummaryQuestion, groupBy: readonly SummaryDimension[]): Promise<SummaryRow[]> {
  const groups = groupBy.map((dimension) => sql`, ${sql(SUMMARY_DIMENSIONS[dimension])} AS ${sql(dimension)}`)
  const counted = COUNTED.map((column) => sql`, coalesce(sum(${sql(column)}), 0)::text AS ${sql(column)}`)
  const rows = await sql<Record<string, string>[]>`
    SELECT trim_scale(coalesce(sum(cost_usd), 0))::text AS cost_usd ${[...counted, ...groups]}
    FROM usage_rollups
    WHERE organization_id = ${question.organizationId}
      AND bucket >= ${new Date(question.fromMs)} AND bucket < ${new Date(question.toMs)}
    ${groupBy.length === 0 ? sql`` : sql`GROUP BY ${sql(groupBy.map((dimension) => SUMMARY_DIMENSIONS[dimension]))}`}
    ORDER BY sum(cost_usd) DESC NULLS LAST, sum(records) DESC
    LIMIT ${SUMMARY_ROWS_MAX}`
  return rows.map(asRow)
}

/** Counts stay below 2^53: a thousand billion tokens a day would take a quarter of a century to reach it. */
function asRow(row: Record<string, string>): SummaryRow {
  const counts = COUNTED.map((column) => [column, Number(row[column])])
  return { ...row, ...Object.fromEntries(counts) } as SummaryRow
}

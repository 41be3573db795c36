/**
 * The columns of `usage_records` and `usage_rollups` as the ingest statement reads and writes them. The record's list is
 * complete by type, and a test holds both against the migration, so that a new column cannot be forgotten on the way.
 */
import type { UsageRecord } from "./usage-record.ts"

type RecordColumn = {
  /** The type under which the value is read out of the JSON. */
  readonly read: "text" | "uuid" | "timestamptz" | "bigint" | "integer" | "numeric" | "boolean" | "jsonb" | "text[]"
  /** What it is stored as, where that is not what it is read as: a measured time may come with a fraction. */
  readonly store?: "bigint"
  /** SQL for a record that lacks the member: one written by an older version and adopted by this one. Absent: no default. */
  readonly absent?: string
}

const REQUIRED_TEXT: RecordColumn = { read: "text" }
const TEXT: RecordColumn = { read: "text", absent: "''" }
const COUNT: RecordColumn = { read: "bigint", absent: "0" }
const TIME_SPENT: RecordColumn = { read: "numeric", store: "bigint", absent: "0" }
const TIME_SPENT_IF_ANY: RecordColumn = { read: "numeric", store: "bigint" }
const BOOLEAN: RecordColumn = { read: "boolean", absent: "false" }
const MONEY: RecordColumn = { read: "numeric" }

export const RECORD_COLUMNS: { readonly [column in keyof UsageRecord]: RecordColumn } = {
  id: { read: "uuid" },
  time: { read: "timestamptz" },
  kind: REQUIRED_TEXT,
  adjusts_id: { read: "uuid" },
  organization_id: REQUIRED_TEXT,
  project_id: TEXT,
  user_id: TEXT,
  key_id: TEXT,
  end_customer: TEXT,
  conversation: TEXT,
  tool: TEXT,
  operation: TEXT,
  tags: { read: "text[]", absent: "'{}'" },
  metadata: { read: "jsonb", absent: "'{}'" },
  client_request_id: TEXT,
  endpoint: TEXT,
  dialect: TEXT,
  provider: TEXT,
  provider_account: TEXT,
  region: TEXT,
  billing: { read: "text", absent: "'account'" },
  model_requested: TEXT,
  model_routed: TEXT,
  model_served: TEXT,
  tier_requested: TEXT,
  tier_served: TEXT,
  provider_request_id: TEXT,
  provider_response_id: TEXT,
  stream: BOOLEAN,
  attempts: { read: "jsonb", absent: "'[]'" },
  outcome: TEXT,
  end_state: TEXT,
  http_status: { read: "integer", absent: "0" },
  error_code: TEXT,
  cut_by: TEXT,
  usage_source: { read: "text", absent: "'none'" },
  estimator: TEXT,
  input_uncached_tokens: COUNT,
  cache_read_tokens: COUNT,
  cache_write_5m_tokens: COUNT,
  cache_write_1h_tokens: COUNT,
  output_tokens: COUNT,
  reasoning_tokens: COUNT,
  audio_input_tokens: COUNT,
  image_input_tokens: COUNT,
  audio_output_tokens: COUNT,
  image_output_tokens: COUNT,
  web_searches: COUNT,
  units: { read: "numeric", absent: "0" },
  unit_type: TEXT,
  usage_mismatch: BOOLEAN,
  usage_raw: { read: "jsonb" },
  price_state: { read: "text", absent: "'unpriced'" },
  cost_usd: MONEY,
  cost_source: TEXT,
  price_row: TEXT,
  base_cost_usd: MONEY,
  provider_cost_usd: MONEY,
  book_cost_usd: MONEY,
  charges: { read: "jsonb", absent: "'[]'" },
  bound: TEXT,
  duration_ms: TIME_SPENT,
  ttft_ms: TIME_SPENT_IF_ANY,
  upstream_ms: TIME_SPENT_IF_ANY,
  overhead_us: TIME_SPENT,
  request_bytes: COUNT,
  response_bytes: COUNT,
}

/** The rollup's key: each dimension and the SQL that makes it of a record. Caller-worded ones are bounded, see the migration. */
export const ROLLUP_KEY: Readonly<Record<string, string>> = {
  organization_id: "organization_id",
  bucket: "date_bin('15 minutes', time, timestamptz '2000-01-01 00:00:00+00')",
  project_id: "project_id",
  user_id: "user_id",
  key_id: "key_id",
  provider_account: "provider_account",
  provider: "provider",
  model_served: "left(model_served, 120)",
  endpoint: "endpoint",
  tool: "left(tool, 120)",
  operation: "left(operation, 120)",
  tier_served: "tier_served",
  outcome: "outcome",
  stream: "stream",
  usage_source: "usage_source",
  // What gives a record its first price is counted where the record is: the sums of one row then say how many have none.
  price_row:
    "CASE WHEN kind = 'adjustment' THEN coalesce(metadata ->> 'was_unpriced_as', price_row) ELSE price_row END",
}

/** The rollup's sums: each column and the aggregate that makes it of the records of one key. */
export const ROLLUP_SUMS: Readonly<Record<string, string>> = {
  records: "count(*) FILTER (WHERE kind <> 'adjustment')",
  adjustments: "count(*) FILTER (WHERE kind = 'adjustment')",
  unpriced_records:
    "count(*) FILTER (WHERE price_state = 'unpriced' AND kind <> 'adjustment')" +
    " - count(*) FILTER (WHERE kind = 'adjustment' AND metadata ->> 'was_unpriced_as' IS NOT NULL)",
  mismatch_records: "count(*) FILTER (WHERE usage_mismatch AND kind <> 'adjustment')",
  input_uncached_tokens: "sum(input_uncached_tokens)",
  cache_read_tokens: "sum(cache_read_tokens)",
  cache_write_5m_tokens: "sum(cache_write_5m_tokens)",
  cache_write_1h_tokens: "sum(cache_write_1h_tokens)",
  output_tokens: "sum(output_tokens)",
  reasoning_tokens: "sum(reasoning_tokens)",
  audio_input_tokens: "sum(audio_input_tokens)",
  image_input_tokens: "sum(image_input_tokens)",
  audio_output_tokens: "sum(audio_output_tokens)",
  image_output_tokens: "sum(image_output_tokens)",
  web_searches: "sum(web_searches)",
  units: "sum(units)",
  cost_usd: "coalesce(sum(cost_usd), 0)",
  charged_nanos: "coalesce(sum(ceil(cost_usd * 1000000000)), 0)",
  duration_ms: "sum(duration_ms)",
  ttft_ms: "coalesce(sum(ttft_ms), 0)",
}

/** Upper bounds (exclusive) of the latency histograms in milliseconds; the last element of a histogram has none. */
export const HISTOGRAM_BOUNDS_MS: readonly number[] = [
  10, 20, 50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000, 15_000, 20_000, 30_000, 60_000,
  120_000, 300_000, 600_000,
]

/** A histogram's bins, numbered as the elements of its array are: from 1. */
export const HISTOGRAM_BINS: readonly number[] = [0, ...HISTOGRAM_BOUNDS_MS].map((_, index) => index + 1)

/** Histogram columns of the rollup and the record's column that each counts; null values are not counted. */
export const ROLLUP_HISTOGRAMS: Readonly<Record<string, keyof UsageRecord>> = {
  duration_histogram: "duration_ms",
  ttft_histogram: "ttft_ms",
}

/**
 * SQL that counts the values of a column in each bin of its histogram, first bin first. What was reported without a
 * duration, and what corrects another record, took no time that anybody knows.
 */
export function histogramCounts(column: string): string[] {
  const bounds = `ARRAY[${HISTOGRAM_BOUNDS_MS.join(",")}]::bigint[]`
  const isTimed = `(kind = 'call' OR ${column} > 0)`
  return HISTOGRAM_BINS.map(
    (bin) => `count(*) FILTER (WHERE ${isTimed} AND width_bucket(${column}, ${bounds}) = ${bin - 1})`,
  )
}

/** Single records as a table: which columns, in which order, and how a record becomes a row. Columns are only ever added at the end. */
import type { Cell, Column, ColumnKind } from "./table.ts"
import type { ShownRecord } from "./usage-records.ts"

const TEXT = (...names: string[]) => names.map((name): [string, ColumnKind] => [name, "text"])
const NUMBER = (...names: string[]) => names.map((name): [string, ColumnKind] => [name, "number"])
const TRUTH = (...names: string[]) => names.map((name): [string, ColumnKind] => [name, "truth"])

const KINDS: readonly (readonly [string, ColumnKind])[] = [
  ["time", "time"],
  ...TEXT("id", "kind", "adjusts_id", "organization_id", "organization", "project_id", "project", "client"),
  ...TEXT("cost_center", "user_id", "user", "key_id", "key", "end_customer", "conversation", "tool", "operation"),
  ...TEXT("tags", "metadata", "client_request_id", "endpoint", "provider", "provider_account", "region", "billing"),
  ...TEXT("model_requested", "model_routed", "model_served", "tier_requested", "tier_served", "provider_request_id"),
  ...TEXT("provider_response_id"),
  ...TRUTH("stream"),
  ...TEXT("outcome", "end_state"),
  ...NUMBER("http_status"),
  ...TEXT("error_code", "cut_by", "usage_source", "estimator"),
  ...NUMBER("input_uncached_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
  ...NUMBER("output_tokens", "reasoning_tokens", "audio_input_tokens", "image_input_tokens", "audio_output_tokens"),
  ...NUMBER("image_output_tokens", "web_searches", "units"),
  ...TEXT("unit_type"),
  ...TRUTH("usage_mismatch"),
  ...TEXT("price_state"),
  ...NUMBER("cost_usd"),
  ...TEXT("cost_source", "price_row"),
  ...NUMBER("provider_cost_usd", "duration_ms", "ttft_ms", "upstream_ms", "overhead_us", "request_bytes"),
  ...NUMBER("response_bytes", "book_cost_usd"),
  ...TEXT("bound"),
  ...NUMBER("base_cost_usd"),
]

/** When the ledger was read stands in every row, so that it is not lost when files are joined. */
export const RECORD_TABLE_COLUMNS: readonly Column[] = [
  ...KINDS.map(([name, kind]) => ({ name, kind })),
  { name: "as_of", kind: "time" },
]

/** A row of the table; `asOf` is ISO 8601. Tags and metadata are JSON text. */
export function recordRow(record: ShownRecord, asOf: string): Cell[] {
  return [...KINDS.map(([name]) => cellOf(record[name])), asOf]
}

function cellOf(value: unknown): Cell {
  if (value === null || value === undefined) return null
  if (typeof value === "boolean" || typeof value === "string") return value
  return JSON.stringify(value)
}

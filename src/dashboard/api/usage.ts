/**
 * What was used: sums, series, single records and files of them. The one place that knows how the API shows a report;
 * pages take what stands here.
 */
import { keepPreviousData, queryOptions } from "@tanstack/react-query"
import { addressOf, get, type Query } from "./client.ts"
import { type Realm, USAGE_PATHS } from "./realm.ts"

/** Milliseconds; null where nothing was measured. */
export type Percentiles = { readonly p50: number; readonly p95: number; readonly p99: number } | null

/** Decimal strings. Token classes are disjoint; reasoning is part of output. */
export type Sums = {
  readonly records: string
  readonly unpriced_records: string
  readonly tokens: string
  readonly input_uncached_tokens: string
  readonly cache_read_tokens: string
  readonly cache_write_5m_tokens: string
  readonly cache_write_1h_tokens: string
  readonly output_tokens: string
  readonly reasoning_tokens: string
  readonly cost_usd: string
  readonly latency?: { readonly duration: Percentiles; readonly ttft: Percentiles }
}
export type Group = Sums & {
  readonly [name: string]: unknown
  readonly previous?: Sums
  readonly series?: readonly Sums[]
}
export type OtherGroups = Sums & {
  readonly groups: number
  readonly previous?: Sums
  readonly series?: readonly Sums[]
}
type Span = { readonly from: string; readonly until: string }

export type Summary = {
  readonly range: Span & { readonly time_zone: string }
  readonly as_of: string
  readonly group_by: readonly string[]
  readonly totals: Sums
  readonly previous: (Span & { readonly totals: Sums; readonly series?: readonly Sums[] }) | null
  readonly data: readonly Group[]
  readonly other: OtherGroups | null
}
export type Series = Summary & {
  readonly bucket: "hour" | "day" | "week" | "month"
  readonly buckets: readonly (Span & { readonly label: string })[]
  readonly series: readonly Sums[]
}

/** A call as the ledger has it, column by column. */
export type UsageRecord = {
  readonly id: string
  readonly time: string
  readonly kind: string
  readonly organization_id: string
  readonly project_id: string
  readonly user_id: string
  readonly key_id: string
  /** Present names of these; null where nothing is known of the id. */
  readonly organization: string | null
  readonly project: string | null
  readonly user: string | null
  readonly key: string | null
  readonly end_customer: string
  readonly conversation: string
  readonly tool: string
  readonly operation: string
  readonly tags: readonly string[]
  readonly endpoint: string
  readonly provider: string
  readonly provider_account: string
  readonly model_requested: string
  readonly model_routed: string
  readonly model_served: string
  readonly tier_served: string
  readonly provider_request_id: string
  readonly stream: boolean
  readonly attempts: readonly Attempt[]
  readonly outcome: string
  readonly end_state: string
  readonly http_status: number
  readonly error_code: string
  readonly usage_source: string
  readonly usage_mismatch: boolean
  readonly usage_raw: unknown
  readonly input_uncached_tokens: number
  readonly cache_read_tokens: number
  readonly cache_write_5m_tokens: number
  readonly cache_write_1h_tokens: number
  readonly output_tokens: number
  readonly reasoning_tokens: number
  readonly price_state: string
  readonly cost_usd: string | null
  readonly cost_source: string
  readonly price_row: string
  readonly duration_ms: number
  readonly ttft_ms: number | null
  readonly upstream_ms: number | null
  readonly overhead_us: number
  readonly charges: readonly { readonly limit_id: string; readonly window: string; readonly amount: string }[]
}
/** One try at a provider that may have been billed. */
export type Attempt = {
  readonly provider: string
  readonly account: string
  readonly model: string
  /** 0 when there was no answer. */
  readonly status: number
  /** After the call's start. */
  readonly started_ms: number
  readonly duration_ms: number
  readonly error: string
}
/** Why a request cost what it cost. Amounts and rates are dollars as decimal strings. */
export type Explanation = {
  readonly state: "priced" | "reported" | "unpriced" | "unmetered" | "free" | "correction"
  readonly is_estimated: boolean
  readonly lines: readonly ExplainedLine[]
  readonly cost_usd: string | null
  readonly adjustments: readonly {
    readonly id: string
    readonly booked_at: string
    readonly reason: string
    readonly source: string
    readonly cost_usd: string | null
  }[]
  readonly total_usd: string | null
  readonly says: readonly string[]
  readonly next: string | null
}
export type ExplainedLine = {
  readonly class: string
  readonly rated_as: string | null
  readonly count: string | null
  readonly unit: string | null
  /** For `per` of the unit; null where no rate stands behind the line. */
  readonly rate_usd: string | null
  readonly per: number | null
  readonly multiplier: string | null
  readonly amount_usd: string
}
export type RecordPage = { readonly data: readonly UsageRecord[]; readonly next: string | null }

const LIVE_STALE_MS = 10_000
/** Figures of an open page are asked for anew; the old ones stay until the new ones are there. */
const EVERY_MS = 60_000

export function summaryQuery(realm: Realm, query: Query) {
  return queryOptions({
    queryKey: ["usage", realm, "summary", query],
    queryFn: ({ signal }) => get<Summary>(`${USAGE_PATHS[realm]}/summary`, query, signal),
    placeholderData: keepPreviousData,
    staleTime: LIVE_STALE_MS,
    refetchInterval: EVERY_MS,
  })
}

export function seriesQuery(realm: Realm, query: Query) {
  return queryOptions({
    queryKey: ["usage", realm, "series", query],
    queryFn: ({ signal }) => get<Series>(`${USAGE_PATHS[realm]}/series`, query, signal),
    placeholderData: keepPreviousData,
    staleTime: LIVE_STALE_MS,
    refetchInterval: EVERY_MS,
  })
}

export function recordsQuery(realm: Realm, query: Query) {
  return queryOptions({
    queryKey: ["usage", realm, "records", query],
    queryFn: ({ signal }) => get<RecordPage>(`${USAGE_PATHS[realm]}/records`, query, signal),
    placeholderData: keepPreviousData,
    staleTime: LIVE_STALE_MS,
  })
}

export function recordQuery(realm: Realm, id: string) {
  return queryOptions({
    queryKey: ["usage", realm, "record", id],
    queryFn: ({ signal }) => get<UsageRecord>(`${USAGE_PATHS[realm]}/records/${encodeURIComponent(id)}`, {}, signal),
  })
}

export function explanationQuery(realm: Realm, id: string) {
  const path = `${USAGE_PATHS[realm]}/records/${encodeURIComponent(id)}/explain`
  return queryOptions({
    queryKey: ["usage", realm, "explanation", id],
    queryFn: ({ signal }) => get<Explanation>(path, {}, signal),
  })
}

export const EXPORT_FORMATS = { csv: "CSV", xlsx: "Excel (XLSX)", json: "JSON", ndjson: "NDJSON" } as const
export type ExportFormat = keyof typeof EXPORT_FORMATS
export type ExportKind = "summary" | "series" | "records"

/** The address of a file with exactly the rows of a view. */
export function exportAddress(realm: Realm, kind: ExportKind, format: ExportFormat, query: Query): string {
  return addressOf(`${USAGE_PATHS[realm]}/export`, { ...query, view: kind, format })
}

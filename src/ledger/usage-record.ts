/**
 * One call, written down once. The names are the columns of `usage_records`, so that a record travels as JSON from
 * the proxy through the journal into Postgres without being mapped on the way.
 */
import type { DurableCharge } from "../admission/limits.ts"
import type { UsageSource } from "../metering/usage.ts"

/** How the call ended, seen from Tallygate. `interrupted` is written by recovery alone. */
export type EndState = "complete" | "client_abort" | "upstream_error" | "timeout" | "interrupted" | "refused" | "cut"

/** `ok`: the caller got the provider's success. `error`: it did not. `aborted`: the caller left first. */
export type Outcome = "ok" | "error" | "aborted"

/** One try at a provider that may have been billed. */
export type Attempt = {
  readonly provider: string
  readonly account: string
  readonly model: string
  /** Upstream's HTTP status; 0 when there was no answer. */
  readonly status: number
  /** Milliseconds after the call's start. */
  readonly started_ms: number
  readonly duration_ms: number
  readonly provider_request_id: string
  readonly error: string
}

export type UsageRecord = {
  /** UUIDv7 minted here: the `x-request-id` of the answer, the hold's id, the journal row's id. */
  id: string
  /** When the call arrived, ISO 8601 in UTC: a pure function of the record, since it is part of the primary key. */
  time: string
  /** `call` came through the proxy; `report` was told to us; `adjustment` corrects another record. */
  kind: "call" | "report" | "adjustment"
  adjusts_id: string | null

  organization_id: string
  project_id: string
  user_id: string
  key_id: string
  end_customer: string
  conversation: string
  tool: string
  operation: string
  tags: string[]
  metadata: Record<string, string>
  /** The caller's own x-request-id: kept, never used to identify anything. */
  client_request_id: string

  endpoint: string
  dialect: string
  provider: string
  provider_account: string
  region: string
  /** Who pays the provider: our account, or the caller's own credential. */
  billing: "account" | "caller"
  model_requested: string
  /** What was sent upstream after aliases. */
  model_routed: string
  /** What the provider says it served; the price is this model's. */
  model_served: string
  tier_requested: string
  tier_served: string
  provider_request_id: string
  provider_response_id: string
  stream: boolean
  attempts: Attempt[]

  outcome: Outcome
  end_state: EndState
  /** What the caller saw; 0 when it left before a status was sent. */
  http_status: number
  error_code: string
  /** Why Tallygate ended a stream early, e.g. `budget`; '' elsewhere. */
  cut_by: string

  usage_source: UsageSource
  /** By what the usage was estimated, with its version, e.g. `v2 claude o200k_base×1.15+3`; '' elsewhere. */
  estimator: string
  input_uncached_tokens: number
  cache_read_tokens: number
  cache_write_5m_tokens: number
  cache_write_1h_tokens: number
  output_tokens: number
  reasoning_tokens: number
  audio_input_tokens: number
  image_input_tokens: number
  audio_output_tokens: number
  image_output_tokens: number
  web_searches: number
  units: number
  unit_type: string
  /** The classes did not add up to the provider's own total. */
  usage_mismatch: boolean
  /** The provider's usage object as it stood on the wire. */
  usage_raw: unknown

  price_state: "priced" | "unpriced" | "free"
  /** Dollars with up to 12 decimals as a string; null while unpriced. */
  cost_usd: string | null
  cost_source: "book" | "override" | "reported" | ""
  /** Id of the price row that priced it. */
  price_row: string
  /** What the provider itself says the call cost, where it says so. */
  provider_cost_usd: string | null
  /** What the price book says, where the cost is a reported one; null elsewhere. */
  book_cost_usd: string | null

  charges: DurableCharge[]
  /** `bounded`, or why nobody could tell beforehand what the call uses at most; '' where no limit on tokens or money applied. */
  bound: string

  duration_ms: number
  /** Arrival to the first content byte towards the caller; null where nothing was sent. */
  ttft_ms: number | null
  /** Forwarding to the upstream's response head; null where there was none. */
  upstream_ms: number | null
  /** Time spent in Tallygate before the call was forwarded. */
  overhead_us: number
  request_bytes: number
  response_bytes: number
}

/**
 * A usage record of which nothing is known yet: nothing used, nothing paid, nobody's. Whoever makes one puts in what is.
 * Member by member, in the order of the columns: all records have one shape, and are quick to make and to read.
 */
import type { UsageRecord } from "./usage-record.ts"

export class BlankRecord implements UsageRecord {
  id = ""
  time = ""
  kind: UsageRecord["kind"] = "call"
  adjusts_id: string | null = null
  organization_id = ""
  project_id = ""
  user_id = ""
  key_id = ""
  end_customer = ""
  conversation = ""
  tool = ""
  operation = ""
  tags: string[] = []
  metadata: Record<string, string> = {}
  client_request_id = ""
  endpoint = ""
  dialect = ""
  provider = ""
  provider_account = ""
  region = ""
  billing: UsageRecord["billing"] = "account"
  model_requested = ""
  model_routed = ""
  model_served = ""
  tier_requested = ""
  tier_served = ""
  provider_request_id = ""
  provider_response_id = ""
  stream = false
  attempts: UsageRecord["attempts"] = []
  outcome: UsageRecord["outcome"] = "error"
  end_state: UsageRecord["end_state"] = "interrupted"
  http_status = 0
  error_code = ""
  cut_by = ""
  usage_source: UsageRecord["usage_source"] = "none"
  estimator = ""
  input_uncached_tokens = 0
  cache_read_tokens = 0
  cache_write_5m_tokens = 0
  cache_write_1h_tokens = 0
  output_tokens = 0
  reasoning_tokens = 0
  audio_input_tokens = 0
  image_input_tokens = 0
  audio_output_tokens = 0
  image_output_tokens = 0
  web_searches = 0
  units = 0
  unit_type = ""
  usage_mismatch = false
  usage_raw: unknown = null
  price_state: UsageRecord["price_state"] = "free"
  cost_usd: string | null = "0"
  cost_source: UsageRecord["cost_source"] = ""
  price_row = ""
  base_cost_usd: string | null = null
  provider_cost_usd: string | null = null
  book_cost_usd: string | null = null
  charges: UsageRecord["charges"] = []
  bound = ""
  duration_ms = 0
  ttft_ms: number | null = null
  upstream_ms: number | null = null
  overhead_us = 0
  request_bytes = 0
  response_bytes = 0
}

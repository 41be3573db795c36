/**
 * Puts a usage on its record, and its price: by the served model and tier, in the book of the moment. Calls through the
 * proxy and reported ones are priced here alike, so that the same usage costs the same by either way.
 */
import type { Usage, UsageSource } from "../metering/usage.ts"
import { bounded } from "../platform/bounded-text.ts"
import {
  type CeilingCost,
  type EffectiveCost,
  effectiveCost,
  effectivePrice,
  type PriceSources,
} from "../pricing/effective-price.ts"
import { formatUsd, nanosRoundedUp } from "../pricing/money.ts"
import type { Router } from "../providers/router.ts"
import type { UsageRecord } from "./usage-record.ts"

/** Where a usage comes from, as it stands on the record. */
export type UsageOrigin = {
  readonly source: UsageSource
  readonly estimator: string
  readonly raw: unknown
  readonly isMismatch: boolean
}

/** What each member of a usage is called on a record. */
const USAGE_COLUMNS = {
  inputUncachedTokens: "input_uncached_tokens",
  cacheReadTokens: "cache_read_tokens",
  cacheWrite5mTokens: "cache_write_5m_tokens",
  cacheWrite1hTokens: "cache_write_1h_tokens",
  outputTokens: "output_tokens",
  reasoningTokens: "reasoning_tokens",
  audioInputTokens: "audio_input_tokens",
  imageInputTokens: "image_input_tokens",
  audioOutputTokens: "audio_output_tokens",
  imageOutputTokens: "image_output_tokens",
  webSearches: "web_searches",
  units: "units",
} as const satisfies Partial<Record<keyof Usage, keyof UsageRecord>>
export const USAGE_COLUMN_NAMES = Object.entries(USAGE_COLUMNS) as [
  keyof typeof USAGE_COLUMNS,
  (typeof USAGE_COLUMNS)[keyof typeof USAGE_COLUMNS],
][]

/** The prices, and as whose prices a configured provider's are looked up. */
export type Prices = PriceSources & { readonly router: Pick<Router, "providers"> }

export function putUsage(record: UsageRecord, usage: Usage, origin: UsageOrigin): void {
  record.input_uncached_tokens = usage.inputUncachedTokens
  record.cache_read_tokens = usage.cacheReadTokens
  record.cache_write_5m_tokens = usage.cacheWrite5mTokens
  record.cache_write_1h_tokens = usage.cacheWrite1hTokens
  record.output_tokens = usage.outputTokens
  record.reasoning_tokens = usage.reasoningTokens
  record.audio_input_tokens = usage.audioInputTokens
  record.image_input_tokens = usage.imageInputTokens
  record.audio_output_tokens = usage.audioOutputTokens
  record.image_output_tokens = usage.imageOutputTokens
  record.web_searches = usage.webSearches
  record.units = usage.units
  record.unit_type = usage.unitType
  record.usage_source = origin.source
  record.estimator = origin.estimator
  record.usage_raw = origin.raw
  record.usage_mismatch = origin.isMismatch
}

/** The usage that stands on a record, its text, or a row of the ledger; what is not there is 0. */
export function usageOf(record: Partial<UsageRecord>): Usage {
  const counts = USAGE_COLUMN_NAMES.map(([member, name]) => [member, Number(record[name] ?? 0)] as const)
  return { ...(Object.fromEntries(counts) as Omit<Usage, "unitType">), unitType: record.unit_type ?? "" }
}

/**
 * Prices the record's usage by the served model and tier, and returns in nano-dollars, rounded up, what limits are charged.
 * What has no price stays `unpriced` with a null cost; it is never 0, and charged by the organization's ceiling if it has
 * one. `known`: the price, where it was worked out before.
 */
export function priceRecord(
  prices: Prices,
  record: UsageRecord,
  usage: Usage,
  atMs: number,
  known: EffectiveCost | null = null,
): bigint {
  if (record.usage_source === "none") return free(record)
  if (record.usage_source === "unmetered") return unpriced(record, null)
  const priced = known ?? priceServed(prices, record, servedOf(record), usage, atMs)
  if (priced.kind === "unpriced") return unpriced(record, priced.ceiling)
  record.price_state = "priced"
  record.cost_usd = formatUsd(priced.costPicos)
  record.cost_source = priced.source
  record.price_row = priced.pin
  record.base_cost_usd = priced.baseCostPicos === null ? null : formatUsd(priced.baseCostPicos)
  return nanosRoundedUp(priced.costPicos)
}

/** What of a record decides its price, beside its usage. */
type PricedAs = Pick<
  UsageRecord,
  | "organization_id"
  | "provider"
  | "region"
  | "model_routed"
  | "model_served"
  | "tier_served"
  | "tier_requested"
  | "time"
>

/** What a usage costs at the present price of the record's served model and tier, as of the record's time. */
export function priceAsRecorded(prices: Prices, record: PricedAs, usage: Usage): EffectiveCost {
  return priceServed(prices, record, servedOf(record), usage, Date.parse(record.time))
}

function servedOf(record: Pick<UsageRecord, "model_served" | "tier_served" | "tier_requested">) {
  return { model: record.model_served, tier: record.tier_served || record.tier_requested }
}

/** What the usage costs at the price of the model and tier that were served; `atMs` is epoch milliseconds. */
export function priceServed(
  prices: Prices,
  record: Pick<UsageRecord, "organization_id" | "provider" | "region" | "model_routed">,
  served: { readonly model: string; readonly tier: string },
  usage: Usage,
  atMs: number,
): EffectiveCost {
  const provider = prices.router.providers.get(record.provider)?.pricedAs ?? record.provider
  const { organization_id: organizationId, region } = record
  const of = { organizationId, provider, region, tier: bounded(served.tier), atMs }
  const found = effectivePrice(prices, { ...of, model: bounded(served.model) })
  // Providers may answer with a snapshot or a deployment name that no book lists; the name that was asked for then decides.
  const price = found.kind === "found" ? found : effectivePrice(prices, { ...of, model: record.model_routed })
  return effectiveCost(price, usage)
}

function unpriced(record: UsageRecord, ceiling: CeilingCost | null): bigint {
  record.price_state = "unpriced"
  record.cost_usd = null
  record.cost_source = ceiling === null ? "" : "ceiling"
  record.price_row = ceiling?.pin ?? ""
  record.base_cost_usd = null
  return ceiling === null ? 0n : nanosRoundedUp(ceiling.costPicos)
}

function free(record: UsageRecord): bigint {
  record.price_state = "free"
  record.cost_usd = "0"
  record.cost_source = ""
  record.price_row = ""
  record.base_cost_usd = null
  return 0n
}

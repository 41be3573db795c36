/** Holds what the meter read against what a recorded exchange says it means, class by class. */
import { formatUsd, parseUsd } from "../../pricing/money.ts"
import { tierName } from "../../pricing/price-row.ts"
import type { Metered } from "./meter-exchange.ts"
import type { ExpectedUsage } from "./recorded-exchange.ts"

export type Difference = {
  /** As the recording names it: `cache_read_tokens`, `model`, `usage_present`. */
  readonly class: string
  readonly expected: string
  readonly got: string
}

type Value = string | number | boolean

/** Empty where they agree. What is not expected, or expected to be unknown, is not compared. */
export function compareUsage(
  expected: ExpectedUsage,
  { reading, answerUsage: { usage, origin } }: Extract<Metered, { readonly kind: "metered" }>,
): Difference[] {
  const compared: [name: string, expected: Value | null | undefined, got: Value][] = [
    ["usage_present", expected.usage_present, reading.usage !== null],
    ["billable", expected.billable, origin.source !== "none"],
    ["output_is_estimate", expected.output_is_estimate, origin.source === "estimated"],
    ["must_estimate", expected.must_estimate, origin.source === "estimated"],
    ["input_tokens_uncached", expected.input_tokens_uncached, usage.inputUncachedTokens],
    ["cache_read_tokens", expected.cache_read_tokens, usage.cacheReadTokens],
    ["cache_write_5m_tokens", expected.cache_write_5m_tokens, usage.cacheWrite5mTokens],
    ["cache_write_1h_tokens", expected.cache_write_1h_tokens, usage.cacheWrite1hTokens],
    ["output_tokens", expected.output_tokens, usage.outputTokens],
    ["reasoning_tokens", expected.reasoning_tokens, usage.reasoningTokens],
    ["audio_input_tokens", expected.audio_input_tokens, usage.audioInputTokens],
    ["image_input_tokens", expected.image_input_tokens, usage.imageInputTokens],
    ["audio_output_tokens", expected.audio_output_tokens, usage.audioOutputTokens],
    ["image_output_tokens", expected.image_output_tokens, usage.imageOutputTokens],
    ["web_search_requests", expected.web_search_requests, usage.webSearches],
    ["units", expected.units === null ? 0 : expected.units, usage.units],
    ["unit_type", expected.unit_type === null ? "" : expected.unit_type, unitAs(expected.unit_type, usage.unitType)],
    ["model", expected.model === null ? "" : expected.model, reading.model],
    ["service_tier", tierOrNone(expected.service_tier), tierName(reading.tier)],
    ["provider_cost_usd", plainUsd(expected.provider_cost_usd), plainUsd(reading.costUsd) ?? "none"],
  ]
  return compared.flatMap(([name, wanted, got]) =>
    wanted === undefined || wanted === null || wanted === got
      ? []
      : [{ class: name, expected: shown(wanted), got: shown(got) }],
  )
}

/** A recording may name the unit alone; what its price depends on (`images:hd:1024x1024`) comes from the request. */
function unitAs(expected: string | null | undefined, got: string): string {
  return expected?.includes(":") === true ? got : got.replace(/:.*/, "")
}

/** An answer that names no tier was served in the standard one. */
function tierOrNone(tier: string | null | undefined): string | undefined {
  return tier === undefined ? undefined : tierName(tier ?? "")
}

/** The same amount has one spelling. */
function plainUsd(text: string | null | undefined): string | undefined {
  if (text === null || text === undefined) return undefined
  const parsed = parseUsd(text)
  return parsed.kind === "parsed" ? formatUsd(parsed.picos) : text
}

function shown(value: Value): string {
  return value === "" ? "none" : String(value)
}

/**
 * What a provider itself says that an answer cost, off the usage object of a chat completion. Kept beside our own cost,
 * never in its place: the difference tells a price that has changed.
 *
 * - OpenRouter: `cost`, in dollars. With a key of the caller's own at the maker (`is_byok`) that is OpenRouter's fee
 *   alone, and `cost_details.upstream_inference_cost` is what the maker bills. (OpenRouter docs, "Usage accounting".)
 * - Perplexity: `cost.total_cost`, in dollars, its parts beside it. (Perplexity API reference, `UsageInfo`.)
 * - xAI: `cost_in_usd_ticks`, of which 10,000,000,000 are a dollar. (xAI API reference, chat completions.)
 */
import { formatUsd } from "../pricing/money.ts"
import type { Reading } from "./dialect.ts"
import { asObject } from "./json-values.ts"

const PICOS_PER_TICK = 100n
/** No answer costs so much. */
const USD_MAX = 1e9
/** Digits after the point that the ledger keeps; further ones are cut off. */
const DECIMALS = 12

/** Notes the cost that a usage object states; leaves what is noted where it states none. Never throws. */
export function readProviderCost(value: unknown, reading: Reading): void {
  const usage = asObject(value)
  if (usage === null) return
  const stated = ticksAsUsd(usage.cost_in_usd_ticks) ?? usdText(usage.cost) ?? usdText(asObject(usage.cost)?.total_cost)
  if (stated === null) return
  reading.costUsd = stated
  const details = asObject(usage.cost_details)
  reading.costElsewhereUsd = usage.is_byok === true ? usdText(details?.upstream_inference_cost) : null
}

/** A number of dollars as JSON has it, as a plain decimal. */
function usdText(value: unknown): string | null {
  if (typeof value !== "number" || !(value >= 0 && value < USD_MAX)) return null
  // Not by toFixed: it writes digits of the binary fraction beyond those that were sent.
  const text = String(value)
  const plain = text.includes("e") ? withoutExponent(text) : text
  const [whole = "0", fraction = ""] = plain.split(".")
  const kept = fraction.slice(0, DECIMALS).replace(/0+$/, "")
  return kept === "" ? whole : `${whole}.${kept}`
}

/** Numbers below a millionth are written with an exponent: `8.25e-7`. */
function withoutExponent(text: string): string {
  const [mantissa = "0", exponent = "0"] = text.split("e")
  const places = Math.min(-Number(exponent), DECIMALS + 1)
  return `0.${mantissa.replace(".", "").padStart(places + mantissa.replace(".", "").length - 1, "0")}`
}

function ticksAsUsd(value: unknown): string | null {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) return null
  return formatUsd(BigInt(value) * PICOS_PER_TICK)
}

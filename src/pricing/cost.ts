/**
 * What a call cost, line by line. Each line is count × rate, rounded to the nearest pico-dollar (halves up), and the
 * cost is the sum of its lines, so the lines always explain it exactly. Rates with at most 6 decimals per 1,000,000
 * tokens, the whole shipped book, are whole picos per token: nothing is rounded and costs add up across calls.
 */
import { inputTokens, type Usage } from "../metering/usage.ts"
import { proRata } from "./money.ts"
import { type FoundRate, type PriceRow, type Rates, rateFor, sheetFor, type TokenClass } from "./price-row.ts"

const TOKENS_PER_RATE = 1_000_000n
/** Units may be fractions (37.5 seconds); they are counted in millionths. */
const MILLIONTHS = 1_000_000

export type CostLine = {
  /** A token class, `unit:second`, `unit:image:high:1024x1536` or `fee:web_search`. */
  readonly class: string
  /** The class whose rate was taken: another one where the source quotes none for this class. */
  readonly ratedAs: string
  /** Tokens, units or calls. */
  readonly count: number
  /** Pico-dollars for `per` tokens, units or calls. */
  readonly ratePicos: bigint
  readonly per: 1 | 1_000_000
  readonly picos: bigint
}

export type PricedUsage =
  | {
      readonly kind: "priced"
      readonly costPicos: bigint
      readonly lines: readonly CostLine[]
      /** The threshold that the request exceeded; 0 for the base rates. */
      readonly contextOver: number
      /** Id of the sheet that priced it, what the record pins. */
      readonly priceRow: string
    }
  | { readonly kind: "unpriced"; readonly reason: string }

/**
 * Prices a usage with one row. Unpriced where something was used that the row has no rate for. Images and other
 * units are billed only where no tokens were reported that the row prices: a provider bills one or the other. Seconds of
 * sound that were reported beside tokens are billed beside them.
 * Counts are non-negative, tokens whole; metering has seen to that, anything else is a fault and throws.
 */
export function priceUsage(row: PriceRow, usage: Usage): PricedUsage {
  const sheet = sheetFor(row, inputTokens(usage))
  const lines: CostLine[] = []
  const missing: string[] = []
  const hasTokenRates = Object.keys(sheet.rates).length > 0
  const tokens = hasTokenRates || usage.units === 0 ? tokenCounts(sheet.rates, usage) : []
  for (const [tokenClass, count] of tokens) {
    const rate = rateFor(sheet.rates, tokenClass)
    if (rate === undefined) missing.push(tokenClass)
    else lines.push(tokenLine(tokenClass, count, rate))
  }
  if (usage.units > 0 && (tokens.length === 0 || usage.unitType === "seconds")) {
    const line = unitLine(row.units, usage)
    if (line === undefined) missing.push(`${usage.units} ${usage.unitType || "units"}`)
    else lines.push(line)
  }
  if (usage.webSearches > 0) {
    const fee = row.fees.get("web_search")
    if (fee === undefined) missing.push("web_search")
    else lines.push(feeLine("web_search", usage.webSearches, fee))
  }
  if (missing.length > 0) return { kind: "unpriced", reason: `${sheet.id} has no rate for ${missing.join(", ")}` }
  const costPicos = lines.reduce((sum, line) => sum + line.picos, 0n)
  return { kind: "priced", costPicos, lines, contextOver: sheet.contextOver, priceRow: sheet.id }
}

/**
 * The tokens by the class that they are rated in. Subsets (audio, image, reasoning) are taken out of their whole only
 * where the row rates them apart, and never more than the whole holds: each token is billed once. Classes without
 * tokens are left out.
 */
function tokenCounts(rates: Rates, usage: Usage): (readonly [TokenClass, number])[] {
  const audioIn = rates.input_audio === undefined ? 0 : Math.min(usage.audioInputTokens, usage.inputUncachedTokens)
  const imageIn =
    rates.input_image === undefined ? 0 : Math.min(usage.imageInputTokens, usage.inputUncachedTokens - audioIn)
  const audioOut = rates.output_audio === undefined ? 0 : Math.min(usage.audioOutputTokens, usage.outputTokens)
  const imageOut =
    rates.output_image === undefined ? 0 : Math.min(usage.imageOutputTokens, usage.outputTokens - audioOut)
  const textOut = usage.outputTokens - audioOut - imageOut
  const reasoning = rates.reasoning === undefined ? 0 : Math.min(usage.reasoningTokens, textOut)
  const counts: [TokenClass, number][] = []
  const add = (tokenClass: TokenClass, count: number) => {
    if (count !== 0) counts.push([tokenClass, count])
  }
  add("input", usage.inputUncachedTokens - audioIn - imageIn)
  add("input_audio", audioIn)
  add("input_image", imageIn)
  add("cache_read", usage.cacheReadTokens)
  add("cache_write_5m", usage.cacheWrite5mTokens)
  add("cache_write_1h", usage.cacheWrite1hTokens)
  add("output", textOut - reasoning)
  add("reasoning", reasoning)
  add("output_audio", audioOut)
  add("output_image", imageOut)
  return counts
}

function tokenLine(tokenClass: TokenClass, count: number, { ratedAs, ratePicos }: FoundRate): CostLine {
  const picos = proRata(BigInt(count), ratePicos, TOKENS_PER_RATE)
  return { class: tokenClass, ratedAs, count, ratePicos, per: 1_000_000, picos }
}

function feeLine(fee: string, count: number, ratePicos: bigint): CostLine {
  const name = `fee:${fee}`
  return { class: name, ratedAs: name, count, ratePicos, per: 1, picos: BigInt(count) * ratePicos }
}

function unitLine(prices: ReadonlyMap<string, bigint>, usage: Usage): CostLine | undefined {
  const ratePicos = unitPrice(prices, usage.unitType)
  if (ratePicos === undefined) return undefined
  const millionths = Number.isSafeInteger(usage.units)
    ? BigInt(usage.units) * BigInt(MILLIONTHS)
    : BigInt(Math.round(usage.units * MILLIONTHS))
  const name = `unit:${unitName(usage.unitType)}`
  const picos = proRata(millionths, ratePicos, BigInt(MILLIONTHS))
  return { class: name, ratedAs: name, count: usage.units, ratePicos, per: 1, picos }
}

/**
 * The price of a unit type, `seconds` or with qualifiers `images:high:1024x1536`. A quality or size that the row does
 * not list is unknown where it lists any of that unit, and does not matter where it lists none.
 */
function unitPrice(prices: ReadonlyMap<string, bigint>, unitType: string): bigint | undefined {
  const name = unitName(unitType)
  const exact = prices.get(name)
  const [unit = ""] = name.split(":", 1)
  if (exact !== undefined || unit === name) return exact
  const isQualified = [...prices.keys()].some((key) => key.startsWith(`${unit}:`))
  return isQualified ? undefined : prices.get(unit)
}

/** Usage counts in the plural (`seconds`), prices are quoted in the singular (`second`). */
function unitName(unitType: string): string {
  return unitType.replace(/^([^:]*)s(?=:|$)/, "$1")
}

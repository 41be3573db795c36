/**
 * What a price is, once loaded. Token rates are pico-dollars per 1,000,000 tokens, as providers quote them: exact for
 * 12 decimals of a dollar, so a rate of the shipped book (at most 6 decimals) gives a cost that needs no rounding.
 */

/** The classes a rate can be quoted for. `cache_read_audio` and `cache_read_image` bound holds; usage has no such split. */
export const TOKEN_CLASSES = [
  "input",
  "cache_read",
  "cache_write_5m",
  "cache_write_1h",
  "output",
  "reasoning",
  "input_audio",
  "input_image",
  "output_audio",
  "output_image",
  "cache_read_audio",
  "cache_read_image",
] as const
export type TokenClass = (typeof TOKEN_CLASSES)[number]

/** Pico-dollars per 1,000,000 tokens, for the classes that the source quotes. */
export type Rates = Readonly<Partial<Record<TokenClass, bigint>>>

/** The rates that hold when the whole input, cached tokens included, exceeds `contextOver` tokens. */
export type RateSheet = {
  /** `openai/gpt-5.4@2026-03-06/standard>272000`: what a usage record pins. */
  readonly id: string
  readonly contextOver: number
  readonly rates: Rates
}

/** The price of one model in one tier from one instant on. */
export type PriceRow = {
  /** The id of the first sheet: `openai/gpt-4o@2025-07-04/standard`. */
  readonly id: string
  readonly provider: string
  readonly model: string
  readonly tier: string
  /** Epoch milliseconds; null: since ever. */
  readonly effectiveFromMs: number | null
  /** By rising `contextOver`; the first is 0. */
  readonly sheets: readonly [RateSheet, ...RateSheet[]]
  /** Pico-dollars per unit, by `second`, `image`, `image:high:1024x1536` … */
  readonly units: ReadonlyMap<string, bigint>
  /** Pico-dollars per call of a provider's tool, by `web_search`, `file_search` … */
  readonly fees: ReadonlyMap<string, bigint>
  /** How many times these token rates are asked in a region, in ten-thousandths; elsewhere they hold as they are. */
  readonly regions: ReadonlyMap<string, bigint>
  /** Every rate is an explicit zero: the provider asks nothing. */
  readonly isFree: boolean
  readonly source: string
  /** The day on which somebody last looked, `2025-07-04`. */
  readonly checked: string
}

/**
 * Which rate stands in where a source quotes none for a class, first found wins. A provider that names no cache price
 * bills those tokens as input; reasoning is output; audio and image tokens go at the text rate. Models that produce
 * only images or speech name no text output rate: their output is billed at the rate they have.
 */
const STAND_INS: Readonly<Record<TokenClass, readonly TokenClass[]>> = {
  input: [],
  cache_read: ["input"],
  cache_write_5m: ["input"],
  cache_write_1h: ["cache_write_5m", "input"],
  output: ["output_image", "output_audio"],
  reasoning: ["output"],
  input_audio: ["input"],
  input_image: ["input"],
  output_audio: ["output"],
  output_image: ["output"],
  cache_read_audio: ["cache_read", "input"],
  cache_read_image: ["cache_read", "input"],
}

export type FoundRate = { readonly ratedAs: TokenClass; readonly ratePicos: bigint }

/** The rate that a class is billed at, and the class it was quoted for; undefined where nothing may stand in. */
export function rateFor(rates: Rates, tokenClass: TokenClass): FoundRate | undefined {
  const own = rates[tokenClass]
  if (own !== undefined) return { ratedAs: tokenClass, ratePicos: own }
  for (const ratedAs of STAND_INS[tokenClass]) {
    const ratePicos = rates[ratedAs]
    if (ratePicos !== undefined) return { ratedAs, ratePicos }
  }
  return undefined
}

/** The sheet for a request of this size: exactly the threshold is not over it. */
export function sheetFor(row: PriceRow, inputTokens: number): RateSheet {
  let sheet = row.sheets[0]
  for (const candidate of row.sheets) if (inputTokens > candidate.contextOver) sheet = candidate
  return sheet
}

/**
 * The book's word for a tier as providers write it. What they call default, auto or on-demand is standard; a tier of
 * its own name (`scale`, `provisioned_throughput`) stays one, and is unpriced until somebody lists it.
 */
export function tierName(tier: string): string {
  const name = tier.toLowerCase()
  switch (name) {
    case "":
    case "default":
    case "auto":
    case "on_demand":
    case "standard_only":
    case "unspecified":
    case "traffic_type_unspecified":
      return "standard"
    case "on_demand_flex":
      return "flex"
    case "on_demand_priority":
      return "priority"
    default:
      return name
  }
}

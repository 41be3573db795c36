/** An entry of LiteLLM's `model_prices_and_context_window.json`, as a price in the words of our own files. */
import { isObject, movedPoint } from "../platform/exact-json.ts"
import type { ReadEntry } from "./catalog-entry.ts"
import type { TokenClass } from "./price-row.ts"

/** Their names for providers whose prices we know by another. */
const PROVIDERS: Readonly<Record<string, string>> = {
  bedrock_converse: "bedrock",
  cohere_chat: "cohere",
  fireworks_ai: "fireworks",
  "fireworks_ai-embedding-models": "fireworks",
  gemini: "google",
  moonshot: "moonshotai",
  "text-completion-openai": "openai",
  together_ai: "together",
}
/** Their ids name a region in front of the model; our prices of these providers hold in all. */
const REGIONAL = new Set(["azure", "bedrock"])

const CLASSES: Readonly<Record<string, TokenClass>> = {
  input_cost_per_token: "input",
  output_cost_per_token: "output",
  cache_read_input_token_cost: "cache_read",
  cache_creation_input_token_cost: "cache_write_5m",
  cache_creation_input_token_cost_above_1hr: "cache_write_1h",
  output_cost_per_reasoning_token: "reasoning",
  input_cost_per_audio_token: "input_audio",
  output_cost_per_audio_token: "output_audio",
  input_cost_per_image_token: "input_image",
  output_cost_per_image_token: "output_image",
  cache_read_input_audio_token_cost: "cache_read_audio",
  cache_read_input_token_cost_per_audio_token: "cache_read_audio",
  cache_read_input_image_token_cost: "cache_read_image",
}
const TIERS: Readonly<Record<string, string>> = { batches: "batch", flex: "flex", priority: "priority" }

/** What is sold by units, by the modes in which the figure is the price and not a way to count input. */
const UNITS: Readonly<Record<string, { readonly unit: string; readonly modes: readonly string[] }>> = {
  input_cost_per_second: { unit: "second", modes: ["audio_transcription"] },
  output_cost_per_second: { unit: "second", modes: ["audio_transcription", "audio_speech", "video_generation"] },
  output_cost_per_video_per_second: { unit: "second", modes: ["video_generation"] },
  input_cost_per_character: { unit: "character", modes: ["audio_speech"] },
  output_cost_per_character: { unit: "character", modes: ["audio_speech"] },
  input_cost_per_image: { unit: "image", modes: ["image_generation"] },
  output_cost_per_image: { unit: "image", modes: ["image_generation"] },
  input_cost_per_query: { unit: "search", modes: ["rerank"] },
  ocr_cost_per_page: { unit: "page", modes: ["ocr"] },
}

const TOKENS_PER_RATE_PLACES = 6

/** `value` as `parseExactJson` reads it: numbers are text. */
export function liteLlmEntry(name: string, value: unknown): ReadEntry {
  if (name === "sample_spec") return { kind: "skipped", reason: "it describes the catalog" }
  if (!isObject(value)) return { kind: "invalid", message: "is no object" }
  const provider = typeof value.litellm_provider === "string" ? value.litellm_provider : ""
  const mode = typeof value.mode === "string" ? value.mode : ""
  const ours = PROVIDERS[provider] ?? provider
  const prefix = [`${provider}/`, `${ours}/`].find((text) => name.startsWith(text)) ?? ""
  const model = name.slice(prefix.length)
  if (REGIONAL.has(ours) && model.includes("/")) return { kind: "skipped", reason: "it is the price of one region" }
  const parts = new Parts(mode)
  for (const [key, figure] of Object.entries(value)) {
    const message = isCost(key) ? parts.add(key, figure) : null
    if (message !== null) return { kind: "invalid", message }
  }
  const { fault, leftOut } = parts
  if (fault !== null) return { kind: "skipped", reason: fault }
  const price = parts.price()
  if (price === null) return { kind: "skipped", reason: "it has no price" }
  return { kind: "price", price: { provider: ours, model, price, leftOut } }
}

function isCost(key: string): boolean {
  return /(?:^|_)costs?(?:_|$)/.test(key)
}

/** What the costs of one entry add up to. */
class Parts {
  readonly leftOut: string[] = []
  /** Why the entry would be wrong without what cannot be said. */
  fault: string | null = null
  readonly #mode: string
  readonly #rates = new Map<string, Partial<Record<TokenClass, string>>>()
  readonly #units = new Map<string, string>()
  readonly #fees = new Map<string, string>()

  constructor(mode: string) {
    this.#mode = mode
  }

  /** Takes one cost; returns what is wrong with a figure that is none. */
  add(key: string, figure: unknown): string | null {
    if (figure === null) return null
    if (isObject(figure) || Array.isArray(figure)) return this.#addTable(key, figure)
    const plain = typeof figure === "string" ? movedPoint(figure, 0) : null
    if (plain === null || plain.startsWith("-")) {
      return `${key}: found ${JSON.stringify(figure)?.slice(0, 80)}, expected a number of dollars that is not negative`
    }
    const { base, tier, over } = readKey(key)
    const tokenClass = CLASSES[base]
    const unit = UNITS[base]
    if (tokenClass !== undefined) {
      const sheet = over === null ? tier : `${tier}>${over}`
      const perMillion = movedPoint(plain, TOKENS_PER_RATE_PLACES) ?? ""
      this.#rates.set(sheet, { ...this.#rates.get(sheet), [tokenClass]: perMillion })
    } else if (unit?.modes.includes(this.#mode) && tier === "standard" && over === null) {
      this.#addUnit(unit.unit, plain)
    } else if (Number(plain) !== 0) {
      if (/token/.test(base)) this.fault = `${key} is a price that cannot be said here`
      else this.leftOut.push(key)
    }
    return null
  }

  /** The prices in the words of a price file; null where there are none. */
  price() {
    const rates = Object.fromEntries([...this.#rates].map(([sheet, own]) => [sheet, this.#whole(sheet, own)]))
    const hasRates = Object.values(rates).some((own) => Object.keys(own).length > 0)
    if (!hasRates && this.#units.size === 0) return null
    return {
      ...(hasRates && !this.#isByUnitsAlone() ? { rates } : {}),
      ...(this.#units.size === 0 ? {} : { units: Object.fromEntries(this.#units) }),
      ...(this.#fees.size === 0 ? {} : { fees: Object.fromEntries(this.#fees) }),
    }
  }

  /** Over a threshold only what changes is listed; the rest is as below it. */
  #whole(sheet: string, own: Partial<Record<TokenClass, string>>) {
    const [tier = "", over] = sheet.split(">")
    return over === undefined ? own : { ...this.#rates.get(tier), ...own }
  }

  /** What is sold by units has token rates of zero beside them. */
  #isByUnitsAlone(): boolean {
    if (this.#units.size === 0) return false
    return [...this.#rates.values()].every((own) => Object.values(own).every((rate) => Number(rate) === 0))
  }

  #addUnit(unit: string, usd: string): void {
    const known = this.#units.get(unit)
    if (known !== undefined && Number(known) !== 0 && Number(usd) !== 0 && known !== usd) {
      this.fault = `it has two prices per ${unit}, ${known} and ${usd}`
    } else if (known === undefined || Number(known) === 0) this.#units.set(unit, usd)
  }

  #addTable(key: string, figure: object): string | null {
    const figures = Object.values(figure)
    const first = typeof figures[0] === "string" ? movedPoint(figures[0], 0) : null
    const isOneFee = key === "search_context_cost_per_query" && first !== null && !first.startsWith("-")
    if (isOneFee && figures.every((other) => other === figures[0])) this.#fees.set("web_search", first)
    else this.leftOut.push(key)
    return null
  }
}

/** `input_cost_per_token_above_272k_tokens_priority` as a base, a tier and a threshold. */
function readKey(key: string): { readonly base: string; readonly tier: string; readonly over: number | null } {
  const threshold = /_above_(\d{1,6})k_tokens/.exec(key)
  const without = threshold === null ? key : key.replace(threshold[0], "")
  const suffix = /_(batches|flex|priority)$/.exec(without)
  const base = suffix === null ? without : without.slice(0, -suffix[0].length)
  const over = threshold === null ? null : Number(threshold[1]) * 1000
  return { base, tier: TIERS[suffix?.[1] ?? ""] ?? "standard", over }
}

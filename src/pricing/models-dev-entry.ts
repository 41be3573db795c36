/** A model of models.dev's `api.json`, as a price in the words of our own files. It lists dollars per 1,000,000 tokens. */
import { isObject, movedPoint } from "../platform/exact-json.ts"
import type { ReadEntry } from "./catalog-entry.ts"
import type { TokenClass } from "./price-row.ts"

const PROVIDERS: Readonly<Record<string, string>> = {
  "amazon-bedrock": "bedrock",
  "fireworks-ai": "fireworks",
  togetherai: "together",
}
const CLASSES: Readonly<Record<string, TokenClass>> = {
  input: "input",
  output: "output",
  cache_read: "cache_read",
  cache_write: "cache_write_5m",
  reasoning: "reasoning",
  input_audio: "input_audio",
  output_audio: "output_audio",
}

/** `value` as `parseExactJson` reads it: numbers are text. */
export function modelsDevEntry(provider: string, model: string, value: unknown): ReadEntry {
  if (!isObject(value)) return { kind: "invalid", message: "is no object" }
  if (!isObject(value.cost)) return { kind: "skipped", reason: "it has no price" }
  const rates: Record<string, Partial<Record<TokenClass, string>>> = { standard: {} }
  const leftOut: string[] = []
  for (const [key, figure] of Object.entries(value.cost)) {
    const over = /^context_over_(\d{1,6})k$/.exec(key)
    if (over !== null && isObject(figure)) {
      const read = readClasses(figure, leftOut)
      if (typeof read === "string") return { kind: "invalid", message: `cost.${key}.${read}` }
      rates[`standard>${Number(over[1]) * 1000}`] = read
    }
  }
  const base = readClasses(value.cost, leftOut)
  if (typeof base === "string") return { kind: "invalid", message: `cost.${base}` }
  for (const [sheet, own] of Object.entries(rates)) rates[sheet] = { ...base, ...own }
  const price = { rates }
  return { kind: "price", price: { provider: PROVIDERS[provider] ?? provider, model, price, leftOut } }
}

/** The rates, or what is wrong with a figure that is none. */
function readClasses(cost: object, leftOut: string[]): Partial<Record<TokenClass, string>> | string {
  const rates: Partial<Record<TokenClass, string>> = {}
  for (const [key, figure] of Object.entries(cost)) {
    const tokenClass = CLASSES[key]
    if (tokenClass === undefined) {
      if (!/^context_over_\d+k$/.test(key)) leftOut.push(key)
      continue
    }
    const plain = typeof figure === "string" ? movedPoint(figure, 0) : null
    if (plain === null || plain.startsWith("-")) return `${key}: found ${JSON.stringify(figure)}, expected dollars`
    rates[tokenClass] = plain
  }
  return rates
}

/**
 * What a cost consists of, by token class. Sums by price row are priced by the very function that priced the calls, with
 * the one sheet that the row names, so that the classes add up to the cost: exactly where rates are whole pico-dollars per
 * token, as in the shipped book. What no sheet explains is `not_split`: units, corrections, rows that the book lacks.
 */
import { ZERO_USAGE } from "../metering/usage.ts"
import { priceUsage } from "../pricing/cost.ts"
import { formatUsd, parseUsd } from "../pricing/money.ts"
import type { PriceBook } from "../pricing/price-book.ts"
import type { PriceRow } from "../pricing/price-row.ts"
import type { Sums } from "./measures.ts"

export type ClassCost = {
  /** A class of the price book, such as `cache_read`, a fee such as `fee:web_search`, or `not_split`. */
  readonly tokenClass: string
  /** Whole, as a decimal string; '0' for fees and what is not split. */
  readonly tokens: string
  /** Dollars as a decimal string. */
  readonly costUsd: string
}

export const NOT_SPLIT = "not_split"

/** The price row of a sheet's id as records pin it, with that sheet alone; undefined where the book has no such row. */
export type FindSheet = (priceRow: string) => PriceRow | undefined

/** `openai/gpt-5.4@2026-03-06/standard>272000`; the price of the first period is of `before-` the second. */
const SHEET_ID = /^([^/]+)\/(.+)@([^/@]+)\/([^/>]+)(?:>\d+)?$/

/** Looks sheets up in a price book and remembers what it found. */
export function sheetFinder(book: Pick<PriceBook, "find">): FindSheet {
  const known = new Map<string, PriceRow | undefined>()
  return (id) => {
    if (!known.has(id)) known.set(id, findSheet(book, id))
    return known.get(id)
  }
}

function findSheet(book: Pick<PriceBook, "find">, id: string): PriceRow | undefined {
  const [, provider, model, date, tier] = SHEET_ID.exec(id) ?? []
  if (provider === undefined || model === undefined || tier === undefined) return undefined
  const sinceMs = Date.parse(date ?? "")
  const found = book.find({ provider, model, tier, atMs: Number.isNaN(sinceMs) ? 0 : sinceMs })
  if (found.kind !== "found") return undefined
  const sheet = found.row.sheets.find((candidate) => candidate.id === id)
  return sheet && { ...found.row, sheets: [{ ...sheet, contextOver: 0 }] }
}

/** Splits sums that one price row priced. The costs add up to that of the sums. */
export function splitByClass(sums: Sums, row: PriceRow | undefined): ClassCost[] {
  const total = picosOf(sums.cost_usd)
  const usage = usageOf(sums)
  const isPriceable =
    row !== undefined && Object.values(usage).every((count) => typeof count !== "number" || count >= 0)
  const priced = isPriceable ? priceUsage(row, usage) : undefined
  const lines = priced?.kind === "priced" ? priced.lines : []
  const split = lines.map((line) => ({
    tokenClass: line.class,
    tokens: line.class.includes(":") ? 0n : BigInt(line.count),
    picos: line.picos,
  }))
  const rest = total - split.reduce((sum, { picos }) => sum + picos, 0n)
  if (rest !== 0n) split.push({ tokenClass: NOT_SPLIT, tokens: 0n, picos: rest })
  return split.map(({ tokenClass, tokens, picos }) => ({
    tokenClass,
    tokens: tokens.toString(),
    costUsd: formatUsd(picos),
  }))
}

/** Adds splits up class by class, the dearest first. */
export function addedClasses(splits: readonly (readonly ClassCost[])[]): ClassCost[] {
  const byClass = new Map<string, { tokens: bigint; picos: bigint }>()
  for (const { tokenClass, tokens, costUsd } of splits.flat()) {
    const so = byClass.get(tokenClass) ?? { tokens: 0n, picos: 0n }
    byClass.set(tokenClass, { tokens: so.tokens + BigInt(tokens), picos: so.picos + picosOf(costUsd) })
  }
  const added = [...byClass].map(([tokenClass, { tokens, picos }]) => ({ tokenClass, tokens, picos }))
  added.sort((one, two) =>
    one.picos === two.picos ? (one.tokenClass < two.tokenClass ? -1 : 1) : one.picos < two.picos ? 1 : -1,
  )
  return added.map(({ tokenClass, tokens, picos }) => ({
    tokenClass,
    tokens: tokens.toString(),
    costUsd: formatUsd(picos),
  }))
}

/** Sums of tokens stay below 2^53: a thousand billion a day would take a quarter of a century. */
function usageOf(sums: Sums) {
  return {
    ...ZERO_USAGE,
    inputUncachedTokens: Number(sums.input_uncached_tokens),
    cacheReadTokens: Number(sums.cache_read_tokens),
    cacheWrite5mTokens: Number(sums.cache_write_5m_tokens),
    cacheWrite1hTokens: Number(sums.cache_write_1h_tokens),
    outputTokens: Number(sums.output_tokens),
    reasoningTokens: Number(sums.reasoning_tokens),
    audioInputTokens: Number(sums.audio_input_tokens),
    imageInputTokens: Number(sums.image_input_tokens),
    audioOutputTokens: Number(sums.audio_output_tokens),
    imageOutputTokens: Number(sums.image_output_tokens),
    webSearches: Number(sums.web_searches),
  }
}

/** The ledger's sums are decimals of at most twelve places; their whole part may be longer than that of one price. */
export function picosOf(usd: string): bigint {
  const parsed = parseUsd(usd)
  if (parsed.kind === "invalid") throw new Error(`The ledger gave ${usd} as a sum of dollars.`)
  return parsed.picos
}

/**
 * What a cost consists of, by token class. Sums by price row are priced by the very function that priced the calls, with
 * the one sheet that the row names, so that the classes add up to the cost: exactly where rates are whole pico-dollars per
 * token, as in the shipped book. What no sheet explains is `terms` where an organization's markup or discount changed the
 * cost of tokens, else `not_split`: units, corrections, rows that the book lacks.
 */
import { ZERO_USAGE } from "../metering/usage.ts"
import { priceUsage } from "../pricing/cost.ts"
import { formatUsd, parseUsd } from "../pricing/money.ts"
import type { PriceBook } from "../pricing/price-book.ts"
import type { PriceRow } from "../pricing/price-row.ts"
import { readPinned } from "../pricing/price-terms.ts"
import { inRegion } from "../pricing/region.ts"
import { NO_STORED_PRICES, type StoredPrices } from "../pricing/stored-prices.ts"
import type { Sums } from "./measures.ts"

export type ClassCost = {
  /** A class of the price book, such as `cache_read`, a fee such as `fee:web_search`, `terms` or `not_split`. */
  readonly tokenClass: string
  /** Whole, as a decimal string; '0' for fees and what is not split. */
  readonly tokens: string
  /** Dollars as a decimal string. */
  readonly costUsd: string
}

export const NOT_SPLIT = "not_split"
/** What markup and discount come to; below zero where the discount is the larger. */
export const OF_TERMS = "terms"

/** The price row of what records pin, with the one sheet that is named; undefined where there is no such row. */
export type FindSheet = (pin: string) => PriceRow | undefined

/**
 * `openai/gpt-5.4@2026-03-06/standard>272000`; the price of the first period is of `before-` the second, and a price that
 * was set by API of its own id: `openai/gpt-5.4@prc_4Zr0aXk29QmB/standard`. Behind a tilde stands the region.
 */
const SHEET_ID = /^([^/]+)\/(.+)@([^/@]+)\/([^/>~]+)(?:>\d+)?(?:~([\w.-]+))?$/

/** Looks sheets up in a price book and among stored prices, ended ones as well, and remembers what it found. */
export function sheetFinder(book: Pick<PriceBook, "find">, stored: StoredPrices = NO_STORED_PRICES): FindSheet {
  const known = new Map<string, PriceRow | undefined>()
  return (pin) => {
    if (!known.has(pin)) known.set(pin, findSheet(book, stored, readPinned(pin).priceRow))
    return known.get(pin)
  }
}

function findSheet(book: Pick<PriceBook, "find">, stored: StoredPrices, id: string): PriceRow | undefined {
  const [, provider, model, since = "", tier, region = ""] = SHEET_ID.exec(id) ?? []
  if (provider === undefined || model === undefined || tier === undefined) return undefined
  const listed = stored.row(since, tier) ?? rowSince(book, { provider, model, tier }, since)
  const row = listed && inRegion(listed, region)
  const sheet = row?.sheets.find((candidate) => candidate.id === id)
  return row && sheet && { ...row, sheets: [{ ...sheet, contextOver: 0 }] }
}

function rowSince(
  book: Pick<PriceBook, "find">,
  of: { readonly provider: string; readonly model: string; readonly tier: string },
  since: string,
): PriceRow | undefined {
  const sinceMs = Date.parse(since)
  const found = book.find({ ...of, atMs: Number.isNaN(sinceMs) ? 0 : sinceMs })
  return found.kind === "found" ? found.row : undefined
}

/**
 * Splits sums that one price row priced; `rest` names what of their cost it does not explain. The costs add up to that of
 * the sums.
 */
export function splitByClass(sums: Sums, row: PriceRow | undefined, rest = NOT_SPLIT): ClassCost[] {
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
  const left = total - split.reduce((sum, { picos }) => sum + picos, 0n)
  if (left !== 0n) split.push({ tokenClass: row === undefined ? NOT_SPLIT : rest, tokens: 0n, picos: left })
  return split.map(({ tokenClass, tokens, picos }) => ({
    tokenClass,
    tokens: tokens.toString(),
    costUsd: formatUsd(picos),
  }))
}

/** What a pinned row leaves unexplained of these sums: the terms' part where terms are pinned with it and all else is split. */
export function restOf(pin: string, { units }: Sums): string {
  return readPinned(pin).termsId === "" || Number(units) !== 0 ? NOT_SPLIT : OF_TERMS
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

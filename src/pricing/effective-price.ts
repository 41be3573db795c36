/**
 * What a call costs whom: the price of the organization, else the installation's, else the price book's, and on what is
 * not the organization's own price its markup and discount. One place decides for holds, for settlements, for reported
 * usage and for whoever asks why, so that all of them say the same.
 */
import { type Usage, ZERO_USAGE } from "../metering/usage.ts"
import { type CostLine, type PricedUsage, priceUsage } from "./cost.ts"
import type { FoundRows, PriceBook, PriceQuestion } from "./price-book.ts"
import type { PriceRow } from "./price-row.ts"
import { type Ceiling, ceilingRow, changesCost, charged, type PriceTerms, pinned } from "./price-terms.ts"
import { inRegion, splitTier } from "./region.ts"
import type { StoredPrices } from "./stored-prices.ts"

export type PriceSources = { readonly priceBook: PriceBook; readonly storedPrices: StoredPrices }

/** Who set a price: the organization's own, the installation's, or the price files'. */
export type PriceOrigin = "organization" | "installation" | "book"

/**
 * The served model and tier decide, when the call arrived, and the region: that which it had to stay in, where its tier
 * names one (`standard@us`), else that of the account that it went to ('' for none).
 */
export type EffectiveQuestion = PriceQuestion & { readonly organizationId: string; readonly region: string }

export type EffectivePrice =
  | {
      readonly kind: "found"
      readonly row: PriceRow
      readonly origin: PriceOrigin
      /** Those that apply to the row; null for none. */
      readonly terms: PriceTerms | null
    }
  /** With the organization's terms, which may have a ceiling. */
  | { readonly kind: "unpriced"; readonly reason: string; readonly terms: PriceTerms | null }

/** The price of a served model in a served tier, for an organization. */
export function effectivePrice(sources: PriceSources, asked: EffectiveQuestion): EffectivePrice {
  const { priceBook, storedPrices } = sources
  const { organizationId, provider, atMs } = asked
  const served = splitTier(asked.tier)
  const question = { ...asked, tier: served.tier }
  const region = served.region || asked.region
  const own = storedPrices.find(organizationId, question)
  if (own?.kind === "found")
    return { kind: "found", row: inRegion(own.row, region), origin: "organization", terms: null }
  const terms = storedPrices.terms(organizationId, provider, atMs)
  const stored = own ?? storedPrices.find("", question)
  if (stored?.kind === "found") {
    return { kind: "found", row: inRegion(stored.row, region), origin: "installation", terms }
  }
  const found = stored ?? priceBook.find(question)
  if (found.kind === "unpriced") return { kind: "unpriced", reason: found.reason, terms }
  return { kind: "found", row: inRegion(found.row, region), origin: "book", terms }
}

export type TierPrice = { readonly row: PriceRow; readonly origin: PriceOrigin; readonly terms: PriceTerms | null }

export type EffectiveTiers =
  | { readonly kind: "found"; readonly prices: readonly [TierPrice, ...TierPrice[]] }
  | { readonly kind: "unpriced"; readonly reason: string; readonly terms: PriceTerms | null }

/** The price of every tier that a model could be served in, of no region yet: what a hold is bounded by. */
export function effectiveTiers(
  sources: PriceSources,
  question: Omit<EffectiveQuestion, "tier" | "region">,
): EffectiveTiers {
  const { priceBook, storedPrices } = sources
  const { organizationId, provider, atMs } = question
  const terms = storedPrices.terms(organizationId, provider, atMs)
  const own = storedPrices.tiers(organizationId, question)
  const installation = storedPrices.tiers("", question)
  for (const read of [own, installation])
    if (read?.kind === "unpriced") return { kind: "unpriced", reason: read.reason, terms }
  const book = priceBook.tiers(question)
  const listed = rowsIn(book).map((row): TierPrice => ({ row, origin: "book", terms }))
  const [head, ...others] = listed
  if (own === null && installation === null && head !== undefined) return { kind: "found", prices: [head, ...others] }
  const byTier = new Map(listed.map((price) => [price.row.tier, price]))
  if (installation?.kind === "read")
    for (const row of installation.rows.values()) byTier.set(row.tier, { row, origin: "installation", terms })
  if (own?.kind === "read")
    for (const row of own.rows.values()) byTier.set(row.tier, { row, origin: "organization", terms: null })
  const [first, ...rest] = byTier.values()
  if (first !== undefined) return { kind: "found", prices: [first, ...rest] }
  return { kind: "unpriced", reason: book.kind === "unpriced" ? book.reason : "no tier has a price", terms }
}

/** When the price of a model changes after `afterMs`, soonest first, epoch milliseconds. Terms are not looked at. */
export function priceChanges(
  { priceBook, storedPrices }: PriceSources,
  { organizationId, provider, model }: Pick<EffectiveQuestion, "organizationId" | "provider" | "model">,
  afterMs: number,
): number[] {
  const question = { provider, model }
  const all = [
    ...storedPrices.changes(organizationId, question),
    ...storedPrices.changes("", question),
    ...priceBook.beginnings(question),
  ]
  return [...new Set(all)].filter((atMs) => atMs > afterMs).sort((a, b) => a - b)
}

function rowsIn(found: FoundRows): readonly PriceRow[] {
  return found.kind === "found" ? found.rows : []
}

export type EffectiveCost =
  | {
      readonly kind: "priced"
      /** What is charged. */
      readonly costPicos: bigint
      /** What it was before markup and discount; null where neither applies. */
      readonly baseCostPicos: bigint | null
      /** They add up to the cost before markup and discount. */
      readonly lines: readonly CostLine[]
      /** What the record pins. */
      readonly pin: string
      readonly source: "book" | "override"
    }
  | {
      readonly kind: "unpriced"
      readonly reason: string
      /** What limits are charged until there is a price; null where the organization has no ceiling for it. */
      readonly ceiling: CeilingCost | null
    }

export type CeilingCost = { readonly costPicos: bigint; readonly pin: string }

/** What a usage costs at a price that was found, or may cost at most where none was. */
export function effectiveCost(price: EffectivePrice, usage: Usage): EffectiveCost {
  const { terms } = price
  if (price.kind === "unpriced") return unpriced(price.reason, terms, usage)
  const priced = priceUsage(price.row, usage)
  if (priced.kind === "unpriced") return unpriced(priced.reason, terms, usage)
  return chargedCost(priced, price.origin, terms)
}

function chargedCost(
  { costPicos: base, lines, priceRow }: Extract<PricedUsage, { readonly kind: "priced" }>,
  origin: PriceOrigin,
  terms: PriceTerms | null,
): EffectiveCost {
  const source = origin === "book" ? "book" : "override"
  if (terms === null || !changesCost(terms)) {
    return { kind: "priced", costPicos: base, baseCostPicos: null, lines, pin: priceRow, source }
  }
  const costPicos = charged(base, terms)
  return { kind: "priced", costPicos, baseCostPicos: base, lines, pin: pinned(priceRow, terms), source }
}

function unpriced(reason: string, terms: PriceTerms | null, usage: Usage): EffectiveCost {
  const ceiling = terms?.ceiling
  return { kind: "unpriced", reason, ceiling: terms && ceiling ? ceilingCost(terms, ceiling, usage) : null }
}

/** A ceiling is for tokens: of units and tools nobody can say what they may cost. */
function ceilingCost(terms: PriceTerms, ceiling: Ceiling, usage: Usage): CeilingCost | null {
  const row = ceilingRow(terms, ceiling)
  const priced = priceUsage(row, { ...usage, webSearches: 0, units: ZERO_USAGE.units })
  return priced.kind === "priced" && priced.lines.length > 0 ? { costPicos: priced.costPicos, pin: row.id } : null
}

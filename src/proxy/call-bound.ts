/** What a call can cost at most, from what is known before it is forwarded: what a money limit holds, and a cap of a call compares. */
import type { Usage } from "../metering/usage.ts"
import { priceUsage } from "../pricing/cost.ts"
import { type EffectiveTiers, effectiveTiers, type TierPrice } from "../pricing/effective-price.ts"
import type { PriceRow } from "../pricing/price-row.ts"
import { ceilingRow, chargedAtMost } from "../pricing/price-terms.ts"
import { inRegion } from "../pricing/region.ts"
import { type CostBound, type WorstCase, worstCaseCost } from "../pricing/worst-case.ts"
import { isMultipart } from "../providers/multipart-form.ts"
import type { Route } from "../providers/router.ts"
import type { Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Asked } from "./read-request.ts"

/** Bytes that are text. What a form carries beside its fields is sound or pictures, which no token bounds. */
export function inputBytes({ body, form }: Pick<Asked, "body" | "form">): number {
  return isMultipart(form.contentType) ? 0 : body.length
}

/** What is to be priced at its dearest. */
export type CostQuestion = CostBound & {
  /** Its units, where it is sold by such; null where it is not. */
  readonly likely: Usage | null
  /** Which tiers it may be billed in. Unset: any. */
  readonly tiers?: "any" | "standard" | "batch"
}

/**
 * The dearest that this can come to at the routed model, in any of its tiers, for the organization that calls; unpriced
 * where no price can say, nor a ceiling.
 */
export function worstCaseOf(
  plane: Pick<DataPlane, "priceBook" | "storedPrices">,
  call: Pick<Call, "arrivedMs" | "key">,
  route: Route,
  bound: CostQuestion,
): WorstCase {
  const found = effectiveTiers(plane, {
    organizationId: call.key?.organizationId ?? "",
    provider: route.provider.pricedAs,
    model: route.model,
    atMs: call.arrivedMs,
  })
  if (found.kind !== "found") return worstByCeiling(found, bound)
  const { likely } = bound
  const prices = pricesOf(found.prices, bound.tiers ?? "any")
  // Sources list units for the standard tier alone.
  const price = prices.find(({ row }) => row.tier === "standard") ?? prices[0]
  if (likely !== null && likely.units > 0) {
    const byUnits = priceUsage(price.row, likely)
    if (byUnits.kind === "priced") return { kind: "bounded", costPicos: atMost(byUnits.costPicos, price) }
  }
  const byTokens = dearest(prices, regionsOf(route), withKnownFees(bound, price.row))
  // Sold by the second: only the answer says how many there were, and nothing can be held for it.
  const isByUnitsAlone = byTokens.kind === "unpriced" && price.row.units.size > 0
  return isByUnitsAlone ? { kind: "bounded", costPicos: 0n } : byTokens
}

/** What nobody has priced, by the organization's ceiling for such. It is for tokens: units and tools may cost anything. */
function worstByCeiling(
  { terms, reason }: Extract<EffectiveTiers, { readonly kind: "unpriced" }>,
  bound: CostQuestion,
): WorstCase {
  const isByUnits = bound.likely !== null && bound.likely.units > 0
  if (terms === null || terms.ceiling === null || isByUnits) return { kind: "unpriced", reason }
  const row = ceilingRow(terms, terms.ceiling)
  return worstCaseCost([row], withKnownFees(bound, row))
}

/** Which account a call goes to may not be known yet: any of the provider's. */
function regionsOf({ provider: { accounts } }: Route): ReadonlySet<string> {
  return new Set(accounts.map(({ region }) => region))
}

/** The dearest of the tiers in the dearest of the regions, each with its markup and discount. */
function dearest(prices: Prices, regions: ReadonlySet<string>, bound: CostBound): WorstCase {
  let costPicos = 0n
  for (const price of prices) {
    const worst = worstCaseCost(rowsIn(price.row, regions), bound)
    if (worst.kind === "unpriced") return worst
    const most = atMost(worst.costPicos, price)
    if (most > costPicos) costPicos = most
  }
  return { kind: "bounded", costPicos }
}

function rowsIn(row: PriceRow, regions: ReadonlySet<string>): readonly [PriceRow, ...PriceRow[]] {
  const [first, ...rest] = row.regions.size === 0 ? [] : [...regions].map((region) => inRegion(row, region))
  return first === undefined ? [row] : [first, ...rest]
}

function atMost(costPicos: bigint, { terms }: TierPrice): bigint {
  return terms === null ? costPicos : chargedAtMost(costPicos, terms)
}

type Prices = readonly [TierPrice, ...TierPrice[]]

const DEARER_TIERS: ReadonlySet<string> = new Set(["priority", "fast"])

function pricesOf(prices: Prices, tiers: NonNullable<CostQuestion["tiers"]>): Prices {
  if (tiers === "any") return prices
  const isAsked = (tier: string) => (tiers === "batch" ? tier === "batch" : !DEARER_TIERS.has(tier))
  const [first, ...rest] = prices.filter(({ row }) => isAsked(row.tier))
  return first === undefined ? prices : [first, ...rest]
}

/** A fee that the book does not know is part of no cost that is settled, and so of none that is held. */
function withKnownFees(bound: CostBound, row: PriceRow): CostBound {
  if (bound.fees === undefined) return bound
  if (Object.keys(bound.fees).every((name) => row.fees.has(name))) return bound
  return { ...bound, fees: Object.fromEntries(Object.entries(bound.fees).filter(([name]) => row.fees.has(name))) }
}

/** The most output tokens, up to so many, that fit; what does not fit does not with more of them either. */
export function mostOutput(outputTokensMax: number, fits: (tokens: number) => boolean): number {
  let within = 0
  let beyond = outputTokensMax + 1
  while (beyond - within > 1) {
    const middle = Math.floor((within + beyond) / 2)
    if (fits(middle)) within = middle
    else beyond = middle
  }
  return within
}

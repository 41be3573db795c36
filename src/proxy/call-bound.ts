/** What a call can cost at most, from what is known before it is forwarded: what a money limit holds, and a cap of a call compares. */
import type { Usage } from "../metering/usage.ts"
import { priceUsage } from "../pricing/cost.ts"
import type { PriceRow } from "../pricing/price-row.ts"
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

/** The dearest that this can come to at the routed model, in any of its tiers; unpriced where the book cannot say. */
export function worstCaseOf(
  plane: Pick<DataPlane, "priceBook">,
  call: Pick<Call, "arrivedMs">,
  route: Route,
  bound: CostQuestion,
): WorstCase {
  const question = { provider: route.provider.pricedAs, model: route.model, atMs: call.arrivedMs }
  const found = plane.priceBook.tiers(question)
  if (found.kind !== "found") return found
  const { likely } = bound
  const rows = rowsOf(found.rows, bound.tiers ?? "any")
  const [row] = rows
  if (likely !== null && likely.units > 0) {
    const byUnits = priceUsage(row, likely)
    if (byUnits.kind === "priced") return { kind: "bounded", costPicos: byUnits.costPicos }
  }
  const byTokens = worstCaseCost(rows, withKnownFees(bound, row))
  // Sold by the second: only the answer says how many there were, and nothing can be held for it.
  const isByUnitsAlone = byTokens.kind === "unpriced" && row.units.size > 0
  return isByUnitsAlone ? { kind: "bounded", costPicos: 0n } : byTokens
}

type Rows = readonly [PriceRow, ...PriceRow[]]

const DEARER_TIERS: ReadonlySet<string> = new Set(["priority", "fast"])

function rowsOf(rows: Rows, tiers: NonNullable<CostQuestion["tiers"]>): Rows {
  if (tiers === "any") return rows
  const [first, ...rest] = rows.filter(({ tier }) => {
    // In whichever region.
    const capacity = tier.replace(/@.*/, "")
    return tiers === "batch" ? capacity === "batch" : !DEARER_TIERS.has(capacity)
  })
  return first === undefined ? rows : [first, ...rest]
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

/** What a call can cost at most, from what is known before it is forwarded: what a money limit holds, and a cap of a call compares. */
import { priceUsage } from "../pricing/cost.ts"
import { type WorstCase, worstCaseCost } from "../pricing/worst-case.ts"
import { isMultipart } from "../providers/multipart-form.ts"
import type { Route } from "../providers/router.ts"
import type { Call } from "./call.ts"
import type { UsageEstimate } from "./call-estimate.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Asked } from "./read-request.ts"

/** Bytes that are text. What a form carries beside its fields is sound or pictures, which no token bounds. */
export function inputBytes({ body, form }: Asked): number {
  return isMultipart(form.contentType) ? 0 : body.length
}

/** The dearest that the estimate can come to at the routed model, in any tier; unpriced where the book cannot say. */
export function worstCaseOf(
  plane: Pick<DataPlane, "priceBook">,
  call: Call,
  asked: Asked,
  route: Route,
  { inputTokensBound, outputTokensBound, likely }: UsageEstimate,
): WorstCase {
  const question = { provider: route.provider.pricedAs, model: route.model, atMs: call.arrivedMs }
  const found = plane.priceBook.tiers(question)
  if (found.kind !== "found") return found
  const [row] = found.rows
  if (asked.facts.units !== null) {
    const byUnits = priceUsage(row, likely)
    if (byUnits.kind === "priced") return { kind: "bounded", costPicos: byUnits.costPicos }
  }
  const byTokens = worstCaseCost(found.rows, { inputTokensMax: inputTokensBound, outputTokensMax: outputTokensBound })
  // Sold by the second: only the answer says how many there were, and nothing can be held for it.
  const isByUnitsAlone = byTokens.kind === "unpriced" && row.units.size > 0
  return isByUnitsAlone ? { kind: "bounded", costPicos: 0n } : byTokens
}

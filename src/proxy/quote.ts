/** What a whole answer cost, for the header that says so, before the answer leaves. */
import { priceUsage } from "../pricing/cost.ts"
import { formatUsd } from "../pricing/money.ts"
import type { Reading } from "../providers/dialect.ts"
import type { Admitted, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import { priceRowOf } from "./record.ts"

const NONE: readonly string[] = []

/** `x-tallygate-cost-usd`, where the provider reported usage and the model has a price. */
export function costHeaders(plane: DataPlane, call: Call, admitted: Admitted, reading: Reading): readonly string[] {
  if (reading.usage === null || admitted.facts.isFree) return NONE
  const { record } = admitted
  const served = { model: reading.model || record.model_routed, tier: reading.tier || record.tier_requested }
  const row = priceRowOf(plane, record, served, call.arrivedMs)
  if (row.kind !== "found") return NONE
  const priced = priceUsage(row.row, reading.usage)
  return priced.kind === "priced" ? ["x-tallygate-cost-usd", formatUsd(priced.costPicos)] : NONE
}

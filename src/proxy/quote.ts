/** What a whole answer cost, for the header that says so, before the answer leaves. */
import { priceServed } from "../ledger/priced-record.ts"
import { formatUsd } from "../pricing/money.ts"
import { regionalTier } from "../pricing/region.ts"
import type { Reading } from "../providers/dialect.ts"
import type { Admitted, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"

const NONE: readonly string[] = []

/** `x-tallygate-cost-usd`, where the provider reported usage and the model has a price. */
export function costHeaders(plane: DataPlane, call: Call, admitted: Admitted, reading: Reading): readonly string[] {
  if (reading.usage === null || admitted.facts.isFree) return NONE
  const { record } = admitted
  const tier = regionalTier(reading.tier, reading.region) || record.tier_requested
  const served = { model: reading.model || record.model_routed, tier }
  const priced = priceServed(plane, record, served, reading.usage, call.arrivedMs)
  call.quote = { usage: reading.usage, priced }
  if (priced.kind === "unpriced") return NONE
  let { costPicos } = priced
  for (const { model, usage } of reading.others) {
    const other = priceServed(plane, { ...record, model_routed: model }, { model, tier }, usage, call.arrivedMs)
    if (other.kind === "unpriced") return NONE
    costPicos += other.costPicos
  }
  return ["x-tallygate-cost-usd", formatUsd(costPicos)]
}

/** What a whole answer cost, for the header that says so, before the answer leaves. */
import { priceServed } from "../ledger/priced-record.ts"
import { formatUsd } from "../pricing/money.ts"
import type { Reading } from "../providers/dialect.ts"
import type { Admitted, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"

const NONE: readonly string[] = []

/** `x-tallygate-cost-usd`, where the provider reported usage and the model has a price. */
export function costHeaders(plane: DataPlane, call: Call, admitted: Admitted, reading: Reading): readonly string[] {
  if (reading.usage === null || admitted.facts.isFree) return NONE
  const { record } = admitted
  const served = { model: reading.model || record.model_routed, tier: reading.tier || record.tier_requested }
  const priced = priceServed(plane, record, served, reading.usage, call.arrivedMs)
  call.quote = { usage: reading.usage, priced }
  return priced.kind === "priced" ? ["x-tallygate-cost-usd", formatUsd(priced.costPicos)] : NONE
}

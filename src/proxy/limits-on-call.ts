/**
 * The limits that apply to one call of the proxy: see `limitsOn`. They go by what the call says, also where its record
 * folds the value into `other`, and by the model that it is routed to.
 */
import { limitsOn, type SaidOfCall } from "../admission/limits-on.ts"
import type { Limit } from "../identity/limit.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { readAttribution } from "./attribution.ts"
import type { Call } from "./call.ts"

/** What is known once the call has its route. */
export type RoutedFacts = Pick<SaidOfCall, "model" | "endCustomer">

/** Those of a key, or of the provider account that its call goes to, which apply to the call. */
export function limitsOnCall(
  call: Call,
  { tags }: Pick<VirtualKey, "tags">,
  limits: readonly Limit[],
  { model, endCustomer }: RoutedFacts,
): readonly Limit[] {
  if (!limits.some(asksTheCall)) return limits
  const said = readAttribution(call.request.headers)
  const endpoint = call.endpoint.name
  return limitsOn(limits, { tool: said.tool, tags: [...tags, ...said.tags], model, endpoint, endCustomer })
}

function asksTheCall({ filter, each }: Limit): boolean {
  return filter !== null || each === "end_customer"
}

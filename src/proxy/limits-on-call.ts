/**
 * The limits that apply to one call: all but those that count the calls of one tool, tag, model or endpoint alone, where
 * the call has another; those with `each: end_customer` as they count the one that it names. They go by what the call
 * says, also where its record folds the value into `other`, and by the model that it is routed to.
 */
import { countedForCustomer } from "../identity/counted-apart.ts"
import type { Limit, LimitFilter } from "../identity/limit.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { matchesGlob } from "../platform/glob.ts"
import { readAttribution } from "./attribution.ts"
import type { Call } from "./call.ts"

/** What limits may ask of a call. */
export type SaidOfCall = {
  readonly tool: string
  readonly tags: readonly string[]
  /** As routed. */
  readonly model: string
  readonly endpoint: string
  readonly endCustomer: string
}

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

/** The limits that apply to a call of which this is known. */
export function limitsOn(limits: readonly Limit[], said: SaidOfCall): readonly Limit[] {
  const applying = limits.filter(({ filter }) => filter === null || meets(filter, said))
  return countedForCustomer(applying, said.endCustomer)
}

/** Whether the call is one of those that the filter counts. */
function meets({ by, value }: LimitFilter, said: SaidOfCall): boolean {
  if (by === "tag") return said.tags.includes(value)
  return by === "model" ? matchesGlob(value, said.model) : said[by] === value
}

function asksTheCall({ filter, each }: Limit): boolean {
  return filter !== null || each === "end_customer"
}

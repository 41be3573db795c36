/**
 * Which of the limits of a key, project, user or provider account count a call: those that count the calls of one tool,
 * tag, model or endpoint alone only where it has that one; those with `each: end_customer` as they count the one it names.
 */
import { countedForCustomer } from "../identity/counted-apart.ts"
import type { Limit, LimitFilter } from "../identity/limit.ts"
import { matchesGlob } from "../platform/glob.ts"

/** What limits may ask of a call. */
export type SaidOfCall = {
  readonly tool: string
  readonly tags: readonly string[]
  /** As routed. */
  readonly model: string
  readonly endpoint: string
  readonly endCustomer: string
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

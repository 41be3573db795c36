/**
 * The limits of a key that apply to one call: all but those that count the calls of one tool or tag alone, where the call
 * carries another. They go by what the call says, also where its record folds the value into `other`.
 */
import type { Limit } from "../identity/limit.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { readAttribution } from "./attribution.ts"
import type { Call } from "./call.ts"

export function limitsOnCall(call: Call, { limits, tags }: VirtualKey): readonly Limit[] {
  if (!limits.some(isFiltered)) return limits
  const said = readAttribution(call.request.headers)
  return limitsOn(limits, { tool: said.tool, tags: [...tags, ...said.tags] })
}

/** The limits that apply to what was called by this tool, with these tags. */
export function limitsOn(
  limits: readonly Limit[],
  { tool, tags }: { readonly tool: string; readonly tags: readonly string[] },
): readonly Limit[] {
  return limits.filter(({ filter }) => {
    return filter === null || (filter.by === "tool" ? filter.value === tool : tags.includes(filter.value))
  })
}

function isFiltered({ filter }: Limit): boolean {
  return filter !== null
}

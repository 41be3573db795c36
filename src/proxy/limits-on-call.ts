/**
 * The limits of a key that apply to one call: all but those that count the calls of one tool or tag alone, where the call
 * carries another. They go by what the call says, also where its record folds the value into `other`.
 */
import { limitsOn } from "../admission/limits-on.ts"
import type { Limit } from "../identity/limit.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { readAttribution } from "./attribution.ts"
import type { Call } from "./call.ts"

export function limitsOnCall(call: Call, { limits, tags }: VirtualKey): readonly Limit[] {
  if (!limits.some(isFiltered)) return limits
  const said = readAttribution(call.request.headers)
  return limitsOn(limits, { tool: said.tool, tags: [...tags, ...said.tags] })
}

function isFiltered({ filter }: Limit): boolean {
  return filter !== null
}

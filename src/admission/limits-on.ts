/** Which of the limits of a key, project or user count a call: those that count one tool or tag alone only where it has it. */
import type { Limit } from "../identity/limit.ts"

/** The limits that apply to what was called by this tool, with these tags. */
export function limitsOn(
  limits: readonly Limit[],
  { tool, tags }: { readonly tool: string; readonly tags: readonly string[] },
): readonly Limit[] {
  return limits.filter(({ filter }) => {
    return filter === null || (filter.by === "tool" ? filter.value === tool : tags.includes(filter.value))
  })
}

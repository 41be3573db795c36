/** What one call may take at most, as a key or its project says it, and what the two say together. */

/** What happens to a call that asks for more output than a cap leaves it: it is given less, or it is refused. */
export const CAP_POLICIES = ["clamp", "deny"] as const
export type CapPolicy = (typeof CAP_POLICIES)[number]

export type CallCaps = {
  /** Null, here and below: not capped. */
  readonly outputTokensMax: number | null
  readonly inputTokensMax: number | null
  /** Nano-dollars (1e-9 USD). */
  readonly costNanosMax: bigint | null
  readonly policy: CapPolicy
}

/** What is given replaces what was; null lifts a cap. */
export type CapChanges = { readonly [Member in keyof CallCaps]?: CallCaps[Member] | undefined }

/** What is capped where nobody said otherwise: nothing. */
export const NO_CAPS: CallCaps = { outputTokensMax: null, inputTokensMax: null, costNanosMax: null, policy: "clamp" }

/** The smaller of each cap. A `deny` counts where its own side caps something, and is then the stricter of the two. */
export function combineCaps(key: CallCaps, project: CallCaps): CallCaps {
  return {
    outputTokensMax: smaller(key.outputTokensMax, project.outputTokensMax),
    inputTokensMax: smaller(key.inputTokensMax, project.inputTokensMax),
    costNanosMax: smaller(key.costNanosMax, project.costNanosMax),
    policy: denies(key) || denies(project) ? "deny" : "clamp",
  }
}

/** The caps with the changes made; what a change leaves out stays. */
export function changedCaps(caps: CallCaps, changes: CapChanges): CallCaps {
  const changed = { ...caps }
  const { outputTokensMax, inputTokensMax, costNanosMax, policy } = changes
  if (outputTokensMax !== undefined) changed.outputTokensMax = outputTokensMax
  if (inputTokensMax !== undefined) changed.inputTokensMax = inputTokensMax
  if (costNanosMax !== undefined) changed.costNanosMax = costNanosMax
  if (policy !== undefined) changed.policy = policy
  return changed
}

function smaller<Amount extends number | bigint>(one: Amount | null, other: Amount | null): Amount | null {
  if (one === null || other === null) return one ?? other
  return one < other ? one : other
}

function denies({ policy, outputTokensMax, inputTokensMax, costNanosMax }: CallCaps): boolean {
  return policy === "deny" && (outputTokensMax !== null || inputTokensMax !== null || costNanosMax !== null)
}

/** Whether any cap is set at all. */
export function isCapped({ outputTokensMax, inputTokensMax, costNanosMax }: CallCaps): boolean {
  return outputTokensMax !== null || inputTokensMax !== null || costNanosMax !== null
}

/**
 * Holds a call on its limits. Where a hard budget has room for the call but not for all of the output that it may have,
 * the provider is asked for as much as there is room for, so that a budget can be used to its end.
 */
import type { Admitted as AdmissionReply, Lower, RefusedCall } from "../admission/admit.ts"
import { type CallEstimate, counterKind } from "../admission/limits.ts"
import { type Limit, refuses } from "../identity/limit.ts"
import { mostOutput } from "./call-bound.ts"
import type { DataPlane } from "./data-plane.ts"
import type { HoldPlan } from "./hold-plan.ts"

export type HeldOutput = {
  readonly reply: AdmissionReply
  /** What was held, where it was. */
  readonly estimate: CallEstimate
  readonly outputTokens: number
}

/** Others take of the same room at the same time; who loses so often is refused. */
const TRIES_MAX = 3

export async function holdCall(
  plane: DataPlane,
  holdId: string,
  on: { readonly keyId: string; readonly limits: readonly Limit[]; readonly accountLimits: readonly Limit[] },
  plan: HoldPlan,
): Promise<HeldOutput> {
  const { outputTokensMin } = plan
  let { estimate, outputTokens } = plan
  if (outputTokensMin === null) {
    return { reply: await plane.admission.admit({ holdId, ...on, estimate }), estimate, outputTokens }
  }
  const least = Math.min(outputTokensMin, outputTokens)
  let triesLeft = TRIES_MAX
  const lower: Lower = (refused) => {
    const affordable = triesLeft-- > 0 ? affordableOutput(refused, plan, outputTokens) : 0
    if (affordable < least) return null
    outputTokens = affordable
    estimate = plan.estimateOf(affordable)
    return estimate
  }
  const reply = await plane.admission.admit({ holdId, ...on, estimate, lower })
  if (reply.kind !== "refused") return { reply, estimate, outputTokens }
  return { reply: askingFor(reply, plan.estimateOf(least)), estimate, outputTokens }
}

/** The most output for which every budget has room; 0 where it is not for its size that the call was refused. */
function affordableOutput({ charges, counters }: RefusedCall, plan: HoldPlan, outputTokens: number): number {
  let nanos: bigint | null = null
  let tokens: bigint | null = null
  for (const [index, { limit, amount }] of charges.entries()) {
    const counter = counters[index]
    if (counter === undefined) return 0
    if (!refuses(limit)) continue
    const room = limit.cap - counter.settled - counter.held
    if (!isSized(limit) && amount > room) return 0
    if (!isSized(limit)) continue
    if (limit.kind === "usd") nanos = smaller(nanos, room)
    else tokens = smaller(tokens, room)
  }
  return mostOutput(outputTokens - 1, (tried) => {
    const { costNanosBound, tokensBound } = plan.estimateOf(tried)
    return (nanos === null || costNanosBound <= nanos) && (tokens === null || tokensBound <= tokens)
  })
}

/** Budgets whose hold depends on the output. */
function isSized(limit: Limit): boolean {
  return counterKind(limit) === "budget" && (limit.kind === "usd" || limit.kind === "tokens")
}

function smaller(one: bigint | null, other: bigint): bigint {
  return one === null || other < one ? other : one
}

/** The refusal as it is of the least that the call can be made for: to ask for less output would not have helped. */
function askingFor(reply: RefusedCall, { costNanosBound, tokensBound }: CallEstimate): RefusedCall {
  const { refusal } = reply
  if (!isSized(refusal.limit)) return reply
  const requested = refusal.limit.kind === "usd" ? costNanosBound : tokensBound
  return requested < refusal.requested ? { ...reply, refusal: { ...refusal, requested } } : reply
}

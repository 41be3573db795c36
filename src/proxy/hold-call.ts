/**
 * Holds a call on its limits. Where a hard budget has room for the call but not for all of the output that it may have,
 * the provider is asked for as much as there is room for, so that a budget can be used to its end.
 */
import type { Admitted as AdmissionReply } from "../admission/admit.ts"
import type { CallEstimate } from "../admission/limits.ts"
import { counterKind } from "../admission/limits.ts"
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
const TRIES_MAX = 4

export async function holdCall(
  plane: DataPlane,
  holdId: string,
  { limits, accountLimits }: { readonly limits: readonly Limit[]; readonly accountLimits: readonly Limit[] },
  plan: HoldPlan,
): Promise<HeldOutput> {
  let { outputTokens, estimate } = plan
  for (let tries = 1; ; tries++) {
    const reply = await plane.admission.admit({ holdId, limits, accountLimits, estimate })
    if (reply.kind !== "refused" || plan.outputTokensMin === null) return { reply, estimate, outputTokens }
    const least = Math.min(plan.outputTokensMin, plan.outputTokens)
    const affordable = tries === TRIES_MAX ? 0 : affordableOutput(reply, plan, outputTokens)
    if (affordable < least) return { reply: askingFor(reply, plan.estimateOf(least)), estimate, outputTokens }
    outputTokens = affordable
    estimate = plan.estimateOf(outputTokens)
  }
}

type Refusal = Extract<AdmissionReply, { kind: "refused" }>

/** The most output for which every budget has room; 0 where it is not for its size that the call was refused. */
function affordableOutput({ charges, counters }: Refusal, plan: HoldPlan, outputTokens: number): number {
  let nanos: bigint | null = null
  let tokens: bigint | null = null
  for (const [index, { limit, amount }] of charges.entries()) {
    const counter = counters[index]
    if (counter === undefined) return 0
    if (!refuses(limit)) continue
    const room = limit.cap - counter.settled - counter.held
    if (amount <= room && !isSized(limit)) continue
    // A limit on an account is held in a second step, whose first has been undone for good.
    if (!isSized(limit) || limit.scope === "provider_account") return 0
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
function askingFor(reply: Refusal, { costNanosBound, tokensBound }: CallEstimate): Refusal {
  const { refusal } = reply
  if (!isSized(refusal.limit)) return reply
  const requested = refusal.limit.kind === "usd" ? costNanosBound : tokensBound
  return requested < refusal.requested ? { ...reply, refusal: { ...refusal, requested } } : reply
}

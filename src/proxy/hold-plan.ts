/**
 * What a call is to hold on its limits, decided before any of them is asked. Where a hard limit on tokens or money
 * applies, exactly what is held is what the provider is asked for at most; what cannot be bounded is held as the strictest
 * of those limits says, or refused.
 */
import { type CallEstimate, counterKind, isSliced } from "../admission/limits.ts"
import { type Limit, refuses, UNBOUNDED_POLICIES } from "../identity/limit.ts"
import { totalTokens } from "../metering/usage.ts"
import { ApiError } from "../platform/error-table.ts"
import { nanosRoundedUp } from "../pricing/money.ts"
import type { WorstCase } from "../pricing/worst-case.ts"
import type { RequestFacts } from "../providers/dialect.ts"
import type { MostUse, RequestBound } from "../providers/request-bound.ts"
import type { Route } from "../providers/router.ts"
import type { Call, Refused } from "./call.ts"
import { worstCaseOf } from "./call-bound.ts"
import type { UsageEstimate } from "./call-estimate.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Asked } from "./read-request.ts"
import { notBounded } from "./unbounded-text.ts"

export type HoldPlan = {
  readonly kind: "plan"
  /** For the record: `bounded`, or why not; '' where no limit counts what the call uses at most. */
  readonly bound: string
  /** What is held where the answer may have `outputTokens`, and where it may have as many as are given. */
  readonly estimate: CallEstimate
  readonly estimateOf: (outputTokens: number) => CallEstimate
  readonly outputTokens: number
  /** Less output than this is not worth a call; null where the provider takes no bound that could be lowered. */
  readonly outputTokensMin: number | null
  /** The provider is to be told `outputTokens`, since the request does not say as much. */
  readonly asksForOutput: boolean
  /** What is held is the most that the call can use. */
  readonly isMost: boolean
}

export type PlanQuestion = {
  readonly asked: Asked
  /** The request's, with the output that a cap of the key leaves it. */
  readonly facts: RequestFacts
  readonly route: Route
  readonly estimate: UsageEstimate
}

/** What the limits on a call are that hold what it uses at most. */
export type Counting = {
  /** The hard limit that is strictest about what cannot be bounded; null where none is hard. */
  readonly strictest: Limit | null
  /** The smallest cap of the hard budgets; null where there is none of the kind. */
  readonly nanosMax: bigint | null
  readonly tokensMax: bigint | null
  readonly isMoneyLimited: boolean
  /** The smallest slice of the limits with slices; null where none has any. */
  readonly sliceTokens: number | null
  /** Some hard budget of tokens or money has no slices, and holds the whole output. */
  readonly holdsWhole: boolean
}

/** Null where no limit does: a rate of tokens holds what is likely. */
export function countingMost(limits: readonly Limit[], accountLimits: readonly Limit[]): Counting | null {
  const counting = {
    ...{ strictest: null, nanosMax: null, tokensMax: null, isMoneyLimited: false },
    ...{ sliceTokens: null, holdsWhole: false },
  }
  const isAny = [addCounting(counting, limits), addCounting(counting, accountLimits)].includes(true)
  return isAny ? counting : null
}

type Mutable<T> = { -readonly [Member in keyof T]: T[Member] }

/** Whether any of them is such a limit. */
function addCounting(counting: Mutable<Counting>, limits: readonly Limit[]): boolean {
  let isAny = false
  for (const limit of limits) {
    const { kind, cap } = limit
    if (kind !== "usd" && (kind !== "tokens" || counterKind(limit) !== "budget")) continue
    isAny = true
    if (kind === "usd") counting.isMoneyLimited = true
    if (!refuses(limit)) continue
    const { strictest, nanosMax, tokensMax } = counting
    if (strictest === null || strictness(limit) < strictness(strictest)) counting.strictest = limit
    if (kind === "usd") counting.nanosMax = nanosMax === null || cap < nanosMax ? cap : nanosMax
    else counting.tokensMax = tokensMax === null || cap < tokensMax ? cap : tokensMax
    if (isSliced(limit))
      counting.sliceTokens = Math.min(counting.sliceTokens ?? Number.POSITIVE_INFINITY, limit.sliceTokens)
    else if (counterKind(limit) === "budget") counting.holdsWhole = true
  }
  return isAny
}

function strictness({ unbounded }: Limit): number {
  return UNBOUNDED_POLICIES.indexOf(unbounded)
}

export function planHold(
  plane: DataPlane,
  call: Call,
  question: PlanQuestion,
  counting: Counting | null,
): HoldPlan | Refused {
  const { asked, estimate, route } = question
  const { isMetered, dialect } = call.endpoint
  const isAsked = isMetered ? !asked.facts.isFree : call.request.method === "POST"
  if (counting === null || !isAsked) return planOf("", estimate)
  const { body, form, facts, outline = null } = asked
  const bound = isMetered
    ? dialect.bound({ body, form, facts, model: route.model, outline })
    : ({ kind: "unbounded", reason: "unmetered" } as const)
  const { strictest } = counting
  if (bound.kind === "unbounded" && strictest?.unbounded === "deny") return notBounded(bound.reason, strictest)
  // What it costs is not known of any part of it.
  if (!("most" in bound)) return planOf(bound.reason, estimate)
  const isLikely = bound.kind === "unbounded" && strictest?.unbounded === "overshoot"
  return isLikely
    ? planLikely(plane, call, question, counting, bound)
    : planMost(plane, call, question, counting, bound)
}

/** Nothing to be bounded: what is likely is held where a rate asks for it. */
export function planOf(bound: string, { inputTokensBound, outputTokensBound, likely }: UsageEstimate): HoldPlan {
  const tokensBound = BigInt(inputTokensBound) + BigInt(outputTokensBound)
  const estimate = { requests: 1n, tokensBound, tokensLikely: BigInt(totalTokens(likely)), costNanosBound: 0n }
  return {
    kind: "plan",
    bound,
    estimate,
    estimateOf: () => estimate,
    outputTokens: outputTokensBound,
    outputTokensMin: null,
    asksForOutput: false,
    isMost: false,
  }
}

/** Of what cannot be bounded, and may go beyond what is held: what is likely of it. */
function planLikely(
  plane: DataPlane,
  call: Call,
  { route, estimate }: PlanQuestion,
  { isMoneyLimited }: Counting,
  { reason, most }: Extract<RequestBound, { kind: "unbounded" }>,
): HoldPlan | Refused {
  const { likely } = estimate
  const inputTokens = Math.min(likely.inputUncachedTokens, most.inputTokens)
  const tokens = { inputTokensBound: inputTokens, outputTokensBound: likely.outputTokens, likely }
  const plan = planOf(reason, tokens)
  if (!isMoneyLimited) return plan
  const worst = worstCaseOf(plane, call, route, {
    ...{ inputTokensMax: inputTokens, outputTokensMax: likely.outputTokens, likely },
    ...{ inputClasses: most.inputClasses, outputClasses: most.outputClasses, tiers: "standard" },
  })
  if (worst.kind === "unpriced") return unpriced(route.model, worst.reason)
  const held = { ...plan.estimate, costNanosBound: nanosRoundedUp(worst.costPicos) }
  return { ...plan, estimate: held, estimateOf: () => held }
}

function planMost(
  plane: DataPlane,
  call: Call,
  { facts, route, estimate }: PlanQuestion,
  counting: Counting,
  bound: RequestBound,
): HoldPlan | Refused {
  const { most } = bound
  const { likely } = estimate
  const { inputTokens: inputTokensMax, inputClasses, outputClasses, fees } = most
  const tiers = most.mayBePriority ? "any" : "standard"
  const tokensLikely = BigInt(totalTokens(likely))
  const inputTokens = BigInt(inputTokensMax)
  const { strictest, isMoneyLimited } = counting
  const worstOf = (outputTokensMax: number): WorstCase => {
    const question = { inputTokensMax, outputTokensMax, inputClasses, outputClasses, fees, likely, tiers } as const
    return worstCaseOf(plane, call, route, question)
  }
  const estimateWith = (outputTokens: number, worst: WorstCase | null): CallEstimate => {
    const costNanosBound = worst?.kind === "bounded" ? nanosRoundedUp(worst.costPicos) : 0n
    return { requests: 1n, tokensBound: inputTokens + BigInt(outputTokens), tokensLikely, costNanosBound }
  }
  const estimateOf = (tokens: number) => estimateWith(tokens, isMoneyLimited ? worstOf(tokens) : null)
  // Only a limit that refuses may have an answer made shorter.
  const output = strictest === null ? unshortened(most, estimate) : outputFor(most, facts)
  const worst = isMoneyLimited ? worstOf(output.outputTokens) : null
  if (worst?.kind === "unpriced") return unpriced(route.model, worst.reason)
  const plan: HoldPlan = {
    kind: "plan",
    bound: bound.kind === "bounded" ? "bounded" : bound.reason,
    estimate: estimateWith(output.outputTokens, worst),
    estimateOf,
    outputTokens: output.outputTokens,
    outputTokensMin: output.outputTokensMin,
    asksForOutput: output.asksForOutput,
    isMost: bound.kind === "bounded" && strictest !== null,
  }
  const isOpen = output.asksForOutput && facts.outputTokensMax === null
  return isOpen ? withFairShare(plan, counting) : plan
}

type PlannedOutput = Pick<HoldPlan, "outputTokens" | "outputTokensMin" | "asksForOutput">

/** What the caller allows, or what is expected where it leaves that open. */
function unshortened(most: MostUse, { outputTokensBound }: UsageEstimate): PlannedOutput {
  const outputTokens = most.outputTokensMin === null ? most.outputTokens : outputTokensBound
  return { outputTokens, outputTokensMin: null, asksForOutput: false }
}

/** What the caller, or a cap of its key, leaves the answer. */
function outputFor({ outputTokens, asksForOutput, outputTokensMin }: MostUse, facts: RequestFacts): PlannedOutput {
  const capped = facts.outputTokensMax
  // What takes no bound is as long as it is.
  if (outputTokensMin === null || capped === null) return { outputTokens, asksForOutput, outputTokensMin }
  const least = Math.min(outputTokens, capped)
  return { outputTokens: least, asksForOutput: asksForOutput || least < outputTokens, outputTokensMin }
}

/** A caller that says nothing of its output is not to hold all that others could use: so much, or an eighth of the cap. */
const OPEN_OUTPUT_TOKENS = 16_384
const SHARE_OF_CAP = 8n

/** The cost rises with the output no slower than in a straight line, so what the line says fits does. */
function withFairShare(plan: HoldPlan, { nanosMax, tokensMax }: Counting): HoldPlan {
  const { outputTokens, estimate: whole, estimateOf } = plan
  if (outputTokens <= OPEN_OUTPUT_TOKENS) return plan
  const isWithin = (cap: bigint | null, held: bigint) => cap === null || held <= cap / SHARE_OF_CAP
  if (isWithin(nanosMax, whole.costNanosBound) && isWithin(tokensMax, whole.tokensBound)) return plan
  const least = estimateOf(0)
  const share = Math.min(
    onLine(outputTokens, nanosMax, least.costNanosBound, whole.costNanosBound),
    onLine(outputTokens, tokensMax, least.tokensBound, whole.tokensBound),
  )
  const less = Math.max(OPEN_OUTPUT_TOKENS, share)
  return { ...plan, outputTokens: less, estimate: estimateOf(less) }
}

/** The output at which the line between nothing and all of it meets a cap's share. */
function onLine(outputTokens: number, cap: bigint | null, least: bigint, whole: bigint): number {
  if (cap === null || whole <= cap / SHARE_OF_CAP) return outputTokens
  const room = cap / SHARE_OF_CAP - least
  return room <= 0n ? 0 : Number((BigInt(outputTokens) * room) / (whole - least))
}

export function unpriced(model: string, reason: string): Refused {
  const message =
    `A money budget applies to this key, and the model \`${model.slice(0, 100)}\` has no price here (${reason}), so its cost ` +
    "cannot be held. Use a priced model, or ask an admin to set a price (POST /admin/v1/prices) or a ceiling for such models."
  return { kind: "refused", error: new ApiError("model_not_priced", message, { param: "model" }), reason: "not priced" }
}

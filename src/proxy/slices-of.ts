/**
 * Which calls hold their output in slices: streams that can be ended in their own dialect, of models that show all they
 * write, under at least one budget with slices. Limits without slices hold the whole output of such a call all the same.
 */
import type { Admission, HeldCall } from "../admission/admit.ts"
import { mayHideOutput } from "../providers/hidden-output.ts"
import type { Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Counting, HoldPlan, PlanQuestion } from "./hold-plan.ts"
import { firstSliceOf, OutputSlices } from "./output-slices.ts"

export type Slicing = {
  readonly sliceTokens: number
  readonly inputTokensLikely: number
  /** What the call holds at first: of limits with slices, all of the input and a slice of the output. */
  readonly plan: HoldPlan
}

/** Null where the call's output is held as a whole. Of several limits with slices the smallest slice counts. */
export function slicingOf(
  call: Call,
  { asked, facts, route, estimate }: PlanQuestion,
  { sliceTokens, holdsWhole }: Counting,
  plan: HoldPlan,
): Slicing | null {
  // What takes no bound of its output, or is held at what is likely of it, does not grow by its output.
  if (sliceTokens === null || plan.outputTokensMin === null) return null
  const canEnd = facts.isStream && facts.units === null && call.endpoint.dialect.streamEnd !== undefined
  if (!canEnd || !call.endpoint.isMetered || mayHideOutput(route.model, asked.body)) return null
  const firstSlice = plan.estimateOf(firstSliceOf(sliceTokens, facts.outputTokensMax))
  const sliced: HoldPlan = {
    ...plan,
    estimate: { ...plan.estimate, firstSlice },
    estimateOf: (outputTokens) => ({ ...plan.estimateOf(outputTokens), firstSlice }),
    isMost: false,
  }
  const inputTokensLikely = estimate.likely.inputUncachedTokens
  // Where no limit needs all of the output to be held, the provider need not be asked for less of it either.
  const open = { outputTokensMin: null, asksForOutput: false, outputTokens: facts.outputTokensMax ?? plan.outputTokens }
  return { sliceTokens, inputTokensLikely, plan: holdsWhole ? sliced : { ...sliced, ...open } }
}

export function openSlices(
  plane: Pick<DataPlane, "clock" | "log"> & { readonly admission: Pick<Admission, "extend"> },
  call: Call,
  held: HeldCall,
  { sliceTokens, inputTokensLikely, plan }: Slicing,
  outputTokensMax: number | null,
): OutputSlices {
  return new OutputSlices({
    sliceTokens,
    outputTokensMax,
    inputTokensLikely,
    costNanosOf: (outputTokens) => plan.estimateOf(outputTokens).costNanosBound,
    extend: (more) => plane.admission.extend(held, more),
    nowMs: () => plane.clock.nowMs(),
    onFault: (fault) => plane.log.error({ err: fault, request_id: call.id }, "no more could be held for a stream"),
  })
}

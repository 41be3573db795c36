/**
 * Which calls hold their output in slices: streams that can be ended in their own dialect, of models that show all they
 * write, under at least one budget with slices. Limits without slices hold the whole output of such a call all the same.
 */
import type { Admission, HeldCall } from "../admission/admit.ts"
import { isSliced, type SliceBound } from "../admission/limits.ts"
import type { Limit } from "../identity/limit.ts"
import { mayHideOutput } from "../providers/hidden-output.ts"
import type { Route } from "../providers/router.ts"
import type { Call } from "./call.ts"
import type { UsageEstimate } from "./call-estimate.ts"
import type { DataPlane } from "./data-plane.ts"
import { firstSliceOf, OutputSlices } from "./output-slices.ts"
import type { Asked } from "./read-request.ts"

export type Slicing = {
  readonly sliceTokens: number
  readonly estimate: UsageEstimate
  /** The most that the provider is asked for, over all choices; null where nothing was said. */
  readonly outputTokensMax: number | null
  /** The dearest that so much output can cost with the call's input, in nano-dollars, rounded up. */
  readonly costNanosOf: (outputTokens: number) => bigint
}

/** Tokens of a slice: of the limits with slices, the smallest; null where the call's output is held as a whole. */
export function sliceTokensOf(call: Call, asked: Asked, route: Route, limits: readonly Limit[]): number | null {
  let smallest: number | null = null
  for (const limit of limits) {
    if (limit.sliceTokens === null || !isSliced(limit)) continue
    smallest = Math.min(smallest ?? limit.sliceTokens, limit.sliceTokens)
  }
  if (smallest === null) return null
  const { facts, body } = asked
  const canEnd = facts.isStream && facts.units === null && call.endpoint.dialect.streamEnd !== undefined
  return canEnd && call.endpoint.isMetered && !mayHideOutput(route.model, body) ? smallest : null
}

/** What is held of a call before it is forwarded: all of its input, and a slice of its output. */
export function firstSlice({ sliceTokens, outputTokensMax, estimate, costNanosOf }: Slicing): SliceBound {
  const tokens = firstSliceOf(sliceTokens, outputTokensMax)
  return { tokensBound: BigInt(estimate.inputTokensBound) + BigInt(tokens), costNanosBound: costNanosOf(tokens) }
}

export function openSlices(
  plane: Pick<DataPlane, "clock" | "log"> & { readonly admission: Pick<Admission, "extend"> },
  call: Call,
  held: HeldCall,
  { sliceTokens, outputTokensMax, estimate, costNanosOf }: Slicing,
): OutputSlices {
  return new OutputSlices({
    sliceTokens,
    outputTokensMax,
    inputTokensLikely: estimate.likely.inputUncachedTokens,
    costNanosOf,
    extend: (more) => plane.admission.extend(held, more),
    nowMs: () => plane.clock.nowMs(),
    onFault: (fault) => plane.log.error({ err: fault, request_id: call.id }, "no more could be held for a stream"),
  })
}

/**
 * How much an answer used: what the provider reported, explicit zeros included; an estimate, marked as one, where the
 * provider may have billed without saying how much; nothing where it refused.
 */
import { ZERO_USAGE } from "../metering/usage.ts"
import type { Admitted, Answer } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { AnswerUsage } from "./record.ts"

const NOTHING: AnswerUsage = {
  usage: ZERO_USAGE,
  origin: { source: "none", estimator: "", raw: null, isMismatch: false },
}

/** What the provider reported or certainly did not bill; null where it must be estimated. */
export function reportedUsage(answer: Answer): AnswerUsage | null {
  const { reading } = answer
  if (reading.usage !== null) {
    const source = answer.isDrained ? "drained" : "provider"
    const origin = { source, estimator: "", raw: reading.usageRaw, isMismatch: reading.isMismatch } as const
    return { usage: reading.usage, origin }
  }
  const isErrorAlone = reading.hasError && !reading.hasContent
  return answer.mayBeBilled && !isErrorAlone ? null : NOTHING
}

/** Counts the request and the output that was seen; off the main thread, since counting is slow. */
export async function estimatedUsage(plane: DataPlane, admitted: Admitted, answer: Answer): Promise<AnswerUsage> {
  const estimate = await plane.estimator.estimate({
    model: answer.reading.model || admitted.route.model,
    messages: admitted.body,
    outputText: answer.reading.outputText,
  })
  const usage = { ...ZERO_USAGE, inputUncachedTokens: estimate.inputTokens, outputTokens: estimate.outputTokens }
  return { usage, origin: { source: "estimated", estimator: estimate.estimator, raw: null, isMismatch: false } }
}

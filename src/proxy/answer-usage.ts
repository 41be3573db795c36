/**
 * How much an answer used: what the provider reported, explicit zeros included; an estimate, marked as one, where the
 * provider may have billed without saying how much; nothing where it refused.
 */
import { ZERO_USAGE } from "../metering/usage.ts"
import type { Units } from "../providers/dialect.ts"
import type { Admitted, Answer, Call } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { AnswerUsage } from "./record.ts"

const NOTHING: AnswerUsage = {
  usage: ZERO_USAGE,
  origin: { source: "none", estimator: "", raw: null, isMismatch: false },
}

const UNMETERED: AnswerUsage = { usage: ZERO_USAGE, origin: { ...NOTHING.origin, source: "unmetered" } }

/** What the provider reported or certainly did not bill; null where it must be estimated. */
export function reportedUsage(
  call: Pick<Call, "endpoint" | "awaited">,
  admitted: Pick<Admitted, "facts">,
  answer: Pick<Answer, "reading" | "mayBeBilled" | "isDrained">,
): AnswerUsage | null {
  const { reading } = answer
  if (!call.endpoint.isMetered) return answer.mayBeBilled ? UNMETERED : NOTHING
  // What a provider reports of an object that exists already was booked, or is, for the call that made it.
  if (admitted.facts.isFree) return NOTHING
  // Booked with the object, now or when somebody asks for it again.
  if (reading.isPending || call.awaited !== null) return NOTHING
  if (reading.usage !== null) {
    // Cut before its end: what was reported is the input, and the output has to be counted.
    if (call.endpoint.dialect.reportsOutputLast === true && !reading.isFinished) return null
    const source = answer.isDrained ? "drained" : "provider"
    const origin = { source, estimator: "", raw: reading.usageRaw, isMismatch: reading.isMismatch } as const
    return { usage: reading.usage, origin }
  }
  const isErrorAlone = reading.hasError && !reading.hasContent
  if (!answer.mayBeBilled || isErrorAlone) return NOTHING
  const { units } = admitted.facts
  return units === null ? null : requestedUnits(units, reading.made)
}

/** As the request has them, but for how many there are, and for what it left to the provider, where the answer says that. */
function requestedUnits(asked: Units, made: Units | null): AnswerUsage {
  const quantity = made?.quantity ?? asked.quantity
  const unitType = made?.unitType.includes(":") === true ? made.unitType : asked.unitType
  return { usage: { ...ZERO_USAGE, units: quantity, unitType }, origin: { ...NOTHING.origin, source: "request" } }
}

/** Counts the request and the output that was seen; off the main thread, since counting is slow. */
export async function estimatedUsage(plane: DataPlane, admitted: Admitted, answer: Answer): Promise<AnswerUsage> {
  const estimate = await plane.estimator.estimate({
    model: answer.reading.model || admitted.route.model,
    messages: admitted.body,
    outputText: answer.reading.outputText,
  })
  const origin = {
    source: "estimated",
    estimator: estimate.estimator,
    raw: answer.reading.usageRaw,
    isMismatch: false,
  } as const
  // More than a bounded call can use is no estimate of what it used.
  const { most, body, facts } = admitted
  const inputTokens = most === null ? estimate.inputTokens : Math.min(estimate.inputTokens, body.length)
  const outputTokensMax = most === null ? null : facts.outputTokensMax
  const output = outputTokensMax === null ? estimate.outputTokens : Math.min(estimate.outputTokens, outputTokensMax)
  const reported = answer.reading.usage
  if (reported !== null) {
    const outputTokens = Math.max(reported.outputTokens, output)
    return { usage: { ...reported, outputTokens }, origin }
  }
  const audioInputTokens = Math.min(estimate.audioInputTokens, inputTokens)
  const usage = {
    ...ZERO_USAGE,
    inputUncachedTokens: inputTokens,
    audioInputTokens,
    imageInputTokens: Math.min(estimate.imageInputTokens, inputTokens - audioInputTokens),
    outputTokens: output,
    units: estimate.audioSeconds,
    unitType: estimate.audioSeconds === 0 ? "" : "seconds",
  }
  return { usage, origin }
}

/**
 * What a call may use, from what is known before it is forwarded: bytes in and the output asked for. No tokenizer: it
 * would cost more than the whole proxy, and no token is shorter than a byte, so the bytes bound the tokens.
 */
import { type Usage, ZERO_USAGE } from "../metering/usage.ts"
import type { RequestFacts } from "../providers/dialect.ts"

/** Prose in English has about four bytes to a token. */
const BYTES_PER_TOKEN_LIKELY = 4

export type UsageEstimate = {
  readonly inputTokensBound: number
  readonly outputTokensBound: number
  /** The likely usage: what a rate is held at, and what the record says if the process dies before the answer. */
  readonly likely: Usage
}

const FREE: UsageEstimate = { inputTokensBound: 0, outputTokensBound: 0, likely: ZERO_USAGE }

export function estimateUsage(facts: RequestFacts, bodyBytes: number, expectedOutputTokens: number): UsageEstimate {
  if (facts.isFree) return FREE
  const outputTokensBound = facts.outputTokensMax ?? expectedOutputTokens
  const { units } = facts
  if (units !== null) {
    const likely = { ...ZERO_USAGE, units: units.quantity, unitType: units.unitType }
    return { inputTokensBound: bodyBytes, outputTokensBound, likely }
  }
  return {
    inputTokensBound: bodyBytes,
    outputTokensBound,
    likely: {
      ...ZERO_USAGE,
      inputUncachedTokens: Math.ceil(bodyBytes / BYTES_PER_TOKEN_LIKELY),
      outputTokens: Math.min(outputTokensBound, expectedOutputTokens),
    },
  }
}

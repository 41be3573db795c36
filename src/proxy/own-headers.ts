/** The headers that are Tallygate's own: the request's id, the caller's own rate limits, and whether to try again. */
import type { Admitted as Admission } from "../admission/admit.ts"
import type { Charge, CounterState } from "../admission/limit-store.ts"
import { retryHeaders } from "../admission/refusal-error.ts"
import { anthropicRateLimitHeaders, rateLimitHeaders, warningText } from "../admission/refusal-text.ts"
import type { Api } from "../providers/dialect.ts"
import type { Admitted, Call } from "./call.ts"
import { requestIdHeaders } from "./refuse.ts"

type RefusedAdmission = Extract<Admission, { kind: "refused" }>

/** On every admitted answer: a flat list of names and values. */
export function ownHeaders(
  call: Call,
  admitted: Pick<Admitted, "held" | "counters" | "warnings" | "isShortened" | "outputTokensMax">,
): string[] {
  const headers = requestIdHeaders(call.door.api, call.id)
  for (const [name, value] of limitsIn(call.door.api, admitted.held.charges, admitted.counters, call.arrivedMs)) {
    headers.push(name, value)
  }
  for (const warning of admitted.warnings) headers.push("x-tallygate-warning", warningText(warning))
  if (admitted.isShortened) headers.push("x-tallygate-max-output-tokens", String(admitted.outputTokensMax))
  return headers
}

/** On a refusal by a limit. */
export function limitHeaders(api: Api, refused: RefusedAdmission, nowMs: number): [string, string][] {
  return [...limitsIn(api, refused.charges, refused.counters, nowMs), ...retryHeaders(refused.refusal)]
}

/** The caller's own limits, under the names that its SDK knows. */
function limitsIn(
  api: Api,
  charges: readonly Charge[],
  counters: readonly CounterState[],
  nowMs: number,
): [string, string][] {
  const write = api === "anthropic" ? anthropicRateLimitHeaders : rateLimitHeaders
  return write(charges, counters, nowMs)
}

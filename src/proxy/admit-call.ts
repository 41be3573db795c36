/**
 * May it: holds what the call may cost against every limit of its key, and writes the journal's start row, which is
 * the record that the call becomes if the process dies before its end. Only then may it be forwarded.
 */
import type { Admitted as AdmissionReply } from "../admission/admit.ts"
import type { CallEstimate } from "../admission/limits.ts"
import { awayError, refusalError } from "../admission/refusal-error.ts"
import { countedApart } from "../identity/counted-apart.ts"
import type { Limit } from "../identity/limit.ts"
import type { ProviderObject } from "../identity/provider-object.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { putUsage } from "../ledger/priced-record.ts"
import { recordText, subjectText } from "../ledger/record-text.ts"
import { totalTokens } from "../metering/usage.ts"
import { ApiError } from "../platform/error-table.ts"
import { nanosRoundedUp } from "../pricing/money.ts"
import type { Api } from "../providers/dialect.ts"
import type { ProviderAccount, Route } from "../providers/router.ts"
import type { Admitted, Call, Refused } from "./call.ts"
import { inputBytes, worstCaseOf } from "./call-bound.ts"
import { estimateUsage, type UsageEstimate } from "./call-estimate.ts"
import type { DataPlane } from "./data-plane.ts"
import { limitsOnCall } from "./limits-on-call.ts"
import { limitHeaders } from "./own-headers.ts"
import type { Asked } from "./read-request.ts"
import { chargeCall, startRecord } from "./record.ts"

export type CallAdmission = { readonly kind: "admitted"; readonly admitted: Admitted } | Refused

/** Where the call goes, and the most output that the provider is asked for there; null leaves the caller's own. */
export type Planned = {
  readonly route: Route
  readonly account: ProviderAccount
  readonly object: ProviderObject | null
  readonly outputTokensMax: number | null
}

export async function admitCall(
  plane: DataPlane,
  call: Call,
  key: VirtualKey,
  asked: Asked,
  planned: Planned,
): Promise<CallAdmission> {
  const unjournaled = journalFault(plane)
  if (unjournaled !== null) return unjournaled
  const { route, account, object, outputTokensMax } = planned
  const facts = outputTokensMax === null ? asked.facts : { ...asked.facts, outputTokensMax }
  const estimate = estimateUsage(facts, inputBytes(asked), plane.bounds.expectedOutputTokens)
  const limits = limitsOnCall(call, key)
  const accountLimits = countedApart(account.limits, key)
  const isMoneyLimited = limits.some(isMoney) || accountLimits.some(isMoney)
  const bound = boundOf(plane, call, asked, route, { estimate, isMoneyLimited })
  if (bound.kind === "refused") return bound

  const held = await plane.admission.admit({ holdId: call.id, limits, accountLimits, estimate: bound.estimate })
  if (held.kind === "refused") return refusedByLimit(plane, call.door.api, held)
  if (held.kind === "away") return { kind: "refused", error: awayError(held.refusal), reason: "store away" }

  const record = startRecord(plane, call, key, asked, planned)
  const admitted: Admitted = {
    held: held.hold,
    counters: held.counters,
    warnings: held.warnings,
    route,
    account,
    facts,
    body: asked.body,
    form: asked.form,
    outputTokensMax,
    object,
    record,
    subject: subjectText(record),
  }
  call.admitted = admitted
  const source = asked.facts.isFree ? "none" : "estimated"
  putUsage(record, estimate.likely, { source, estimator: "bytes/4", raw: null, isMismatch: false })
  chargeCall(plane, record, estimate.likely, held.hold, call.arrivedMs, null)
  try {
    await plane.journal.start(call.id, recordText(record, admitted.subject))
  } catch (cause) {
    return unavailable("usage_store_unavailable", "Usage cannot be written down at the moment.", cause)
  }
  return { kind: "admitted", admitted }
}

function journalFault(plane: DataPlane): Refused | null {
  if (!plane.journal.isFull()) return null
  const message = "The journal of usage records is full, because the ledger has been away for long."
  return unavailable("usage_store_full", message, undefined)
}

function unavailable(code: "usage_store_unavailable" | "usage_store_full", message: string, cause: unknown): Refused {
  const text = `${message} Nothing was forwarded or charged; please try again.`
  const error = new ApiError(code, text, { headers: [["retry-after", "5"]], ...(cause === undefined ? {} : { cause }) })
  return { kind: "refused", error, reason: code }
}

type Bound = { readonly kind: "bound"; readonly estimate: CallEstimate } | Refused

/** The worst case in money is worked out only where a limit is in money; there, a model without a price is refused. */
function boundOf(
  plane: DataPlane,
  call: Call,
  asked: Asked,
  route: Route,
  { estimate, isMoneyLimited }: { readonly estimate: UsageEstimate; readonly isMoneyLimited: boolean },
): Bound {
  const { inputTokensBound, outputTokensBound, likely } = estimate
  let costNanosBound = 0n
  if (!asked.facts.isFree && isMoneyLimited) {
    const worst = worstCaseOf(plane, call, asked, route, estimate)
    if (worst.kind === "unpriced") return unpriced(asked.facts.model, worst.reason)
    costNanosBound = nanosRoundedUp(worst.costPicos)
  }
  const tokensBound = BigInt(inputTokensBound) + BigInt(outputTokensBound)
  const tokensLikely = BigInt(totalTokens(likely))
  return { kind: "bound", estimate: { requests: 1n, tokensBound, tokensLikely, costNanosBound } }
}

function isMoney({ kind }: Limit): boolean {
  return kind === "usd"
}

function unpriced(model: string, reason: string): Refused {
  const message =
    `A money budget applies to this key, and the model \`${model.slice(0, 100)}\` has no price here (${reason}), so its cost ` +
    "cannot be held. Use a priced model, or ask an admin to add the price under `prices.files`."
  return { kind: "refused", error: new ApiError("model_not_priced", message, { param: "model" }), reason: "not priced" }
}

function refusedByLimit(plane: DataPlane, api: Api, refused: Extract<AdmissionReply, { kind: "refused" }>): Refused {
  const nowMs = plane.clock.nowMs()
  return { kind: "refused", ...refusalError(refused.refusal, limitHeaders(api, refused, nowMs), nowMs) }
}

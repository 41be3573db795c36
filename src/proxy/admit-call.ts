/**
 * May it: holds what the call may cost against every limit of its key, and writes the journal's start row, which is
 * the record that the call becomes if the process dies before its end. Only then may it be forwarded.
 */
import type { Admitted as AdmissionReply } from "../admission/admit.ts"
import { awayError, refusalError } from "../admission/refusal-error.ts"
import { countedApart } from "../identity/counted-apart.ts"
import type { ProviderObject } from "../identity/provider-object.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { eraseSaid } from "../ledger/erased-columns.ts"
import { putUsage } from "../ledger/priced-record.ts"
import { recordText, subjectText } from "../ledger/record-text.ts"
import { bounded } from "../platform/bounded-text.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Api, RequestFacts } from "../providers/dialect.ts"
import type { ProviderAccount, Route } from "../providers/router.ts"
import { makesBatch, planBatch } from "./batch-hold.ts"
import type { Admitted, Call, Refused } from "./call.ts"
import { inputBytes } from "./call-bound.ts"
import { estimateUsage } from "./call-estimate.ts"
import type { DataPlane } from "./data-plane.ts"
import { holdCall } from "./hold-call.ts"
import { countingMost, planHold } from "./hold-plan.ts"
import { limitsOnCall } from "./limits-on-call.ts"
import { limitHeaders } from "./own-headers.ts"
import type { Asked } from "./read-request.ts"
import { attributed, chargeCall, startRecord } from "./record.ts"
import { openSlices, slicingOf } from "./slices-of.ts"

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
  said: Asked,
  planned: Planned,
): Promise<CallAdmission> {
  const unjournaled = journalFault(plane)
  if (unjournaled !== null) return unjournaled
  const asked = withoutErased(plane, key, said)
  const { route, account, object } = planned
  const asking = withOutput(asked.facts, planned.outputTokensMax)
  const estimate = estimateUsage(asking, inputBytes(asked), plane.bounds.expectedOutputTokens)
  const routed = { model: bounded(route.model), endCustomer: bounded(asked.facts.endCustomer) }
  const limits = limitsOnCall(call, key, key.limits, routed)
  const accountLimits = limitsOnCall(call, key, countedApart(account.limits, key), routed)
  const counting = countingMost(limits, accountLimits)
  const question = { asked, facts: asking, route, estimate }
  const plan =
    counting !== null && makesBatch(call)
      ? await planBatch(plane, call, question, counting)
      : planHold(plane, call, question, counting)
  if (plan.kind === "refused") return plan

  const slicing = counting === null ? null : slicingOf(call, question, counting, plan)
  const onLimits = { keyId: key.id, limits, accountLimits }
  const { reply: held, ...most } = await holdCall(plane, call.id, onLimits, slicing?.plan ?? plan)
  if (held.kind === "refused") return refusedByLimit(plane, call.door.api, held)
  if (held.kind === "away") return { kind: "refused", error: awayError(held.refusal), reason: "store away" }

  const { asksForOutput, isMost, outputTokens } = slicing?.plan ?? plan
  const isShortened = asksForOutput || most.outputTokens < outputTokens
  const outputTokensMax = isShortened ? most.outputTokens : planned.outputTokensMax
  const record = startRecord(call, key, attributed(plane, call, key), asked, planned)
  record.bound = plan.bound
  if (asked !== said) eraseSaid(record, bounded(said.facts.endCustomer))
  const admitted: Admitted = {
    held: held.hold,
    counters: held.counters,
    warnings: held.warnings,
    route,
    account,
    facts: withOutput(asked.facts, outputTokensMax),
    body: asked.body,
    form: asked.form,
    outputTokensMax,
    isShortened,
    most: isMost ? most.estimate : null,
    object,
    slices: slicing === null ? null : openSlices(plane, call, held.hold, slicing, outputTokensMax),
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

/** Whoever was erased is not named again. */
function withoutErased({ erasures }: DataPlane, { organizationId }: VirtualKey, asked: Asked): Asked {
  if (asked.facts.endCustomer === "") return asked
  const named = bounded(asked.facts.endCustomer)
  const endCustomer = erasures.nameOf(organizationId, named)
  return endCustomer === named ? asked : { ...asked, facts: { ...asked.facts, endCustomer } }
}

function withOutput(facts: RequestFacts, outputTokensMax: number | null): RequestFacts {
  return outputTokensMax === null ? facts : { ...facts, outputTokensMax }
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

function refusedByLimit(plane: DataPlane, api: Api, refused: Extract<AdmissionReply, { kind: "refused" }>): Refused {
  const nowMs = plane.clock.nowMs()
  return { kind: "refused", ...refusalError(refused.refusal, limitHeaders(api, refused, nowMs), nowMs) }
}

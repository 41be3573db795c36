/** Fills the usage record of a call: at its start with what is known then, at its end with what came of it. */
import { chargesOf, type HeldCall } from "../admission/admit.ts"
import { type CallActual, recordCharges } from "../admission/limits.ts"
import type { Limit } from "../identity/limit.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { BlankRecord } from "../ledger/blank-record.ts"
import { priceRecord, putUsage, type UsageOrigin } from "../ledger/priced-record.ts"
import type { EndState, Outcome, UsageRecord } from "../ledger/usage-record.ts"
import { totalTokens, type Usage } from "../metering/usage.ts"
import { bounded } from "../platform/bounded-text.ts"
import { regionalTier } from "../pricing/region.ts"
import type { ProviderAccount, Route } from "../providers/router.ts"
import { type Attribution, readAttribution, text } from "./attribution.ts"
import type { Admitted, Answer, Call, Quote } from "./call.ts"
import type { DataPlane } from "./data-plane.ts"
import type { Asked } from "./read-request.ts"

/** Codex names its session in a header. */
function sessionOf({ request: { headers } }: Call): string {
  return text(headers["session-id"] ?? headers.session_id)
}

type Bounded = Pick<DataPlane, "newValues">
type Upstream = { readonly route: Route; readonly account: ProviderAccount }

export type AnswerUsage = { readonly usage: Usage; readonly origin: UsageOrigin }

/** The record as it is when the call is about to be forwarded: what it will say if nothing more is ever heard of it. */
export function startRecord(call: Call, key: VirtualKey, said: Attribution, asked: Asked, to: Upstream): UsageRecord {
  const record = new BlankRecord()
  record.id = call.id
  record.time = new Date(call.arrivedMs).toISOString()
  record.organization_id = key.organizationId
  record.project_id = key.projectId
  record.user_id = key.userId
  record.key_id = key.id
  record.end_customer = bounded(asked.facts.endCustomer)
  record.conversation = said.conversation || bounded(asked.facts.conversation) || sessionOf(call)
  record.tool = said.tool
  record.operation = said.operation
  record.tags = said.tags
  record.metadata = said.metadata
  record.client_request_id = text(call.request.headers["x-request-id"])
  record.endpoint = call.endpoint.name
  record.dialect = call.endpoint.dialect.name
  record.provider = to.route.provider.name
  record.provider_account = to.account.name
  record.region = to.account.region
  record.billing = to.route.provider.credential
  record.model_requested = bounded(asked.facts.model)
  record.model_routed = bounded(to.route.model)
  record.model_served = record.model_routed
  record.tier_requested = bounded(asked.facts.tier)
  record.stream = asked.facts.isStream
  record.request_bytes = asked.body.length
  return record
}

/** What the call says about itself, with no more new values than its key may bring into being, and the key's own tags. */
export function attributed({ newValues }: Bounded, call: Call, key: VirtualKey): Attribution {
  const said = readAttribution(call.request.headers)
  if (said.tool === "" && said.operation === "" && said.tags.length === 0) {
    return key.tags.length === 0 ? said : { ...said, tags: [...key.tags] }
  }
  const admit = (kind: "tool" | "operation" | "tag", value: string) =>
    newValues.admit(key.id, kind, value, call.arrivedMs)
  return {
    ...said,
    tool: admit("tool", said.tool),
    operation: admit("operation", said.operation),
    tags: [...new Set([...key.tags, ...said.tags.map((tag) => admit("tag", tag))])],
  }
}

/** Prices the record's usage and writes what its budgets are charged for it; returns what the call used of its limits. */
export function chargeCall(
  plane: DataPlane,
  record: UsageRecord,
  usage: Usage,
  held: HeldCall,
  atMs: number,
  quote: Quote | null,
): CallActual {
  const costNanos = priceRecord(plane, record, usage, atMs, quote?.usage === usage ? quote.priced : null)
  const actual = { requests: 1n, tokens: BigInt(totalTokens(usage)), costNanos }
  record.charges = recordCharges(chargesOf(held), actual)
  return actual
}

/** Prices usage that is reported late and charges it to limits that held nothing for it. Idempotent by the record's id. */
export async function chargeLater(
  plane: DataPlane,
  record: UsageRecord,
  { usage, origin }: AnswerUsage,
  { limits, accountLimits }: { readonly limits: readonly Limit[]; readonly accountLimits: readonly Limit[] },
  atMs: number,
): Promise<void> {
  putUsage(record, usage, origin)
  const costNanos = priceRecord(plane, record, usage, atMs)
  const actual = { requests: 0n, tokens: BigInt(totalTokens(usage)), costNanos }
  const held = plane.admission.unheld(record.id, limits, accountLimits)
  record.charges = recordCharges(chargesOf(held), actual)
  await plane.admission.settle(held, actual)
}

/** Completes the record of a forwarded call and returns what it used of its limits. */
export function completeRecord(
  plane: DataPlane,
  call: Call,
  admitted: Pick<Admitted, "record" | "held">,
  answer: Answer,
  { usage, origin }: AnswerUsage,
): CallActual {
  const { record, held } = admitted
  const { reading } = answer
  if (reading.model !== "") record.model_served = bounded(reading.model)
  record.tier_served = bounded(regionalTier(reading.tier, reading.region))
  record.provider_request_id = bounded(answer.providerRequestId)
  record.provider_response_id = bounded(reading.responseId)
  record.provider_cost_usd = reading.costUsd
  putUsage(record, usage, origin)
  putEnd(record, answer)
  putTimes(call, record, answer)
  return chargeCall(plane, record, usage, held, call.arrivedMs, call.quote)
}

function putEnd(record: UsageRecord, answer: Answer): void {
  record.end_state = answer.endState
  record.outcome = outcomeOf(answer.endState, answer.reading.hasError)
  record.error_code = answer.errorCode
  record.cut_by = answer.cutBy
  record.http_status = answer.endState === "client_abort" ? 0 : (answer.error?.status ?? answer.upstreamStatus)
}

function outcomeOf(endState: EndState, hasError: boolean): Outcome {
  if (endState === "client_abort") return "aborted"
  return endState === "complete" && !hasError ? "ok" : "error"
}

function putTimes(call: Call, record: UsageRecord, answer: Answer): void {
  const since = (ms: number) => Math.round(ms - call.startedMs)
  record.duration_ms = since(answer.endedMs)
  record.ttft_ms = answer.firstContentMs === null ? null : since(answer.firstContentMs)
  record.upstream_ms = answer.headMs === null ? null : Math.round(answer.headMs - answer.forwardedMs)
  record.overhead_us = Math.round((answer.forwardedMs - call.startedMs) * 1000)
  record.response_bytes = answer.responseBytes
  record.attempts = [
    {
      provider: record.provider,
      account: record.provider_account,
      model: record.model_routed,
      status: answer.upstreamStatus,
      started_ms: since(answer.forwardedMs),
      duration_ms: Math.round(answer.endedMs - answer.forwardedMs),
      provider_request_id: record.provider_request_id,
      error: answer.errorCode,
    },
  ]
}

/** Fills the usage record of a call: at its start with what is known then, at its end with what came of it. */
import { chargesOf, type HeldCall } from "../admission/admit.ts"
import { type CallActual, recordCharges } from "../admission/limits.ts"
import type { Limit } from "../identity/limit.ts"
import type { VirtualKey } from "../identity/virtual-key.ts"
import { priceRecord, putUsage, type UsageOrigin } from "../ledger/priced-record.ts"
import type { EndState, Outcome, UsageRecord } from "../ledger/usage-record.ts"
import { totalTokens, type Usage } from "../metering/usage.ts"
import { bounded } from "../platform/bounded-text.ts"
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

/**
 * The record as it is when the call is about to be forwarded: what it will say if nothing more is ever heard of it.
 * One literal, member by member, since an object of spreads is slow to make and slow to read.
 */
export const startRecord = (
  call: Call,
  key: VirtualKey,
  said: Attribution,
  asked: Asked,
  to: Upstream,
): UsageRecord => ({
  id: call.id,
  time: new Date(call.arrivedMs).toISOString(),
  kind: "call",
  adjusts_id: null,
  organization_id: key.organizationId,
  project_id: key.projectId,
  user_id: key.userId,
  key_id: key.id,
  end_customer: bounded(asked.facts.endCustomer),
  conversation: said.conversation || bounded(asked.facts.conversation) || sessionOf(call),
  tool: said.tool,
  operation: said.operation,
  tags: said.tags,
  metadata: said.metadata,
  client_request_id: text(call.request.headers["x-request-id"]),
  endpoint: call.endpoint.name,
  dialect: call.endpoint.dialect.name,
  provider: to.route.provider.name,
  provider_account: to.account.name,
  region: to.account.region,
  billing: to.route.provider.credential,
  model_requested: bounded(asked.facts.model),
  model_routed: bounded(to.route.model),
  model_served: bounded(to.route.model),
  tier_requested: bounded(asked.facts.tier),
  tier_served: "",
  provider_request_id: "",
  provider_response_id: "",
  stream: asked.facts.isStream,
  attempts: [],
  outcome: "error",
  end_state: "interrupted",
  http_status: 0,
  error_code: "",
  cut_by: "",
  usage_source: "none",
  estimator: "",
  input_uncached_tokens: 0,
  cache_read_tokens: 0,
  cache_write_5m_tokens: 0,
  cache_write_1h_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
  audio_input_tokens: 0,
  image_input_tokens: 0,
  audio_output_tokens: 0,
  image_output_tokens: 0,
  web_searches: 0,
  units: 0,
  unit_type: "",
  usage_mismatch: false,
  usage_raw: null,
  price_state: "free",
  cost_usd: "0",
  cost_source: "",
  price_row: "",
  base_cost_usd: null,
  provider_cost_usd: null,
  book_cost_usd: null,
  charges: [],
  bound: "",
  duration_ms: 0,
  ttft_ms: null,
  upstream_ms: null,
  overhead_us: 0,
  request_bytes: asked.body.length,
  response_bytes: 0,
})

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
  record.tier_served = bounded(reading.tier)
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

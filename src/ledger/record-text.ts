/**
 * A record as the text that travels through the journal into Postgres: JSON without the members that say nothing
 * (empty, zero, false, null), since the ingest statement fills those in. It is written out member by member because it
 * stands on the request path twice: a generic walk over the columns took five times as long.
 */
import type { DurableCharge } from "../admission/limits.ts"
import { Remembered } from "./remembered.ts"
import type { Attempt, UsageRecord } from "./usage-record.ts"

/** Printable ASCII but for the quote and the backslash. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/**
 * JSON text of the record; what it leaves out is what the ingest statement puts in its place. `subject` is the
 * `subjectText` of the same record, made before; a call writes its record twice and this part of it does not change.
 */
export function recordText(record: UsageRecord, subject = subjectText(record)): string {
  return `${subject}${how(record)}${amount(record)}${price(record)}${times(record)}}`
}

/** The part of the text that is known when the call begins: who calls, and what was asked of whom. */
export function subjectText(record: UsageRecord): string {
  return `{"id":"${record.id}","time":"${record.time}","kind":"${record.kind}"${who(record)}${where(record)}`
}

function who(record: UsageRecord): string {
  return (
    text(',"adjusts_id":', record.adjusts_id ?? "") +
    OWNERS.of(record.key_id, record) +
    text(',"end_customer":', record.end_customer) +
    text(',"conversation":', record.conversation) +
    text(',"tool":', record.tool) +
    text(',"operation":', record.operation) +
    list(',"tags":', record.tags) +
    (isEmpty(record.metadata) ? "" : `,"metadata":${JSON.stringify(record.metadata)}`) +
    text(',"client_request_id":', record.client_request_id)
  )
}

function where(record: UsageRecord): string {
  return PLACES.of(record.model_requested, record) + count(',"request_bytes":', record.request_bytes)
}

/** Whose call it is: the same for all calls of a key. */
const OWNERS = new Remembered<Owner>({
  isSame: (known, record) =>
    known.key_id === record.key_id &&
    known.organization_id === record.organization_id &&
    known.project_id === record.project_id &&
    known.user_id === record.user_id,
  copy: ({ organization_id, project_id, user_id, key_id }) => ({ organization_id, project_id, user_id, key_id }),
  write: (record) =>
    `,"organization_id":${quoted(record.organization_id)}` +
    text(',"project_id":', record.project_id) +
    text(',"user_id":', record.user_id) +
    text(',"key_id":', record.key_id),
})
type Owner = Pick<UsageRecord, "organization_id" | "project_id" | "user_id" | "key_id">

/** What is asked of whom: the same for nearly all calls to a model. */
const PLACES = new Remembered<Place>({
  isSame: (known, record) =>
    known.model_requested === record.model_requested &&
    known.model_routed === record.model_routed &&
    known.endpoint === record.endpoint &&
    known.dialect === record.dialect &&
    known.provider === record.provider &&
    known.provider_account === record.provider_account &&
    known.region === record.region &&
    known.billing === record.billing &&
    known.tier_requested === record.tier_requested &&
    known.stream === record.stream,
  copy: (record) => ({
    endpoint: record.endpoint,
    dialect: record.dialect,
    provider: record.provider,
    provider_account: record.provider_account,
    region: record.region,
    billing: record.billing,
    model_requested: record.model_requested,
    model_routed: record.model_routed,
    tier_requested: record.tier_requested,
    stream: record.stream,
  }),
  write: (record) =>
    text(',"endpoint":', record.endpoint) +
    text(',"dialect":', record.dialect) +
    text(',"provider":', record.provider) +
    text(',"provider_account":', record.provider_account) +
    text(',"region":', record.region) +
    `,"billing":"${record.billing}"` +
    text(',"model_requested":', record.model_requested) +
    text(',"model_routed":', record.model_routed) +
    text(',"tier_requested":', record.tier_requested) +
    (record.stream ? ',"stream":true' : ""),
})
type Place = Pick<
  UsageRecord,
  | "endpoint"
  | "dialect"
  | "provider"
  | "provider_account"
  | "region"
  | "billing"
  | "model_requested"
  | "model_routed"
  | "tier_requested"
  | "stream"
>

/** What a charge is on: the same for all calls in a limit's window. */
const CHARGED = new Remembered<Charged>({
  isSame: (known, { limit_id, subject, window }) =>
    known.limit_id === limit_id && known.subject === subject && known.window === window,
  copy: ({ limit_id, subject, window }) => ({ limit_id, subject, window }),
  write: ({ limit_id, subject, window }) =>
    `{"limit_id":${quoted(limit_id)},"subject":${quoted(subject)},"window":${quoted(window)},"amount":"`,
})
type Charged = Pick<DurableCharge, "limit_id" | "subject" | "window">

function how(record: UsageRecord): string {
  return (
    text(',"model_served":', record.model_served) +
    text(',"tier_served":', record.tier_served) +
    text(',"provider_request_id":', record.provider_request_id) +
    text(',"provider_response_id":', record.provider_response_id) +
    attempts(record.attempts) +
    text(',"outcome":', record.outcome) +
    text(',"end_state":', record.end_state) +
    count(',"http_status":', record.http_status) +
    text(',"error_code":', record.error_code) +
    text(',"cut_by":', record.cut_by)
  )
}

function amount(record: UsageRecord): string {
  return (
    `,"usage_source":"${record.usage_source}"` +
    text(',"estimator":', record.estimator) +
    count(',"input_uncached_tokens":', record.input_uncached_tokens) +
    count(',"cache_read_tokens":', record.cache_read_tokens) +
    count(',"cache_write_5m_tokens":', record.cache_write_5m_tokens) +
    count(',"cache_write_1h_tokens":', record.cache_write_1h_tokens) +
    count(',"output_tokens":', record.output_tokens) +
    count(',"reasoning_tokens":', record.reasoning_tokens) +
    count(',"audio_input_tokens":', record.audio_input_tokens) +
    count(',"image_input_tokens":', record.image_input_tokens) +
    count(',"audio_output_tokens":', record.audio_output_tokens) +
    count(',"image_output_tokens":', record.image_output_tokens) +
    count(',"web_searches":', record.web_searches) +
    count(',"units":', record.units) +
    text(',"unit_type":', record.unit_type) +
    (record.usage_mismatch ? ',"usage_mismatch":true' : "") +
    (record.usage_raw == null ? "" : `,"usage_raw":${JSON.stringify(record.usage_raw)}`)
  )
}

function price(record: UsageRecord): string {
  return (
    `,"price_state":"${record.price_state}"` +
    text(',"cost_usd":', record.cost_usd ?? "") +
    text(',"cost_source":', record.cost_source) +
    text(',"price_row":', record.price_row) +
    text(',"base_cost_usd":', record.base_cost_usd ?? "") +
    text(',"provider_cost_usd":', record.provider_cost_usd ?? "") +
    charges(record.charges) +
    text(',"bound":', record.bound) +
    text(',"book_cost_usd":', record.book_cost_usd ?? "")
  )
}

function times(record: UsageRecord): string {
  return (
    count(',"duration_ms":', record.duration_ms) +
    (record.ttft_ms === null ? "" : `,"ttft_ms":${record.ttft_ms}`) +
    (record.upstream_ms === null ? "" : `,"upstream_ms":${record.upstream_ms}`) +
    count(',"overhead_us":', record.overhead_us) +
    count(',"response_bytes":', record.response_bytes)
  )
}

function text(member: string, value: string): string {
  return value === "" ? "" : member + quoted(value)
}

/** Nearly every value needs no escaping, and seeing that is cheaper than having it escaped. */
function quoted(value: string): string {
  return PLAIN.test(value) ? `"${value}"` : JSON.stringify(value)
}

function charges(values: readonly DurableCharge[]): string {
  let json = ""
  for (const charge of values) {
    const { limit_id: limit, amount, organization_id: counters = "" } = charge
    json += `${json === "" ? "" : ","}${CHARGED.of(limit, charge)}${amount}"${text(',"organization_id":', counters)}}`
  }
  return json === "" ? "" : `,"charges":[${json}]`
}

function attempts(values: readonly Attempt[]): string {
  let json = ""
  for (const { provider, account, model, status, started_ms, duration_ms, provider_request_id, error } of values) {
    json += `${json === "" ? "" : ","}{"provider":${quoted(provider)},"account":${quoted(account)},"model":${quoted(model)},"status":${status},"started_ms":${started_ms},"duration_ms":${duration_ms},"provider_request_id":${quoted(provider_request_id)},"error":${quoted(error)}}`
  }
  return json === "" ? "" : `,"attempts":[${json}]`
}

function count(member: string, value: number): string {
  return value === 0 ? "" : member + value
}

function list(member: string, values: readonly unknown[]): string {
  return values.length === 0 ? "" : member + JSON.stringify(values)
}

function isEmpty(value: object): boolean {
  for (const _name in value) return false
  return true
}

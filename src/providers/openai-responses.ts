/**
 * OpenAI's Responses API (`POST /v1/responses`, `POST /v1/responses/compact`, `GET /v1/responses/{id}`), JSON and SSE.
 * Usage is reported unasked: in the response object, which a stream repeats in its first events (without usage) and in
 * its last. (OpenAI API reference, Responses, streaming events.)
 *
 * A response made in the background is answered before it is worked on. Its usage stands in a later answer under the
 * same id; until then the reading is pending.
 */
import {
  addContainer,
  addOutput,
  type Dialect,
  FREE_FACTS,
  type Reading,
  type ReadRequest,
  type RequestFacts,
  type RequestForm,
  type Rewrite,
  type StreamEvent,
} from "./dialect.ts"
import { outline, withMember } from "./json-members.ts"
import { modelOf, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { boundResponse } from "./openai-responses-bound.ts"
import { readResponsesUsage, webSearchesIn } from "./openai-responses-usage.ts"
import { readProviderCost } from "./provider-cost.ts"
import { ResponsesStreamEnd } from "./responses-stream-end.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
/** The last two name what another caller may own: which of two is meant must not depend on who reads. */
const DECISIVE = [
  "model",
  "stream",
  "max_output_tokens",
  "background",
  "conversation",
  "previous_response_id",
  "prompt",
  "input",
  "tools",
]
const TERMINAL_EVENTS: ReadonlySet<unknown> = new Set([
  "response.completed",
  "response.incomplete",
  "response.failed",
  "response.cancelled",
])
/** Events whose `delta` the model wrote. */
const TEXT_EVENTS: ReadonlySet<unknown> = new Set([
  "response.output_text.delta",
  "response.refusal.delta",
  "response.function_call_arguments.delta",
  "response.mcp_call_arguments.delta",
  "response.custom_tool_call_input.delta",
  "response.code_interpreter_call_code.delta",
  "response.reasoning_text.delta",
  "response.reasoning_summary_text.delta",
])

export const openAiResponses: Dialect = {
  name: "openai-responses",

  readRequest(body: Buffer, form: RequestForm): ReadRequest {
    if (body.length === 0) return { kind: "read", facts: retrievalFacts(form) }
    const outlined = readOutline(body, DECISIVE)
    if (outlined.kind === "invalid") return outlined
    const model = modelOf(outlined.request)
    if (typeof model !== "string") return model
    return { kind: "read", facts: factsOf(outlined.request, model), outline: outlined.request }
  },

  bound: boundResponse,

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    if (body.length === 0) return body
    let bytes = body
    if (rewrite.model !== facts.model) bytes = withMember(bytes, "model", JSON.stringify(rewrite.model))
    if (rewrite.outputTokensMax === null) return bytes
    return withMember(bytes, "max_output_tokens", String(Math.max(1, Math.floor(rewrite.outputTokensMax))))
  },

  readAnswer(body: Buffer, reading: Reading): void {
    const outlined = parsedObject(outline(body))
    if (outlined === null) return
    // The bulk of an answer is in its output, which matters for its searches and containers, and for an estimate where usage is missing.
    const isOutputRead =
      asObject(outlined.usage) === null || body.includes("web_search_call") || body.includes("container_id")
    const response = (isOutputRead ? parsedObject(body.toString("utf8")) : null) ?? outlined
    readResponse(response, reading)
    if (reading.usage === null) for (const item of asArray(response.output)) addOutput(textOfItem(item), reading)
    reading.isPending = isUnderWay(response)
    reading.isFinished = !reading.isPending
  },

  readEvent(data: string, reading: Reading): StreamEvent {
    const event = parsedObject(data)
    if (event === null) return SHOWN
    if (TEXT_EVENTS.has(event.type)) addOutput(asText(event.delta), reading)
    if (event.type === "error" || event.type === "response.failed" || asObject(event.error) !== null) {
      reading.hasError = true
    }
    const response = asObject(event.response)
    if (response !== null) readResponse(response, reading)
    if (TERMINAL_EVENTS.has(event.type)) {
      reading.isFinished = true
      reading.isPending = false
    } else if (response?.background === true && isUnderWay(response) && !reading.isFinished) {
      // Should the stream be cut from here on, the provider finishes the response all the same.
      reading.isPending = true
    }
    return SHOWN
  },

  streamEnd: () => new ResponsesStreamEnd(),

  streamError(message: string, code: string): string {
    const error = { type: "error", code, message, param: null, sequence_number: 0 }
    return `event: error\ndata: ${JSON.stringify(error)}\n\n`
  },
}

function factsOf(request: Record<string, unknown>, model: string): RequestFacts {
  return {
    model,
    isStream: request.stream === true,
    asksUsage: true,
    outputTokensMax: count(request.max_output_tokens),
    tier: asText(request.service_tier),
    endCustomer: asText(request.safety_identifier) || asText(request.user),
    conversation: asText(request.conversation) || asText(asObject(request.conversation)?.id),
    units: null,
    isFree: false,
  }
}

/** Asking for a response that was made before: no model is named, and asking costs nothing. */
function retrievalFacts(form: RequestForm): RequestFacts {
  return { ...FREE_FACTS, isStream: form.isStream === true }
}

function readResponse(response: Record<string, unknown>, reading: Reading): void {
  if (reading.model === "") reading.model = asText(response.model)
  if (reading.responseId === "") reading.responseId = asText(response.id)
  // The first events repeat the tier that was asked for, the last one says which served.
  reading.tier = asText(response.service_tier) || reading.tier
  if (response.status === "failed" || asObject(response.error) !== null) reading.hasError = true
  // A compaction repeats items of the conversation, whose searches were billed when they were made.
  const isCompaction = response.object === "response.compaction"
  const output = isCompaction ? [] : response.output
  for (const item of asArray(output)) addContainer(asText(asObject(item)?.container_id), reading)
  const read = readResponsesUsage(response.usage, isCompaction ? 0 : webSearchesIn(response))
  if (read === null) return
  reading.usage = read.usage
  reading.usageRaw = response.usage
  reading.isMismatch = read.isMismatch
  readProviderCost(response.usage, reading)
}

function isUnderWay(response: Record<string, unknown>): boolean {
  return (response.status === "queued" || response.status === "in_progress") && asObject(response.usage) === null
}

/** What an output item shows: text, refusal, summary of the reasoning, and what is handed to a tool. */
function textOfItem(value: unknown): string {
  const item = asObject(value)
  if (item === null) return ""
  let text = ""
  for (const part of [...asArray(item.summary), ...asArray(item.content)]) {
    text += asText(asObject(part)?.text) + asText(asObject(part)?.refusal)
  }
  return text + asText(item.arguments) + asText(item.input) + asText(item.code)
}

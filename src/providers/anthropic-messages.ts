/**
 * Anthropic's Messages API (`POST /v1/messages`), JSON and SSE, and its token counting
 * (`POST /v1/messages/count_tokens`). Both kinds of answer report usage unasked, so nothing is added to a request. A
 * stream states it twice: `message_start` has the input and a placeholder for the output, `message_delta` the cumulative
 * figures. (Anthropic API reference, Messages; streaming guide.)
 *
 * In a stream that ends before a `message_delta`, the reading's usage is that of `message_start`: its input is the bill,
 * its output is not. `isFinished` tells the two apart: it is set by nothing before `message_delta`.
 */
import { boundMessage } from "./anthropic-bound.ts"
import { AnthropicStreamEnd } from "./anthropic-stream-end.ts"
import { laterAnthropicUsage, readAnthropicUsage } from "./anthropic-usage.ts"
import {
  addContainer,
  addOutput,
  type Dialect,
  type Reading,
  type ReadRequest,
  type RequestFacts,
  type Rewrite,
  type StreamEvent,
} from "./dialect.ts"
import { outline, withMember } from "./json-members.ts"
import { modelOf, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { boundedInput } from "./request-bound.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
const DECISIVE = ["model", "stream", "max_tokens", "messages", "tools", "system"]
/** `user_<hash>_account_<uuid>_session_<uuid>`; the account is empty for a caller with an API key of its own. */
const CLAUDE_CODE_USER = /^user_([^_]+)_account_([^_]*)_session_([^_]+)$/

export const anthropicMessages: Dialect = {
  name: "anthropic-messages",
  reportsOutputLast: true,

  readRequest(body: Buffer): ReadRequest {
    return readRequestWith(body, factsOf)
  },

  bound: boundMessage,

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    const bytes = withModel(body, facts, rewrite)
    if (rewrite.outputTokensMax === null) return bytes
    return withMember(bytes, "max_tokens", String(Math.max(1, Math.floor(rewrite.outputTokensMax))))
  },

  readAnswer(body: Buffer, reading: Reading): void {
    const answer = parsedObject(outline(body))
    if (answer === null) return
    readError(answer, reading)
    readMessage(answer, reading)
    // The text is for an estimate, and a whole answer that reports its usage needs none.
    if (reading.usage === null) {
      for (const block of asArray(parsedObject(body.toString("utf8"))?.content)) addOutput(textOfBlock(block), reading)
    }
    reading.isFinished = true
  },

  readEvent(data: string, reading: Reading): StreamEvent {
    const event = parsedObject(data)
    if (event === null) return SHOWN
    readError(event, reading)
    switch (event.type) {
      case "message_start":
        readStart(asObject(event.message) ?? {}, reading)
        break
      case "content_block_start":
        addOutput(textOfBlock(event.content_block), reading)
        break
      case "content_block_delta":
        addOutput(textOfDelta(asObject(event.delta)), reading)
        break
      case "message_delta":
        addContainer(asText(asObject(asObject(event.delta)?.container)?.id), reading)
        if (readUsage(event.usage, reading)) reading.isFinished = true
        break
      case "message_stop":
        reading.isFinished = true
        break
    }
    return SHOWN
  },

  streamEnd: () => new AnthropicStreamEnd(),

  streamError: anthropicStreamError,
}

/** Counting tokens: a provider bills nothing for it, so its answer is passed on and not read. */
export const anthropicCountTokens: Dialect = {
  name: "anthropic-count-tokens",

  readRequest(body: Buffer): ReadRequest {
    return readRequestWith(body, (request, model) => ({
      ...factsOf(request, model),
      isStream: false,
      outputTokensMax: null,
      isFree: true,
    }))
  },

  bound: () => boundedInput(0),

  rewriteRequest: withModel,

  readAnswer(_body: Buffer, reading: Reading): void {
    reading.isFinished = true
  },

  readEvent: () => SHOWN,

  streamError: anthropicStreamError,
}

/** The `error` event of Anthropic's streams. The code is ours: no type of theirs tells it, so it stands beside the type. */
export function anthropicStreamError(message: string, code: string): string {
  const error = { type: "error", error: { type: "api_error", message, code } }
  return `event: error\ndata: ${JSON.stringify(error)}\n\n`
}

function readRequestWith(
  body: Buffer,
  toFacts: (request: Record<string, unknown>, model: string) => RequestFacts,
): ReadRequest {
  const outlined = readOutline(body, DECISIVE)
  if (outlined.kind === "invalid") return outlined
  const model = modelOf(outlined.request)
  if (typeof model !== "string") return model
  return { kind: "read", facts: toFacts(outlined.request, model), outline: outlined.request }
}

function factsOf(request: Record<string, unknown>, model: string): RequestFacts {
  return {
    model,
    isStream: request.stream === true,
    asksUsage: true,
    outputTokensMax: count(request.max_tokens),
    tier: asText(request.service_tier),
    ...callerOf(asText(asObject(request.metadata)?.user_id)),
    units: null,
    isFree: false,
  }
}

/** Claude Code packs who and which session into the one member that the API has for the caller's user. */
function callerOf(userId: string): { endCustomer: string; conversation: string } {
  const older = CLAUDE_CODE_USER.exec(userId)
  if (older !== null) return { endCustomer: older[2] || (older[1] ?? ""), conversation: older[3] ?? "" }
  const newer = userId.startsWith("{") ? parsedObject(userId) : null
  const conversation = asText(newer?.session_id)
  if (newer === null || conversation === "") return { endCustomer: userId, conversation: "" }
  return { endCustomer: asText(newer.account_uuid) || asText(newer.device_id), conversation }
}

function withModel(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
  return rewrite.model === facts.model ? body : withMember(body, "model", JSON.stringify(rewrite.model))
}

function readError(answer: Record<string, unknown>, reading: Reading): void {
  if (answer.type === "error" || asObject(answer.error) !== null) reading.hasError = true
}

/** A stream may open its one message twice, which starts nothing anew; another message's figures replace this one's. */
function readStart(message: Record<string, unknown>, reading: Reading): void {
  const id = asText(message.id)
  const isAnother = reading.responseId !== "" && id !== "" && id !== reading.responseId
  if (isAnother && readAnthropicUsage(message.usage) !== null) {
    reading.model = ""
    reading.responseId = ""
    reading.usageRaw = null
    reading.isFinished = false
  }
  // Its output is a placeholder: behind the final figures it would undo them.
  if (!reading.isFinished) readMessage(message, reading)
}

function readMessage(message: Record<string, unknown>, reading: Reading): void {
  addContainer(asText(asObject(message.container)?.id), reading)
  if (reading.model === "") reading.model = asText(message.model)
  if (reading.responseId === "") reading.responseId = asText(message.id)
  readUsage(message.usage, reading)
}

/** Adds what the value states to what was stated before it; false where it states no usage. */
function readUsage(value: unknown, reading: Reading): boolean {
  if (readAnthropicUsage(value) === null) return false
  const raw = laterAnthropicUsage(reading.usageRaw, value)
  const read = readAnthropicUsage(raw)
  if (read === null) return false
  reading.usage = read.usage
  reading.usageRaw = raw
  reading.isMismatch = read.isMismatch
  // The tier that served decides the price, not the one that was asked for; and the fast mode has a price of its own.
  const stated = asObject(raw)
  reading.tier = stated?.speed === "fast" ? "fast" : asText(stated?.service_tier) || reading.tier
  return true
}

/** What a piece of a block shows; a signature is no output, and the summary of a compaction is billed as output. */
function textOfDelta(delta: Record<string, unknown> | null): string {
  if (delta === null) return ""
  return asText(delta.text) + asText(delta.thinking) + asText(delta.partial_json) + asText(delta.content)
}

/** What a block shows: text, thinking, the summary of a compaction, name and input of a tool call. */
function textOfBlock(value: unknown): string {
  const block = asObject(value)
  if (block === null) return ""
  const text = asText(block.text) + asText(block.thinking) + asText(block.content)
  return text + asText(block.name) + textOfInput(asObject(block.input))
}

/** What a call of a tool is handed, as the text that it was counted as. */
export function textOfInput(input: Record<string, unknown> | null): string {
  // A stream opens every tool call with an empty input and sends the real one in pieces.
  if (input === null || Object.keys(input).length === 0) return ""
  try {
    return JSON.stringify(input)
  } catch {
    // Nested deeper than the stack: JSON.parse reads such a thing, JSON.stringify does not write it.
    return ""
  }
}

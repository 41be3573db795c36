/**
 * OpenAI chat completions (`POST /v1/chat/completions`), JSON and SSE. A stream reports usage only when
 * `stream_options.include_usage` was asked for, in one more event with `choices: []` before `[DONE]`; we ask for it on
 * the caller's behalf and take that event out again. (OpenAI API reference, ChatCompletionStreamOptions.)
 */
import {
  addOutput,
  type Dialect,
  type Reading,
  type ReadRequest,
  type RequestFacts,
  type Rewrite,
  type StreamEvent,
} from "./dialect.ts"
import { addMember, type JsonMember, jsonMembers, outline, splice, withMember } from "./json-members.ts"
import { modelOf, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject, parseJson } from "./json-values.ts"
import { takesOlderBound } from "./model-bounds.ts"
import { boundChat } from "./openai-chat-bound.ts"
import { learnShape, textByShape } from "./openai-event-shape.ts"
import { OpenAiStreamEnd } from "./openai-stream-end.ts"
import { readOpenAiUsage } from "./openai-usage.ts"
import { readProviderCost } from "./provider-cost.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
const INJECTED: StreamEvent = { isInjectedUsage: true }
/** What is learned of an event is kept as long as its stream. */
const LEARNT_LENGTH_MAX = 4096
const DECISIVE = ["model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "messages", "tools"]

export const openAiChat: Dialect = {
  name: "openai-chat",

  readRequest(body: Buffer): ReadRequest {
    const outlined = readOutline(body, DECISIVE)
    if (outlined.kind === "invalid") return outlined
    const model = modelOf(outlined.request)
    if (typeof model !== "string") return model
    return { kind: "read", facts: factsOf(outlined.request, model), outline: outlined.request }
  },

  bound: boundChat,

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    let bytes = body
    if (rewrite.model !== facts.model) bytes = withMember(bytes, "model", JSON.stringify(rewrite.model))
    if (rewrite.outputTokensMax !== null) bytes = withOutputTokensMax(bytes, rewrite.model, rewrite.outputTokensMax)
    return rewrite.injectsUsage ? withUsageAsked(bytes) : bytes
  },

  /** Fireworks counts in a header what was cached. */
  readHead(header, reading: Reading): void {
    reading.cachedInHead = count(header("fireworks-cached-prompt-tokens"))
  },

  readAnswer(body: Buffer, reading: Reading): void {
    const answer = parsedObject(outline(body))
    if (answer === null) return
    readCommon(answer, reading)
    // The text is for an estimate, and a whole answer that reports its usage needs none.
    if (reading.usage === null) {
      const choices = asArray(parsedObject(body.toString("utf8"))?.choices)
      for (const choice of choices) addOutput(textOf(asObject(asObject(choice)?.message)), reading)
    }
    reading.isFinished = true
  },

  readEvent(data: string, reading: Reading): StreamEvent {
    if (data === "[DONE]") {
      reading.isFinished = true
      return SHOWN
    }
    const { repeated } = reading
    const repeatedText = repeated.shape === null ? null : textByShape(data, repeated.shape)
    if (repeatedText !== null) {
      if (repeated.tier !== "") reading.tier = repeated.tier
      addOutput(repeatedText, reading)
      return SHOWN
    }
    const parsed = parseJson(data)
    const chunk = parsed.kind === "parsed" ? asObject(parsed.value) : null
    if (chunk === null) return SHOWN
    readCommon(chunk, reading)
    const choices = asArray(chunk.choices)
    for (const choice of choices) addOutput(textOf(asObject(asObject(choice)?.delta)), reading)
    if (choices.length === 1 && asObject(chunk.usage) === null && asObject(chunk.error) === null) {
      learnRepetition(data, chunk, textOf(asObject(asObject(choices[0])?.delta)), reading)
    }
    const isUsageAlone = Array.isArray(chunk.choices) && choices.length === 0 && asObject(chunk.usage) !== null
    return isUsageAlone ? INJECTED : SHOWN
  },

  streamEnd: ({ asksUsage }) => new OpenAiStreamEnd("chat.completion.chunk", asksUsage),

  streamError(message: string, code: string): string {
    const error = { error: { message, type: "api_error", param: null, code } }
    return `event: error\ndata: ${JSON.stringify(error)}\n\n`
  },
}

function factsOf(request: Record<string, unknown>, model: string): RequestFacts {
  const max = count(request.max_completion_tokens) ?? count(request.max_tokens)
  const choices = Math.max(1, count(request.n) ?? 1)
  return {
    model,
    isStream: request.stream === true,
    asksUsage: asObject(request.stream_options)?.include_usage === true,
    outputTokensMax: max === null ? null : max * choices,
    choices,
    tier: asText(request.service_tier),
    endCustomer: asText(request.safety_identifier) || asText(request.user),
    conversation: "",
    units: null,
    isFree: false,
  }
}

/**
 * Each of its two names that the caller used says how much each choice may hold. Where it used none, or one that servers
 * of the model may not heed, the one does that they know.
 */
function withOutputTokensMax(bytes: Buffer, model: string, outputTokensMax: number): Buffer {
  const members = jsonMembers(bytes)
  const choices = Math.max(1, count(Number(textOfMember(bytes, members, "n") ?? 1)) ?? 1)
  const max = String(Math.max(1, Math.floor(outputTokensMax / choices)))
  const older = takesOlderBound(model) || members.some(({ name }) => name === "max_tokens")
  const newer = members.some(({ name }) => name === "max_completion_tokens")
  const limited = newer || !older ? withMember(bytes, "max_completion_tokens", max) : bytes
  return older ? withMember(limited, "max_tokens", max) : limited
}

function textOfMember(bytes: Buffer, members: readonly JsonMember[], wanted: string): string | null {
  const member = members.find(({ name }) => name === wanted)
  return member === undefined ? null : bytes.toString("utf8", member.valueStart, member.valueEnd)
}

function withUsageAsked(bytes: Buffer): Buffer {
  const asked = '"include_usage":true'
  // The byte search is enough to know that there is no such member; only then is no scan needed.
  const options =
    bytes.indexOf("stream_options") < 0 ? undefined : jsonMembers(bytes).find(({ name }) => name === "stream_options")
  if (options === undefined) return addMember(bytes, `"stream_options":{${asked}}`)
  if (bytes[options.valueStart] !== 0x7b) return splice(bytes, options.valueStart, options.valueEnd, `{${asked}}`)
  const usage = jsonMembers(bytes, options.valueStart).find(({ name }) => name === "include_usage")
  if (usage !== undefined) return splice(bytes, usage.valueStart, usage.valueEnd, "true")
  return addMember(bytes, asked, options.valueStart)
}

function readCommon(answer: Record<string, unknown>, reading: Reading): void {
  if (reading.model === "" && typeof answer.model === "string") reading.model = answer.model
  if (typeof answer.service_tier === "string") reading.tier = answer.service_tier
  if (reading.responseId === "" && typeof answer.id === "string") reading.responseId = answer.id
  if (asObject(answer.error) !== null) reading.hasError = true
  // Groq states in an object of its own what others state beside it, and at times both; Moonshot's older streams state it
  // within the last choice.
  const usage = answer.usage ?? asObject(answer.x_groq)?.usage ?? asObject(asArray(answer.choices)[0])?.usage
  readChatUsage(usage, reading)
}

/** Some servers repeat a growing usage in every event: the last one is the bill. */
function readChatUsage(value: unknown, reading: Reading): void {
  const read = readOpenAiUsage(value, reading.model, reading.cachedInHead)
  if (read === null) return
  reading.usage = read.usage
  reading.usageRaw = value
  reading.isMismatch = read.isMismatch
  readProviderCost(value, reading)
}

/** What a message or a delta shows: text, refusal, reasoning where it is visible, names and arguments of tool calls. */
function textOf(message: Record<string, unknown> | null): string {
  if (message === null) return ""
  // Two names for the same thoughts; servers that use both write them twice.
  const thoughts = asText(message.reasoning_content) || asText(message.reasoning)
  let text = asText(message.content) + asText(message.refusal) + thoughts
  for (const call of asArray(message.tool_calls)) {
    const called = asObject(asObject(call)?.function)
    text += asText(called?.name) + asText(called?.arguments)
  }
  return text
}

/** The next event is likely to be the same but for its text. Streams whose events keep differing are left in peace. */
function learnRepetition(data: string, chunk: Record<string, unknown>, text: string, reading: Reading): void {
  const { repeated } = reading
  // A text with escapes stands in the event under another spelling.
  if (text === "" || repeated.learnsLeft === 0 || data.length > LEARNT_LENGTH_MAX || !data.includes(text)) return
  repeated.learnsLeft--
  const shape = learnShape(data, text)
  if (shape === null) return
  repeated.shape = shape
  repeated.tier = asText(chunk.service_tier)
}

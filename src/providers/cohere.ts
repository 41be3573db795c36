/**
 * Cohere's own API: chat (v2, and v1 with its generate), embed, rerank, and what is free. The bill is `billed_units`, in
 * v1 below `meta`, in v2 below `usage`; `tokens` beside it also counts the prompt that Cohere adds and is nobody's bill.
 * A v2 stream (SSE) has it in `message-end`, a v1 stream (JSON lines, or the same as SSE) in `stream-end`. No answer
 * names its model. (Cohere API reference, "Chat", "Embed", "Rerank"; "How does Cohere's pricing work".)
 */
import { addedTokens, type Usage, ZERO_USAGE } from "../metering/usage.ts"
import { normalizedBytes, parsedWithoutBulk } from "./body-signs.ts"
import {
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
import { outputTokensMaxOf } from "./model-bounds.ts"
import {
  type BoundQuestion,
  boundedInput,
  boundOf,
  type Findings,
  newFindings,
  type RequestBound,
  TEXT_OUTPUT,
  unboundedBy,
  unboundedFor,
} from "./request-bound.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
const DECISIVE = ["model", "stream", "max_tokens", "message", "messages"]

const base: Omit<Dialect, "name" | "readRequest" | "bound"> = {
  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    const bytes = rewrite.model === facts.model ? body : withMember(body, "model", JSON.stringify(rewrite.model))
    if (rewrite.outputTokensMax === null) return bytes
    return withMember(bytes, "max_tokens", String(Math.max(1, Math.floor(rewrite.outputTokensMax))))
  },
  readAnswer(body: Buffer, reading: Reading): void {
    const answer = parsedObject(outline(body))
    if (answer === null) return
    readCommon(answer, reading)
    if (reading.usage === null) addOutput(textOf(parsedObject(body.toString("utf8"))), reading)
    reading.isFinished = true
  },
  readEvent: readStreamEvent,
  streamError(message: string, code: string): string {
    return `event: error\ndata: ${JSON.stringify({ type: "error", message, code })}\n\n`
  },
}

export const cohereChat: Dialect = {
  ...base,
  name: "cohere-chat",
  readRequest: (body) => readRequestWith(body, false),
  bound: boundChat,
}

/** Streams come as JSON lines, but for callers that accept server-sent events. */
export const cohereChatV1: Dialect = {
  ...cohereChat,
  name: "cohere-chat-v1",
  lineTypes: /^application\/(?:stream\+json|x-ndjson|jsonl)/,
  readLine: (line, reading) => void readStreamEvent(line, reading),
}

export const cohereEmbed: Dialect = {
  ...withoutOutput("cohere-embed"),
  bound: ({ body }) => (hasMedia(body) ? unboundedFor("image", boundedInput(body.length)) : boundedInput(body.length)),
}

/** By the search unit: a query over up to a hundred documents, of which a long one counts as several. */
export const cohereRerank: Dialect = {
  ...withoutOutput("cohere-rerank"),
  bound: ({ body }) => unboundedFor("unknown_content", boundedInput(body.length)),
}

export const cohereFree: Dialect = {
  ...withoutOutput("cohere-free"),
  readRequest: (body) => readRequestWith(body, true),
  bound: () => boundedInput(0),
}

function withoutOutput(name: string): Dialect {
  return {
    ...base,
    name,
    readRequest: (body) => readRequestWith(body, false),
    bound: ({ body }) => boundedInput(body.length),
    rewriteRequest: (body, facts, rewrite, form) =>
      base.rewriteRequest(body, facts, { ...rewrite, outputTokensMax: null }, form),
  }
}

function readRequestWith(body: Buffer, isFree: boolean): ReadRequest {
  const outlined = readOutline(body, DECISIVE)
  if (outlined.kind === "invalid") return outlined
  const { request } = outlined
  const model = modelOf(request)
  if (typeof model !== "string") return model
  const facts: RequestFacts = {
    model,
    isStream: request.stream === true,
    asksUsage: true,
    outputTokensMax: count(request.max_tokens),
    tier: "",
    endCustomer: "",
    conversation: asText(request.conversation_id),
    units: null,
    isFree,
  }
  return { kind: "read", facts, outline: request }
}

/** Members that bring nothing in but their own text. */
const PLAIN_MEMBERS: ReadonlySet<string> = new Set([
  ...["messages", "chat_history", "documents", "tools", "tool_results", "response_format", "citation_options"],
  ...["stop_sequences", "thinking"],
])

function boundChat({ body, facts, model, outline: outlined }: BoundQuestion): RequestBound {
  const findings = newFindings()
  for (const [name, value] of Object.entries(outlined ?? {})) {
    if (name === "connectors") unboundedBy(findings, "server_tool")
    else if (name === "conversation_id") unboundedBy(findings, "server_context")
    else if (typeof value === "object" && value !== null && !PLAIN_MEMBERS.has(name))
      unboundedBy(findings, "unknown_member")
  }
  readContents(body, findings)
  return boundOf(findings, {
    textBytes: normalizedBytes(body),
    outputTokens: facts.outputTokensMax ?? outputTokensMaxOf(model),
    asksForOutput: facts.outputTokensMax === null,
    outputTokensMin: 1,
    inputClasses: ["input"],
    outputClasses: TEXT_OUTPUT,
    mayBePriority: false,
  })
}

function readContents(body: Buffer, findings: Findings): void {
  const request = asObject(parsedWithoutBulk(body))
  if (request === null) {
    unboundedBy(findings, "unknown_content")
    return
  }
  for (const message of asArray(request.messages)) {
    for (const part of asArray(asObject(message)?.content)) {
      const { type } = asObject(part) ?? {}
      if (type === "image_url") unboundedBy(findings, "image")
      else if (type !== "text" && type !== "document" && type !== "thinking") unboundedBy(findings, "unknown_content")
    }
  }
}

function hasMedia(body: Buffer): boolean {
  return /"(?:images|inputs|image_url)"|\\u00/.test(body.toString("latin1"))
}

function readStreamEvent(data: string, reading: Reading): StreamEvent {
  const event = parsedObject(data)
  if (event === null) return SHOWN
  const kind = asText(event.type) || asText(event.event_type)
  switch (kind) {
    case "message-end":
      readCommon(asObject(event.delta) ?? {}, reading)
      reading.isFinished = true
      break
    case "stream-end":
      readCommon(asObject(event.response) ?? {}, reading)
      reading.isFinished = true
      break
    case "text-generation":
      addOutput(asText(event.text), reading)
      break
    case "error":
      reading.hasError = true
      break
    default:
      readCommon(event, reading)
      addOutput(textOfDelta(event), reading)
  }
  return SHOWN
}

function readCommon(answer: Record<string, unknown>, reading: Reading): void {
  if (reading.responseId === "") reading.responseId = asText(answer.id) || asText(answer.response_id)
  if (asText(answer.error) !== "" || asText(answer.finish_reason) === "ERROR") reading.hasError = true
  const stated = asObject(answer.usage) ?? asObject(answer.meta)
  const usage = readBilled(stated)
  if (usage === null) return
  reading.usage = usage
  reading.usageRaw = stated
}

/** Null where nothing is counted. Where no bill is stated, the tokens are all that is known. */
function readBilled(stated: Record<string, unknown> | null): Usage | null {
  const billed = asObject(stated?.billed_units) ?? asObject(stated?.tokens)
  if (billed === null) return null
  const input = count(billed.input_tokens)
  const output = count(billed.output_tokens)
  const images = count(billed.image_tokens)
  const units = unitsIn(billed)
  if (input === null && output === null && images === null && units === null) return null
  return {
    ...ZERO_USAGE,
    inputUncachedTokens: addedTokens(input ?? 0, images ?? 0),
    imageInputTokens: images ?? 0,
    outputTokens: output ?? 0,
    ...(units ?? {}),
  }
}

/** Searches, or pictures of the models that count no tokens of them. */
function unitsIn(billed: Record<string, unknown>): Pick<Usage, "units" | "unitType"> | null {
  for (const [name, unitType] of [
    ["search_units", "search_units"],
    ["images", "images"],
  ] as const) {
    const units = count(billed[name])
    if (units !== null) return units === 0 ? { units: 0, unitType: "" } : { units, unitType }
  }
  return null
}

function textOf(answer: Record<string, unknown> | null): string {
  const generations = asArray(answer?.generations).map((one) => asText(asObject(one)?.text))
  return asText(answer?.text) + generations.join("") + textOfMessage(asObject(answer?.message))
}

function textOfMessage(message: Record<string, unknown> | null): string {
  let text = asText(message?.tool_plan)
  for (const part of asArray(message?.content)) text += asText(asObject(part)?.text) + asText(asObject(part)?.thinking)
  for (const call of asArray(message?.tool_calls)) text += textOfCall(asObject(call))
  return text
}

function textOfDelta(event: Record<string, unknown>): string {
  const message = asObject(asObject(event.delta)?.message)
  const content = asObject(message?.content)
  const shown = asText(content?.text) + asText(content?.thinking) + asText(message?.tool_plan)
  return shown + textOfCall(asObject(message?.tool_calls))
}

function textOfCall(call: Record<string, unknown> | null): string {
  const called = asObject(call?.function)
  return asText(called?.name) + asText(called?.arguments)
}

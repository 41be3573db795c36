/**
 * Google's generateContent (`POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`). The path names
 * the model and says whether a stream is asked for; with `?alt=sse` the stream is SSE with CRLF line ends, without it one
 * JSON array of the same objects. Every object of a stream may report usage, and the last report is the bill.
 * Source: Gemini API reference, `models.generateContent`. Protobuf's JSON mapping lets a caller write each member in
 * camelCase or in snake_case, and a number as a string.
 */
import {
  addOutput,
  type Dialect,
  type Reading,
  type ReadRequest,
  type RequestFacts,
  type RequestForm,
  type Rewrite,
  type StreamEvent,
} from "./dialect.ts"
import { boundGenerate } from "./google-bound.ts"
import { GoogleStreamEnd } from "./google-stream-end.ts"
import { googleTier, readGoogleUsage } from "./google-usage.ts"
import { addMember, type JsonMember, jsonMembers, outline, splice } from "./json-members.ts"
import { invalid, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject, parseJson } from "./json-values.ts"

type Invalid = Extract<ReadRequest, { kind: "invalid" }>
type Spellings = readonly [camel: string, snake: string]

/** Usage is never added on our account, so no event is to be hidden. */
export const SHOWN: StreamEvent = { isInjectedUsage: false }

/** Both spellings of a member that decides how a request is counted. */
const CONFIG: Spellings = ["generationConfig", "generation_config"]
const TIER: Spellings = ["serviceTier", "service_tier"]
const MAX_TOKENS: Spellings = ["maxOutputTokens", "max_output_tokens"]
const CANDIDATES: Spellings = ["candidateCount", "candidate_count"]

export const googleGenerate: Dialect = {
  name: "google-generate",

  readRequest(body: Buffer, form: RequestForm): ReadRequest {
    const outlined = readOutline(body, ["model", "contents", "tools", ...CONFIG, ...TIER])
    if (outlined.kind === "invalid") return outlined
    const { request } = outlined
    const model = pathModel(form)
    if (typeof model !== "string") return model
    const problem = configProblem(body, request) ?? bothSpellings(request, TIER)
    if (problem !== null) return problem
    const strayModel = request.model === undefined ? null : bodyModelProblem(body, modelMembers(body), model)
    return strayModel ?? { kind: "read", facts: factsOf(request, model, form) }
  },

  bound: boundGenerate,

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    const isRenamed = rewrite.model !== facts.model
    const bytes = isRenamed ? renameModels(body, modelMembers(body), facts.model, rewrite.model) : body
    return rewrite.outputTokensMax === null ? bytes : withOutputTokensMax(bytes, rewrite.outputTokensMax)
  },

  readAnswer(body: Buffer, reading: Reading): void {
    const text = outline(body)
    const parsed = parseJson(text)
    const answer = parsed.kind === "parsed" ? asObject(parsed.value) : null
    if (answer !== null) {
      readGoogleCommon(answer, reading)
      // The text is for an estimate, and a whole answer that reports its usage needs none.
      if (reading.usage === null) readContent(parsedObject(body.toString("utf8")) ?? {}, reading)
      reading.isFinished = true
      return
    }
    // An array that was cut short still holds the usage reported so far.
    const elements = parsed.kind === "parsed" ? asArray(parsed.value) : wholeElements(text)
    const answers = elements.map(asObject).filter((element) => element !== null)
    for (const element of answers) readGoogleCommon(element, reading)
    if (reading.usage === null) for (const element of answers) readContent(element, reading)
    if (parsed.kind === "parsed" && Array.isArray(parsed.value)) reading.isFinished = true
  },

  readEvent(data: string, reading: Reading): StreamEvent {
    const chunk = parsedObject(data)
    if (chunk === null) return SHOWN
    readGoogleCommon(chunk, reading)
    readContent(chunk, reading)
    if (isLast(chunk)) reading.isFinished = true
    return SHOWN
  },

  streamEnd: () => new GoogleStreamEnd(),

  streamError: googleStreamError,
}

/** An error in Google's own shape (`google.rpc.Status`), as one SSE event. */
export function googleStreamError(message: string, code: string): string {
  const details = [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: code, domain: "tallygate" }]
  return `data: ${JSON.stringify({ error: { code: 502, message, status: "UNAVAILABLE", details } })}\r\n\r\n`
}

/** The model that the path names, or what to tell the caller. */
export function pathModel(form: RequestForm): string | Invalid {
  return form.model || invalid("The path must name a model: /v1beta/models/{model}:{method}.", "model")
}

/**
 * What is wrong with the models that a body names: Google takes the one in the path, which is also what was admitted
 * and is billed, so a body may repeat it (with or without `models/` before it) but name no other.
 */
export function bodyModelProblem(body: Buffer, members: readonly JsonMember[], model: string): Invalid | null {
  for (const { valueStart, valueEnd } of members) {
    const parsed = parseJson(body.toString("utf8", valueStart, valueEnd))
    const named = parsed.kind === "parsed" ? parsed.value : ""
    const isSame =
      named === null || named === model || (typeof named === "string" && `/${named}`.endsWith(`/models/${model}`))
    if (!isSame) return invalid("`model` in the request body must be the model that the path names.", "model")
  }
  return null
}

/** The bytes with the path's new model wherever the body repeats it; what stands before it in the value stays. */
export function renameModels(body: Buffer, members: readonly JsonMember[], from: string, to: string): Buffer {
  let bytes = body
  // From the last to the first, so that the offsets before a splice still hold.
  for (const { valueStart, valueEnd } of [...members].sort((a, b) => b.valueStart - a.valueStart)) {
    const parsed = parseJson(body.toString("utf8", valueStart, valueEnd))
    const named = parsed.kind === "parsed" ? asText(parsed.value) : ""
    if (!named.endsWith(from)) continue
    bytes = splice(bytes, valueStart, valueEnd, JSON.stringify(named.slice(0, named.length - from.length) + to))
  }
  return bytes
}

/** Members called `model` of the object that begins at or after `from`. */
export function modelMembers(body: Buffer, from = 0): JsonMember[] {
  return jsonMembers(body, from).filter(({ name }) => name === "model")
}

/** What every answer of Google's says outside its content: model, id, usage, error. */
export function readGoogleCommon(answer: Record<string, unknown>, reading: Reading): void {
  if (reading.model === "") reading.model = asText(answer.modelVersion)
  if (reading.responseId === "") reading.responseId = asText(answer.responseId)
  if (asObject(answer.error) !== null) reading.hasError = true
  const read = readGoogleUsage(answer.usageMetadata)
  if (read === null) return
  if (read.tier !== "") reading.tier = read.tier
  // Without a single count only a blocked prompt is known to have used nothing; elsewhere the counts are still to come.
  if (!read.hasCounts && (reading.usage !== null || !isBlocked(answer))) return
  // Counts grow and shrink as the provider corrects them: the last report is the bill, not the largest.
  reading.usage = read.usage
  reading.usageRaw = answer.usageMetadata
  reading.isMismatch = read.isMismatch
}

function factsOf(request: Record<string, unknown>, model: string, form: RequestForm): RequestFacts {
  const config = configOf(request)
  // Protobuf reads 0 as "not set", so it bounds nothing.
  const max = numberOf(config?.maxOutputTokens ?? config?.max_output_tokens) || null
  const choices = candidatesOf(config)
  return {
    model,
    isStream: form.isStream === true,
    asksUsage: true,
    outputTokensMax: max === null ? null : max * choices,
    choices,
    tier: googleTier(request.serviceTier ?? request.service_tier),
    // `labels` sort a bill; they name no user.
    endCustomer: "",
    conversation: "",
    units: null,
    isFree: false,
  }
}

function configOf(request: Record<string, unknown>): Record<string, unknown> | null {
  return asObject(request.generationConfig ?? request.generation_config)
}

function candidatesOf(config: Record<string, unknown> | null): number {
  return Math.max(1, numberOf(config?.candidateCount ?? config?.candidate_count) ?? 1)
}

/** Protobuf takes a whole number in quotes as well, and there too with an exponent or a fraction: "8e0" is eight. */
function numberOf(value: unknown): number | null {
  return count(typeof value === "string" ? Number(value) : value)
}

function configProblem(body: Buffer, request: Record<string, unknown>): Invalid | null {
  const twice = bothSpellings(request, CONFIG)
  if (twice !== null) return twice
  const config = request.generationConfig ?? request.generation_config ?? null
  if (config === null) return null
  if (asObject(config) === null) return invalid("`generationConfig` must be an object.", "generationConfig")
  const names = membersOf(body, memberOf(jsonMembers(body), CONFIG)).map(({ name }) => name)
  for (const spellings of [MAX_TOKENS, CANDIDATES]) {
    if (names.filter((name) => spellings.includes(name)).length > 1) return repeated(`generationConfig.${spellings[0]}`)
  }
  return null
}

function bothSpellings(request: Record<string, unknown>, [camel, snake]: Spellings): Invalid | null {
  return request[camel] !== undefined && request[snake] !== undefined ? repeated(camel) : null
}

function repeated(member: string): Invalid {
  return invalid(`\`${member}\` stands more than once in the request body, also under its other spelling.`, member)
}

function memberOf(members: readonly JsonMember[], spellings: Spellings): JsonMember | undefined {
  return members.find(({ name }) => spellings.includes(name))
}

function membersOf(body: Buffer, member: JsonMember | undefined): JsonMember[] {
  return member === undefined ? [] : jsonMembers(body, member.valueStart)
}

/** The bound holds for all candidates together, Google's for each of them. */
function withOutputTokensMax(bytes: Buffer, outputTokensMax: number): Buffer {
  const config = memberOf(jsonMembers(bytes), CONFIG)
  const value = config === undefined ? null : parsedObject(bytes.toString("utf8", config.valueStart, config.valueEnd))
  const max = String(Math.max(1, Math.floor(outputTokensMax / candidatesOf(value))))
  if (config === undefined) return addMember(bytes, `"generationConfig":{"maxOutputTokens":${max}}`)
  if (value === null) return splice(bytes, config.valueStart, config.valueEnd, `{"maxOutputTokens":${max}}`)
  const set = memberOf(membersOf(bytes, config), MAX_TOKENS)
  if (set === undefined) return addMember(bytes, `"maxOutputTokens":${max}`, config.valueStart)
  return splice(bytes, set.valueStart, set.valueEnd, max)
}

function isBlocked(answer: Record<string, unknown>): boolean {
  return asText(asObject(answer.promptFeedback)?.blockReason) !== ""
}

/** A stream has no closing event: it is over when a candidate says why it ended, or when the prompt was blocked. */
function isLast(chunk: Record<string, unknown>): boolean {
  const reasons = asArray(chunk.candidates).map((candidate) => asText(asObject(candidate)?.finishReason))
  return isBlocked(chunk) || reasons.some((reason) => reason !== "" && reason !== "FINISH_REASON_UNSPECIFIED")
}

/** What the candidates show: text (thoughts included, they are billed), code, names and arguments of function calls. */
function readContent(answer: Record<string, unknown>, reading: Reading): void {
  for (const candidate of asArray(answer.candidates)) {
    for (const part of asArray(asObject(asObject(candidate)?.content)?.parts).map(asObject)) {
      const call = asObject(part?.functionCall)
      addOutput(asText(part?.text) + asText(asObject(part?.executableCode)?.code) + asText(call?.name), reading)
      if (call !== null) addOutput(argumentsOf(call), reading)
      // An image or a sound has no text to estimate by, but it was delivered.
      if (asObject(part?.inlineData) !== null) reading.hasContent = true
    }
  }
}

function argumentsOf(call: Record<string, unknown>): string {
  try {
    return asObject(call.args) === null ? "" : JSON.stringify(call.args)
  } catch {
    // Nested deeper than JSON.stringify can go.
    return ""
  }
}

/** The objects that stand whole in the text of a JSON array, whose end may be missing. */
function wholeElements(text: string): unknown[] {
  const elements: unknown[] = []
  if (!/^\s*\[/.test(text)) return elements
  let depth = 0
  let start = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') at = endOfString(text, at)
    if (char === "{" && depth++ === 0) start = at
    if (char !== "}") continue
    if (--depth < 0) break
    const parsed = depth === 0 ? parseJson(text.slice(start, at + 1)) : null
    if (parsed?.kind === "parsed") elements.push(parsed.value)
  }
  return elements
}

/** The offset of the closing quote of the string that begins at `from`. */
function endOfString(text: string, from: number): number {
  let at = from + 1
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1
  return at
}

/**
 * Amazon Bedrock's runtime: Converse, whose requests and answers are the same for every model, and InvokeModel, which
 * carries each maker's own. Both name the model in the path alone. Streams come as Amazon's event stream: Converse counts
 * in the event `metadata`; InvokeModel wraps the maker's events as base64, and the last has Bedrock's own count
 * (`amazon-bedrock-invocationMetrics`) beside them, which is read where the maker counts nothing. Answers of makers that
 * count nothing in their bodies are counted in headers. Converse's `inputTokens` holds neither cache reads nor writes.
 * (Amazon Bedrock API reference, `Converse`, `ConverseStream`, `TokenUsage`, `InvokeModel`,
 * `InvokeModelWithResponseStream`; guide, "Inference request parameters and response fields".)
 */
import type { EventMessage } from "../metering/event-stream.ts"
import { type Usage, ZERO_USAGE } from "../metering/usage.ts"
import { anthropicMessages } from "./anthropic-messages.ts"
import { boundConverse, boundInvoke } from "./bedrock-bound.ts"
import {
  addOutput,
  type Dialect,
  type Reading,
  type ReadRequest,
  type RequestFacts,
  type RequestForm,
  type Rewrite,
} from "./dialect.ts"
import { outline, withMember, withMemberWithin } from "./json-members.ts"
import { invalid, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { readOpenAiUsage } from "./openai-usage.ts"

const DECISIVE = ["messages", "system", "inferenceConfig", "max_tokens", "toolConfig", "prompt"]

export const bedrockConverse: Dialect = converse("bedrock-converse", false)
export const bedrockConverseStream: Dialect = converse("bedrock-converse-stream", true)
export const bedrockInvoke: Dialect = invoke("bedrock-invoke", false)
/** Its first event may count the input alone. */
export const bedrockInvokeStream: Dialect = { ...invoke("bedrock-invoke-stream", true), reportsOutputLast: true }

function converse(name: string, isStream: boolean): Dialect {
  return {
    name,
    readRequest: (body, form) => readRequestWith(body, form, isStream, converseMax),
    bound: boundConverse,
    rewriteRequest(body: Buffer, _facts: RequestFacts, { outputTokensMax }: Rewrite): Buffer {
      if (outputTokensMax === null) return body
      return withMemberWithin(body, "inferenceConfig", "maxTokens", wholeTokens(outputTokensMax))
    },
    readAnswer(body: Buffer, reading: Reading): void {
      const answer = parsedObject(outline(body))
      if (answer === null) return
      readConverseUsage(answer, reading)
      if (reading.usage === null) addConverseText(parsedObject(body.toString("utf8")), reading)
      reading.isFinished = true
    },
    readMessage: readConverseMessage,
    readEvent: () => ({ isInjectedUsage: false }),
    streamError,
  }
}

function invoke(name: string, isStream: boolean): Dialect {
  return {
    name,
    readRequest: (body, form) => readRequestWith(body, form, isStream, (request) => count(request.max_tokens)),
    bound: boundInvoke,
    rewriteRequest(body: Buffer, facts: RequestFacts, { outputTokensMax }: Rewrite): Buffer {
      // Each maker has a name of its own for it; where the body is not Anthropic's, what it says stands.
      if (outputTokensMax === null || facts.outputTokensMax === null) return body
      return withMember(body, "max_tokens", wholeTokens(outputTokensMax))
    },
    readHead: readCountHeaders,
    readAnswer(body: Buffer, reading: Reading): void {
      const answer = parsedObject(outline(body))
      if (answer === null) return
      if (answer.type === "message") anthropicMessages.readAnswer(body, reading)
      else readMakersCount(parsedObject(body.toString("utf8")) ?? {}, reading)
      reading.isFinished = true
    },
    readMessage: readInvokeMessage,
    readEvent: () => ({ isInjectedUsage: false }),
    streamError,
  }
}

/** Never written: streams of Bedrock are no server-sent events. */
function streamError(message: string, code: string): string {
  return `event: error\ndata: ${JSON.stringify({ message, __type: code })}\n\n`
}

function readRequestWith(
  body: Buffer,
  { model }: RequestForm,
  isStream: boolean,
  maxOf: (request: Record<string, unknown>) => number | null,
): ReadRequest {
  const outlined = readOutline(body, DECISIVE)
  if (outlined.kind === "invalid") return outlined
  if (model === null) return invalid("The path must name the model.", "model")
  const { request } = outlined
  const facts: RequestFacts = {
    model,
    isStream,
    asksUsage: true,
    outputTokensMax: maxOf(request),
    tier: asText(asObject(request.serviceTier)?.type),
    endCustomer: asText(asObject(request.metadata)?.user_id),
    conversation: "",
    units: null,
    isFree: false,
  }
  return { kind: "read", facts, outline: request }
}

function converseMax(request: Record<string, unknown>): number | null {
  return count(asObject(request.inferenceConfig)?.maxTokens)
}

function wholeTokens(tokens: number): string {
  return String(Math.max(1, Math.floor(tokens)))
}

function readConverseMessage({ headers, payload }: EventMessage, reading: Reading): void {
  const event = parsedObject(payload.toString("utf8")) ?? {}
  if (headers.get(":message-type") !== "event") {
    reading.hasError = true
    return
  }
  switch (headers.get(":event-type")) {
    case "contentBlockStart":
      addOutput(asText(asObject(asObject(event.start)?.toolUse)?.name), reading)
      break
    case "contentBlockDelta":
      addOutput(textOfBlock(asObject(event.delta)), reading)
      break
    case "metadata":
      readConverseUsage(event, reading)
      reading.isFinished = true
  }
}

function readConverseUsage(answer: Record<string, unknown>, reading: Reading): void {
  const tier = asText(asObject(answer.serviceTier)?.type)
  if (tier !== "") reading.tier = tier
  // A router of prompts says which model it chose.
  const chosen = asText(asObject(asObject(answer.trace)?.promptRouter)?.invokedModelId)
  if (chosen !== "") reading.model = chosen.slice(chosen.lastIndexOf("/") + 1)
  putUsage(answer.usage, reading)
}

/** Converse's and Nova's usage object. Its counts are there under two names at times, which is one count. */
function putUsage(value: unknown, reading: Reading): void {
  const usage = asObject(value)
  const input = count(usage?.inputTokens)
  const output = count(usage?.outputTokens)
  if (usage === null || (input === null && output === null)) return
  const read = count(usage.cacheReadInputTokens) ?? count(usage.cacheReadInputTokenCount) ?? 0
  const written = count(usage.cacheWriteInputTokens) ?? count(usage.cacheWriteInputTokenCount) ?? 0
  const forAnHour = Math.min(hourWrites(usage.cacheDetails), written)
  const total = count(usage.totalTokens)
  const sum = (input ?? 0) + read + written + (output ?? 0)
  reading.usage = {
    ...ZERO_USAGE,
    inputUncachedTokens: input ?? 0,
    cacheReadTokens: read,
    cacheWrite5mTokens: written - forAnHour,
    cacheWrite1hTokens: forAnHour,
    outputTokens: output ?? 0,
  }
  reading.usageRaw = value
  // Some models' totals leave the cache out.
  reading.isMismatch = total !== null && total !== sum && total !== (input ?? 0) + (output ?? 0)
}

function hourWrites(details: unknown): number {
  let tokens = 0
  for (const detail of asArray(details).map(asObject))
    if (detail?.ttl === "1h") tokens += count(detail.inputTokens) ?? 0
  return tokens
}

function addConverseText(answer: Record<string, unknown> | null, reading: Reading): void {
  const message = asObject(asObject(answer?.output)?.message)
  for (const block of asArray(message?.content)) addOutput(textOfBlock(asObject(block)), reading)
}

function textOfBlock(block: Record<string, unknown> | null): string {
  const reasoning = asObject(block?.reasoningContent)
  const thought = asText(reasoning?.text) + asText(asObject(reasoning?.reasoningText)?.text)
  const called = asObject(block?.toolUse)
  return asText(block?.text) + thought + asText(called?.name) + asText(called?.input)
}

function readInvokeMessage({ headers, payload }: EventMessage, reading: Reading): void {
  if (headers.get(":message-type") !== "event") {
    reading.hasError = true
    return
  }
  const wrapped = asText(parsedObject(payload.toString("utf8"))?.bytes)
  const data = Buffer.from(wrapped, "base64").toString("utf8")
  const event = parsedObject(data)
  if (event === null) return
  if (typeof event.type === "string") anthropicMessages.readEvent(data, reading)
  else readMakersCount(event, reading)
  readInvocationMetrics(event["amazon-bedrock-invocationMetrics"], reading)
}

/** Stands in the last event. What the maker has counted by then knows more classes. */
function readInvocationMetrics(value: unknown, reading: Reading): void {
  const metrics = asObject(value)
  const input = count(metrics?.inputTokenCount)
  const output = count(metrics?.outputTokenCount)
  if (metrics === null || (input === null && output === null)) return
  const isCounted = reading.usage !== null && reading.isFinished
  reading.isFinished = true
  if (isCounted) return
  reading.usage = {
    ...ZERO_USAGE,
    inputUncachedTokens: input ?? 0,
    cacheReadTokens: count(metrics.cacheReadInputTokenCount) ?? 0,
    cacheWrite5mTokens: count(metrics.cacheWriteInputTokenCount) ?? 0,
    outputTokens: output ?? 0,
  }
  reading.usageRaw = value
}

/** What makers other than Anthropic state in a body, whole or as one event: Nova, Titan, Llama, and OpenAI's shape. */
function readMakersCount(answer: Record<string, unknown>, reading: Reading): void {
  const shaped = asObject(answer.usage)?.prompt_tokens === undefined ? null : readOpenAiUsage(answer.usage, "")
  if (shaped !== null) {
    if (reading.model === "") reading.model = asText(answer.model)
    reading.usage = shaped.usage
    reading.usageRaw = answer.usage
    reading.isMismatch = shaped.isMismatch
  }
  putUsage(answer.usage ?? asObject(answer.metadata)?.usage, reading)
  const [input, output, raw] = countsOf(answer)
  if (input !== null || output !== null) {
    const before = reading.usage ?? ZERO_USAGE
    reading.usage = usageOf(input ?? before.inputUncachedTokens, output ?? before.outputTokens)
    reading.usageRaw = raw
  }
  addOutput(textOfMaker(answer), reading)
}

function countsOf(answer: Record<string, unknown>): [input: number | null, output: number | null, raw: unknown] {
  if (answer.prompt_token_count !== undefined || answer.generation_token_count !== undefined) {
    const { prompt_token_count, generation_token_count } = answer
    return [count(prompt_token_count), count(generation_token_count), { prompt_token_count, generation_token_count }]
  }
  const { inputTextTokenCount, totalOutputTextTokenCount, results } = answer
  if (inputTextTokenCount === undefined && totalOutputTextTokenCount === undefined) return [null, null, null]
  const counted = asArray(results).map((result) => count(asObject(result)?.tokenCount) ?? 0)
  const output = count(totalOutputTextTokenCount) ?? counted.reduce((sum, tokens) => sum + tokens, 0)
  return [count(inputTextTokenCount), output, { inputTextTokenCount, outputTokenCount: output }]
}

function usageOf(input: number, output: number): Usage {
  return { ...ZERO_USAGE, inputUncachedTokens: input, outputTokens: output }
}

function textOfMaker(answer: Record<string, unknown>): string {
  const listed = [...asArray(answer.outputs), ...asArray(answer.results), ...asArray(answer.generations)].map(asObject)
  const delta = asObject(asObject(answer.contentBlockDelta)?.delta)
  const text = listed.map((one) => asText(one?.text) + asText(one?.outputText)).join("")
  return asText(answer.generation) + asText(answer.outputText) + asText(delta?.text) + text
}

/** Bedrock's own count in the head of a whole answer; what the body counts replaces it. */
function readCountHeaders(header: (name: string) => string, reading: Reading): void {
  const input = count(header("x-amzn-bedrock-input-token-count"))
  const output = count(header("x-amzn-bedrock-output-token-count"))
  if (input === null && output === null) return
  reading.usage = {
    ...usageOf(input ?? 0, output ?? 0),
    cacheReadTokens: count(header("x-amzn-bedrock-cache-read-input-token-count")) ?? 0,
    cacheWrite5mTokens: count(header("x-amzn-bedrock-cache-write-input-token-count")) ?? 0,
  }
  reading.usageRaw = { inputTokenCount: input, outputTokenCount: output }
}

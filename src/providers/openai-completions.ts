/**
 * OpenAI's legacy completions (`POST /v1/completions`), JSON and SSE: what chat completions were made from, so usage
 * looks and is asked for as it is there, while text and bounds stand elsewhere. (OpenAI API reference, Completions.)
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
import { jsonMembers, outline, withMember } from "./json-members.ts"
import { modelOf, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject, parseJson } from "./json-values.ts"
import { unboundedModel } from "./model-bounds.ts"
import { openAiChat } from "./openai-chat.ts"
import { OpenAiStreamEnd } from "./openai-stream-end.ts"
import { readOpenAiUsage } from "./openai-usage.ts"
import { readProviderCost } from "./provider-cost.ts"
import {
  type BoundQuestion,
  boundOf,
  newFindings,
  type RequestBound,
  TEXT_OUTPUT,
  unboundedBy,
} from "./request-bound.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
const INJECTED: StreamEvent = { isInjectedUsage: true }
const DECISIVE = ["model", "stream", "stream_options", "max_tokens", "n", "best_of", "prompt"]
/** Output tokens of each completion where a request does not say how many. */
const MAX_TOKENS_DEFAULT = 16

export const openAiCompletions: Dialect = {
  name: "openai-completions",

  readRequest(body: Buffer): ReadRequest {
    const outlined = readOutline(body, DECISIVE)
    if (outlined.kind === "invalid") return outlined
    const model = modelOf(outlined.request)
    if (typeof model !== "string") return model
    return { kind: "read", facts: factsOf(body, outlined.request, model), outline: outlined.request }
  },

  bound: boundCompletions,

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    const bytes = openAiChat.rewriteRequest(
      body,
      facts,
      { ...rewrite, outputTokensMax: null },
      { model: null, isStream: null, contentType: "" },
    )
    if (rewrite.outputTokensMax === null) return bytes
    const completions = completionsOf(body, parsedObject(outline(body)) ?? {})
    return withMember(bytes, "max_tokens", String(Math.max(1, Math.floor(rewrite.outputTokensMax / completions))))
  },

  readAnswer(body: Buffer, reading: Reading): void {
    const answer = parsedObject(outline(body))
    if (answer === null) return
    readOpenAiCommon(answer, reading)
    // The text is for an estimate, and a whole answer that reports its usage needs none.
    if (reading.usage === null) readText(parsedObject(body.toString("utf8"))?.choices, reading)
    reading.isFinished = true
  },

  readEvent(data: string, reading: Reading): StreamEvent {
    if (data === "[DONE]") {
      reading.isFinished = true
      return SHOWN
    }
    const chunk = parsedObject(data)
    if (chunk === null) return SHOWN
    readOpenAiCommon(chunk, reading)
    readText(chunk.choices, reading)
    const isUsageAlone = Array.isArray(chunk.choices) && chunk.choices.length === 0 && asObject(chunk.usage) !== null
    return isUsageAlone ? INJECTED : SHOWN
  },

  streamEnd: ({ asksUsage }) => new OpenAiStreamEnd("text_completion", asksUsage),

  streamError: openAiChat.streamError,
}

/** What OpenAI's answers have in common: id, model, tier, error, and usage in the shape of chat completions. */
export function readOpenAiCommon(answer: Record<string, unknown>, reading: Reading): void {
  if (reading.model === "") reading.model = asText(answer.model)
  if (reading.responseId === "") reading.responseId = asText(answer.id)
  if (typeof answer.service_tier === "string") reading.tier = answer.service_tier
  if (asObject(answer.error) !== null) reading.hasError = true
  const read = readOpenAiUsage(answer.usage, reading.model)
  if (read === null) return
  reading.usage = read.usage
  reading.usageRaw = answer.usage
  reading.isMismatch = read.isMismatch
  readProviderCost(answer.usage, reading)
}

function factsOf(body: Buffer, request: Record<string, unknown>, model: string): RequestFacts {
  const choices = completionsOf(body, request)
  const max = (count(request.max_tokens) ?? MAX_TOKENS_DEFAULT) * choices
  return {
    model,
    isStream: request.stream === true,
    asksUsage: asObject(request.stream_options)?.include_usage === true,
    outputTokensMax: Math.min(max, Number.MAX_SAFE_INTEGER),
    choices,
    tier: asText(request.service_tier),
    endCustomer: asText(request.safety_identifier) || asText(request.user),
    conversation: "",
    units: null,
    isFree: false,
  }
}

/** Members that are arrays or objects and bring nothing in but their own text. */
const PLAIN_MEMBERS: ReadonlySet<string> = new Set(["prompt", "stop", "logit_bias", "stream_options"])

/** The prompts are text or tokens, and the output is as the request says, or as the API does where it is left open. */
function boundCompletions({ body, facts, model, outline: outlined }: BoundQuestion): RequestBound {
  const findings = newFindings()
  findings.reason = unboundedModel(model)
  for (const [name, value] of Object.entries(outlined ?? {})) {
    if (typeof value === "object" && value !== null && !PLAIN_MEMBERS.has(name)) unboundedBy(findings, "unknown_member")
  }
  return boundOf(findings, {
    textBytes: body.length,
    outputTokens: facts.outputTokensMax ?? 0,
    asksForOutput: false,
    outputTokensMin: facts.choices ?? 1,
    inputClasses: ["input", "cache_read"],
    outputClasses: TEXT_OUTPUT,
    mayBePriority: facts.tier !== "default" && facts.tier !== "flex",
  })
}

/** How many completions are made and billed: `best_of` ones for each prompt, of which `n` are shown. */
function completionsOf(body: Buffer, request: Record<string, unknown>): number {
  return promptsIn(body, request) * Math.max(1, count(request.n) ?? 1, count(request.best_of) ?? 1)
}

/** The outline has emptied the array that a prompt may be: many prompts, or one as tokens. */
function promptsIn(body: Buffer, request: Record<string, unknown>): number {
  if (!Array.isArray(request.prompt)) return 1
  const member = jsonMembers(body).find(({ name }) => name === "prompt")
  if (member === undefined) return 1
  const parsed = parseJson(body.toString("utf8", member.valueStart, member.valueEnd))
  const prompts = parsed.kind === "parsed" ? asArray(parsed.value) : []
  return typeof prompts[0] === "number" ? 1 : Math.max(1, prompts.length)
}

function readText(choices: unknown, reading: Reading): void {
  for (const choice of asArray(choices)) addOutput(asText(asObject(choice)?.text), reading)
}

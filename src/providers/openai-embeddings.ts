/**
 * OpenAI's calls that generate no text: embeddings (`POST /v1/embeddings`), which report their input tokens, and
 * moderations (`POST /v1/moderations`), which cost nothing. (OpenAI API reference, Embeddings, Moderations.)
 */
import { parsedWithoutBulk } from "./body-signs.ts"
import type { Dialect, Reading, ReadRequest, RequestFacts, Rewrite, StreamEvent } from "./dialect.ts"
import { outline, withMember } from "./json-members.ts"
import { modelOf, readOutline } from "./json-request.ts"
import { asObject, asText, parsedObject } from "./json-values.ts"
import { openAiChat } from "./openai-chat.ts"
import { readOpenAiCommon } from "./openai-completions.ts"
import { type BoundQuestion, boundedInput, type RequestBound, unboundedFor } from "./request-bound.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
const DECISIVE = ["model", "input"]
const OPEN_BRACE = 0x7b
/** The model that moderates where a request names none. */
const MODERATION_DEFAULT = "omni-moderation-latest"

/** What these dialects have in common: a whole JSON answer, no stream, nothing of a request rewritten but its model. */
const whole = {
  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    return rewrite.model === facts.model ? body : withMember(body, "model", JSON.stringify(rewrite.model))
  },
  readAnswer(body: Buffer, reading: Reading): void {
    const answer = parsedObject(outline(body))
    if (answer === null) return
    readOpenAiCommon(answer, reading)
    reading.isFinished = true
  },
  readEvent: (): StreamEvent => SHOWN,
  bound: boundEmbeddings,
  streamError: openAiChat.streamError,
}

/** Embeddings: all of their input is billed, nothing is put out. */
export const openAiEmbeddings: Dialect = {
  name: "openai-embeddings",
  ...whole,
  readRequest(body: Buffer): ReadRequest {
    const outlined = readOutline(body, DECISIVE)
    if (outlined.kind === "invalid") return outlined
    const model = modelOf(outlined.request)
    return typeof model === "string" ? { kind: "read", facts: factsOf(outlined.request, model, false) } : model
  },
}

/**
 * Rerankers and embeddings of pictures and text, which state one total of tokens. A query is counted with each document,
 * and a picture by its pixels, so that no request bounds either. (Voyage API reference, "Rerankers", "Multimodal
 * embeddings".)
 */
export const openAiRerank: Dialect = {
  ...openAiEmbeddings,
  name: "openai-rerank",
  bound: ({ body }) => unboundedFor("unknown_content", boundedInput(body.length)),
}

/** Moderations: free, and the only call whose model may be left out. */
export const openAiModerations: Dialect = {
  name: "openai-moderations",
  ...whole,
  readRequest(body: Buffer): ReadRequest {
    const outlined = readOutline(body, DECISIVE)
    if (outlined.kind === "invalid") return outlined
    const { request } = outlined
    const isNamed = request.model !== undefined && request.model !== null
    const model = isNamed ? modelOf(request) : MODERATION_DEFAULT
    return typeof model === "string" ? { kind: "read", facts: factsOf(request, model, true) } : model
  },
}

/** Texts, or tokens: an object among them is a picture or a sound, of models that take such. */
function boundEmbeddings({ body }: BoundQuestion): RequestBound {
  const bounded = boundedInput(body.length)
  const outer = body.indexOf(OPEN_BRACE)
  // Most bodies have no second brace, and need no closer look.
  if (body.indexOf(OPEN_BRACE, outer + 1) < 0) return bounded
  const request = asObject(parsedWithoutBulk(body))
  const isText = isTexts(request?.input)
  return isText ? bounded : unboundedFor("unknown_content", bounded)
}

function isTexts(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isTexts)
  return typeof value === "string" || typeof value === "number"
}

function factsOf(request: Record<string, unknown>, model: string, isFree: boolean): RequestFacts {
  return {
    model,
    isStream: false,
    asksUsage: true,
    outputTokensMax: 0,
    tier: asText(request.service_tier),
    endCustomer: asText(request.safety_identifier) || asText(request.user),
    conversation: "",
    units: null,
    isFree,
  }
}

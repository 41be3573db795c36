/**
 * Ollama's own API: chat and generate (JSON lines, unless `stream` is false), and embeddings. The last line, `done: true`,
 * counts: `prompt_eval_count` is the input, left out where all of the prompt was cached, `eval_count` the output.
 * (Ollama API reference.) Its OpenAI-compatible endpoints are reached like any other server's.
 */
import { ZERO_USAGE } from "../metering/usage.ts"
import { textOfInput } from "./anthropic-messages.ts"
import {
  addOutput,
  type Dialect,
  type Reading,
  type ReadRequest,
  type RequestFacts,
  type Rewrite,
  type StreamEvent,
} from "./dialect.ts"
import { withMember, withMemberWithin } from "./json-members.ts"
import { modelOf, readOutline } from "./json-request.ts"
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { outputTokensMaxOf } from "./model-bounds.ts"
import { type BoundQuestion, boundedInput, type RequestBound, unboundedFor } from "./request-bound.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
const DECISIVE = ["model", "stream", "options", "messages", "prompt"]

export const ollamaGenerate: Dialect = {
  name: "ollama-generate",
  lineTypes: /^application\/x-ndjson/,
  readRequest: (body) => readRequestWith(body, true),
  bound: boundGenerate,
  rewriteRequest(body: Buffer, facts: RequestFacts, { model, outputTokensMax }: Rewrite): Buffer {
    const bytes = model === facts.model ? body : withMember(body, "model", JSON.stringify(model))
    if (outputTokensMax === null) return bytes
    return withMemberWithin(bytes, "options", "num_predict", String(Math.max(1, Math.floor(outputTokensMax))))
  },
  readAnswer: (body, reading) => readPart(body.toString("utf8"), reading),
  readLine: readPart,
  readEvent: () => SHOWN,
  streamError: (message) => `${JSON.stringify({ error: message })}\n`,
}

/** Embeddings: no output. The older of the two calls counts nothing. */
export const ollamaEmbed: Dialect = {
  name: "ollama-embed",
  readRequest: (body) => readRequestWith(body, false),
  bound: ({ body }) => boundedInput(body.length),
  rewriteRequest: (body, facts, { model }) =>
    model === facts.model ? body : withMember(body, "model", JSON.stringify(model)),
  readAnswer(body: Buffer, reading: Reading): void {
    readPart(body.toString("utf8"), reading)
    reading.isFinished = true
  },
  readEvent: () => SHOWN,
  streamError: ollamaGenerate.streamError,
}

function readRequestWith(body: Buffer, hasOutput: boolean): ReadRequest {
  const outlined = readOutline(body, DECISIVE)
  if (outlined.kind === "invalid") return outlined
  const { request } = outlined
  const model = modelOf(request)
  if (typeof model !== "string") return model
  const facts: RequestFacts = {
    model,
    // Other than elsewhere, it streams unless it is told not to.
    isStream: hasOutput && request.stream !== false,
    asksUsage: true,
    outputTokensMax: hasOutput ? boundSaid(request) : 0,
    tier: "",
    endCustomer: "",
    conversation: "",
    units: null,
    isFree: false,
  }
  return { kind: "read", facts, outline: request }
}

/** Null where it is left open: unset, -1 (no end) or -2 (until the context is full). */
function boundSaid(request: Record<string, unknown>): number | null {
  const said = asObject(request.options)?.num_predict
  return typeof said === "number" && said > 0 ? count(said) : null
}

/** A model's own system prompt and template are the server's, and no request says how long they are. */
function boundGenerate({ body, facts, model }: BoundQuestion): RequestBound {
  const { most } = boundedInput(body.length)
  const outputTokens = facts.outputTokensMax ?? outputTokensMaxOf(model)
  return unboundedFor("server_context", {
    kind: "bounded",
    most: { ...most, outputTokens, asksForOutput: facts.outputTokensMax === null, outputTokensMin: 1 },
  })
}

/** A whole answer, or one line of a stream. */
function readPart(text: string, reading: Reading): void {
  const part = parsedObject(text)
  if (part === null) return
  if (reading.model === "") reading.model = asText(part.model)
  if (asText(part.error) !== "") reading.hasError = true
  const message = asObject(part.message)
  let shown = asText(part.response) + asText(part.thinking) + asText(message?.content) + asText(message?.thinking)
  for (const call of asArray(message?.tool_calls)) {
    const called = asObject(asObject(call)?.function)
    shown += asText(called?.name) + textOfInput(asObject(called?.arguments))
  }
  addOutput(shown, reading)
  const input = count(part.prompt_eval_count)
  const output = count(part.eval_count)
  if (input !== null || output !== null) {
    reading.usage = { ...ZERO_USAGE, inputUncachedTokens: input ?? 0, outputTokens: output ?? 0 }
    reading.usageRaw = { prompt_eval_count: input, eval_count: output }
  }
  if (part.done === true) reading.isFinished = true
}

/**
 * Models of other makers at Vertex AI (`:rawPredict`, `:streamRawPredict`): the path names the model, and the body and the
 * answer are the maker's own, Anthropic's or in OpenAI's shape. (Vertex AI, "Use Claude models", "Mistral models".)
 */
import { anthropicMessages } from "./anthropic-messages.ts"
import { boundInvoke } from "./bedrock-bound.ts"
import type { Dialect, Reading, ReadRequest, RequestForm, Rewrite, StreamEvent } from "./dialect.ts"
import { pathModel, SHOWN } from "./google-generate.ts"
import { outline, withMember } from "./json-members.ts"
import { readOutline } from "./json-request.ts"
import { asText, count, parsedObject } from "./json-values.ts"
import { openAiChat } from "./openai-chat.ts"

const DECISIVE = ["messages", "system", "max_tokens", "tools", "model", "stream"]
/** Not a model: Anthropic's counting of tokens, which is free, asked for in the same way. */
const COUNTING = "count-tokens"

export const vertexRaw: Dialect = raw("vertex-raw", false)
/** Its first event may count the input alone. */
export const vertexRawStream: Dialect = { ...raw("vertex-raw-stream", true), reportsOutputLast: true }

function raw(name: string, isStream: boolean): Dialect {
  return {
    name,
    readRequest: (body, form) => readRequest(body, form, isStream),
    bound: boundInvoke,
    /** The model stands in the path, and a maker whose name of the bound is another keeps what the body says. */
    rewriteRequest(body: Buffer, facts, { outputTokensMax }: Rewrite): Buffer {
      if (outputTokensMax === null || facts.outputTokensMax === null) return body
      return withMember(body, "max_tokens", String(Math.max(1, Math.floor(outputTokensMax))))
    },
    readAnswer(body: Buffer, reading: Reading): void {
      const answer = parsedObject(outline(body))
      const maker = answer?.type === "message" || answer?.type === "error" ? anthropicMessages : openAiChat
      maker.readAnswer(body, reading)
    },
    readEvent(data: string, reading: Reading): StreamEvent {
      const isAnthropic = asText(parsedObject(data)?.type) !== ""
      ;(isAnthropic ? anthropicMessages : openAiChat).readEvent(data, reading)
      return SHOWN
    },
    streamError: anthropicMessages.streamError,
  }
}

function readRequest(body: Buffer, form: RequestForm, isStream: boolean): ReadRequest {
  const outlined = readOutline(body, DECISIVE)
  if (outlined.kind === "invalid") return outlined
  const model = pathModel(form)
  if (typeof model !== "string") return model
  const { request } = outlined
  const facts = {
    model,
    isStream,
    asksUsage: true,
    outputTokensMax: count(request.max_tokens),
    tier: "",
    endCustomer: "",
    conversation: "",
    units: null,
    isFree: model === COUNTING,
  }
  return { kind: "read", facts, outline: request }
}

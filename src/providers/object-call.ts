/**
 * Calls that manage objects which a provider keeps: files, uploads, batches, vector stores, cached contents … Whatever
 * the caller sends goes through unread, JSON, multipart and binary alike; of the answer only the object's id matters, by
 * which later calls name it. Source of where it stands: the API references of OpenAI (Files, Batches), Anthropic (Files,
 * Message Batches) and Gemini (`files`, `batches`, `cachedContents`).
 */
import { anthropicStreamError } from "./anthropic-messages.ts"
import { type Dialect, FREE_FACTS, type Reading, type ReadRequest, type StreamEvent } from "./dialect.ts"
import { googleStreamError } from "./google-generate.ts"
import { outline } from "./json-members.ts"
import { asObject, asText, parsedObject } from "./json-values.ts"
import { openAiChat } from "./openai-chat.ts"
import { boundedInput } from "./request-bound.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
/** White space before an answer that is an object: pretty printers write a line or two at most. */
const LEAD_MAX = 64

export const openAiObject: Dialect = objectDialect("openai-object", topLevelId, openAiChat.streamError)

export const anthropicObject: Dialect = objectDialect("anthropic-object", topLevelId, anthropicStreamError)

export const googleObject: Dialect = objectDialect("google-object", resourceName, googleStreamError)

function objectDialect(
  name: string,
  idOf: (answer: Record<string, unknown>) => string,
  streamError: Dialect["streamError"],
): Dialect {
  return {
    name,
    takesForms: true,
    readRequest: (): ReadRequest => ({ kind: "read", facts: FREE_FACTS }),
    bound: () => boundedInput(0),
    rewriteRequest: (body: Buffer): Buffer => body,
    readAnswer(body: Buffer, reading: Reading): void {
      reading.isFinished = true
      // What was uploaded comes back through here too, and need not be turned into text to see that it is no object.
      const answer = beginsAsObject(body) ? parsedObject(outline(body)) : null
      if (answer === null) return
      if (reading.responseId === "") reading.responseId = idOf(answer)
      if (asObject(answer.error) !== null) reading.hasError = true
    },
    readEvent: (): StreamEvent => SHOWN,
    streamError,
  }
}

function topLevelId(answer: Record<string, unknown>): string {
  return asText(answer.id)
}

/** Google names its objects by a path (`files/abc`); an upload answers with the file inside of an object. */
function resourceName(answer: Record<string, unknown>): string {
  return asText(answer.name) || asText(asObject(answer.file)?.name)
}

function beginsAsObject(body: Buffer): boolean {
  return /^\s*\{/.test(body.toString("latin1", 0, LEAD_MAX))
}

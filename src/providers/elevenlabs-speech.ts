/**
 * Speech of ElevenLabs (`POST /v1/text-to-speech/{voice}`, `/stream`, `/with-timestamps`): JSON in, sound or JSON with
 * sound in it out. It is billed by the characters of its text, which the request has; no answer's body counts anything.
 * (ElevenLabs API reference, "Create speech".)
 */
import type { Dialect, Reading, ReadRequest, RequestFacts, Rewrite } from "./dialect.ts"
import { withMember } from "./json-members.ts"
import { invalid, readOutline } from "./json-request.ts"
import { asText } from "./json-values.ts"
import { codePoints } from "./openai-audio.ts"
import { boundedInput } from "./request-bound.ts"

const DECISIVE = ["text", "model_id"]
/** The model that speaks where a request names none. */
const MODEL_DEFAULT = "eleven_multilingual_v2"

export const elevenLabsSpeech: Dialect = {
  name: "elevenlabs-speech",

  readRequest(body: Buffer): ReadRequest {
    const outlined = readOutline(body, DECISIVE)
    if (outlined.kind === "invalid") return outlined
    const { text, model_id } = outlined.request
    if (typeof text !== "string") return invalid("`text` must be the text to speak.", "text")
    const facts: RequestFacts = {
      model: asText(model_id) || MODEL_DEFAULT,
      // Sound flows as it comes in either way.
      isStream: false,
      asksUsage: true,
      outputTokensMax: 0,
      tier: "",
      endCustomer: "",
      conversation: "",
      units: { quantity: codePoints(text), unitType: "characters" },
      isFree: false,
    }
    return { kind: "read", facts }
  },

  /** By the character, and those are here. */
  bound: ({ body }) => boundedInput(body.length),

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    return rewrite.model === facts.model ? body : withMember(body, "model_id", JSON.stringify(rewrite.model))
  },

  readAnswer(body: Buffer, reading: Reading): void {
    reading.hasContent = body.length > 0
    reading.isFinished = true
  },

  readEvent: () => ({ isInjectedUsage: false }),
  streamError: (message, code) => `${JSON.stringify({ detail: { status: code, message } })}\n`,
}

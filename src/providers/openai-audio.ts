/**
 * OpenAI's speech (`POST /v1/audio/speech`: JSON in, sound or a stream of events out) and transcription
 * (`POST /v1/audio/transcriptions`, `/translations`: a form in, JSON, plain text or a stream out). Speech reports tokens
 * in a stream only and is billed by the characters of its input elsewhere; a transcription reports tokens or seconds,
 * and as plain text nothing. (OpenAI API reference, Audio, `Transcription.usage`, `TranscriptTextDoneEvent`,
 * `SpeechAudioDoneEvent`.)
 */
import { ZERO_USAGE } from "../metering/usage.ts"
import {
  addOutput,
  type Dialect,
  OUTPUT_TEXT_MAX,
  type Reading,
  type ReadRequest,
  type RequestFacts,
  type RequestForm,
  type Rewrite,
  type StreamEvent,
  type Units,
} from "./dialect.ts"
import { outline, withMember } from "./json-members.ts"
import { invalid, modelOf, readOutline } from "./json-request.ts"
import { asObject, asText, count, parsedObject } from "./json-values.ts"
import { isMultipart, readFormFields, withField } from "./multipart-form.ts"
import { openAiChat } from "./openai-chat.ts"
import { type ReadUsage, readOpenAiUsage } from "./openai-usage.ts"
import { type BoundQuestion, boundedInput, type RequestBound, unboundedFor } from "./request-bound.ts"

const SHOWN: StreamEvent = { isInjectedUsage: false }
const SPEECH_DECISIVE = ["model", "input", "stream_format"]
const TRANSCRIPTION_DECISIVE = ["model", "stream"]
const OPEN_BRACE = 0x7b

type ReadAudioUsage = (value: unknown) => ReadUsage | null

/** Text to sound. */
export const openAiSpeech: Dialect = {
  name: "openai-speech",

  readRequest(body: Buffer): ReadRequest {
    const outlined = readOutline(body, SPEECH_DECISIVE)
    if (outlined.kind === "invalid") return outlined
    const { request } = outlined
    const model = modelOf(request)
    if (typeof model !== "string") return model
    if (typeof request.input !== "string") return invalid("`input` must be the text to speak.", "input")
    const units: Units = { quantity: codePoints(request.input), unitType: "characters" }
    return { kind: "read", facts: factsOf(request, model, request.stream_format === "sse", units) }
  },

  /** By the character, or by tokens of a sound that lasts as long as it likes. */
  bound({ body, model }: BoundQuestion): RequestBound {
    const bounded = boundedInput(body.length)
    return model.startsWith("tts-") ? bounded : unboundedFor("generated_media", bounded)
  },

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite): Buffer {
    return rewrite.model === facts.model ? body : withMember(body, "model", JSON.stringify(rewrite.model))
  },

  readAnswer(body: Buffer, reading: Reading): void {
    reading.isFinished = true
    const answer = body[0] === OPEN_BRACE ? parsedObject(outline(body)) : null
    if (answer === null) reading.hasContent ||= body.length > 0
    else readCommon(answer, readSpeechUsage, reading)
  },

  readEvent(data: string, reading: Reading): StreamEvent {
    const event = parsedObject(data)
    if (event === null) return SHOWN
    readCommon(event, readSpeechUsage, reading)
    if (event.type === "speech.audio.delta") reading.hasContent = true
    if (event.type === "speech.audio.done") reading.isFinished = true
    return SHOWN
  },

  streamError: openAiChat.streamError,
}

/** Sound to text, in its own language or in English. */
export const openAiTranscription: Dialect = {
  name: "openai-transcription",
  takesForms: true,

  readRequest(body: Buffer, { contentType }: RequestForm): ReadRequest {
    if (!isMultipart(contentType)) return invalid("The request must be sent as multipart/form-data.")
    const outlined = readFormFields(body, contentType, TRANSCRIPTION_DECISIVE)
    if (outlined.kind === "invalid") return outlined
    const { request } = outlined
    const model = modelOf(request)
    if (typeof model !== "string") return model
    return { kind: "read", facts: factsOf(request, model, request.stream === "true", null) }
  },

  /** How long a sound is its bytes do not tell. */
  bound: (): RequestBound => unboundedFor("audio", boundedInput(0)),

  rewriteRequest(body: Buffer, facts: RequestFacts, rewrite: Rewrite, { contentType }: RequestForm): Buffer {
    return rewrite.model === facts.model ? body : withField(body, contentType, "model", rewrite.model)
  },

  readAnswer(body: Buffer, reading: Reading): void {
    const answer = parsedObject(outline(body))
    if (answer !== null) {
      readCommon(answer, readTranscriptionUsage, reading)
      const spoken = reading.usage === null ? readDuration(answer) : null
      if (spoken !== null) {
        reading.usage = spoken.usage
        reading.usageRaw = { duration: answer.duration }
      }
      // The text is for an estimate, and an answer that reports its usage needs none.
      if (reading.usage === null) addOutput(asText(answer.text), reading)
    } else if (body[0] === OPEN_BRACE) {
      // JSON that was cut, and no text.
      return
    } else addOutput(body.toString("utf8", 0, OUTPUT_TEXT_MAX), reading)
    reading.isFinished = true
  },

  readEvent(data: string, reading: Reading): StreamEvent {
    const event = parsedObject(data)
    if (event === null) return SHOWN
    readCommon(event, readTranscriptionUsage, reading)
    if (event.type === "transcript.text.delta") addOutput(asText(event.delta), reading)
    if (event.type === "transcript.text.done") reading.isFinished = true
    return SHOWN
  },

  streamError: openAiChat.streamError,
}

/** What speech reports: the tokens of its text, and those of the sound. */
function readSpeechUsage(value: unknown): ReadUsage | null {
  const read = readTokens(value)
  if (read === null) return null
  return { ...read, usage: { ...read.usage, audioOutputTokens: read.usage.outputTokens } }
}

/**
 * What a transcription reports: tokens, or the seconds of the sound, or both (Mistral, in the words of a chat). Null
 * where the value counts nothing.
 */
function readTranscriptionUsage(value: unknown): ReadUsage | null {
  const usage = asObject(value)
  if (usage === null) return null
  if (usage.prompt_audio_seconds !== undefined) return spokenUsage(usage)
  const units = usage.type === "tokens" ? null : seconds(usage.seconds)
  if (units !== null) return { usage: { ...ZERO_USAGE, units, unitType: "seconds" }, isMismatch: false }
  const read = readTokens(usage)
  if (read === null) return null
  const audio = count(asObject(usage.input_token_details)?.audio_tokens) ?? 0
  const audioInputTokens = Math.min(audio, read.usage.inputUncachedTokens)
  return { ...read, usage: { ...read.usage, audioInputTokens } }
}

/** Its total holds the sound as tokens, which are billed by the second. */
function spokenUsage(usage: Record<string, unknown>): ReadUsage | null {
  const read = readOpenAiUsage(usage, "")
  return read === null ? null : { ...read, isMismatch: false }
}

/** The length of the sound, which a verbose answer states: all that is billed where nothing else is told. */
function readDuration({ duration }: Record<string, unknown>): ReadUsage | null {
  const units = typeof duration === "string" ? seconds(Number(duration)) : seconds(duration)
  return units === null ? null : { usage: { ...ZERO_USAGE, units, unitType: "seconds" }, isMismatch: false }
}

function readTokens(value: unknown): ReadUsage | null {
  const usage = asObject(value)
  const input = count(usage?.input_tokens)
  const output = count(usage?.output_tokens)
  if (input === null && output === null) return null
  const total = count(usage?.total_tokens)
  return {
    usage: { ...ZERO_USAGE, inputUncachedTokens: input ?? 0, outputTokens: output ?? 0 },
    isMismatch: total !== null && total !== (input ?? 0) + (output ?? 0),
  }
}

/** Parts of a second count, other than parts of a token. */
function seconds(value: unknown): number | null {
  if (typeof value !== "number" || !Number.isFinite(value)) return count(value)
  return Math.min(Math.max(0, value), Number.MAX_SAFE_INTEGER)
}

function factsOf(
  request: Record<string, unknown>,
  model: string,
  isStream: boolean,
  units: Units | null,
): RequestFacts {
  return {
    model,
    isStream,
    asksUsage: true,
    outputTokensMax: null,
    tier: "",
    endCustomer: asText(request.safety_identifier) || asText(request.user),
    conversation: "",
    units,
    isFree: false,
  }
}

/** Characters as they are billed; a JavaScript string counts those beyond U+FFFF twice. */
/** Characters as they are billed: each once, whatever it takes to write it. */
export function codePoints(text: string): number {
  let points = 0
  for (const _ of text) points++
  return points
}

function readCommon(answer: Record<string, unknown>, readUsage: ReadAudioUsage, reading: Reading): void {
  if (reading.model === "") reading.model = asText(answer.model)
  if (answer.type === "error" || asObject(answer.error) !== null) reading.hasError = true
  const read = readUsage(answer.usage)
  if (read === null) return
  reading.usage = read.usage
  reading.usageRaw = answer.usage
  reading.isMismatch = read.isMismatch
}

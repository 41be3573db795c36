/**
 * Sessions of OpenAI's Realtime API (`/v1/realtime`, over a WebSocket): what each `response.done` reports, added up over
 * the session, each response once. `input_tokens` holds text, sound, pictures and what of them was cached. The
 * transcription of what a caller says is another model's bill and no part of it. (OpenAI API reference, Realtime server
 * events, `response.done`.) The proxy carries no such sessions yet; recordings of them can be read.
 */
import { addedUsage, type Usage, ZERO_USAGE } from "../metering/usage.ts"
import { type Dialect, FREE_FACTS, type Reading } from "./dialect.ts"
import { asObject, asText, count, parsedObject } from "./json-values.ts"
import { openAiChat } from "./openai-chat.ts"
import { boundedInput, unboundedFor } from "./request-bound.ts"

export const openAiRealtime: Dialect = {
  name: "openai-realtime",
  readRequest: () => ({
    kind: "read",
    facts: { ...FREE_FACTS, isStream: true, outputTokensMax: null, isFree: false },
  }),
  bound: ({ body }) => unboundedFor("open_output", boundedInput(body.length)),
  rewriteRequest: (body) => body,
  readAnswer: (body, reading) => readServerEvent(body.toString("utf8"), reading),
  /** One event. */
  readLine: readServerEvent,
  readEvent: () => ({ isInjectedUsage: false }),
  streamError: openAiChat.streamError,
}

function readServerEvent(data: string, reading: Reading): void {
  const event = parsedObject(data)
  if (event === null) return
  switch (event.type) {
    case "session.created":
    case "session.updated":
      reading.model = asText(asObject(event.session)?.model) || reading.model
      break
    case "error":
      reading.hasError = true
      break
    case "response.done":
      readDone(asObject(event.response) ?? {}, reading)
  }
}

function readDone(response: Record<string, unknown>, reading: Reading): void {
  const id = asText(response.id)
  const read = readRealtimeUsage(response.usage)
  // The last one's, so that a repeated event is not another response.
  if (read === null || (id !== "" && id === reading.responseId)) return
  reading.responseId = id
  reading.hasContent = true
  reading.isFinished = true
  reading.usage = addedUsage(reading.usage ?? ZERO_USAGE, read.usage)
  reading.usageRaw = response.usage
  reading.isMismatch ||= read.isMismatch
}

/** Null where the value counts nothing. */
function readRealtimeUsage(value: unknown): { readonly usage: Usage; readonly isMismatch: boolean } | null {
  const usage = asObject(value)
  const input = count(usage?.input_tokens)
  const output = count(usage?.output_tokens)
  if (usage === null || (input === null && output === null)) return null
  const inputs = asObject(usage.input_token_details)
  const cached = asObject(inputs?.cached_tokens_details)
  const inputTokens = input ?? 0
  const outputTokens = output ?? 0
  const cacheRead = Math.min(count(inputs?.cached_tokens) ?? 0, inputTokens)
  const uncached = inputTokens - cacheRead
  const ofInput = (name: string) => Math.max(0, (count(inputs?.[name]) ?? 0) - (count(cached?.[name]) ?? 0))
  const total = count(usage.total_tokens)
  const audioInput = Math.min(ofInput("audio_tokens"), uncached)
  return {
    usage: {
      ...ZERO_USAGE,
      inputUncachedTokens: uncached,
      cacheReadTokens: cacheRead,
      outputTokens,
      audioInputTokens: audioInput,
      imageInputTokens: Math.min(ofInput("image_tokens"), uncached - audioInput),
      audioOutputTokens: Math.min(count(asObject(usage.output_token_details)?.audio_tokens) ?? 0, outputTokens),
    },
    isMismatch: total !== null && total !== inputTokens + outputTokens,
  }
}

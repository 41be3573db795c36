/**
 * A stream of each dialect that streams, written from the classes that it reports: what is input, cached, output and
 * reasoning as the provider's API counts it. Whoever reads it must come back to the same classes.
 */
import { type Usage, ZERO_USAGE } from "../../src/metering/usage.ts"
import { anthropicMessages } from "../../src/providers/anthropic-messages.ts"
import { bedrockConverseStream, bedrockInvokeStream } from "../../src/providers/bedrock.ts"
import { cohereChat, cohereChatV1 } from "../../src/providers/cohere.ts"
import type { Dialect } from "../../src/providers/dialect.ts"
import { googleGenerate } from "../../src/providers/google-generate.ts"
import { ollamaGenerate } from "../../src/providers/ollama.ts"
import { openAiSpeech, openAiTranscription } from "../../src/providers/openai-audio.ts"
import { openAiChat } from "../../src/providers/openai-chat.ts"
import { openAiCompletions } from "../../src/providers/openai-completions.ts"
import { openAiImages } from "../../src/providers/openai-images.ts"
import { openAiResponses } from "../../src/providers/openai-responses.ts"
import { bedrockChunk, bedrockEvent } from "./event-stream-bytes.ts"
import { eventBytes, type WireEvent } from "./hostile-wire.ts"

export type StreamDialect = {
  readonly name: string
  readonly dialect: Dialect
  readonly contentType: string
  /** Classes that the API can report; of the others there are none. */
  readonly reports: readonly (keyof Usage)[]
  /** The stream's bytes: some text, the usage, the end. Line ends matter to event streams alone. */
  write(usage: Usage, texts: readonly string[], lineEnd: string): Buffer
}

const SSE = "text/event-stream"
const TEXT_CLASSES = ["inputUncachedTokens", "outputTokens"] as const
const CACHED_CLASSES = [...TEXT_CLASSES, "cacheReadTokens", "reasoningTokens"] as const

function events(list: readonly WireEvent[], lineEnd: string): Buffer {
  return Buffer.from(list.map((event) => eventBytes(event, lineEnd)).join(""))
}

function lines(list: readonly object[]): Buffer {
  return Buffer.from(list.map((one) => `${JSON.stringify(one)}\n`).join(""))
}

const inputOf = (usage: Usage) => usage.inputUncachedTokens + usage.cacheReadTokens + usage.cacheWrite5mTokens

function chatUsage(usage: Usage): object {
  const [prompt, completion] = [inputOf(usage), usage.outputTokens]
  return {
    ...{ prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion },
    prompt_tokens_details: { cached_tokens: usage.cacheReadTokens, cache_write_tokens: usage.cacheWrite5mTokens },
    completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
  }
}

const delta = (content: string) => ({ data: { model: "m", choices: [{ index: 0, delta: { content } }] } })
const DONE: WireEvent = { data: "[DONE]" }

const OPENAI: readonly StreamDialect[] = [
  {
    ...{ name: "chat completions", dialect: openAiChat, contentType: SSE },
    reports: [...CACHED_CLASSES, "cacheWrite5mTokens"],
    write: (usage, texts, lineEnd) =>
      events([...texts.map(delta), { data: { model: "m", choices: [], usage: chatUsage(usage) } }, DONE], lineEnd),
  },
  {
    ...{ name: "chat completions, reasoning beside the completion (xAI)", dialect: openAiChat, contentType: SSE },
    reports: CACHED_CLASSES,
    write: (usage, texts, lineEnd) => {
      const visible = usage.outputTokens - usage.reasoningTokens
      const beside = { ...chatUsage(usage), completion_tokens: visible }
      return events([...texts.map(delta), { data: { model: "m", choices: [], usage: beside } }, DONE], lineEnd)
    },
  },
  {
    ...{ name: "chat completions, cached tokens beside the prompt (DeepSeek)", dialect: openAiChat, contentType: SSE },
    reports: [...TEXT_CLASSES, "cacheReadTokens"],
    write: (usage, texts, lineEnd) => {
      const { prompt_tokens_details: _, ...counts } = chatUsage(usage) as Record<string, unknown>
      const beside = { ...counts, prompt_cache_hit_tokens: usage.cacheReadTokens }
      return events([...texts.map(delta), { data: { choices: [{ delta: {} }], usage: beside } }, DONE], lineEnd)
    },
  },
  {
    ...{ name: "completions", dialect: openAiCompletions, contentType: SSE, reports: TEXT_CLASSES },
    write: (usage, texts, lineEnd) => {
      const shown = texts.map((text) => ({ data: { model: "m", choices: [{ index: 0, text }] } }))
      return events([...shown, { data: { model: "m", choices: [], usage: chatUsage(usage) } }, DONE], lineEnd)
    },
  },
  {
    ...{ name: "responses", dialect: openAiResponses, contentType: SSE, reports: CACHED_CLASSES },
    write: (usage, texts, lineEnd) => {
      const input = inputOf(usage)
      const stated = {
        ...{ input_tokens: input, output_tokens: usage.outputTokens, total_tokens: input + usage.outputTokens },
        ...{ input_tokens_details: { cached_tokens: usage.cacheReadTokens } },
        output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
      }
      const shown = texts.map((text) => ({ data: { type: "response.output_text.delta", delta: text } }))
      const data = { type: "response.completed", response: { id: "r", status: "completed", usage: stated } }
      return events([...shown, { name: "response.completed", data }], lineEnd)
    },
  },
  {
    ...{ name: "transcription", dialect: openAiTranscription, contentType: SSE, reports: TEXT_CLASSES },
    write: (usage, texts, lineEnd) => {
      const shown = texts.map((text) => ({ data: { type: "transcript.text.delta", delta: text } }))
      return events([...shown, { data: { type: "transcript.text.done", usage: tokenUsage(usage) } }], lineEnd)
    },
  },
  {
    ...{ name: "speech", dialect: openAiSpeech, contentType: SSE },
    reports: [...TEXT_CLASSES, "audioOutputTokens"],
    write: (usage, texts, lineEnd) => {
      const shown = texts.map((text) => ({
        data: { type: "speech.audio.delta", audio: Buffer.from(text).toString("base64") },
      }))
      return events([...shown, { data: { type: "speech.audio.done", usage: tokenUsage(usage) } }], lineEnd)
    },
  },
  {
    ...{ name: "images", dialect: openAiImages, contentType: SSE },
    reports: [...TEXT_CLASSES, "imageOutputTokens"],
    write: (usage, texts, lineEnd) => {
      const shown = texts.map((text) => ({
        data: { type: "image_generation.partial_image", b64_json: Buffer.from(text).toString("base64") },
      }))
      return events([...shown, { data: { type: "image_generation.completed", usage: tokenUsage(usage) } }], lineEnd)
    },
  },
]

function tokenUsage(usage: Usage): object {
  const input = inputOf(usage)
  return {
    ...{ type: "tokens", input_tokens: input, output_tokens: usage.outputTokens },
    total_tokens: input + usage.outputTokens,
  }
}

function claudeInput(usage: Usage): object {
  return {
    ...{ input_tokens: usage.inputUncachedTokens, cache_read_input_tokens: usage.cacheReadTokens },
    cache_creation_input_tokens: usage.cacheWrite5mTokens + usage.cacheWrite1hTokens,
    cache_creation: {
      ephemeral_5m_input_tokens: usage.cacheWrite5mTokens,
      ephemeral_1h_input_tokens: usage.cacheWrite1hTokens,
    },
  }
}

function claudeEvents(usage: Usage, texts: readonly string[]): WireEvent[] {
  const message = { id: "msg_1", model: "claude", usage: { ...claudeInput(usage), output_tokens: 1 } }
  const shown = texts.map((text) => ({
    ...{ name: "content_block_delta" },
    data: { type: "content_block_delta", delta: { type: "text_delta", text } },
  }))
  const details = { thinking_tokens: usage.reasoningTokens }
  const stated = { output_tokens: usage.outputTokens, output_tokens_details: details }
  return [
    { name: "message_start", data: { type: "message_start", message } },
    ...shown,
    { name: "message_delta", data: { type: "message_delta", delta: {}, usage: stated } },
    { name: "message_stop", data: { type: "message_stop" } },
  ]
}

const CLAUDE_CLASSES = [...CACHED_CLASSES, "cacheWrite5mTokens", "cacheWrite1hTokens"] as const

function geminiParts(usage: Usage, texts: readonly string[]): object[] {
  const shown = texts.map((text) => ({ candidates: [{ content: { parts: [{ text }] } }] }))
  const input = inputOf(usage)
  const usageMetadata = {
    ...{ promptTokenCount: input, cachedContentTokenCount: usage.cacheReadTokens },
    ...{ candidatesTokenCount: usage.outputTokens - usage.reasoningTokens, thoughtsTokenCount: usage.reasoningTokens },
    totalTokenCount: input + usage.outputTokens,
  }
  return [...shown, { candidates: [{ finishReason: "STOP" }], usageMetadata }]
}

const OTHERS: readonly StreamDialect[] = [
  {
    ...{ name: "Anthropic messages", dialect: anthropicMessages, contentType: SSE, reports: CLAUDE_CLASSES },
    write: (usage, texts, lineEnd) => events(claudeEvents(usage, texts), lineEnd),
  },
  {
    ...{ name: "Google generateContent", dialect: googleGenerate, contentType: SSE, reports: CACHED_CLASSES },
    write: (usage, texts, lineEnd) =>
      events(
        geminiParts(usage, texts).map((data) => ({ data })),
        lineEnd,
      ),
  },
  {
    ...{ name: "Google generateContent as a list", dialect: googleGenerate, contentType: "application/json" },
    reports: CACHED_CLASSES,
    write: (usage, texts, lineEnd) =>
      Buffer.from(
        `[${geminiParts(usage, texts)
          .map((part) => JSON.stringify(part, null, 2))
          .join(`${lineEnd},${lineEnd}`)}]`,
      ),
  },
  {
    ...{ name: "Cohere chat", dialect: cohereChat, contentType: SSE, reports: TEXT_CLASSES },
    write: (usage, texts, lineEnd) => {
      const shown = texts.map((text) => ({
        data: { type: "content-delta", delta: { message: { content: { text } } } },
      }))
      const billed_units = { input_tokens: usage.inputUncachedTokens, output_tokens: usage.outputTokens }
      const end = { type: "message-end", delta: { finish_reason: "COMPLETE", usage: { billed_units } } }
      return events([...shown, { name: "message-end", data: end }], lineEnd)
    },
  },
  {
    ...{ name: "Cohere chat v1", dialect: cohereChatV1, contentType: "application/stream+json", reports: TEXT_CLASSES },
    write: (usage, texts) => {
      const billed_units = { input_tokens: usage.inputUncachedTokens, output_tokens: usage.outputTokens }
      const shown = texts.map((text) => ({ event_type: "text-generation", text }))
      return lines([...shown, { event_type: "stream-end", response: { meta: { billed_units } } }])
    },
  },
  {
    ...{ name: "Ollama", dialect: ollamaGenerate, contentType: "application/x-ndjson", reports: TEXT_CLASSES },
    write: (usage, texts) => {
      const shown = texts.map((content) => ({ message: { role: "assistant", content }, done: false }))
      const counts = { prompt_eval_count: usage.inputUncachedTokens, eval_count: usage.outputTokens }
      return lines([...shown, { message: { content: "" }, done: true, ...counts }])
    },
  },
  {
    ...{ name: "Bedrock ConverseStream", dialect: bedrockConverseStream },
    contentType: "application/vnd.amazon.eventstream",
    reports: [...TEXT_CLASSES, "cacheReadTokens", "cacheWrite5mTokens", "cacheWrite1hTokens"],
    write: (usage, texts) => {
      const written = usage.cacheWrite5mTokens + usage.cacheWrite1hTokens
      const stated = {
        ...{ inputTokens: usage.inputUncachedTokens, outputTokens: usage.outputTokens },
        ...{ cacheReadInputTokens: usage.cacheReadTokens, cacheWriteInputTokens: written },
        cacheDetails: [{ ttl: "1h", inputTokens: usage.cacheWrite1hTokens }],
        totalTokens: usage.inputUncachedTokens + usage.cacheReadTokens + written + usage.outputTokens,
      }
      const shown = texts.map((text) => bedrockEvent("contentBlockDelta", { delta: { text }, contentBlockIndex: 0 }))
      return Buffer.concat([...shown, bedrockEvent("metadata", { usage: stated })])
    },
  },
  {
    ...{ name: "Bedrock InvokeModelWithResponseStream, Claude", dialect: bedrockInvokeStream, reports: CLAUDE_CLASSES },
    contentType: "application/vnd.amazon.eventstream",
    write: (usage, texts) => Buffer.concat(claudeEvents(usage, texts).map(({ data }) => bedrockChunk(data as object))),
  },
]

export const STREAM_DIALECTS: readonly StreamDialect[] = [...OPENAI, ...OTHERS]

/** The usage with the classes that the dialect can report; reasoning is part of the output, all sound and pictures are output. */
export function reportable({ reports }: Pick<StreamDialect, "reports">, usage: Usage): Usage {
  const known = Object.fromEntries(reports.map((name) => [name, usage[name]])) as Partial<Usage>
  const all = { ...ZERO_USAGE, ...known }
  return {
    ...all,
    reasoningTokens: Math.min(all.reasoningTokens, all.outputTokens),
    audioOutputTokens: reports.includes("audioOutputTokens") ? all.outputTokens : 0,
    imageOutputTokens: reports.includes("imageOutputTokens") ? all.outputTokens : 0,
  }
}

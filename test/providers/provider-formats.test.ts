/** Native dialects: any chunking gives the same usage, hostile bytes never throw, and requests are bounded and changed as said. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { bodyOf } from "../../src/cli/verify/recorded-exchange.ts"
import { inputTokens, totalTokens } from "../../src/metering/usage.ts"
import {
  bedrockConverse,
  bedrockConverseStream,
  bedrockInvoke,
  bedrockInvokeStream,
} from "../../src/providers/bedrock.ts"
import { cohereChat, cohereChatV1, cohereRerank } from "../../src/providers/cohere.ts"
import { type Dialect, newReading, type Reading, type RequestForm } from "../../src/providers/dialect.ts"
import { matchEndpoint } from "../../src/providers/endpoint.ts"
import { googleInteractions } from "../../src/providers/google-interactions.ts"
import { googleLive } from "../../src/providers/google-live.ts"
import { NATIVE_ENDPOINTS } from "../../src/providers/native-endpoints.ts"
import { ollamaGenerate } from "../../src/providers/ollama.ts"
import { openAiRealtime } from "../../src/providers/openai-realtime.ts"
import { matchSession } from "../../src/providers/session-endpoints.ts"
import { vertexRaw, vertexRawStream } from "../../src/providers/vertex-raw.ts"
import { AnswerReader } from "../../src/proxy/answer-reader.ts"
import { bedrockChunk, bedrockEvent, eventMessage } from "../support/event-stream-bytes.ts"
import { playableExchanges } from "../support/recorded-exchanges.ts"

const JSON_TYPE = "application/json"
const AWS = "application/vnd.amazon.eventstream"

function read(dialect: Dialect, contentType: string, chunks: readonly Buffer[]): Reading {
  const reading = newReading()
  const isSse = contentType === "text/event-stream"
  const form = { isSse, contentType, encoding: "", hidesUsage: false, streamEnd: null }
  const reader = new AnswerReader(dialect, reading, form)
  for (const chunk of chunks) expect(reader.push(chunk)).toBe(chunk)
  reader.end()
  return reading
}

const NATIVE = (await playableExchanges()).flatMap((exchange) => {
  const path = exchange.path.replace(/\?.*/, "").replace("%3A", ":")
  const api = (["cohere", "bedrock", "ollama", "elevenlabs"] as const).find((name) => name === exchange.provider)
  const match = api === undefined ? null : matchEndpoint(api, "POST", path)
  const contentType = exchange.response.headers["content-type"] ?? ""
  return match === null ? [] : [[exchange.name, match.endpoint.dialect, bodyOf(exchange), contentType] as const]
})

describe.each(NATIVE)("%s", (_name, dialect, answer, contentType) => {
  test("is read alike in any pieces", () => {
    const whole = read(dialect, contentType, [answer])
    for (let at = 0; at <= answer.length; at += answer.length > 400 ? 13 : 1) {
      expect(read(dialect, contentType, [answer.subarray(0, at), answer.subarray(at)])).toEqual(whole)
    }
  })
  test("cut anywhere, it counts no more than the whole, and throws nothing", () => {
    const whole = read(dialect, contentType, [answer]).usage
    for (let at = 0; at < answer.length; at += 7) {
      const { usage } = read(dialect, contentType, [answer.subarray(0, at)])
      if (usage !== null) expect(totalTokens(usage)).toBeLessThanOrEqual(whole === null ? 0 : totalTokens(whole))
    }
  })
})

const EVERY = [
  ...new Set([
    ...NATIVE_ENDPOINTS.map(({ dialect }) => dialect),
    ...[openAiRealtime, googleLive, googleInteractions, vertexRaw, vertexRawStream],
  ]),
]

describe.each(EVERY.map((dialect) => [dialect.name, dialect] as const))("%s, hostile bytes", (_name, dialect) => {
  const anything = fc.jsonValue()
  const counts = fc.oneof(fc.nat(), fc.double(), fc.constant("7"), fc.constant(-1), anything)
  const usage = fc.oneof(
    anything,
    fc.dictionary(
      fc.constantFrom(
        ...["inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens"],
        ...["input_tokens", "output_tokens", "billed_units", "tokens", "cacheDetails", "input_token_details"],
        ...["inputTokenCount", "outputTokenCount", "search_units"],
        ...["total_input_tokens", "total_output_tokens", "total_cached_tokens", "total_thought_tokens"],
        ...["promptTokenCount", "responseTokenCount", "prompt_tokens", "completion_tokens", "iterations"],
      ),
      fc.oneof(counts, fc.record({ input_tokens: counts, output_tokens: counts, cached_tokens: counts })),
    ),
  )
  const event = fc.record(
    {
      type: fc.oneof(anything, fc.constantFrom("message-end", "message_delta", "response.done", "content-delta")),
      event_type: fc.oneof(anything, fc.constantFrom("stream-end", "text-generation")),
      delta: fc.oneof(anything, fc.record({ usage, message: anything })),
      response: fc.oneof(anything, fc.record({ usage, meta: usage })),
      ...{ interaction: fc.record({ usage, status: anything }), usageMetadata: usage },
      ...{ usage, meta: usage, message: anything, metadata: fc.record({ usage }), results: anything, done: anything },
      ...{ prompt_eval_count: counts, eval_count: counts, inputTextTokenCount: counts, generation_token_count: counts },
      "amazon-bedrock-invocationMetrics": usage,
    },
    { requiredKeys: [] },
  )
  test("throw nothing, and make no negative or unsafe class", () => {
    fc.assert(
      fc.property(event, fc.uint8Array({ maxLength: 40 }), (value, noise) => {
        const text = JSON.stringify(value)
        const reading = newReading()
        dialect.readEvent(text, reading)
        dialect.readLine?.(text, reading)
        dialect.readAnswer(Buffer.from(text), reading)
        for (const type of ["metadata", "contentBlockDelta", "contentBlockStart", "chunk"]) {
          const headers = new Map([
            [":message-type", "event"],
            [":event-type", type],
          ])
          dialect.readMessage?.({ headers, payload: Buffer.from(text) }, reading)
          const bytes = Buffer.from(text).toString("base64")
          dialect.readMessage?.({ headers, payload: Buffer.from(JSON.stringify({ bytes })) }, reading)
        }
        dialect.readMessage?.({ headers: new Map(), payload: Buffer.from(noise) }, reading)
        dialect.readAnswer(Buffer.from(noise), reading)
        dialect.readLine?.(Buffer.from(noise).toString("latin1"), reading)
        dialect.readHead?.(() => Buffer.from(noise).toString("latin1"), reading)
        for (const one of Object.values(reading.usage ?? {})) {
          if (typeof one === "number") expect(one).toBeGreaterThanOrEqual(0)
        }
        if (reading.usage !== null) {
          expect(reading.usage.reasoningTokens).toBeLessThanOrEqual(reading.usage.outputTokens)
          expect(inputTokens(reading.usage)).not.toBeNaN()
        }
      }),
      { numRuns: 100 },
    )
  })
})

const form = (model: string | null): RequestForm => ({ model, isStream: null, contentType: JSON_TYPE })

function boundOf(dialect: Dialect, request: object, model = "m") {
  const body = Buffer.from(JSON.stringify(request))
  const asked = dialect.readRequest(body, form(model))
  if (asked.kind === "invalid") throw new Error(asked.message)
  const { facts, outline = null } = asked
  const bound = dialect.bound({ body, form: form(model), facts, model, outline })
  return { bound, bytes: body.length, facts }
}

function rewritten(dialect: Dialect, body: string, outputTokensMax: number | null, model = "m"): string {
  const asked = dialect.readRequest(Buffer.from(body), form(model))
  if (asked.kind === "invalid") throw new Error(asked.message)
  const rewrite = { model, injectsUsage: false, outputTokensMax }
  return dialect.rewriteRequest(Buffer.from(body), asked.facts, rewrite, form(model)).toString()
}

describe("what a request can use at most", () => {
  const hi = [{ role: "user", content: [{ text: "Hi" }] }]
  test("of text is its bytes and the output that it allows", () => {
    for (const [dialect, request] of [
      [bedrockConverse, { messages: hi, inferenceConfig: { maxTokens: 50 } }],
      [cohereChat, { model: "m", messages: [{ role: "user", content: "Hi" }], max_tokens: 50 }],
      [cohereChatV1, { model: "m", message: "Hi", chat_history: [], max_tokens: 50 }],
      [
        bedrockInvoke,
        { anthropic_version: "bedrock-2023-05-31", messages: [{ role: "user", content: "Hi" }], max_tokens: 50 },
      ],
    ] as const) {
      const { bound, bytes } = boundOf(dialect, request)
      expect([dialect.name, bound]).toMatchObject([
        dialect.name,
        { kind: "bounded", most: { outputTokens: 50, asksForOutput: false } },
      ])
      expect(bound.most.inputTokens).toBeGreaterThanOrEqual(bytes)
    }
  })
  test.each([
    [bedrockConverse, { messages: [{ role: "user", content: [{ image: { format: "png", source: {} } }] }] }, "image"],
    [
      bedrockConverse,
      { messages: [{ role: "user", content: [{ toolResult: { content: [{ document: {} }] } }] }] },
      "document",
    ],
    [bedrockConverse, { messages: hi, toolConfig: { tools: [{ systemTool: { name: "x" } }] } }, "server_tool"],
    [bedrockConverse, { messages: hi, guardrailConfig: {} }, "unknown_member"],
    [bedrockConverse, { messages: [{ role: "user", content: [{ telepathy: {} }] }] }, "unknown_content"],
    [bedrockInvoke, { prompt: "Hi" }, "unknown_content"],
    [cohereChat, { model: "m", messages: [{ content: [{ type: "image_url", image_url: {} }] }] }, "image"],
    [cohereChatV1, { model: "m", message: "Hi", connectors: [{ id: "web-search" }] }, "server_tool"],
    [cohereChatV1, { model: "m", message: "Hi", conversation_id: "c" }, "server_context"],
    [cohereRerank, { model: "m", query: "Hi", documents: [] }, "unknown_content"],
    [ollamaGenerate, { model: "m", prompt: "Hi" }, "server_context"],
  ] as const)("$0.name of %j is not told by its bytes", (dialect, request, reason) => {
    expect(boundOf(dialect, request).bound).toMatchObject({ kind: "unbounded", reason })
  })
  test("a model that Bedrock chooses is not told either", () => {
    expect(
      boundOf(bedrockConverse, { messages: hi }, "arn:aws:bedrock:us-east-1:1:prompt-router:r").bound,
    ).toMatchObject({
      reason: "routed_model",
    })
  })
})

describe("the most output is asked for where each API has it, and no byte else changes", () => {
  test.each([
    [
      bedrockConverse,
      '{"messages":[], "inferenceConfig":{"stopSequences":["a"], "maxTokens": 9}}',
      '{"messages":[], "inferenceConfig":{"stopSequences":["a"], "maxTokens": 7}}',
    ],
    [bedrockConverse, '{"inferenceConfig":{"topP":1}}', '{"inferenceConfig":{"maxTokens":7,"topP":1}}'],
    [bedrockConverse, '{"messages":[]}', '{"inferenceConfig":{"maxTokens":7},"messages":[]}'],
    [bedrockConverse, '{"inferenceConfig":null}', '{"inferenceConfig":{"maxTokens":7}}'],
    [bedrockInvoke, '{"max_tokens":9}', '{"max_tokens":7}'],
    [bedrockInvoke, '{"prompt":"Hi"}', '{"prompt":"Hi"}'],
    [cohereChat, '{"model":"m"}', '{"max_tokens":7,"model":"m"}'],
    [ollamaGenerate, '{"model":"m","options":{"seed":1}}', '{"model":"m","options":{"num_predict":7,"seed":1}}'],
  ] as const)("$0.name: %s", (dialect, body, expected) => {
    expect(rewritten(dialect, body, 7.9)).toBe(expected)
    expect(rewritten(dialect, body, null)).toBe(body)
  })
})

describe("a stream of Bedrock's", () => {
  const start = { id: "msg_1", model: "claude-x", usage: { input_tokens: 4, output_tokens: 1 } }
  test("that is cut before its last count is left to be estimated", () => {
    const cut = read(bedrockInvokeStream, AWS, [bedrockChunk({ type: "message_start", message: start })])
    expect([bedrockInvokeStream.reportsOutputLast, cut.isFinished]).toEqual([true, false])
    expect(cut.usage?.inputUncachedTokens).toBe(4)
  })
  test("of which the maker counts nothing is counted by Bedrock", () => {
    const metrics = { inputTokenCount: 5, outputTokenCount: 6 }
    const reading = read(bedrockInvokeStream, AWS, [
      bedrockChunk({ outputs: [{ text: "Hel" }] }),
      bedrockChunk({ outputs: [{ text: "lo." }], "amazon-bedrock-invocationMetrics": metrics }),
    ])
    expect(reading).toMatchObject({
      usage: { inputUncachedTokens: 5, outputTokens: 6 },
      outputText: "Hello.",
      isFinished: true,
    })
  })
  test("that ends in an exception has an error", () => {
    const exception = eventMessage(
      { ":message-type": "exception", ":exception-type": "throttlingException" },
      { message: "no" },
    )
    for (const dialect of [bedrockConverseStream, bedrockInvokeStream]) {
      expect(read(dialect, AWS, [exception])).toMatchObject({ hasError: true, usage: null })
    }
  })
  test("that breaks within keeps what was counted before", () => {
    const metadata = bedrockEvent("metadata", { usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3 } })
    const reading = read(bedrockConverseStream, AWS, [metadata, Buffer.alloc(64, 0xff)])
    expect(reading).toMatchObject({ usage: { inputUncachedTokens: 1, outputTokens: 2 }, isMismatch: false })
  })
})

test("a realtime session is the sum of its responses, each once, without what was transcribed", () => {
  expect(matchSession("openai", "GET", "/realtime")?.dialect).toBe(openAiRealtime)
  expect(matchSession("openai", "POST", "/realtime")).toBeNull()
  const done = (id: string, usage: object | null) => JSON.stringify({ type: "response.done", response: { id, usage } })
  const usage = {
    ...{ total_tokens: 130, input_tokens: 100, output_tokens: 30 },
    input_token_details: {
      ...{ text_tokens: 40, audio_tokens: 50, image_tokens: 10, cached_tokens: 60 },
      cached_tokens_details: { text_tokens: 30, audio_tokens: 25, image_tokens: 5 },
    },
    output_token_details: { text_tokens: 10, audio_tokens: 20 },
  }
  const transcribed = {
    type: "conversation.item.input_audio_transcription.completed",
    usage: { type: "duration", seconds: 9 },
  }
  const session = [
    JSON.stringify({ type: "session.created", session: { model: "gpt-realtime" } }),
    ...[
      done("resp_1", usage),
      done("resp_1", usage),
      JSON.stringify(transcribed),
      done("resp_2", {}),
      done("resp_3", usage),
    ],
  ]
  expect(read(openAiRealtime, "", [Buffer.from(session.join("\n"))])).toMatchObject({
    model: "gpt-realtime",
    usage: {
      ...{ inputUncachedTokens: 80, cacheReadTokens: 120, audioInputTokens: 50, imageInputTokens: 10 },
      ...{ outputTokens: 60, audioOutputTokens: 40 },
    },
    isMismatch: false,
  })
})

/**
 * Answers that no client likes: one well-formed stream and one JSON body for each API, and the ways in which a provider
 * or something between may bend them, as bytes. The figures of the streams are all different, so that a mix-up shows.
 */
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib"
import type { SharedApi } from "../../src/providers/dialect.ts"

export type WireEvent = { readonly name?: string; readonly data: object | string }

export type WireApi = {
  readonly name: string
  readonly api: SharedApi
  readonly path: string
  readonly jsonPath: string
  readonly request: Readonly<Record<string, unknown>>
  /** Without usage: what it showed until then. */
  readonly opening: readonly WireEvent[]
  /** With the usage. */
  readonly closing: readonly WireEvent[]
  /** An event in the middle that shows `text`. */
  text(text: string): WireEvent
  /** An event that reports usage in the middle, smaller than the last. */
  readonly growing: WireEvent
  readonly error: WireEvent
  /** The error as a JSON body. */
  readonly errorBody?: object
  /** A JSON body with this usage object; undefined leaves the member out. */
  body(usage: unknown): object
  readonly usage: Readonly<Record<string, unknown>>
  /** What a record says of `usage`. */
  readonly record: Readonly<Record<string, number>>
}

const MESSAGES = [{ role: "user", content: "Hi" }]
const chunk = (more: object) => ({ id: "chatcmpl-1", object: "chat.completion.chunk", model: "gpt-4o-mini", ...more })
const delta = (content: string) => chunk({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })
const CHAT_USAGE = {
  ...{ prompt_tokens: 21, completion_tokens: 13, total_tokens: 34 },
  ...{ prompt_tokens_details: { cached_tokens: 8 }, completion_tokens_details: { reasoning_tokens: 5 } },
}

const CHAT: WireApi = {
  ...{ name: "chat completions", api: "openai", path: "/v1/chat/completions", jsonPath: "/v1/chat/completions" },
  request: { model: "gpt-4o-mini", messages: MESSAGES },
  opening: [
    { data: chunk({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] }) },
    { data: delta("Grüße, 世界 🌍") },
  ],
  closing: [
    { data: chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }) },
    { data: chunk({ choices: [], usage: CHAT_USAGE }) },
    { data: "[DONE]" },
  ],
  text: (text) => ({ data: delta(text) }),
  growing: { data: { ...delta("!"), usage: { prompt_tokens: 21, completion_tokens: 2, total_tokens: 23 } } },
  error: { data: { error: { message: "overloaded", type: "server_error", code: 503 } } },
  body: (usage) => ({
    ...{ id: "chatcmpl-1", object: "chat.completion", model: "gpt-4o-mini", usage },
    choices: [{ index: 0, message: { role: "assistant", content: "Grüße, 世界 🌍" }, finish_reason: "stop" }],
  }),
  usage: CHAT_USAGE,
  record: { input_uncached_tokens: 13, cache_read_tokens: 8, output_tokens: 13, reasoning_tokens: 5 },
}

const RESPONSES_USAGE = {
  ...{ input_tokens: 31, output_tokens: 17, total_tokens: 48 },
  ...{ input_tokens_details: { cached_tokens: 9 }, output_tokens_details: { reasoning_tokens: 6 } },
}
const response = (more: object) => ({ id: "resp_1", object: "response", model: "gpt-4o-mini", usage: null, ...more })

const RESPONSES: WireApi = {
  ...{ name: "responses", api: "openai", path: "/v1/responses", jsonPath: "/v1/responses" },
  request: { model: "gpt-4o-mini", input: "Hi" },
  opening: [
    { name: "response.created", data: { type: "response.created", response: response({ status: "in_progress" }) } },
    { name: "response.output_text.delta", data: { type: "response.output_text.delta", delta: "Grüße, 世界 🌍" } },
  ],
  closing: [
    {
      name: "response.completed",
      data: { type: "response.completed", response: response({ status: "completed", usage: RESPONSES_USAGE }) },
    },
  ],
  text: (text) => ({ data: { type: "response.output_text.delta", delta: text } }),
  growing: {
    data: {
      type: "response.in_progress",
      response: response({ usage: { input_tokens: 31, output_tokens: 2, total_tokens: 33 } }),
    },
  },
  error: { name: "error", data: { type: "error", code: "server_error", message: "overloaded", sequence_number: 3 } },
  errorBody: { error: { message: "overloaded", type: "server_error", code: "server_error" } },
  body: (usage) => ({
    ...response({ status: "completed", usage }),
    output: [{ type: "message", content: [{ type: "output_text", text: "Grüße, 世界 🌍" }] }],
  }),
  usage: RESPONSES_USAGE,
  record: { input_uncached_tokens: 22, cache_read_tokens: 9, output_tokens: 17, reasoning_tokens: 6 },
}

const CLAUDE_INPUT = { input_tokens: 11, cache_read_input_tokens: 7, cache_creation_input_tokens: 3 }
const block = (text: string): WireEvent => ({
  name: "content_block_delta",
  data: { type: "content_block_delta", index: 0, delta: { type: "text_delta", text } },
})
const messageDelta = (usage: object): WireEvent => ({
  name: "message_delta",
  data: { type: "message_delta", delta: { stop_reason: "end_turn" }, usage },
})
const CLAUDE_MESSAGE = { id: "msg_1", type: "message", role: "assistant", model: "claude-sonnet-4-5" }

const ANTHROPIC: WireApi = {
  ...{ name: "Anthropic messages", api: "anthropic", path: "/v1/messages", jsonPath: "/v1/messages" },
  request: { model: "claude-sonnet-4-5", max_tokens: 500, messages: MESSAGES },
  opening: [
    {
      name: "message_start",
      data: { type: "message_start", message: { ...CLAUDE_MESSAGE, usage: { ...CLAUDE_INPUT, output_tokens: 1 } } },
    },
    { name: "ping", data: { type: "ping" } },
    block("Grüße, 世界 🌍"),
  ],
  closing: [messageDelta({ output_tokens: 15 }), { name: "message_stop", data: { type: "message_stop" } }],
  text: block,
  growing: messageDelta({ output_tokens: 4 }),
  error: { name: "error", data: { type: "error", error: { type: "overloaded_error", message: "overloaded" } } },
  body: (usage) => ({ ...CLAUDE_MESSAGE, content: [{ type: "text", text: "Grüße, 世界 🌍" }], usage }),
  usage: { ...CLAUDE_INPUT, output_tokens: 15 },
  record: { input_uncached_tokens: 11, cache_read_tokens: 7, cache_write_5m_tokens: 3, output_tokens: 15 },
}

const GEMINI_USAGE = {
  ...{ promptTokenCount: 41, cachedContentTokenCount: 10, candidatesTokenCount: 19, thoughtsTokenCount: 4 },
  totalTokenCount: 64,
}
const candidates = (text: string, more: object = {}) => ({
  ...{ modelVersion: "gemini-2.5-flash", responseId: "r-1" },
  candidates: [{ content: { role: "model", parts: [{ text }] }, ...more }],
})

const GOOGLE: WireApi = {
  ...{ name: "Google generateContent", api: "google" },
  path: "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
  jsonPath: "/v1beta/models/gemini-2.5-flash:generateContent",
  request: { contents: [{ role: "user", parts: [{ text: "Hi" }] }] },
  opening: [{ data: candidates("Grüße, 世界 🌍") }],
  closing: [{ data: { ...candidates(".", { finishReason: "STOP" }), usageMetadata: GEMINI_USAGE } }],
  text: (text) => ({ data: candidates(text) }),
  growing: {
    data: { ...candidates("!"), usageMetadata: { promptTokenCount: 41, candidatesTokenCount: 3, totalTokenCount: 44 } },
  },
  error: { data: { error: { code: 503, message: "overloaded", status: "UNAVAILABLE" } } },
  body: (usage) => ({ ...candidates("Grüße, 世界 🌍", { finishReason: "STOP" }), usageMetadata: usage }),
  usage: GEMINI_USAGE,
  record: { input_uncached_tokens: 31, cache_read_tokens: 10, output_tokens: 23, reasoning_tokens: 4 },
}

export const WIRE_APIS: readonly WireApi[] = [CHAT, RESPONSES, ANTHROPIC, GOOGLE]

/** Bytes of one event with this line end; JSON over several lines goes over several `data:` lines. */
export function eventBytes({ name, data }: WireEvent, lineEnd = "\n", isSpread = false): string {
  const text = typeof data === "string" ? data : JSON.stringify(data, null, isSpread ? 1 : undefined)
  const lines = text.split("\n").map((line) => `data: ${line}${lineEnd}`)
  return `${name === undefined ? "" : `event: ${name}${lineEnd}`}${lines.join("")}${lineEnd}`
}

export function streamOf(events: readonly WireEvent[], lineEnd = "\n", isSpread = false): Buffer {
  return Buffer.from(events.map((event) => eventBytes(event, lineEnd, isSpread)).join(""))
}

/** Where the record's usage comes from, and how the call ended, if not as it should. */
export type HostileAnswer = {
  readonly name: string
  /** Asked for as JSON; a stream otherwise. */
  readonly isJson?: true
  readonly contentType: string
  readonly encoding?: string
  readonly bytes: Buffer
  /** The connection ends before the answer does. */
  readonly isCut?: true
  readonly source: "provider" | "estimated" | "none"
  /** Classes of the record that are known to the token. */
  readonly record: Readonly<Record<string, number>>
  readonly outcome?: "error"
}

const SSE = "text/event-stream"
const JSON_TYPE = "application/json"
const PACKERS: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["br", brotliCompressSync],
  ["zstd", zstdCompressSync],
  ["gzip, br", (bytes) => brotliCompressSync(gzipSync(bytes))],
]
const NONE: Readonly<Record<string, number>> = {
  ...{ input_uncached_tokens: 0, cache_read_tokens: 0, cache_write_5m_tokens: 0, output_tokens: 0 },
}

/** Every way in which an answer of the API can be bent, and what its record has to say. */
export function hostileAnswers(wire: WireApi): HostileAnswer[] {
  return [...bentStreams(wire), ...brokenStreams(wire), ...bentBodies(wire), ...packed(wire), ...misnamed(wire)]
}

function bentStreams(wire: WireApi): HostileAnswer[] {
  const { opening, closing, growing, record } = wire
  const events = [...opening, ...closing]
  const plain = streamOf(events).toString()
  const odd = ": OPENROUTER PROCESSING\n\n:\n\nid: 7\nretry: 3000\n\n"
  const after = `${eventBytes(wire.text("late"))}data: {"broken":\n\ndata: [DONE]\n\n: bye\n\nnot a field\n\n`
  const streams: [string, Buffer | string][] = [
    ["LF", plain],
    ["CRLF", streamOf(events, "\r\n")],
    ["CR", streamOf(events, "\r")],
    ["mixed line ends", events.map((event, at) => eventBytes(event, ["\r\n", "\n", "\r"][at % 3])).join("")],
    ["byte order mark", `\ufeff${plain}`],
    ["comments, id, retry", odd + events.map((event) => `${odd}id: 8\n${eventBytes(event)}`).join("")],
    ["no space after the colon", plain.replaceAll("data: ", "data:")],
    ["data over several lines", streamOf(events, "\n", true)],
    ["data over several lines that end in CRLF", streamOf(events, "\r\n", true)],
    ["no final blank line", plain.trimEnd()],
    ["no final blank line, CRLF", streamOf(events, "\r\n").toString().trimEnd()],
    ["events after the last", plain + after],
    ["broken JSON in the middle", `${streamOf(opening)}data: {"choices":[{"delta"\n\n${streamOf(closing)}`],
    ["an event of two megabytes", streamOf([...opening, wire.text("é".repeat(1024 * 1024)), ...closing])],
    ["usage that grows", streamOf([...opening, growing, growing, ...closing])],
    ["no event names", plain.replace(/^event: .*\n/gm, "")],
  ]
  return streams.map(([name, bytes]) => ({
    ...{ name: `stream, ${name}`, contentType: SSE, bytes: Buffer.from(bytes), source: "provider", record },
  }))
}

/** What the provider reported before a stream broke: the input, where the API says it first. */
function brokenStreams(wire: WireApi): HostileAnswer[] {
  const { opening, closing, error } = wire
  const isInputKnown = wire.api === "anthropic"
  const input = isInputKnown ? { ...wire.record, output_tokens: undefined } : {}
  const record = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Record<
    string,
    number
  >
  const last = eventBytes(closing.at(-1) ?? { data: "" })
  const shown = streamOf([...opening, wire.text(" and so on"), wire.text(" until here")])
  const cut = Buffer.concat([shown, Buffer.from(last.slice(0, last.length / 2))])
  const common = { contentType: SSE, source: "estimated", record, outcome: "error" } as const
  return [
    { ...common, name: "stream, cut inside an event", bytes: cut, isCut: true },
    {
      ...common,
      name: "stream, cut inside an event, gzip",
      bytes: gzipSync(cut).subarray(0, -12),
      encoding: "gzip",
      isCut: true,
    },
    { ...common, name: "stream, an error in the middle", bytes: streamOf([...opening, error]) },
    { ...common, name: "stream, an error alone", bytes: streamOf([error]), source: "none", record: NONE },
  ]
}

function bentBodies(wire: WireApi): HostileAnswer[] {
  const body = (usage: unknown) => Buffer.from(JSON.stringify(wire.body(usage)))
  const common = { isJson: true, contentType: JSON_TYPE } as const
  const spread = Buffer.from(`\ufeff\r\n ${JSON.stringify(wire.body(wire.usage), null, "\t")}\r\n`)
  const strings = Object.entries(wire.usage).map(([name, value]) => [
    name,
    typeof value === "number" ? `${value}` : value,
  ])
  const negative = Object.entries(wire.usage).map(([name]) => [name, -1])
  const zero = Object.entries(wire.usage).map(([name]) => [name, 0])
  const known = { source: "provider", record: wire.record } as const
  const unknown = { source: "estimated", record: {} } as const
  return [
    { ...common, ...known, name: "JSON", bytes: body(wire.usage) },
    { ...common, ...known, name: "JSON, byte order mark and white space", bytes: spread },
    { ...common, ...known, name: "JSON, counts as texts", bytes: body(Object.fromEntries(strings)) },
    { ...common, ...unknown, name: "JSON, usage null", bytes: body(null) },
    { ...common, ...unknown, name: "JSON, usage empty", bytes: body({}) },
    { ...common, ...unknown, name: "JSON, usage absent", bytes: body(undefined) },
    { ...common, ...unknown, name: "JSON, usage a text", bytes: body("many") },
    { ...common, ...unknown, name: "JSON, usage a list", bytes: body([1, 2]) },
    { ...common, ...unknown, name: "JSON, negative counts", bytes: body(Object.fromEntries(negative)) },
    { ...common, source: "provider", record: NONE, name: "JSON, zeros", bytes: body(Object.fromEntries(zero)) },
    { ...common, ...unknown, name: "JSON, broken", bytes: body(wire.usage).subarray(0, -2), record: {} },
    { ...common, ...unknown, name: "JSON, nested without end", bytes: Buffer.from("[".repeat(100_000)) },
    { ...common, ...unknown, name: "JSON, empty", bytes: Buffer.alloc(0) },
    {
      ...{ ...common, name: "JSON, an error with status 200", source: "none", record: NONE, outcome: "error" },
      bytes: Buffer.from(JSON.stringify(wire.errorBody ?? wire.error.data)),
    },
  ]
}

function packed(wire: WireApi): HostileAnswer[] {
  const stream = streamOf([...wire.opening, ...wire.closing], "\r\n")
  const body = Buffer.from(JSON.stringify(wire.body(wire.usage)))
  const known = { source: "provider", record: wire.record } as const
  return [
    ...PACKERS.flatMap(([encoding, pack]): HostileAnswer[] => [
      { ...known, name: `stream, ${encoding}`, contentType: SSE, encoding, bytes: pack(stream) },
      { ...known, name: `JSON, ${encoding}`, isJson: true, contentType: JSON_TYPE, encoding, bytes: pack(body) },
    ]),
    {
      ...{ name: "JSON, packed as nobody knows", isJson: true, contentType: JSON_TYPE, encoding: "exi" },
      ...{ bytes: brotliCompressSync(body), source: "estimated", record: {} },
    },
    {
      ...{ name: "JSON, called gzip and unpacked on the way", isJson: true, contentType: JSON_TYPE, encoding: "gzip" },
      ...{ ...known, bytes: body },
    },
  ]
}

/** One thing under the name of the other. */
function misnamed(wire: WireApi): HostileAnswer[] {
  const stream = streamOf([...wire.opening, ...wire.closing])
  const body = Buffer.from(JSON.stringify(wire.body(wire.usage)))
  const known = { source: "provider", record: wire.record } as const
  return [
    { ...known, name: "JSON answered to a stream", contentType: JSON_TYPE, bytes: body },
    { ...known, name: "JSON answered to a stream as a stream", contentType: SSE, bytes: body },
    { ...known, name: "a stream called JSON", contentType: JSON_TYPE, bytes: stream },
    { ...known, name: "a stream called in capitals", contentType: "Text/Event-Stream; charset=UTF-8", bytes: stream },
  ]
}

/**
 * One answer of each format that a provider reports usage in, written from the providers' references: what is asked, what
 * comes back byte for byte, and what the record has to say. Figures are chosen so that every class is another number.
 */
import { bedrockChunk, bedrockEvent } from "./event-stream-bytes.ts"

export type ProviderFormat = {
  readonly name: string
  /** The provider's name in `formatsConfig`. */
  readonly provider: string
  /** As a caller asks for it, behind the proxy's address. */
  readonly path: string
  /** As the provider is asked, behind its base URL's host. */
  readonly upstreamPath: string
  readonly request: Readonly<Record<string, unknown>>
  readonly contentType: string
  readonly headers?: Readonly<Record<string, string>>
  readonly answer: Buffer
  /** Members of the record; classes that are left out are 0. */
  readonly record: Readonly<Record<string, unknown>>
}

const JSON_TYPE = "application/json"
const SSE = "text/event-stream"
const AWS = "application/vnd.amazon.eventstream"

const json = (value: object) => Buffer.from(JSON.stringify(value))
const sse = (...events: (object | "[DONE]")[]) =>
  Buffer.from(events.map((one) => `data: ${one === "[DONE]" ? one : JSON.stringify(one)}\n\n`).join(""))
const lines = (...values: object[]) => Buffer.from(values.map((one) => `${JSON.stringify(one)}\n`).join(""))

/** Providers of every dialect, all at one address; those that speak OpenAI's are told apart by their names. */
export function formatsConfig(origin: string): string {
  const speaking = (name: string, dialect: string, base: string, more = "") =>
    `  ${name}: { dialect: ${dialect}, base_url: "${origin}${base}", api_key: canary-of-${name}${more} }\n`
  return `
providers:
${["openrouter", "perplexity", "xai", "groq", "deepseek", "mistral", "moonshot", "voyage"].map((name) => speaking(name, "openai", "/v1")).join("")}
${speaking("openai", "openai", "/v1")}
${speaking("gemini", "google", "/v1beta", ", priced_as: google")}
${speaking("cohere", "cohere", "")}
${speaking("bedrock", "bedrock", "")}
${speaking("ollama", "ollama", "")}
${speaking("elevenlabs", "elevenlabs", "")}
`
}

type Chat = Pick<ProviderFormat, "provider" | "record"> & {
  readonly model: string
  readonly usage: object
  readonly served?: string
}

/** Formats that differ from OpenAI's chat completions in their usage alone: whole, and as a stream. */
function chat({ provider, model, usage, record, served = model }: Chat): ProviderFormat[] {
  const request = { model: `${provider}/${model}`, messages: [{ role: "user", content: "Hi" }] }
  const common = { id: "gen-1", model: served, created: 1 }
  const choice = { index: 0, message: { role: "assistant", content: "Hello." }, finish_reason: "stop" }
  const delta = { index: 0, delta: { role: "assistant", content: "Hello." }, finish_reason: "stop" }
  const upstreamPath = provider === "gemini" ? "/v1beta/openai/chat/completions" : "/v1/chat/completions"
  const to = { provider, path: "/v1/chat/completions", upstreamPath, record }
  return [
    {
      ...{ ...to, name: `${provider}, chat`, request, contentType: JSON_TYPE },
      answer: json({ ...common, object: "chat.completion", choices: [choice], usage }),
    },
    {
      ...{ ...to, name: `${provider}, chat as a stream`, request: { ...request, stream: true }, contentType: SSE },
      answer: sse({ ...common, choices: [delta] }, { ...common, choices: [], usage }, "[DONE]"),
    },
  ]
}

const CHATS: readonly ProviderFormat[] = [
  ...chat({
    ...{ provider: "gemini", model: "gemini-2.5-flash" },
    usage: { prompt_tokens: 66, completion_tokens: 6, total_tokens: 100 },
    record: { input_uncached_tokens: 66, output_tokens: 34, reasoning_tokens: 28, usage_mismatch: false },
  }),
  ...chat({
    ...{ provider: "openrouter", model: "anthropic/claude-sonnet-4.5" },
    usage: {
      ...{ prompt_tokens: 480, completion_tokens: 33, total_tokens: 513, cost: 0.00012, is_byok: false },
      ...{ prompt_tokens_details: { cached_tokens: 30, cache_write_tokens: 50 }, cost_details: {} },
    },
    record: {
      ...{ input_uncached_tokens: 400, cache_read_tokens: 30, cache_write_5m_tokens: 50, output_tokens: 33 },
      provider_cost_usd: "0.00012",
    },
  }),
  ...chat({
    ...{ provider: "perplexity", model: "sonar" },
    usage: {
      ...{ prompt_tokens: 11, completion_tokens: 434, total_tokens: 445, search_context_size: "low" },
      cost: { input_tokens_cost: 0.000011, output_tokens_cost: 0.000434, request_cost: 0.005, total_cost: 0.005445 },
    },
    record: { input_uncached_tokens: 11, output_tokens: 434, web_searches: 1, provider_cost_usd: "0.005445" },
  }),
  ...chat({
    ...{ provider: "xai", model: "grok-3-mini" },
    usage: {
      ...{ prompt_tokens: 12, completion_tokens: 1, total_tokens: 303, cost_in_usd_ticks: 1_466_250 },
      ...{ prompt_tokens_details: { cached_tokens: 11 }, completion_tokens_details: { reasoning_tokens: 290 } },
    },
    record: {
      ...{ input_uncached_tokens: 1, cache_read_tokens: 11, output_tokens: 291, reasoning_tokens: 290 },
      ...{ provider_cost_usd: "0.000146625", usage_mismatch: false },
    },
  }),
  ...chat({
    ...{ provider: "deepseek", model: "deepseek-chat" },
    usage: {
      ...{ prompt_tokens: 40, completion_tokens: 5, total_tokens: 45 },
      ...{ prompt_cache_hit_tokens: 30, prompt_cache_miss_tokens: 10 },
    },
    record: { input_uncached_tokens: 10, cache_read_tokens: 30, output_tokens: 5 },
  }),
  ...chat({
    ...{ provider: "moonshot", model: "kimi-k2" },
    usage: { prompt_tokens: 40, completion_tokens: 5, total_tokens: 45, cached_tokens: 30 },
    record: { input_uncached_tokens: 10, cache_read_tokens: 30, output_tokens: 5 },
  }),
  ...chat({
    ...{ provider: "mistral", model: "mistral-small-latest" },
    usage: { prompt_tokens: 9, completion_tokens: 8, total_tokens: 17, prompt_audio_seconds: null },
    record: { input_uncached_tokens: 9, output_tokens: 8 },
  }),
  {
    ...{ name: "groq, the last event of a stream", provider: "groq", contentType: SSE },
    ...{ path: "/v1/chat/completions", upstreamPath: "/v1/chat/completions" },
    request: { model: "groq/llama-3.3-70b-versatile", messages: [{ role: "user", content: "Hi" }], stream: true },
    answer: sse(
      { id: "chatcmpl-1", choices: [{ index: 0, delta: { content: "Hello." } }], x_groq: { id: "req_1" } },
      {
        ...{ id: "chatcmpl-1", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
        x_groq: {
          id: "req_1",
          usage: { prompt_tokens: 8, completion_tokens: 3, total_tokens: 11, queue_time: 0.02 },
        },
      },
      "[DONE]",
    ),
    record: { input_uncached_tokens: 8, output_tokens: 3 },
  },
]

const IMAGES: readonly ProviderFormat[] = [
  {
    ...{ name: "images that report nothing", provider: "openai", contentType: JSON_TYPE },
    ...{ path: "/openai/v1/images/generations", upstreamPath: "/v1/images/generations" },
    request: { model: "dall-e-3", prompt: "a cat", n: 2, size: "1024x1792", quality: "hd" },
    answer: json({ created: 1, data: [{ url: "https://example.com/1" }, { url: "https://example.com/2" }] }),
    record: {
      ...{ units: 2, unit_type: "images:hd:1024x1792", usage_source: "request" },
      ...{ price_state: "priced", cost_usd: "0.24" },
    },
  },
  {
    ...{ name: "images that report tokens", provider: "openai", contentType: JSON_TYPE },
    ...{ path: "/openai/v1/images/generations", upstreamPath: "/v1/images/generations" },
    request: { model: "gpt-image-1", prompt: "a cat", n: 2 },
    answer: json({
      ...{ created: 1, data: [{ b64_json: "AA==" }, { b64_json: "AA==" }] },
      usage: {
        ...{ input_tokens: 50, output_tokens: 4160, total_tokens: 4210 },
        input_tokens_details: { text_tokens: 10, image_tokens: 40 },
      },
    }),
    record: {
      ...{ input_uncached_tokens: 50, image_input_tokens: 40, output_tokens: 4160, image_output_tokens: 4160 },
      ...{ units: 2, unit_type: "images", price_state: "priced", cost_usd: "0.16685" },
    },
  },
]

const COHERE_USAGE = {
  billed_units: { input_tokens: 58, output_tokens: 119 },
  tokens: { input_tokens: 569, output_tokens: 121 },
  cached_tokens: 64,
}
const COHERE_RECORD = { input_uncached_tokens: 58, output_tokens: 119, model_served: "command-a-03-2025" }
const COHERE_CHAT = { model: "command-a-03-2025", messages: [{ role: "user", content: "Hi" }] }
const COHERE_V1 = { model: "command-a-03-2025", message: "Hi" }

function cohere(
  version: "v1" | "v2",
  call: string,
  format: Pick<ProviderFormat, "request" | "answer" | "record"> & { name: string; contentType?: string },
): ProviderFormat {
  const path = `/${version}/${call}`
  const { name, contentType = JSON_TYPE, ...rest } = format
  return {
    ...rest,
    contentType,
    name: `cohere ${version}, ${name}`,
    provider: "cohere",
    path: `/cohere${path}`,
    upstreamPath: path,
  }
}

const COHERE: readonly ProviderFormat[] = [
  cohere("v2", "chat", {
    ...{ name: "chat", request: COHERE_CHAT, record: COHERE_RECORD },
    answer: json({
      ...{ id: "c1", finish_reason: "COMPLETE", usage: COHERE_USAGE },
      message: { role: "assistant", content: [{ type: "text", text: "Hello." }] },
    }),
  }),
  cohere("v2", "chat", {
    ...{ name: "chat as a stream", request: { ...COHERE_CHAT, stream: true }, record: COHERE_RECORD, contentType: SSE },
    answer: sse(
      { type: "message-start", id: "c1", delta: { message: { role: "assistant", content: [] } } },
      { type: "content-delta", index: 0, delta: { message: { content: { text: "Hello." } } } },
      { type: "message-end", delta: { finish_reason: "COMPLETE", usage: COHERE_USAGE } },
    ),
  }),
  cohere("v1", "chat", {
    ...{ name: "chat", request: COHERE_V1, record: COHERE_RECORD },
    answer: json({ response_id: "c1", text: "Hello.", meta: COHERE_USAGE }),
  }),
  cohere("v1", "chat", {
    ...{ name: "chat as JSON lines", request: { ...COHERE_V1, stream: true }, record: COHERE_RECORD },
    contentType: "application/stream+json",
    answer: lines(
      { is_finished: false, event_type: "stream-start", generation_id: "g1" },
      { is_finished: false, event_type: "text-generation", text: "Hello." },
      { is_finished: true, event_type: "stream-end", response: { response_id: "c1", meta: COHERE_USAGE } },
    ),
  }),
  cohere("v2", "embed", {
    ...{ name: "embed", request: { model: "embed-v4.0", texts: ["Hi"], input_type: "search_query" } },
    answer: json({ id: "e1", embeddings: { float: [[0.1]] }, meta: { billed_units: { input_tokens: 7 } } }),
    record: { input_uncached_tokens: 7 },
  }),
  cohere("v2", "rerank", {
    ...{ name: "rerank", request: { model: "rerank-v3.5", query: "Hi", documents: ["a", "b"] } },
    answer: json({
      id: "r1",
      results: [{ index: 0, relevance_score: 0.9 }],
      meta: { billed_units: { search_units: 2 } },
    }),
    record: { units: 2, unit_type: "search_units" },
  }),
]

const NOVA = "us.amazon.nova-lite-v1:0"
const CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
const CONVERSE_USAGE = {
  ...{ inputTokens: 13, outputTokens: 5, totalTokens: 1583 },
  ...{ cacheReadInputTokens: 1504, cacheReadInputTokenCount: 1504 },
  ...{ cacheWriteInputTokens: 61, cacheWriteInputTokenCount: 61 },
  cacheDetails: [
    { ttl: "1h", inputTokens: 41 },
    { ttl: "5m", inputTokens: 20 },
  ],
}
const CONVERSE_RECORD = {
  ...{ input_uncached_tokens: 13, cache_read_tokens: 1504, cache_write_5m_tokens: 20, cache_write_1h_tokens: 41 },
  ...{ output_tokens: 5, model_served: NOVA, usage_mismatch: false },
}
const CONVERSE_ASKED = {
  messages: [{ role: "user", content: [{ text: "2 + 3" }] }],
  inferenceConfig: { maxTokens: 50 },
}
const CLAUDE_ASKED = {
  ...{ anthropic_version: "bedrock-2023-05-31", max_tokens: 50 },
  messages: [{ role: "user", content: "Hi" }],
}
const CLAUDE_USAGE = {
  input_tokens: 4,
  cache_creation_input_tokens: 6,
  cache_read_input_tokens: 18_131,
  output_tokens: 50,
}
const CLAUDE_RECORD = {
  ...{ input_uncached_tokens: 4, cache_read_tokens: 18_131, cache_write_5m_tokens: 6, output_tokens: 50 },
  model_served: "claude-sonnet-4-5-20250929",
}
const CLAUDE_MESSAGE = { id: "msg_bdrk_1", type: "message", role: "assistant", model: "claude-sonnet-4-5-20250929" }
const METRICS = { inputTokenCount: 4, outputTokenCount: 50, invocationLatency: 900, firstByteLatency: 300 }

function bedrock(
  model: string,
  call: string,
  format: Omit<ProviderFormat, "path" | "upstreamPath" | "provider" | "contentType"> & { contentType?: string },
): ProviderFormat {
  const path = `/model/${model}/${call}`
  return {
    contentType: JSON_TYPE,
    ...format,
    provider: "bedrock",
    path: `/bedrock${path.replace(":", "%3A")}`,
    upstreamPath: path,
  }
}

const BEDROCK: readonly ProviderFormat[] = [
  bedrock(NOVA, "converse", {
    ...{ name: "bedrock, converse", request: CONVERSE_ASKED, record: CONVERSE_RECORD },
    answer: json({
      ...{ metrics: { latencyMs: 2014 }, stopReason: "end_turn", usage: CONVERSE_USAGE },
      output: { message: { role: "assistant", content: [{ text: "5" }] } },
    }),
  }),
  bedrock(NOVA, "converse-stream", {
    ...{ name: "bedrock, converse as a stream", request: CONVERSE_ASKED, contentType: AWS },
    record: { ...CONVERSE_RECORD, stream: true },
    answer: Buffer.concat([
      bedrockEvent("messageStart", { role: "assistant" }),
      bedrockEvent("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "5" } }),
      bedrockEvent("contentBlockStop", { contentBlockIndex: 0 }),
      bedrockEvent("messageStop", { stopReason: "end_turn" }),
      bedrockEvent("metadata", { usage: CONVERSE_USAGE, metrics: { latencyMs: 2014 } }),
    ]),
  }),
  bedrock(CLAUDE, "invoke", {
    ...{ name: "bedrock, Claude invoked", request: CLAUDE_ASKED, record: CLAUDE_RECORD },
    // Bedrock's own count, which the maker's replaces.
    headers: { "x-amzn-bedrock-input-token-count": "4", "x-amzn-bedrock-output-token-count": "50" },
    answer: json({ ...CLAUDE_MESSAGE, content: [{ type: "text", text: "Hello." }], usage: CLAUDE_USAGE }),
  }),
  bedrock(CLAUDE, "invoke-with-response-stream", {
    ...{ name: "bedrock, Claude invoked as a stream", request: CLAUDE_ASKED, contentType: AWS },
    record: { ...CLAUDE_RECORD, stream: true },
    answer: Buffer.concat([
      bedrockChunk({
        type: "message_start",
        message: { ...CLAUDE_MESSAGE, usage: { ...CLAUDE_USAGE, output_tokens: 1 } },
      }),
      bedrockChunk({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hello." } }),
      bedrockChunk({ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 50 } }),
      bedrockChunk({ type: "message_stop", "amazon-bedrock-invocationMetrics": METRICS }),
    ]),
  }),
  bedrock("meta.llama3-1-8b-instruct-v1:0", "invoke-with-response-stream", {
    ...{ name: "bedrock, Llama invoked as a stream", request: { prompt: "Hi", max_gen_len: 50 }, contentType: AWS },
    record: { input_uncached_tokens: 4, output_tokens: 50, stream: true },
    answer: Buffer.concat([
      bedrockChunk({ generation: "Hel", prompt_token_count: 4, generation_token_count: 1, stop_reason: null }),
      bedrockChunk({
        ...{ generation: "lo.", prompt_token_count: null, generation_token_count: 50, stop_reason: "stop" },
        "amazon-bedrock-invocationMetrics": METRICS,
      }),
    ]),
  }),
  bedrock("mistral.mistral-large-2402-v1:0", "invoke", {
    ...{ name: "bedrock, Mistral invoked, counted in headers", request: { prompt: "Hi", max_tokens: 50 } },
    headers: { "x-amzn-bedrock-input-token-count": "14", "x-amzn-bedrock-output-token-count": "21" },
    answer: json({ outputs: [{ text: "Hello.", stop_reason: "stop" }] }),
    record: { input_uncached_tokens: 14, output_tokens: 21 },
  }),
  bedrock("amazon.titan-text-express-v1", "invoke", {
    ...{ name: "bedrock, Titan invoked", request: { inputText: "Hi" } },
    answer: json({ inputTextTokenCount: 3, results: [{ tokenCount: 12, outputText: "Hello." }] }),
    record: { input_uncached_tokens: 3, output_tokens: 12 },
  }),
]

const OLLAMA_DONE = { model: "llama3.2", done: true, done_reason: "stop", prompt_eval_count: 26, eval_count: 9 }
const OLLAMA_ASKED = { model: "llama3.2", messages: [{ role: "user", content: "Hi" }] }
const OLLAMA_RECORD = { input_uncached_tokens: 26, output_tokens: 9, model_served: "llama3.2" }

const OTHERS: readonly ProviderFormat[] = [
  {
    ...{ name: "ollama, chat as JSON lines", provider: "ollama", contentType: "application/x-ndjson" },
    ...{ path: "/ollama/api/chat", upstreamPath: "/api/chat", request: OLLAMA_ASKED },
    answer: lines(
      { model: "llama3.2", message: { role: "assistant", content: "Hel" }, done: false },
      { model: "llama3.2", message: { role: "assistant", content: "lo." }, done: false },
      { ...OLLAMA_DONE, message: { role: "assistant", content: "" } },
    ),
    record: { ...OLLAMA_RECORD, stream: true },
  },
  {
    ...{ name: "ollama, generate", provider: "ollama", contentType: JSON_TYPE },
    ...{ path: "/ollama/api/generate", upstreamPath: "/api/generate" },
    request: { model: "llama3.2", prompt: "Hi", stream: false },
    answer: json({ ...OLLAMA_DONE, response: "Hello." }),
    record: { ...OLLAMA_RECORD, stream: false },
  },
  {
    ...{ name: "ollama, a prompt that was cached", provider: "ollama", contentType: JSON_TYPE },
    ...{ path: "/ollama/api/chat", upstreamPath: "/api/chat", request: { ...OLLAMA_ASKED, stream: false } },
    answer: json({ model: "llama3.2", message: { content: "Hello." }, done: true, eval_count: 9 }),
    record: { ...OLLAMA_RECORD, input_uncached_tokens: 0 },
  },
  {
    ...{ name: "ollama, embeddings", provider: "ollama", contentType: JSON_TYPE },
    ...{ path: "/ollama/api/embed", upstreamPath: "/api/embed", request: { model: "all-minilm", input: "Hi" } },
    answer: json({ model: "all-minilm", embeddings: [[0.1]], prompt_eval_count: 4 }),
    record: { input_uncached_tokens: 4 },
  },
  {
    ...{ name: "voyage, embeddings", provider: "voyage", contentType: JSON_TYPE },
    ...{ path: "/v1/embeddings", upstreamPath: "/v1/embeddings" },
    request: { model: "voyage/voyage-3.5", input: ["Hi"] },
    answer: json({ object: "list", data: [{ embedding: [0.1] }], model: "voyage-3.5", usage: { total_tokens: 5 } }),
    record: { input_uncached_tokens: 5, model_served: "voyage-3.5" },
  },
  {
    ...{ name: "voyage, rerank", provider: "voyage", contentType: JSON_TYPE },
    ...{ path: "/voyage/v1/rerank", upstreamPath: "/v1/rerank" },
    request: { model: "rerank-2.5", query: "Hi", documents: ["a"] },
    answer: json({ object: "list", data: [{ index: 0 }], model: "rerank-2.5", usage: { total_tokens: 26 } }),
    record: { input_uncached_tokens: 26 },
  },
  {
    ...{ name: "elevenlabs, speech", provider: "elevenlabs", contentType: "audio/mpeg" },
    ...{ path: "/elevenlabs/v1/text-to-speech/voice-1/stream", upstreamPath: "/v1/text-to-speech/voice-1/stream" },
    request: { text: "Grüße ✨", model_id: "eleven_flash_v2_5" },
    answer: Buffer.alloc(3000, 7),
    record: { units: 7, unit_type: "characters", usage_source: "request", model_served: "eleven_flash_v2_5" },
  },
]

export const PROVIDER_FORMATS: readonly ProviderFormat[] = [...CHATS, ...IMAGES, ...COHERE, ...BEDROCK, ...OTHERS]

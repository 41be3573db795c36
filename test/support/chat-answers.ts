/**
 * What an OpenAI-compatible provider answers to POST /v1/chat/completions, as plain data: the behaviour that a model's
 * name asks for, the JSON answer, the events of a stream, and error bodies. Shapes follow OpenAI's public API
 * description (chat.completion, chat.completion.chunk, error).
 */

/** What a model name's suffixes ask for, e.g. `gpt-4o-c20-d5-k3`. */
export type Behaviour = {
  /** `-c<N>`: content chunks of a stream (5). */
  readonly chunks: number
  /** `-d<ms>`: pause before each chunk, or before a JSON answer (0). */
  readonly delayMs: number
  /** `-o<N>`: completion tokens; the chunks of a stream, else 16. */
  readonly completionTokens: number | null
  /** `-p<N>`: prompt tokens; message bytes / 4 unless told. */
  readonly promptTokens: number | null
  /** `-k<N>`: cached prompt tokens (0). */
  readonly cachedTokens: number
  /** `-r<N>`: reasoning tokens, a part of the completion tokens (0). */
  readonly reasoningTokens: number
  /** `-f<code>`: answers with that status; 0 for none. */
  readonly failStatus: number
  /** `-reset<N>`: resets the connection after N content chunks (0: before any byte); null for never. */
  readonly resetAfterChunks: number | null
  /** `-hang`: never answers. */
  readonly isHanging: boolean
  /** `-nousage`: reports no usage, even if asked. */
  readonly isUsageHidden: boolean
  /** `-split`: every SSE event leaves in two writes. */
  readonly isSplit: boolean
  /** `-gzip`: the body is gzip-coded whatever the request accepts. */
  readonly isGzipped: boolean
  /** `-heed`: no more completion tokens than the request allows, as providers do. */
  readonly isHeeding: boolean
  /** `-tool`: calls the first tool of the request instead of answering in words. */
  readonly isToolCall: boolean
}

/** The part of a request's body that decides the answer. */
export type ChatRequest = {
  readonly model: string
  readonly isStream: boolean
  readonly isUsageAsked: boolean
  readonly choices: number
  readonly toolName: string
  readonly tier: string
  readonly messageBytes: number
  /** Null where the request sets none. */
  readonly completionTokensMax: number | null
}

/** Token counts of one answer, in the provider's own (overlapping) terms: prompt includes cached, completion reasoning. */
export type AnswerTokens = {
  readonly prompt: number
  readonly cached: number
  readonly completion: number
  readonly reasoning: number
}

export function behaviourOf(model: string): Behaviour {
  const count = (letter: string): number | null => {
    const found = new RegExp(`-${letter}(\\d+)(?=-|$)`).exec(model)
    return found === null ? null : Number(found[1])
  }
  const isNamed = (word: string): boolean => new RegExp(`-${word}(?=-|$)`).test(model)
  return {
    chunks: count("c") ?? 5,
    delayMs: count("d") ?? 0,
    completionTokens: count("o"),
    promptTokens: count("p"),
    cachedTokens: count("k") ?? 0,
    reasoningTokens: count("r") ?? 0,
    failStatus: count("f") ?? 0,
    resetAfterChunks: count("reset"),
    isHanging: isNamed("hang"),
    isUsageHidden: isNamed("nousage"),
    isSplit: isNamed("split"),
    isGzipped: isNamed("gzip"),
    isHeeding: isNamed("heed"),
    isToolCall: isNamed("tool"),
  }
}

/** Reads a request body; null when it is not a chat request. */
export function readChatRequest(body: Buffer): ChatRequest | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(body.toString("utf8"))
  } catch {
    return null
  }
  if (!isObject(parsed) || typeof parsed.model !== "string" || !Array.isArray(parsed.messages)) return null
  const tools: unknown[] = Array.isArray(parsed.tools) ? parsed.tools : []
  const tool = isObject(tools[0]) && isObject(tools[0].function) ? tools[0].function.name : undefined
  const tier =
    typeof parsed.service_tier === "string" && parsed.service_tier !== "auto" ? parsed.service_tier : "default"
  const max = parsed.max_completion_tokens ?? parsed.max_tokens
  return {
    model: parsed.model,
    isStream: parsed.stream === true,
    isUsageAsked: isObject(parsed.stream_options) && parsed.stream_options.include_usage === true,
    choices: typeof parsed.n === "number" ? parsed.n : 1,
    toolName: typeof tool === "string" ? tool : "get_weather",
    tier,
    messageBytes: Buffer.byteLength(JSON.stringify(parsed.messages)),
    completionTokensMax: typeof max === "number" ? max : null,
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** What the answer to this request will report and what the fake books to its own account. */
export function tokensOf(request: ChatRequest, behaviour: Behaviour): AnswerTokens {
  const prompt = behaviour.promptTokens ?? Math.max(1, Math.ceil(request.messageBytes / 4))
  const completion = behaviour.completionTokens ?? (request.isStream ? behaviour.chunks : 16)
  const isTooLong = behaviour.isHeeding && completion > (request.completionTokensMax ?? completion)
  return {
    prompt,
    cached: Math.min(behaviour.cachedTokens, prompt),
    completion: isTooLong ? (request.completionTokensMax ?? completion) : completion,
    reasoning: behaviour.reasoningTokens,
  }
}

function usageBody(tokens: AnswerTokens): object {
  return {
    prompt_tokens: tokens.prompt,
    completion_tokens: tokens.completion,
    total_tokens: tokens.prompt + tokens.completion,
    prompt_tokens_details: { cached_tokens: tokens.cached, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: tokens.reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}

const WORDS = ["The", " meter", " counts", " every", " token", " once", " and", " only", " once", "."]
const TOOL_ARGUMENTS = ['{"', "city", '":"', "Paris", '"}']

function wordAt(index: number): string {
  return WORDS[index % WORDS.length] ?? ""
}

function toolCall(request: ChatRequest, callArguments: string): object {
  return { id: "call_fake0001", type: "function", function: { name: request.toolName, arguments: callArguments } }
}

/** A `chat.completion` body. */
export function chatCompletion(request: ChatRequest, behaviour: Behaviour, id: string): object {
  const tokens = tokensOf(request, behaviour)
  const text = Array.from({ length: Math.min(tokens.completion, 200) }, (_, i) => wordAt(i)).join("")
  const base = { role: "assistant", refusal: null, annotations: [] }
  const message = behaviour.isToolCall
    ? { ...base, content: null, tool_calls: [toolCall(request, TOOL_ARGUMENTS.join(""))] }
    : { ...base, content: text }
  const finish_reason = behaviour.isToolCall ? "tool_calls" : "stop"
  return {
    id,
    object: "chat.completion",
    created: 1_760_000_000,
    model: request.model,
    choices: Array.from({ length: request.choices }, (_, index) => ({ index, message, logprobs: null, finish_reason })),
    ...(behaviour.isUsageHidden ? {} : { usage: usageBody(tokens) }),
    service_tier: request.tier,
    system_fingerprint: "fp_fake",
  }
}

/** One SSE event of a stream; `isContent` marks the chunks that `-c<N>` counts. */
export type StreamEvent = { readonly text: string; readonly isContent: boolean }

/** All events of a stream: role, content or tool-call chunks, finish, usage where asked for, `[DONE]`. */
export function chatStream(request: ChatRequest, behaviour: Behaviour, id: string): readonly StreamEvent[] {
  const isUsageSent = request.isUsageAsked && !behaviour.isUsageHidden
  const chunk = (choices: readonly object[], usage: object | null): string => {
    const { model, tier } = request
    const head = { id, object: "chat.completion.chunk", created: 1_760_000_000, model, service_tier: tier }
    const body = { ...head, system_fingerprint: "fp_fake", choices, ...(isUsageSent ? { usage } : {}) }
    return `data: ${JSON.stringify(body)}\n\n`
  }
  const delta = (value: object, finish_reason: string | null = null): string => {
    const choices = Array.from({ length: request.choices }, (_, index) => index)
    return chunk(
      choices.map((index) => ({ index, delta: value, logprobs: null, finish_reason })),
      null,
    )
  }
  const events: StreamEvent[] = []
  const add = (text: string, isContent = false): void => {
    events.push({ text, isContent })
  }
  if (behaviour.isToolCall) {
    add(
      delta({ role: "assistant", content: null, refusal: null, tool_calls: [{ index: 0, ...toolCall(request, "") }] }),
    )
    for (const part of TOOL_ARGUMENTS) add(delta({ tool_calls: [{ index: 0, function: { arguments: part } }] }), true)
    add(delta({}, "tool_calls"))
  } else {
    add(delta({ role: "assistant", content: "", refusal: null }))
    for (let i = 0; i < behaviour.chunks; i++) add(delta({ content: wordAt(i) }), true)
    add(delta({}, "stop"))
  }
  if (isUsageSent) add(chunk([], usageBody(tokensOf(request, behaviour))))
  add("data: [DONE]\n\n")
  return events
}

export type ErrorAnswer = { readonly body: object; readonly headers: Readonly<Record<string, string>> }

/** OpenAI's error body for a status; 429 says when to come back. */
export function errorAnswer(status: number, model: string): ErrorAnswer {
  const error = (message: string, type: string, code: string | null, headers = {}): ErrorAnswer => ({
    body: { error: { message, type, param: null, code } },
    headers,
  })
  switch (status) {
    case 400:
      return error("Invalid value for 'messages'.", "invalid_request_error", "invalid_value")
    case 401:
      return error("Incorrect API key provided: sk-fake****0001.", "invalid_request_error", "invalid_api_key")
    case 403:
      return error(`Project does not have access to model \`${model}\``, "invalid_request_error", "model_not_found")
    case 404:
      return error(`The model \`${model}\` does not exist.`, "invalid_request_error", "model_not_found")
    case 429:
      return error(`Rate limit reached for ${model}.`, "requests", "rate_limit_exceeded", {
        "retry-after": "1",
        "retry-after-ms": "500",
      })
    case 503:
      return error("The engine is currently overloaded, please try again later.", "overloaded", "overloaded")
    default:
      return error("The server had an error while processing your request.", "server_error", null)
  }
}

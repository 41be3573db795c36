/**
 * What the sandbox answers, as pure functions of the request: a provider that needs no account, plainly labelled, in the
 * wire shape of OpenAI's chat completions, so that whoever knows the request can recompute the answer and its usage.
 *
 * | the request has                        | the answer                                                                 |
 * | -------------------------------------- | -------------------------------------------------------------------------- |
 * | model `echo`                           | 20 to 60 words that repeat the start of the last user message              |
 * | model `reasoner`                       | the same after hidden reasoning, `reasoningText`: 20 steps, or by          |
 * |                                        | `reasoning_effort` none 0, minimal 2, low 5, medium 20, high 60            |
 * | `prompt_cache_key`                     | the first ⌊prompt / 128⌋ × 128 prompt tokens are reported as cached        |
 * | `max_completion_tokens`, `max_tokens`  | reasoning cut at the token, text at the word; finish_reason `length`       |
 * | `n` (1 to 16)                          | so many choices, each with its own number in its text                      |
 * | `tools` and `tool_choice` that forces  | a call of the named (or the first) tool with arguments `{}`; it counts as  |
 * |                                        | the tokens of `toolCallText`                                               |
 * | `stream`                               | one event a word; the usage event if `stream_options.include_usage`        |
 *
 * The prompt counts 3 + Σ (3 + role + content (+ 1 + name)) and the tools' JSON, all in o200k_base without a factor.
 */

export const SANDBOX_MODELS = ["echo", "reasoner"] as const
export type SandboxModel = (typeof SANDBOX_MODELS)[number]

export type SandboxRequest = {
  readonly model: SandboxModel
  readonly lastUserText: string
  readonly choices: number
  readonly isStream: boolean
  readonly includesUsage: boolean
  /** Most completion tokens of one choice, null where the request names none. */
  readonly outputTokensMax: number | null
  readonly reasoningSteps: number
  readonly isCached: boolean
  /** The tool that `tool_choice` forces, or null. */
  readonly forcedTool: string | null
}

export type SandboxError = {
  readonly status: number
  readonly error: { message: string; type: string; param: string | null; code: string | null }
}

export type SandboxReading =
  | { readonly kind: "request"; readonly request: SandboxRequest }
  | ({ readonly kind: "refused" } & SandboxError)

const CHOICES_MAX = 16
const ECHOED_WORDS_MAX = 30
/** A word of a user's message may be a whole document; the answer repeats no more of it. */
const ECHOED_WORD_CHARS_MAX = 40
const CACHE_BLOCK_TOKENS = 128
const STEPS: Readonly<Record<string, number>> = { none: 0, minimal: 2, low: 5, medium: 20, high: 60, xhigh: 60 }
const DEFAULT_EFFORT = "medium"

/** Reads the JSON text of a chat request; what it refuses, it refuses as OpenAI does, naming the parameter. */
export function readSandboxRequest(text: string): SandboxReading {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return refused(400, "The body is not JSON.", null, null)
  }
  if (!isObject(body)) return refused(400, "The body is not a JSON object.", null, null)
  if (typeof body.model !== "string" || body.model === "") {
    return refused(400, "You must provide a model parameter.", "model", "missing_required_parameter")
  }
  const model = SANDBOX_MODELS.find((known) => known === body.model)
  if (model === undefined) {
    const known = SANDBOX_MODELS.join(", ")
    return refused(404, `The sandbox has no model ${quoted(body.model)}; it has: ${known}.`, "model", "model_not_found")
  }
  if (!Array.isArray(body.messages) || body.messages.length === 0) {
    return refused(400, "messages must be a list with at least one message.", "messages", "missing_required_parameter")
  }
  if (!body.messages.every((message) => isObject(message) && typeof message.role === "string")) {
    return refused(400, "Each message must be an object with a role.", "messages", "invalid_type")
  }
  return readOptions(body, model, body.messages)
}

function readOptions(body: Record<string, unknown>, model: SandboxModel, messages: readonly unknown[]): SandboxReading {
  const choices = body.n ?? 1
  if (!isCount(choices) || choices > CHOICES_MAX)
    return invalid("n", `n must be a whole number from 1 to ${CHOICES_MAX}.`)
  const maxName = body.max_completion_tokens == null ? "max_tokens" : "max_completion_tokens"
  const outputTokensMax = body[maxName] ?? null
  if (outputTokensMax !== null && !isCount(outputTokensMax)) {
    return invalid(maxName, `${maxName} must be a whole number of at least 1.`)
  }
  const effort = body.reasoning_effort ?? DEFAULT_EFFORT
  const steps = typeof effort === "string" && Object.hasOwn(STEPS, effort) ? STEPS[effort] : undefined
  if (steps === undefined) {
    return invalid("reasoning_effort", `reasoning_effort must be one of ${Object.keys(STEPS).join(", ")}.`)
  }
  const forced = forcedTool(body.tools, body.tool_choice)
  if (forced.kind === "unknown") return invalid("tool_choice", "tool_choice names no tool of this request.")
  return {
    kind: "request",
    request: {
      model,
      lastUserText: lastUserText(messages),
      choices,
      isStream: body.stream === true,
      includesUsage: isObject(body.stream_options) && body.stream_options.include_usage === true,
      outputTokensMax,
      reasoningSteps: model === "reasoner" ? steps : 0,
      isCached: typeof body.prompt_cache_key === "string" && body.prompt_cache_key !== "",
      forcedTool: forced.kind === "tool" ? forced.name : null,
    },
  }
}

type ForcedTool = { kind: "none" } | { kind: "unknown" } | { kind: "tool"; name: string }

function forcedTool(tools: unknown, choice: unknown): ForcedTool {
  const names = (Array.isArray(tools) ? tools : []).flatMap((tool: unknown) =>
    isObject(tool) && isObject(tool.function) && typeof tool.function.name === "string" ? [tool.function.name] : [],
  )
  const named = isObject(choice) && isObject(choice.function) ? choice.function.name : undefined
  if (choice !== "required" && named === undefined) return { kind: "none" }
  const name = names.find((known) => choice === "required" || known === named)
  return name === undefined ? { kind: "unknown" } : { kind: "tool", name }
}

function lastUserText(messages: readonly unknown[]): string {
  const last = messages.findLast((message) => isObject(message) && message.role === "user")
  if (!isObject(last)) return ""
  if (typeof last.content === "string") return last.content
  const parts: unknown[] = Array.isArray(last.content) ? last.content : []
  return parts.flatMap((part) => (isObject(part) && typeof part.text === "string" ? [part.text] : [])).join(" ")
}

/** The whole text of the choice with this index (0, 1, …), before any cut. */
export function answerText(request: SandboxRequest, choice: number): string {
  const words = wordsOf(request.lastUserText)
  const echoed = words
    .slice(0, ECHOED_WORDS_MAX)
    .map((word) => Array.from(word).slice(0, ECHOED_WORD_CHARS_MAX).join(""))
  const label = `Tallygate sandbox ${request.model}${choice === 0 ? "" : `, choice ${choice + 1}`}:`
  const size = `no model was called. Your last message has ${words.length} ${words.length === 1 ? "word" : "words"}`
  if (words.length === 0)
    return `${label} ${size}, so there is nothing here to repeat. Write something and it comes back.`
  return `${label} ${size} and ${echoed.length < words.length ? "begins with" : "reads"}: ${echoed.join(" ")}`
}

/** The hidden text whose tokens are reported as reasoning; '' for models that do not reason. */
export function reasoningText(request: SandboxRequest): string {
  const words = wordsOf(request.lastUserText)
  return Array.from({ length: request.reasoningSteps }, (_, step) => {
    const word = words[step % Math.max(1, words.length)] ?? "nothing"
    return `Step ${step + 1}: consider ${Array.from(word).slice(0, ECHOED_WORD_CHARS_MAX).join("")}.`
  }).join(" ")
}

/** The text whose tokens a forced tool call counts. */
export function toolCallText(tool: string): string {
  return JSON.stringify({ name: tool, arguments: "{}" })
}

/** A text cut into the pieces of a stream: words, each with the space before it. Joined they are the text. */
export function piecesOf(text: string): string[] {
  return text.match(/\s*\S+|\s+$/g) ?? []
}

export type SandboxChoice = {
  readonly content: string
  readonly tool: string | null
  readonly finishReason: "stop" | "length" | "tool_calls"
  /** Reasoning included. */
  readonly completionTokens: number
  readonly reasoningTokens: number
}

export type SandboxAnswer = {
  readonly id: string
  readonly createdSeconds: number
  readonly promptTokens: number
  readonly choices: readonly SandboxChoice[]
}

function usageOf(request: SandboxRequest, answer: SandboxAnswer): unknown {
  const { promptTokens: prompt_tokens, choices } = answer
  const completion_tokens = choices.reduce((sum, choice) => sum + choice.completionTokens, 0)
  const reasoning_tokens = choices.reduce((sum, choice) => sum + choice.reasoningTokens, 0)
  const cached_tokens = request.isCached ? Math.floor(prompt_tokens / CACHE_BLOCK_TOKENS) * CACHE_BLOCK_TOKENS : 0
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}

/** The `chat.completion` object of an answer that is not streamed. */
export function completionBody(request: SandboxRequest, answer: SandboxAnswer): unknown {
  return {
    ...frameOf(request, answer, "chat.completion"),
    choices: answer.choices.map((choice, index) => ({
      index,
      message: {
        role: "assistant",
        content: choice.tool === null ? choice.content : null,
        refusal: null,
        annotations: [],
        ...(choice.tool === null ? {} : { tool_calls: [toolCall(answer, choice.tool, index)] }),
      },
      logprobs: null,
      finish_reason: choice.finishReason,
    })),
    usage: usageOf(request, answer),
  }
}

/** The `chat.completion.chunk` objects of a streamed answer in their order, without the final `[DONE]`. */
export function* completionChunks(request: SandboxRequest, answer: SandboxAnswer): Generator<unknown> {
  const frame = frameOf(request, answer, "chat.completion.chunk")
  const nullUsage = request.includesUsage ? { usage: null } : {}
  const chunk = (index: number, delta: unknown, finish_reason: string | null) => ({
    ...frame,
    choices: [{ index, delta, logprobs: null, finish_reason }],
    ...nullUsage,
  })
  for (const [index, choice] of answer.choices.entries()) {
    if (choice.tool === null) {
      yield chunk(index, { role: "assistant", content: "", refusal: null }, null)
      for (const content of piecesOf(choice.content)) yield chunk(index, { content }, null)
    } else {
      const call = toolCall(answer, choice.tool, index)
      const opening = { index: 0, ...call, function: { ...call.function, arguments: "" } }
      yield chunk(index, { role: "assistant", content: null, tool_calls: [opening], refusal: null }, null)
      yield chunk(index, { tool_calls: [{ index: 0, function: { arguments: "{}" } }] }, null)
    }
    yield chunk(index, {}, choice.finishReason)
  }
  if (request.includesUsage) yield { ...frame, choices: [], usage: usageOf(request, answer) }
}

/** The answer of GET /v1/models. */
export function modelList(): unknown {
  const data = SANDBOX_MODELS.map((id) => ({ id, object: "model", created: 0, owned_by: "tallygate-sandbox" }))
  return { object: "list", data }
}

function frameOf(request: SandboxRequest, answer: SandboxAnswer, object: string) {
  return {
    id: answer.id,
    object,
    created: answer.createdSeconds,
    model: request.model,
    service_tier: "default",
    system_fingerprint: "fp_tallygate_sandbox",
  }
}

function toolCall(answer: SandboxAnswer, name: string, index: number) {
  return { id: `call_${answer.id}_${index}`, type: "function", function: { name, arguments: "{}" } }
}

function wordsOf(text: string): string[] {
  return text.match(/\S+/g) ?? []
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100))
}

function invalid(param: string, message: string): SandboxReading {
  return refused(400, message, param, "invalid_value")
}

function refused(status: number, message: string, param: string | null, code: string | null): SandboxReading {
  return { kind: "refused", status, error: { message, type: "invalid_request_error", param, code } }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

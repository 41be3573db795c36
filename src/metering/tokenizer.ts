/**
 * Counts tokens with tiktoken, for calls whose provider reported no usage. Byte pair encoding is quadratic on unbroken
 * runs (200,000 × 'a' in one piece: 95 s), so text is counted in pieces; it still blocks, so only a worker thread and
 * tests run it. tiktoken's own model table throws for models it does not know, so the tables stand here.
 */
import { createRequire } from "node:module"

export type Encoding = "o200k_base" | "cl100k_base"

export type Tokenizer = {
  /** Tokens of the text; beyond TEXT_CHARS_MAX characters the rest counts 3.5 characters a token. */
  countTokens(text: string, encoding: Encoding): number
  /** Tokens that the body of a chat request costs as its prompt, before the model's factor. */
  chatPromptTokens(body: unknown, model: string): number
}

/** UTF-16 characters that are really encoded of one text or one request: about 50 ms of prose, 0.4 s at worst. */
export const TEXT_CHARS_MAX = 200_000
const PIECE_CHARS_MAX = 1_000
const RUN_CHARS_MAX = 500
const CHARS_PER_TOKEN = 3.5
/** GPT-5 models add about 90 tokens to the tools of a request; measured. */
const GPT5_TOOLS_TOKENS = 90

const CL100K_PREFIXES = ["gpt-4", "gpt-3.5", "gpt-35", "text-embedding-", "babbage-002", "davinci-002"]
/** These begin like gpt-4 and are not. */
const O200K_PREFIXES = ["gpt-4o", "gpt-4.1", "gpt-4.5"]

/** Actual tokens / tokens counted, on recorded answers; the first pattern that the model's name holds decides. */
const FACTORS: readonly (readonly [RegExp, number])[] = [
  [/claude-(?:5|fable|(?:opus|sonnet|haiku)-(?:5|4[.-](?:[7-9]|1\d)))(?!\d)/, 1.35],
  [/claude/, 1.2],
  [/mistral|mixtral|ministral|codestral|magistral|devstral|pixtral/, 1.2],
  [/gemini|gemma/, 1.1],
  [/deepseek|qwen|qwq|llama/, 1.05],
  [/^(?:gpt-|chatgpt-|o\d|text-embedding-|babbage-|davinci-|codex-|computer-use-)/, 1],
]
const UNKNOWN_FACTOR = 1.2
/** Our own sandbox counts with tiktoken itself. */
const SANDBOX_PREFIX = "sandbox/"

/** The encoding whose merges count for the model; o200k_base for every model that is not known to use another. */
export function encodingOf(model: string): Encoding {
  const name = bareName(model)
  if (O200K_PREFIXES.some((prefix) => name.startsWith(prefix))) return "o200k_base"
  return CL100K_PREFIXES.some((prefix) => name.startsWith(prefix)) ? "cl100k_base" : "o200k_base"
}

/** What a count by `encodingOf(model)` is multiplied with to come near the model's own tokenizer. */
export function factorOf(model: string): number {
  if (model.startsWith(SANDBOX_PREFIX)) return 1
  const name = bareName(model)
  return FACTORS.find(([pattern]) => pattern.test(name))?.[1] ?? UNKNOWN_FACTOR
}

/** Without a host's path (`openai/gpt-4o`) and the mark of a fine-tuned model (`ft:gpt-4o:…`). */
function bareName(model: string): string {
  return model.toLowerCase().replace(/^.*\//, "").replace(/^ft:/, "")
}

/** The name under which an estimate is recorded, such as `o200k_base×1.2`. */
export function estimatorName(model: string): string {
  return `${encodingOf(model)}×${factorOf(model)}`
}

/** A count with the model's factor applied, rounded up. */
export function scaledTokens(tokens: number, model: string): number {
  // In hundredths, since 10 × 1.1 is more than 11 to a float.
  return Math.ceil((tokens * Math.round(factorOf(model) * 100)) / 100)
}

type Encoder = { encode_ordinary(text: string): { readonly length: number } }

/** Opens a tokenizer; an encoding is loaded when first used (o200k_base 0.3 s, cl100k_base 0.05 s) and kept. */
export function openTokenizer(): Tokenizer {
  const encoders = new Map<Encoding, Encoder>()
  const encoderOf = (encoding: Encoding) => {
    const known = encoders.get(encoding)
    if (known !== undefined) return known
    const loaded = loadEncoder(encoding)
    encoders.set(encoding, loaded)
    return loaded
  }
  return {
    countTokens: (text, encoding) => new Count(encoderOf(encoding)).add(text).tokens,
    chatPromptTokens: (body, model) => {
      const count = new Count(encoderOf(encodingOf(model)))
      addPrompt(count, body, model)
      return count.tokens
    },
  }
}

/** A running count over several texts that share one bound on what is really encoded. */
class Count {
  tokens = 0
  readonly #encoder: Encoder
  #charsLeft = TEXT_CHARS_MAX

  constructor(encoder: Encoder) {
    this.#encoder = encoder
  }

  add(text: string): this {
    const encodedChars = Math.min(text.length, this.#charsLeft)
    this.#charsLeft -= encodedChars
    for (let at = 0; at < encodedChars; ) {
      const end = pieceEnd(text, at, encodedChars)
      // encode_ordinary: encode throws on text that spells a special token.
      this.tokens += this.#encoder.encode_ordinary(text.slice(at, end)).length
      at = end
    }
    this.tokens += Math.ceil((text.length - encodedChars) / CHARS_PER_TOKEN)
    return this
  }
}

/**
 * Where the piece that begins at `start` ends. A cut before a single space changes no count, since both encodings begin
 * a token there; a run without one is cut anyway, which adds a token now and then.
 */
function pieceEnd(text: string, start: number, end: number): number {
  if (end - start <= RUN_CHARS_MAX) return end
  for (let at = Math.min(start + PIECE_CHARS_MAX, end - 1); at > start; at--) {
    if (text[at] === " " && text[at + 1] !== " " && !isSpace(text[at - 1])) return at
  }
  const cut = start + RUN_CHARS_MAX
  const last = text.charCodeAt(cut - 1)
  const isInsidePair = last >= 0xd800 && last <= 0xdbff
  return isInsidePair ? cut - 1 : cut
}

function isSpace(character: string | undefined): boolean {
  return character === " " || character === "\n" || character === "\r" || character === "\t"
}

/**
 * The prompt of a chat request: 3 + Σ (3 + role + content (+ 1 + name)), text parts only; exact on most recorded OpenAI
 * requests. Tools count as their JSON, an upper bound (0 to 49 % above). A body of another shape counts as its text.
 */
function addPrompt(count: Count, body: unknown, model: string): void {
  if (!isObject(body) || !Array.isArray(body.messages)) {
    addPlain(count, isObject(body) ? (body.input ?? body.prompt ?? body) : body)
    return
  }
  count.tokens += 3
  for (const message of body.messages) {
    count.tokens += 3
    if (!isObject(message)) continue
    if (typeof message.role === "string") count.add(message.role)
    for (const text of contentTexts(message.content)) count.add(text)
    if (typeof message.name === "string") count.add(message.name).tokens += 1
    if (Array.isArray(message.tool_calls)) count.add(JSON.stringify(message.tool_calls))
  }
  if (!Array.isArray(body.tools) || body.tools.length === 0) return
  count.add(JSON.stringify(body.tools))
  if (/gpt-5/i.test(model)) count.tokens += GPT5_TOOLS_TOKENS
}

function contentTexts(content: unknown): string[] {
  if (typeof content === "string") return [content]
  if (!Array.isArray(content)) return []
  return content.flatMap((part: unknown) => (isObject(part) && typeof part.text === "string" ? [part.text] : []))
}

function addPlain(count: Count, value: unknown): void {
  if (value === undefined || value === null) return
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) for (const item of value) count.add(item)
  else count.add(typeof value === "string" ? value : JSON.stringify(value))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

type EncoderData = { bpe_ranks: string; special_tokens: Record<string, number>; pat_str: string }

/** tiktoken ships CommonJS and compiles WASM when it is required, so it is required here and not at the top. */
function loadEncoder(encoding: Encoding): Encoder {
  const require = createRequire(import.meta.url)
  const { Tiktoken } = requireTiktoken(require)
  const data = requireEncoderData(require, encoding)
  return new Tiktoken(data.bpe_ranks, data.special_tokens, data.pat_str)
}

/** The package's own declaration of this entry says what it exports. */
function requireTiktoken(require: NodeJS.Require): typeof import("tiktoken/lite") {
  return require("tiktoken/lite") as typeof import("tiktoken/lite")
}

/** Each encoder file of the pinned tiktoken version has these three members. */
function requireEncoderData(require: NodeJS.Require, encoding: Encoding): EncoderData {
  return require(`tiktoken/encoders/${encoding}.json`) as EncoderData
}

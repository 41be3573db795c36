/**
 * Counts tokens with tiktoken, for calls whose provider reported no usage. Byte pair encoding is quadratic on unbroken
 * runs (200,000 × 'a' in one piece: 95 s), so text is counted in pieces; it still blocks, so only a worker thread and
 * tests run it.
 */
import { createRequire } from "node:module"
import { mediaTokens } from "./media-tokens.ts"
import { type Encoding, encodingOf, familyNameOf, inputTokensFor } from "./model-family.ts"
import { type Prompt, readPrompt } from "./prompt.ts"
import { toolText } from "./tool-text.ts"

/** `input` is all of it; picture and sound are parts. */
export type PromptTokens = { readonly input: number; readonly image: number; readonly audio: number }

export type Tokenizer = {
  /** Tokens of the text; beyond TEXT_CHARS_MAX characters the rest counts 3.5 characters a token. */
  countTokens(text: string, encoding: Encoding): number
  /** Tokens that the model would count of a request's body, the family's factor applied. Never throws. */
  promptTokens(body: unknown, model: string): PromptTokens
}

/** UTF-16 characters that are really encoded of one text or one request: about 50 ms of prose, 0.4 s at worst. */
export const TEXT_CHARS_MAX = 200_000
const PIECE_CHARS_MAX = 1_000
const RUN_CHARS_MAX = 500
const CHARS_PER_TOKEN = 3.5
/** What frames each message, its role included, and the whole: exact on recorded OpenAI requests. */
const MESSAGE_TOKENS = 4
const PROMPT_TOKENS = 3
/** Reasoning models of OpenAI count one less. */
const REASONING_SAVES = 1
/** What frames the name and arguments of a call of a tool; measured on gpt-4o-mini. */
const TOOL_CALL_TOKENS = 8

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
    promptTokens: (body, model) => promptTokens(readPrompt(body), model, new Count(encoderOf(encodingOf(model)))),
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

function promptTokens(prompt: Prompt, model: string, count: Count): PromptTokens {
  const family = familyNameOf(model)
  for (const text of prompt.texts) count.add(text)
  const { text, extraTokens } = toolText(prompt.tools, family, prompt.hasSystem)
  count.add(text)
  const texts = inputTokensFor(count.tokens, model) + framesOf(prompt, family) + extraTokens + prompt.tokenIds
  const { image, audio, other } = mediaTokens(prompt.media, model, family)
  return { input: texts + image + audio + other, image, audio }
}

/** Google's models count no frames. */
function framesOf({ messages, names, toolCalls }: Prompt, family: string): number {
  if (messages === 0 || family === "gemini") return 0
  const whole = family === "openai-reasoning" ? PROMPT_TOKENS - REASONING_SAVES : PROMPT_TOKENS
  return whole + messages * MESSAGE_TOKENS + names + toolCalls * TOOL_CALL_TOKENS
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

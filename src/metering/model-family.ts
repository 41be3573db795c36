/**
 * How a model's own tokenizer relates to the one that we have: which encoding comes nearest, what a count by it is
 * multiplied with, and how many tokens stand around an answer that show in no text (its end, its channel). One row per
 * family of models that share a tokenizer; the figures were measured on recorded answers (docs/metering.md).
 */

export type Encoding = "o200k_base" | "cl100k_base"

/**
 * Stands in every estimate's name, so that a record says by which figures it was made for ever. It grows whenever a row
 * below or a formula of prompts changes.
 */
export const ESTIMATOR_VERSION = 2

type Family = {
  readonly name: string
  readonly pattern: RegExp
  readonly encoding: Encoding
  /** Its tokens / ours, in hundredths, since 10 × 1.1 is more than 11 to a float. */
  readonly hundredths: number
  /** Tokens of an answer besides those of its text. */
  readonly frame: number
}

/** The first pattern that the model's bare name holds decides. */
const FAMILIES: readonly Family[] = [
  family("claude-5", /claude-(?:5|fable|(?:opus|sonnet|haiku)-(?:5|4[.-](?:[7-9]|1\d)))(?!\d)/, 135, 3),
  family("claude", /claude/, 115, 3),
  family("mistral-1", /mixtral|mistral-(?:tiny|7b|(?:small|medium|large)-2[34])|codestral-2405|mathstral/, 120, 1),
  family("mistral", /mistral|ministral|codestral|magistral|devstral|pixtral|voxtral/, 103, 1),
  family("gemini", /gemini|gemma/, 107),
  family("deepseek", /deepseek/, 103),
  family("qwen", /qwen|qwq/, 105),
  family("llama", /llama/, 104),
  family("command", /^(?:command|c4ai-|aya)/, 109),
  family("openai-reasoning", /^(?:gpt-(?:[5-9]|oss)|o\d|codex-)/, 100, 7),
  family("openai-4o", /^(?:gpt-4o|gpt-4\.\d|chatgpt-|computer-use-)/, 100, 1),
  { ...family("openai", /^(?:gpt-|text-embedding-|babbage|davinci)/, 100), encoding: "cl100k_base" },
]
/** Rather too much than too little. */
const UNKNOWN = family("unknown", /^/, 120)
/** Our own sandbox counts with tiktoken itself. */
const SANDBOX = family("sandbox", /^sandbox\//, 100)

function family(name: string, pattern: RegExp, hundredths: number, frame = 0): Family {
  return { name, pattern, encoding: "o200k_base", hundredths, frame }
}

function familyOf(model: string): Family {
  if (SANDBOX.pattern.test(model)) return SANDBOX
  const name = bareName(model)
  return FAMILIES.find(({ pattern }) => pattern.test(name)) ?? UNKNOWN
}

/** In lower case, without a host's path (`openai/gpt-4o`), a region or maker (`us.anthropic.`), or the mark `ft:`. */
export function bareName(model: string): string {
  return model
    .toLowerCase()
    .replace(/^.*\//, "")
    .replace(/^ft:/, "")
    .replace(/^(?:[a-z]+\.)+/, "")
}

/** The family's name; `unknown` for a model that no row knows. */
export function familyNameOf(model: string): string {
  return familyOf(model).name
}

/** The encoding whose merges come nearest to the model's. */
export function encodingOf(model: string): Encoding {
  return familyOf(model).encoding
}

/** The name under which an estimate is recorded, such as `v2 claude o200k_base×1.15+3`. */
export function estimatorName(model: string): string {
  const { name, encoding, hundredths, frame } = familyOf(model)
  return `v${ESTIMATOR_VERSION} ${name} ${encoding}×${hundredths / 100}${frame === 0 ? "" : `+${frame}`}`
}

/** What the model counts as its input where we count so many tokens; to the nearest whole one. */
export function inputTokensFor(tokens: number, model: string): number {
  return Math.round((tokens * familyOf(model).hundredths) / 100)
}

/** As `inputTokensFor`, with what stands around an answer; an answer without text is 0. */
export function outputTokensFor(tokens: number, model: string): number {
  return tokens === 0 ? 0 : inputTokensFor(tokens, model) + familyOf(model).frame
}

/**
 * What is known of models beside their prices: how much they can write, how many tokens a picture has at most, and which
 * are not what they are called. By beginnings of names, since snapshots follow. Sources: the model pages and the vision
 * guides of OpenAI ("Images and vision"), Anthropic ("Vision") and Google ("Media resolution").
 */
import { hidesBeyondBound } from "./hidden-output.ts"
import type { UnboundedReason } from "./request-bound.ts"

/** What a model may be asked for whose own most is not known here: few answers are longer, and few models take less. */
const OUTPUT_TOKENS_DEFAULT = 16_384

/** First match counts. */
const OUTPUT_TOKENS: readonly (readonly [RegExp, number])[] = [
  [/^gpt-3\.5|^gpt-4-(?:turbo|1106|0125|vision)|^gpt-4o-2024-05-13/, 4_096],
  [/^gpt-4-32k/, 32_768],
  [/^gpt-4(?:$|-0)/, 8_192],
  [/^gpt-4\.1/, 32_768],
  [/^(?:chatgpt-4o|gpt-4o|gpt-4\.5|gpt-5(?:\.\d)?-chat|chat-latest)/, 16_384],
  [/^gpt-5-pro/, 272_000],
  [/^(?:gpt-[5-9]|codex-)/, 128_000],
  [/^o1-mini/, 65_536],
  [/^o1-preview/, 32_768],
  [/^o\d/, 100_000],
  [/^gemini-(?:1|2\.0)|^gemini-(?:flash|pro)-1/, 8_192],
  [/^gemini-2\.5-flash-image/, 32_768],
  [/^gemini-/, 65_535],
  [/^claude-3-(?:opus|sonnet|haiku)/, 4_096],
  [/^claude-3-5/, 8_192],
  [/^claude-opus-4-[01]|^claude-opus-4-2025/, 32_000],
  [/^claude-/, 64_000],
]

/** The most output tokens that a provider lets one answer of the model be asked for. */
export function outputTokensMaxOf(model: string): number {
  const name = ownName(model)
  return OUTPUT_TOKENS.find(([pattern]) => pattern.test(name))?.[1] ?? OUTPUT_TOKENS_DEFAULT
}

/**
 * OpenAI scales a picture to at most 8 tiles of 512 pixels (a base, and so much for each), or to 1,536 patches of 32
 * pixels, times a factor. First match counts; newer models have other caps and are left out.
 */
const OPENAI_IMAGE_TOKENS: readonly (readonly [RegExp, number])[] = [
  [/^gpt-4o-mini/, 2_833 + 8 * 5_667],
  [/^gpt-4\.1-mini|^gpt-5-mini/, Math.ceil(1_536 * 1.62)],
  [/^gpt-4\.1-nano|^gpt-5-nano/, Math.ceil(1_536 * 2.46)],
  [/^o4-mini/, Math.ceil(1_536 * 1.72)],
  [/^(?:gpt-4o|chatgpt-4o|gpt-4\.1|gpt-4\.5|gpt-4-turbo|gpt-4-vision)/, Math.max(85 + 8 * 170, 1_536)],
  [/^o[13](?:$|-pro|-20)/, 75 + 8 * 150],
  [/^gpt-5(?:$|-20|-chat)/, 70 + 8 * 140],
]

/** The most tokens of one picture, whatever its size; null where nobody has said. */
export function openAiImageTokensMax(model: string): number | null {
  const name = ownName(model)
  return OPENAI_IMAGE_TOKENS.find(([pattern]) => pattern.test(name))?.[1] ?? null
}

/** Anthropic scales a picture down to about 1.15 megapixels, since Opus 4.7 to 3.75; a token is 750 of them. */
export function anthropicImageTokensMax(model: string): number | null {
  if (/^claude-(?:3|(?:opus|sonnet|haiku)-4(?:$|-[0-6](?:$|-)|-20))/.test(model)) return 1_700
  return /^claude-(?:opus|sonnet|haiku|fable)-[45]/.test(model) ? 5_000 : null
}

/** Gemini 3 gives a picture at most 2,240 tokens (`MEDIA_RESOLUTION_ULTRA_HIGH`); before, tiles without a most. */
export function googleImageTokensMax(model: string): number | null {
  return /^gemini-3/.test(model) ? 2_240 : null
}

/** OpenAI's own, which take `max_completion_tokens` and whose hidden tokens are no more than the JSON around a request. */
export function isOpenAiModel(model: string): boolean {
  return /^(?:ft:)?(?:gpt-\d|chatgpt-|chat-latest|o\d|codex-|computer-use|text-|davinci|babbage)/.test(model)
}

/** Families of models whose servers know `max_tokens` and often no other name for it. */
const OLDER_BOUND =
  /llama|mi[sx]tral|mistral|stral|qwen|qwq|deepseek|gemma|phi-|command|grok|kimi|glm|claude|gemini|gpt-oss|granite|nemotron|minimax|jamba|nova-|sonar/i

/** Whether the model's most output has to be said as `max_tokens` to be sure that its server heeds it. */
export function takesOlderBound(model: string): boolean {
  return OLDER_BOUND.test(model)
}

/** Routers choose a model, and with it a price, when the call has arrived there. */
const ROUTED = /^openrouter\/|(?:^|\/)auto(?:$|[:-])|model-router|\/switchpoint|:free$|:nitro$|:floor$/
/** Models that search or run tools by themselves. */
const SEARCHING = /search|deep-research|sonar|compound|:online/

/** Why no call of this model can be bounded; null where its name is no reason. */
export function unboundedModel(model: string): UnboundedReason | null {
  if (ROUTED.test(model)) return "routed_model"
  if (SEARCHING.test(model)) return "server_tool"
  return hidesBeyondBound(model) ? "hidden_output" : null
}

/** Without whose it is, or that it was fine-tuned: `openai/gpt-4o`, `models/gemini-3-pro`, `ft:gpt-4o:acme`. */
function ownName(model: string): string {
  return model.slice(model.lastIndexOf("/") + 1).replace(/^ft:/, "")
}

/**
 * How much a call used, in disjoint token classes: a token stands in exactly one of uncached input, cache read,
 * cache write (5 minutes, 1 hour) and output. Reasoning is a subset of output; audio and image are subsets of
 * uncached input or of output.
 */
export type Usage = {
  readonly inputUncachedTokens: number
  readonly cacheReadTokens: number
  readonly cacheWrite5mTokens: number
  readonly cacheWrite1hTokens: number
  readonly outputTokens: number
  readonly reasoningTokens: number
  readonly audioInputTokens: number
  readonly imageInputTokens: number
  readonly audioOutputTokens: number
  readonly imageOutputTokens: number
  readonly webSearches: number
  /** Quantity of `unitType`, for calls that are not billed by tokens, and beside the tokens of images; 0 otherwise. */
  readonly units: number
  /** seconds, characters, images, images:hd:1024x1792 …; '' where there are none. */
  readonly unitType: string
}

/**
 * Where the figures come from: the provider's own report; the same, read while draining after the caller left; the
 * request, for what is billed by what was asked (characters, images); our estimate; nothing, since nothing was billed;
 * nowhere, since nobody here can meter such a call; or whoever made the call and told us of it.
 */
export type UsageSource = "provider" | "drained" | "request" | "estimated" | "none" | "unmetered" | "reported"

export const ZERO_USAGE: Usage = Object.freeze({
  inputUncachedTokens: 0,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  audioInputTokens: 0,
  imageInputTokens: 0,
  audioOutputTokens: 0,
  imageOutputTokens: 0,
  webSearches: 0,
  units: 0,
  unitType: "",
})

/** All input tokens, cached ones included: the figure a provider's context threshold compares. */
export function inputTokens(usage: Usage): number {
  return usage.inputUncachedTokens + usage.cacheReadTokens + usage.cacheWrite5mTokens + usage.cacheWrite1hTokens
}

/** The sum of the disjoint classes: what a token limit is charged. */
export function totalTokens(usage: Usage): number {
  return inputTokens(usage) + usage.outputTokens
}

/** What does not add up in a usage that somebody tells: a part larger than its whole. Null where nothing is wrong. */
export function usageFault(usage: Usage): { readonly part: string; readonly whole: string } | null {
  if (usage.reasoningTokens > usage.outputTokens) return { part: "reasoning_tokens", whole: "output_tokens" }
  if (usage.audioInputTokens + usage.imageInputTokens > usage.inputUncachedTokens) {
    return { part: "audio_input_tokens and image_input_tokens", whole: "input_uncached_tokens" }
  }
  if (usage.audioOutputTokens + usage.imageOutputTokens > usage.outputTokens) {
    return { part: "audio_output_tokens and image_output_tokens", whole: "output_tokens" }
  }
  return null
}

/** The sum of two usages that are billed alike, class by class. */
export function addedUsage(one: Usage, other: Usage): Usage {
  return {
    inputUncachedTokens: addedTokens(one.inputUncachedTokens, other.inputUncachedTokens),
    cacheReadTokens: addedTokens(one.cacheReadTokens, other.cacheReadTokens),
    cacheWrite5mTokens: addedTokens(one.cacheWrite5mTokens, other.cacheWrite5mTokens),
    cacheWrite1hTokens: addedTokens(one.cacheWrite1hTokens, other.cacheWrite1hTokens),
    outputTokens: addedTokens(one.outputTokens, other.outputTokens),
    reasoningTokens: addedTokens(one.reasoningTokens, other.reasoningTokens),
    audioInputTokens: addedTokens(one.audioInputTokens, other.audioInputTokens),
    imageInputTokens: addedTokens(one.imageInputTokens, other.imageInputTokens),
    audioOutputTokens: addedTokens(one.audioOutputTokens, other.audioOutputTokens),
    imageOutputTokens: addedTokens(one.imageOutputTokens, other.imageOutputTokens),
    webSearches: addedTokens(one.webSearches, other.webSearches),
    units: addedTokens(one.units, other.units),
    unitType: one.unitType || other.unitType,
  }
}

/** No provider reaches the bound; a hostile count is not to make the sum something other than a count. */
export function addedTokens(one: number, other: number): number {
  return Math.min(one + other, Number.MAX_SAFE_INTEGER)
}

/**
 * The usage object of OpenAI's chat completions and of everything that speaks that shape, as disjoint classes.
 * Source: OpenAI API reference, `CompletionUsage`: `prompt_tokens` includes cached tokens and cache writes,
 * `completion_tokens` includes reasoning, audio and rejected predictions.
 */
import { type Usage, ZERO_USAGE } from "../metering/usage.ts"
import { asObject, count } from "./json-values.ts"

export type ReadUsage = { readonly usage: Usage; readonly isMismatch: boolean }

/** Null where the value is not a usage object that counts anything (absent, null, empty, not an object). */
export function readOpenAiUsage(value: unknown): ReadUsage | null {
  const usage = asObject(value)
  if (usage === null) return null
  const prompt = count(usage.prompt_tokens)
  const completion = count(usage.completion_tokens)
  if (prompt === null && completion === null) return null
  const input = asObject(usage.prompt_tokens_details)
  const output = asObject(usage.completion_tokens_details)
  const promptTokens = prompt ?? 0
  // A provider that claims more cached tokens than tokens is not to make the uncached class negative.
  const cacheRead = Math.min(count(input?.cached_tokens) ?? 0, promptTokens)
  const cacheWrite = Math.min(count(input?.cache_write_tokens) ?? 0, promptTokens - cacheRead)
  const uncached = promptTokens - cacheRead - cacheWrite
  const outputTokens = completion ?? 0
  const total = count(usage.total_tokens)
  return {
    usage: {
      ...ZERO_USAGE,
      inputUncachedTokens: uncached,
      cacheReadTokens: cacheRead,
      cacheWrite5mTokens: cacheWrite,
      outputTokens,
      reasoningTokens: Math.min(count(output?.reasoning_tokens) ?? 0, outputTokens),
      audioInputTokens: Math.min(count(input?.audio_tokens) ?? 0, uncached),
      imageInputTokens: Math.min(count(input?.image_tokens) ?? 0, uncached),
      audioOutputTokens: Math.min(count(output?.audio_tokens) ?? 0, outputTokens),
      imageOutputTokens: Math.min(count(output?.image_tokens) ?? 0, outputTokens),
    },
    isMismatch: total !== null && total !== promptTokens + outputTokens,
  }
}

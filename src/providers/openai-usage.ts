/**
 * The usage object of OpenAI's chat completions and of everything that speaks that shape, as disjoint classes.
 * Source: OpenAI API reference, `CompletionUsage`: `prompt_tokens` includes cached tokens and cache writes,
 * `completion_tokens` includes reasoning, audio and rejected predictions.
 */
import { type Usage, ZERO_USAGE } from "../metering/usage.ts"

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

/** A token count as providers write it: a whole number, sometimes as a float or a string. Null where it is none. */
export function count(value: unknown): number | null {
  const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value
  if (typeof number !== "number" || !Number.isFinite(number)) return null
  return number <= 0 ? 0 : Math.min(Math.round(number), Number.MAX_SAFE_INTEGER)
}

export function asObject(value: unknown): Record<string, unknown> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null
}

export function asText(value: unknown): string {
  return typeof value === "string" ? value : ""
}

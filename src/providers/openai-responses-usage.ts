/**
 * The usage of OpenAI's Responses API as disjoint classes. Source: OpenAI API reference, `ResponseUsage`: `input_tokens`
 * includes cached tokens and cache writes, `output_tokens` includes reasoning. Web searches are billed by the call and
 * stand not in it but among the output items.
 */
import { ZERO_USAGE } from "../metering/usage.ts"
import { asArray, asObject, count } from "./json-values.ts"
import type { ReadUsage } from "./openai-usage.ts"

/** Null where the value is not a usage object that counts anything (absent, null, empty, not an object). */
export function readResponsesUsage(value: unknown, webSearches: number): ReadUsage | null {
  const usage = asObject(value)
  if (usage === null) return null
  const input = count(usage.input_tokens)
  const output = count(usage.output_tokens)
  if (input === null && output === null) return null
  const details = asObject(usage.input_tokens_details)
  const inputTokens = input ?? 0
  // A provider that claims more cached tokens than tokens is not to make the uncached class negative.
  const cacheRead = Math.min(count(details?.cached_tokens) ?? 0, inputTokens)
  const cacheWrite = Math.min(count(details?.cache_write_tokens) ?? 0, inputTokens - cacheRead)
  const outputTokens = output ?? 0
  const reasoning = count(asObject(usage.output_tokens_details)?.reasoning_tokens) ?? 0
  const total = count(usage.total_tokens)
  return {
    usage: {
      ...ZERO_USAGE,
      inputUncachedTokens: inputTokens - cacheRead - cacheWrite,
      cacheReadTokens: cacheRead,
      cacheWrite5mTokens: cacheWrite,
      outputTokens,
      reasoningTokens: Math.min(reasoning, outputTokens),
      webSearches,
    },
    isMismatch: total !== null && total !== inputTokens + outputTokens,
  }
}

/** How many searches the output items are billed for: opening a page and finding something in it cost nothing. */
export function webSearchesIn(output: unknown): number {
  return asArray(output).filter((value) => {
    const item = asObject(value)
    if (item?.type !== "web_search_call") return false
    // Older answers do not say what the call did; then it searched.
    const kind = asObject(item.action)?.type
    return typeof kind !== "string" || kind === "search"
  }).length
}

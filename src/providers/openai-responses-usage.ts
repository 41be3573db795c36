/**
 * The usage of OpenAI's Responses API as disjoint classes. Source: OpenAI API reference, `ResponseUsage`: `input_tokens`
 * includes cached tokens and cache writes, `output_tokens` includes reasoning. Web searches are billed by the call and
 * stand not in it but in `tool_usage`, and among the output items. Others of the same shape:
 *
 * - xAI counts in the usage what its tools were called for, and reasoning within the output or beside it: the total says;
 * - Perplexity names cached input in Anthropic's words, and counts its tools in the usage.
 */
import { ZERO_USAGE } from "../metering/usage.ts"
import { asArray, asObject, count } from "./json-values.ts"
import { type ReadUsage, unseenOutput } from "./openai-usage.ts"

/** Null where the value is not a usage object that counts anything (absent, null, empty, not an object). */
export function readResponsesUsage(value: unknown, webSearchesBeside: number): ReadUsage | null {
  const usage = asObject(value)
  if (usage === null) return null
  const input = count(usage.input_tokens)
  const output = count(usage.output_tokens)
  if (input === null && output === null) return null
  const details = asObject(usage.input_tokens_details)
  const inputTokens = input ?? 0
  // A provider that claims more cached tokens than tokens is not to make the uncached class negative.
  const cached = count(details?.cached_tokens) ?? count(details?.cache_read_input_tokens)
  const cacheRead = Math.min(cached ?? 0, inputTokens)
  const written = count(details?.cache_write_tokens) ?? count(details?.cache_creation_input_tokens)
  const cacheWrite = Math.min(written ?? 0, inputTokens - cacheRead)
  const reasoning = count(asObject(usage.output_tokens_details)?.reasoning_tokens) ?? 0
  const total = count(usage.total_tokens)
  const shown = output ?? 0
  const outputTokens = shown + unseenOutput(total, inputTokens, shown, { reasoning, model: "" })
  return {
    usage: {
      ...ZERO_USAGE,
      inputUncachedTokens: inputTokens - cacheRead - cacheWrite,
      cacheReadTokens: cacheRead,
      cacheWrite5mTokens: cacheWrite,
      outputTokens,
      reasoningTokens: Math.min(reasoning, outputTokens),
      webSearches: searchesCountedIn(usage) ?? webSearchesBeside,
    },
    isMismatch: total !== null && total !== inputTokens + outputTokens,
  }
}

/** xAI's searches of the web and of X, which cost the same, and Perplexity's. Null where the usage counts none. */
function searchesCountedIn(usage: Record<string, unknown>): number | null {
  const calls = asObject(usage.server_side_tool_usage_details)
  if (calls !== null) return (count(calls.web_search_calls) ?? 0) + (count(calls.x_search_calls) ?? 0)
  const details = asObject(usage.tool_calls_details)
  return count(asObject(details?.search_web ?? details?.web_search)?.invocation)
}

/**
 * How many searches a response is billed for: as many as it says, else as its output items show, of which opening a page
 * and finding something in it cost nothing.
 */
export function webSearchesIn({ output, tool_usage }: Record<string, unknown>): number {
  const counted = count(asObject(asObject(tool_usage)?.web_search)?.num_requests)
  if (counted !== null) return counted
  return asArray(output).filter((value) => {
    const item = asObject(value)
    if (item?.type !== "web_search_call") return false
    // Older answers do not say what the call did; then it searched.
    const kind = asObject(item.action)?.type
    return typeof kind !== "string" || kind === "search"
  }).length
}

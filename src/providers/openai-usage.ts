/**
 * The usage object of OpenAI's chat completions and of everything that speaks that shape, as disjoint classes.
 * Source: OpenAI API reference, `CompletionUsage`: `prompt_tokens` includes cached tokens and cache writes,
 * `completion_tokens` includes reasoning, audio and rejected predictions. Where servers of the same shape differ:
 *
 * - cached tokens stand beside the counts in place of within the details: `prompt_cache_hit_tokens` (DeepSeek),
 *   `cached_tokens` (Moonshot, Together, Hugging Face);
 * - xAI counts reasoning beside `completion_tokens`, Google's OpenAI-compatible endpoint counts thoughts in the total
 *   alone: what the total holds beyond input and output is output;
 * - Perplexity and OpenRouter count web searches;
 * - embeddings and rerankers may state a total alone (Voyage), which is all input.
 */
import { type Usage, ZERO_USAGE } from "../metering/usage.ts"
import { asObject, count } from "./json-values.ts"

export type ReadUsage = { readonly usage: Usage; readonly isMismatch: boolean }

/** Whose answers hide thoughts in the total. */
const HIDES_THOUGHTS = /(?:^|\/)gemini-/

/**
 * Null where the value is not a usage object that counts anything (absent, null, empty, not an object). `model` is the
 * one that the answer names.
 */
export function readOpenAiUsage(value: unknown, model: string): ReadUsage | null {
  const usage = asObject(value)
  if (usage === null) return null
  const total = count(usage.total_tokens)
  const completion = count(usage.completion_tokens)
  const isTotalAlone = completion === null && usage.input_tokens === undefined && usage.output_tokens === undefined
  const prompt = count(usage.prompt_tokens) ?? (isTotalAlone ? total : null)
  if (prompt === null && completion === null) return null
  const input = asObject(usage.prompt_tokens_details)
  const output = asObject(usage.completion_tokens_details)
  const promptTokens = prompt ?? 0
  // A provider that claims more cached tokens than tokens is not to make the uncached class negative.
  const cached = count(input?.cached_tokens) ?? count(usage.prompt_cache_hit_tokens) ?? count(usage.cached_tokens)
  const cacheRead = Math.min(cached ?? 0, promptTokens)
  const cacheWrite = Math.min(count(input?.cache_write_tokens) ?? 0, promptTokens - cacheRead)
  const uncached = promptTokens - cacheRead - cacheWrite
  const shown = completion ?? 0
  const reasoning = count(output?.reasoning_tokens) ?? 0
  const unseen = unseenOutput(total, promptTokens, shown, { reasoning, model })
  const outputTokens = shown + unseen
  const audioInputTokens = Math.min(count(input?.audio_tokens) ?? 0, uncached)
  const audioOutputTokens = Math.min(count(output?.audio_tokens) ?? 0, outputTokens)
  return {
    usage: {
      ...ZERO_USAGE,
      inputUncachedTokens: uncached,
      cacheReadTokens: cacheRead,
      cacheWrite5mTokens: cacheWrite,
      outputTokens,
      reasoningTokens: Math.min(Math.max(reasoning, unseen), outputTokens),
      audioInputTokens,
      imageInputTokens: Math.min(count(input?.image_tokens) ?? 0, uncached - audioInputTokens),
      audioOutputTokens,
      imageOutputTokens: Math.min(count(output?.image_tokens) ?? 0, outputTokens - audioOutputTokens),
      webSearches: webSearchesIn(usage),
    },
    isMismatch: total !== null && total !== promptTokens + outputTokens,
  }
}

/** Searches that are billed by the call: Perplexity's, which makes one where it does not count them, and OpenRouter's. */
function webSearchesIn(usage: Record<string, unknown>): number {
  const tools = asObject(usage.server_tool_use) ?? asObject(usage.server_tool_use_details)
  const counted = count(usage.num_search_queries) ?? count(tools?.web_search_requests)
  return counted ?? (typeof usage.search_context_size === "string" ? 1 : 0)
}

/** Output that the total holds and `completion_tokens` does not; 0 where nothing says that it is output. */
function unseenOutput(
  total: number | null,
  prompt: number,
  completion: number,
  { reasoning, model }: { readonly reasoning: number; readonly model: string },
): number {
  const beyond = total === null ? 0 : total - prompt - completion
  if (beyond <= 0) return 0
  return beyond === reasoning || HIDES_THOUGHTS.test(model) ? beyond : 0
}

/**
 * The usage object of OpenAI's chat completions and of everything that speaks that shape, as disjoint classes.
 * Source: OpenAI API reference, `CompletionUsage`: `prompt_tokens` includes cached tokens and cache writes,
 * `completion_tokens` includes reasoning, audio and rejected predictions. Where servers of the same shape differ:
 *
 * - cached tokens stand beside the counts in place of within the details: `prompt_cache_hit_tokens` (DeepSeek),
 *   `cached_tokens` (Moonshot, Together, Hugging Face), or in a header (Fireworks);
 * - cache writes are called `cache_creation_input_tokens` (Alibaba);
 * - xAI counts reasoning beside `completion_tokens`, Google's OpenAI-compatible endpoint counts thoughts in the total
 *   alone: what the total holds beyond input and output is output;
 * - Perplexity and OpenRouter count web searches; Perplexity's deep research counts what it read of its sources and what
 *   it thought beside input and output, and bills both;
 * - Mistral bills sound by the second, `prompt_audio_seconds`, beside the tokens;
 * - embeddings and rerankers may state a total alone (Voyage), which is all input.
 */
import { addedTokens, type Usage, ZERO_USAGE } from "../metering/usage.ts"
import { asObject, count } from "./json-values.ts"

export type ReadUsage = { readonly usage: Usage; readonly isMismatch: boolean }

/** Whose answers hide thoughts in the total. */
const HIDES_THOUGHTS = /(?:^|\/)gemini-/
const DEEP_RESEARCH = /sonar-deep-research/

/**
 * Null where the value is not a usage object that counts anything (absent, null, empty, not an object). `model` is the
 * one that the answer names; `cachedInHead` is what its headers say was cached, null where they say nothing.
 */
export function readOpenAiUsage(value: unknown, model: string, cachedInHead: number | null = null): ReadUsage | null {
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
  const cacheRead = Math.min(cached ?? cachedInHead ?? 0, promptTokens)
  const written = count(input?.cache_write_tokens) ?? count(input?.cache_creation_input_tokens)
  const cacheWrite = Math.min(written ?? 0, promptTokens - cacheRead)
  const uncached = promptTokens - cacheRead - cacheWrite
  const shown = completion ?? 0
  const reasoning = count(output?.reasoning_tokens) ?? 0
  const unseen = unseenOutput(total, promptTokens, shown, { reasoning, model })
  const research = DEEP_RESEARCH.test(model) ? researchIn(usage) : NO_RESEARCH
  const outputTokens = addedTokens(shown + unseen, research.thought)
  const audioInputTokens = Math.min(count(input?.audio_tokens) ?? 0, uncached)
  const audioOutputTokens = Math.min(count(output?.audio_tokens) ?? 0, outputTokens)
  return {
    usage: {
      ...ZERO_USAGE,
      ...secondsOf(usage),
      inputUncachedTokens: addedTokens(uncached, research.read),
      cacheReadTokens: cacheRead,
      cacheWrite5mTokens: cacheWrite,
      outputTokens,
      reasoningTokens: Math.min(Math.max(reasoning, unseen, research.thought), outputTokens),
      audioInputTokens,
      imageInputTokens: Math.min(count(input?.image_tokens) ?? 0, uncached - audioInputTokens),
      audioOutputTokens,
      imageOutputTokens: Math.min(count(output?.image_tokens) ?? 0, outputTokens - audioOutputTokens),
      webSearches: webSearchesIn(usage),
    },
    isMismatch: total !== null && total !== promptTokens + shown + unseen,
  }
}

/** Searches that are billed by the call: Perplexity's, which makes one where it does not count them, and OpenRouter's. */
function webSearchesIn(usage: Record<string, unknown>): number {
  const tools = asObject(usage.server_tool_use) ?? asObject(usage.server_tool_use_details)
  const counted = count(usage.num_search_queries) ?? count(tools?.web_search_requests)
  return counted ?? (typeof usage.search_context_size === "string" ? 1 : 0)
}

const NO_RESEARCH = { read: 0, thought: 0 }

/** Tokens that the total leaves out: of the sources, and of the reasoning over them. */
function researchIn(usage: Record<string, unknown>): { readonly read: number; readonly thought: number } {
  return { read: count(usage.citation_tokens) ?? 0, thought: count(usage.reasoning_tokens) ?? 0 }
}

function secondsOf(usage: Record<string, unknown>): Pick<Usage, "units" | "unitType"> {
  const seconds = count(usage.prompt_audio_seconds) ?? 0
  return seconds === 0 ? { units: 0, unitType: "" } : { units: seconds, unitType: "seconds" }
}

/** Output that the total holds and `completion_tokens` does not; 0 where nothing says that it is output. */
export function unseenOutput(
  total: number | null,
  prompt: number,
  completion: number,
  { reasoning, model }: { readonly reasoning: number; readonly model: string },
): number {
  const beyond = total === null ? 0 : total - prompt - completion
  if (beyond <= 0) return 0
  return beyond === reasoning || HIDES_THOUGHTS.test(model) ? beyond : 0
}

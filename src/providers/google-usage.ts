/**
 * The `usageMetadata` of Google's generateContent and embedContent as disjoint classes.
 * Source: Gemini API reference, `GenerateContentResponse.UsageMetadata`, and the Vertex AI one, which adds `trafficType`:
 * `promptTokenCount` includes cached tokens, `toolUsePromptTokenCount` and `thoughtsTokenCount` stand beside the prompt
 * and the candidates, and a count of zero is left out of the JSON. The usage of an interaction
 * (`interactions`, `Usage`) says the same in words of its own.
 */
import { type Usage, ZERO_USAGE } from "../metering/usage.ts"
import { asArray, asObject, asText, count } from "./json-values.ts"

export type GoogleUsage = {
  readonly usage: Usage
  readonly isMismatch: boolean
  /** '' where the object names none. */
  readonly tier: string
  /** At least one count stands in the object. Vertex AI sends objects without any while a stream is under way. */
  readonly hasCounts: boolean
}

/** Vertex AI tells by which capacity a request was served; the words on the right are those of `serviceTier`. */
const TIER_BY_TRAFFIC: ReadonlyMap<string, string> = new Map([
  ["ON_DEMAND", "standard"],
  ["ON_DEMAND_FLEX", "flex"],
  ["ON_DEMAND_PRIORITY", "priority"],
  ["PROVISIONED_THROUGHPUT", "provisioned"],
])

/** Null where the value is no object. */
export function readGoogleUsage(value: unknown): GoogleUsage | null {
  const metadata = asObject(value)
  if (metadata === null) return null
  const counts = [
    metadata.promptTokenCount,
    metadata.cachedContentTokenCount,
    metadata.toolUsePromptTokenCount,
    metadata.candidatesTokenCount,
    metadata.thoughtsTokenCount,
  ].map(count)
  const [prompt = 0, cached = 0, toolUse = 0, candidates = 0, thoughts = 0] = counts.map((number) => number ?? 0)
  // More cached tokens than tokens are not to make the uncached class negative.
  const cacheRead = Math.min(cached, prompt)
  const uncached = added(prompt - cacheRead, toolUse)
  const audioInput = Math.min(uncachedOf("AUDIO", metadata), uncached)
  const audioOutput = Math.min(tokensOf("AUDIO", metadata.candidatesTokensDetails), candidates)
  const total = count(metadata.totalTokenCount)
  return {
    usage: {
      ...ZERO_USAGE,
      inputUncachedTokens: uncached,
      cacheReadTokens: cacheRead,
      outputTokens: added(candidates, thoughts),
      reasoningTokens: thoughts,
      audioInputTokens: audioInput,
      imageInputTokens: Math.min(uncachedOf("IMAGE", metadata), uncached - audioInput),
      audioOutputTokens: audioOutput,
      imageOutputTokens: Math.min(tokensOf("IMAGE", metadata.candidatesTokensDetails), candidates - audioOutput),
    },
    isMismatch: total !== null && total !== prompt + toolUse + candidates + thoughts,
    tier: googleTier(metadata.serviceTier) || (TIER_BY_TRAFFIC.get(asText(metadata.trafficType)) ?? ""),
    hasCounts: total !== null || counts.some((number) => number !== null),
  }
}

/** The same of an interaction. Null where the value counts nothing. */
export function readInteractionUsage(value: unknown): Pick<GoogleUsage, "usage" | "isMismatch"> | null {
  const usage = asObject(value)
  if (usage === null) return null
  const read = readGoogleUsage({
    promptTokenCount: usage.total_input_tokens,
    cachedContentTokenCount: usage.total_cached_tokens,
    toolUsePromptTokenCount: usage.total_tool_use_tokens,
    candidatesTokenCount: usage.total_output_tokens,
    thoughtsTokenCount: usage.total_thought_tokens,
    totalTokenCount: usage.total_tokens,
    promptTokensDetails: asDetails(usage.input_tokens_by_modality),
    cacheTokensDetails: asDetails(usage.cached_tokens_by_modality),
    toolUsePromptTokensDetails: asDetails(usage.tool_use_tokens_by_modality),
    candidatesTokensDetails: asDetails(usage.output_tokens_by_modality),
  })
  return read?.hasCounts === true ? read : null
}

function asDetails(modalities: unknown): object[] {
  return asArray(modalities).map((value) => {
    const { modality, tokens } = asObject(value) ?? {}
    return { modality: asText(modality).toUpperCase(), tokenCount: tokens }
  })
}

/** A tier as a request or an answer names it; '' where it names none. */
export function googleTier(value: unknown): string {
  const tier = asText(value).toLowerCase()
  return tier === "unspecified" ? "" : tier
}

/** The details of the prompt count cached tokens too, as the prompt itself does. Embeddings call them `promptTokenDetails`. */
function uncachedOf(modality: string, metadata: Record<string, unknown>): number {
  const prompt = tokensOf(modality, metadata.promptTokensDetails ?? metadata.promptTokenDetails)
  const cached = tokensOf(modality, metadata.cacheTokensDetails)
  return Math.max(0, prompt - cached) + tokensOf(modality, metadata.toolUsePromptTokensDetails)
}

function tokensOf(modality: string, details: unknown): number {
  let tokens = 0
  for (const detail of asArray(details).map(asObject)) {
    if (detail?.modality === modality) tokens += count(detail.tokenCount) ?? 0
  }
  return tokens
}

/** No provider reaches the bound; a hostile count is not to make the sum something other than a count. */
function added(one: number, other: number): number {
  return Math.min(one + other, Number.MAX_SAFE_INTEGER)
}

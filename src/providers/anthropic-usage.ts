/**
 * The usage object of Anthropic's Messages API as disjoint classes, and how the two halves of a stream make one such
 * object. Source: Anthropic API reference, Messages, `Usage` and `MessageDeltaUsage`; streaming guide (the counts of
 * `message_delta` are cumulative); compaction guide (`usage.iterations`). Other than OpenAI's, `input_tokens` holds
 * neither cache reads nor cache writes.
 */
import { addedTokens, addedUsage, ZERO_USAGE } from "../metering/usage.ts"
import type { OtherUsage } from "./dialect.ts"
import { asArray, asObject, asText, count } from "./json-values.ts"
import type { ReadUsage } from "./openai-usage.ts"
import { addOther } from "./other-usage.ts"

/**
 * Reads a whole usage object, explicit zeros included. Null where the value counts nothing (absent, null, empty, not an
 * object).
 */
export function readAnthropicUsage(value: unknown): ReadUsage | null {
  const usage = asObject(value)
  if (usage === null) return null
  const own = readClasses(usage)
  if (own === null) return null
  // What compaction used stands only there: the figures beside `iterations` leave it out. An `advisor_message` is
  // another model's bill; every other kind is already part of those figures.
  const compactions = asArray(usage.iterations)
    .map(asObject)
    .filter((iteration) => iteration?.type === "compaction")
    .map((iteration) => readClasses(iteration ?? {}) ?? { usage: ZERO_USAGE, isMismatch: false })
  return {
    usage: compactions.reduce((sum, iteration) => addedUsage(sum, iteration.usage), own.usage),
    isMismatch: own.isMismatch || compactions.some(({ isMismatch }) => isMismatch),
  }
}

/** What an advisor used, model by model: its turns stand among the iterations, and in no other figure. */
export function advisorUsage(value: unknown): readonly OtherUsage[] {
  const byModel = new Map<string, OtherUsage>()
  for (const iteration of asArray(asObject(value)?.iterations).map(asObject)) {
    const model = asText(iteration?.model)
    const read = iteration?.type === "advisor_message" && model !== "" ? readClasses(iteration) : null
    if (read !== null) addOther(byModel, { model, usage: read.usage, raw: iteration })
  }
  return [...byModel.values()]
}

/** The region that a call had to stay in; '' where it might go anywhere, or nothing is said. */
export function anthropicRegion(value: unknown): string {
  const geo = asText(asObject(value)?.inference_geo)
  return geo === "global" || geo === "not_available" ? "" : geo
}

/**
 * The usage object that a stream has stated so far: `later` over `before`, member by member, since a later count replaces
 * an earlier one and a count left out stands. Neither null nor anything else that is no count unsays a count.
 */
export function laterAnthropicUsage(before: unknown, later: unknown): unknown {
  const old = asObject(before)
  const stated = asObject(later)
  if (old === null || stated === null) return stated ?? old
  const merged: Record<string, unknown> = mergedMembers(old, stated)
  const total = count(stated.cache_creation_input_tokens)
  const split = splitOf(merged)
  // The split is as old as the event that stated it. A total that outgrew it is dealt with on reading; one that fell
  // below it (the first event spoke of a compaction, the last of the message) bounds it.
  if (total !== null && asObject(stated.cache_creation) === null && total < split.fiveMinutes + split.oneHour) {
    const oneHour = Math.min(split.oneHour, total)
    merged.cache_creation = { ephemeral_5m_input_tokens: total - oneHour, ephemeral_1h_input_tokens: oneHour }
  }
  return merged
}

/** One usage object without its iterations; an iteration has the same members. */
function readClasses(usage: Record<string, unknown>): ReadUsage | null {
  const input = count(usage.input_tokens)
  const output = count(usage.output_tokens)
  const cacheRead = count(usage.cache_read_input_tokens)
  const cacheWrite = count(usage.cache_creation_input_tokens)
  if (input === null && output === null && cacheRead === null && cacheWrite === null) return null
  const { fiveMinutes, oneHour } = splitOf(usage)
  const splitTotal = fiveMinutes + oneHour
  const outputTokens = output ?? 0
  return {
    usage: {
      ...ZERO_USAGE,
      inputUncachedTokens: input ?? 0,
      cacheReadTokens: cacheRead ?? 0,
      // Answers without a split are from before there was a one-hour cache; a split that lags behind its total lags by
      // writes of the default length.
      cacheWrite5mTokens: addedTokens(fiveMinutes, Math.max(0, (cacheWrite ?? 0) - splitTotal)),
      cacheWrite1hTokens: oneHour,
      outputTokens,
      reasoningTokens: Math.min(count(asObject(usage.output_tokens_details)?.thinking_tokens) ?? 0, outputTokens),
      webSearches: count(asObject(usage.server_tool_use)?.web_search_requests) ?? 0,
    },
    isMismatch: cacheWrite !== null && splitTotal > cacheWrite,
  }
}

function splitOf(usage: Record<string, unknown>): { fiveMinutes: number; oneHour: number } {
  const split = asObject(usage.cache_creation)
  return {
    fiveMinutes: count(split?.ephemeral_5m_input_tokens) ?? 0,
    oneHour: count(split?.ephemeral_1h_input_tokens) ?? 0,
  }
}

function mergedMembers(old: Record<string, unknown>, stated: Record<string, unknown>): Record<string, unknown> {
  const news = Object.entries(stated).filter(([name, value]) => isNews(old[name], value))
  const members = news.map(([name, value]): [string, unknown] => {
    const oldMember = asObject(old[name])
    const newMember = asObject(value)
    // Details are merged one level down: a later count of fetches says nothing of the searches counted before.
    return [name, oldMember !== null && newMember !== null ? mergedMembers(oldMember, newMember) : value]
  })
  return { ...old, ...Object.fromEntries(members) }
}

function isNews(old: unknown, value: unknown): boolean {
  if (value === null || value === undefined) return false
  if (count(old) !== null) return count(value) !== null
  return asObject(old) === null || asObject(value) !== null
}

/** Adds up what the lines of a batch's results report: the sum is the batch's bill, whichever API they come from. */
import { addedUsage } from "../metering/usage.ts"
import { FREE_FACTS, type Reading, type RequestFacts } from "./dialect.ts"
import { asObject, count } from "./json-values.ts"
import type { ReadUsage } from "./openai-usage.ts"

/** Asking for results is free, and bounds nothing. */
export const RESULTS_FACTS: RequestFacts = Object.freeze({ ...FREE_FACTS, outputTokensMax: null })

/** Adds one line's usage; `raw` is the same as the provider wrote it. */
export function addBatchedUsage(read: ReadUsage, raw: unknown, reading: Reading): void {
  reading.usage = reading.usage === null ? read.usage : addedUsage(reading.usage, read.usage)
  reading.isMismatch ||= read.isMismatch
  // A batch is billed as such, whatever tier its lines name.
  reading.tier = "batch"
  const linesBefore = count(asObject(reading.usageRaw)?.lines) ?? 0
  reading.usageRaw = { lines: linesBefore + 1, usage: raw }
}

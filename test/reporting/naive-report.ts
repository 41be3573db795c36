/** What a report must say, computed record by record in plain TypeScript: slow, and with nothing in common with the query layer. */
import { Temporal } from "temporal-polyfill"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"

export type NaiveSums = { records: bigint; tokens: bigint; picos: bigint; unpriced: bigint; durations: bigint }

const cut = (name: string) => [...name].slice(0, 120).join("")

/** Reads a dimension off a record; a tag is one of several. */
export function valuesOf(record: UsageRecord, dimension: string): string[] {
  switch (dimension) {
    case "organization":
      return [record.organization_id]
    case "project":
      return [record.project_id]
    case "user":
      return [record.user_id]
    case "key":
      return [record.key_id]
    case "model":
      return [cut(record.model_served)]
    case "tool":
      return [cut(record.tool)]
    case "operation":
      return [cut(record.operation)]
    case "tier":
      return [record.tier_served]
    case "stream":
      return [String(record.stream)]
    case "tag":
      return record.tags.length === 0 ? [""] : [...new Set(record.tags)]
    default:
      return [String(record[dimension as keyof UsageRecord])]
  }
}

export function naiveSums(records: readonly UsageRecord[]): NaiveSums {
  const sums = { records: 0n, tokens: 0n, picos: 0n, unpriced: 0n, durations: 0n }
  for (const record of records) {
    if (record.kind !== "adjustment") {
      sums.records++
      if (record.price_state === "unpriced") sums.unpriced++
    }
    sums.tokens += BigInt(
      record.input_uncached_tokens +
        record.cache_read_tokens +
        record.cache_write_5m_tokens +
        record.cache_write_1h_tokens +
        record.output_tokens,
    )
    sums.picos += picos(record.cost_usd ?? "0")
    sums.durations += BigInt(record.duration_ms)
  }
  return sums
}

export function picos(usd: string): bigint {
  const [whole = "0", fraction = ""] = usd.split(".")
  return BigInt(whole) * 1_000_000_000_000n + BigInt(fraction.padEnd(12, "0"))
}

/** The label of the bucket that a moment falls in, read off the clock on the wall. */
export function labelOf(timeMs: number, bucket: string, timeZone: string): string {
  const at = Temporal.Instant.fromEpochMilliseconds(timeMs).toZonedDateTimeISO(timeZone)
  const date = at.toPlainDate()
  if (bucket === "hour") return `${date.toString()}T${String(at.hour).padStart(2, "0")}:00${at.offset}`
  if (bucket === "day") return date.toString()
  if (bucket === "month") return date.toPlainYearMonth().toString()
  return `${date.yearOfWeek}-W${String(date.weekOfYear).padStart(2, "0")}`
}

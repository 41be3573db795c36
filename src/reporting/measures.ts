/**
 * What is added up. Counts and money are decimal strings from Postgres to whoever reads them: no float holds a sum.
 * Token classes are disjoint; reasoning is part of output, audio and image are parts of uncached input and of output.
 */
import { HISTOGRAM_BINS, HISTOGRAM_BOUNDS_MS } from "../ledger/columns.ts"

/** Columns of sums, as every source names them. `records` are calls and reports; an adjustment changes sums alone. */
export const MEASURES = [
  "records",
  "adjustments",
  "unpriced_records",
  "mismatch_records",
  "input_uncached_tokens",
  "cache_read_tokens",
  "cache_write_5m_tokens",
  "cache_write_1h_tokens",
  "output_tokens",
  "reasoning_tokens",
  "audio_input_tokens",
  "image_input_tokens",
  "audio_output_tokens",
  "image_output_tokens",
  "web_searches",
  "units",
  "cost_usd",
  "duration_ms",
  "ttft_ms",
] as const
export type Measure = (typeof MEASURES)[number]

/** The disjoint classes, whose sum is all tokens. */
export const TOKEN_MEASURES = [
  "input_uncached_tokens",
  "cache_read_tokens",
  "cache_write_5m_tokens",
  "cache_write_1h_tokens",
  "output_tokens",
] as const satisfies readonly Measure[]

export const LATENCIES = ["duration", "ttft"] as const
export type Latency = (typeof LATENCIES)[number]

/** Milliseconds below which so many per cent of the values lie; null where there are none. */
export type Percentiles = { readonly p50: number; readonly p95: number; readonly p99: number } | null

/** Decimal strings: counts are whole, `cost_usd` is dollars with up to twelve decimals, `units` may have a fraction. */
export type Sums = Readonly<Record<Measure, string>> & {
  /** All token classes. */
  readonly tokens: string
  /** Only where latency was asked for. */
  readonly latency?: Readonly<Record<Latency, Percentiles>>
}

/** A row of sums as Postgres sends it; bins stand under `duration_bin_1` and so on where latency was asked for. */
export type SumsRow = Readonly<Record<string, unknown>>

export function readSums(row: SumsRow, withLatency: boolean): Sums {
  const sums = Object.fromEntries(MEASURES.map((name) => [name, String(row[name])])) as Record<Measure, string>
  const tokens = TOKEN_MEASURES.reduce((sum, name) => sum + BigInt(sums[name]), 0n).toString()
  if (!withLatency) return { ...sums, tokens }
  const latency = Object.fromEntries(LATENCIES.map((name) => [name, percentiles(binsOf(row, name))]))
  return { ...sums, tokens, latency: latency as Record<Latency, Percentiles> }
}

/** Sums of nothing. */
export function zeroSums(withLatency: boolean): Sums {
  return readSums(Object.fromEntries(MEASURES.map((name) => [name, "0"])), withLatency)
}

export function binColumns(): string[] {
  return LATENCIES.flatMap((name) => HISTOGRAM_BINS.map((bin) => `${name}_bin_${bin}`))
}

/**
 * Percentiles of a histogram, whole milliseconds: where the value stands within its bin is taken to be in proportion.
 * Values of the last bin, from ten minutes on, are given as its lower bound.
 */
export function percentiles(bins: readonly bigint[]): Percentiles {
  const total = bins.reduce((sum, count) => sum + count, 0n)
  if (total === 0n) return null
  return { p50: percentile(bins, total, 50), p95: percentile(bins, total, 95), p99: percentile(bins, total, 99) }
}

function percentile(bins: readonly bigint[], total: bigint, percent: number): number {
  const rank = (Number(total) * percent) / 100
  let below = 0
  for (const [index, bin] of bins.entries()) {
    const count = Number(bin)
    const lower = HISTOGRAM_BOUNDS_MS[index - 1] ?? 0
    const upper = HISTOGRAM_BOUNDS_MS[index] ?? lower
    if (count > 0 && below + count >= rank) return Math.round(lower + ((upper - lower) * (rank - below)) / count)
    below += count
  }
  return HISTOGRAM_BOUNDS_MS.at(-1) ?? 0
}

function binsOf(row: SumsRow, name: Latency): bigint[] {
  return HISTOGRAM_BINS.map((bin) => BigInt(String(row[`${name}_bin_${bin}`] ?? 0)))
}

/** Whether a record is to be priced again, and by how much its cost then differs. Pure. */
import { usageFault } from "../metering/usage.ts"
import type { EffectiveCost } from "../pricing/effective-price.ts"
import { type FormerEntry, picosOf, sumOf } from "./correction-entry.ts"
import { type Prices, priceAsRecorded, USAGE_COLUMN_NAMES } from "./priced-record.ts"
import type { UsageRecord } from "./usage-record.ts"

export type Change = {
  readonly kind: "change"
  readonly original: UsageRecord
  /** What was corrected of it before. */
  readonly entries: readonly Partial<UsageRecord>[]
  readonly differencePicos: bigint
  /** Of the cost before markup and discount; null where neither applies. */
  readonly baseDifferencePicos: bigint | null
  readonly source: "book" | "override"
  /** What the entry pins. */
  readonly pin: string
  /** The record had no cost until now. */
  readonly isFirstPrice: boolean
}

export type Decided = Change | { readonly kind: "same" } | { readonly kind: "unpriced" }

/** What the prices of the present make of a record with its entries. */
export function decideReprice(prices: Prices, original: UsageRecord, former: readonly FormerEntry[]): Decided {
  const entries = former.map(({ record }) => record)
  const byPrice = [original, ...entries.filter(({ cost_source: source }) => source !== "reported")]
  const { usage, costPicos } = sumOf(byPrice)
  const isFirstPrice = costPicos === null
  // Somebody gave the record the cost that no price gave it.
  if (isFirstPrice && byPrice.length <= entries.length) return { kind: "same" }
  // Corrections in dollars took tokens that others had brought: what is left cannot be priced apart.
  if (USAGE_COLUMN_NAMES.some(([member]) => usage[member] < 0) || usageFault(usage) !== null) return { kind: "same" }
  const priced = priceAsRecorded(prices, original, usage)
  if (priced.kind === "unpriced") return { kind: isFirstPrice ? "unpriced" : "same" }
  const wanted = priced.costPicos - (costPicos ?? 0n)
  const floor = -(sumOf([original, ...entries]).costPicos ?? 0n)
  const differencePicos = wanted < floor ? floor : wanted
  if (differencePicos === 0n && !isFirstPrice) return { kind: "same" }
  const { pin, source } = priced
  const baseDifferencePicos = baseDifference(priced, byPrice)
  return { kind: "change", original, entries, differencePicos, baseDifferencePicos, source, pin, isFirstPrice }
}

function baseDifference(
  { costPicos, baseCostPicos }: Extract<EffectiveCost, { kind: "priced" }>,
  before: readonly Partial<UsageRecord>[],
): bigint | null {
  if (baseCostPicos === null && before.every(({ base_cost_usd: base }) => base == null)) return null
  const was = before.map(({ base_cost_usd: base, cost_usd: cost }) => picosOf(base ?? cost ?? "0"))
  return (baseCostPicos ?? costPicos) - was.reduce((sum, picos) => sum + picos, 0n)
}

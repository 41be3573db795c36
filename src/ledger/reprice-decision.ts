/** Whether a record is to be priced again, and by how much its cost then differs. Pure. */
import { usageFault } from "../metering/usage.ts"
import { type FormerEntry, sumOf } from "./correction-entry.ts"
import { type Prices, priceAsRecorded, USAGE_COLUMN_NAMES } from "./priced-record.ts"
import type { UsageRecord } from "./usage-record.ts"

export type Change = {
  readonly kind: "change"
  readonly original: UsageRecord
  readonly differencePicos: bigint
  readonly priceRow: string
  /** The record had no cost until now. */
  readonly isFirstPrice: boolean
}

export type Decided = Change | { readonly kind: "same" } | { readonly kind: "unpriced" }

/** What the prices of the present make of a record with its entries. */
export function decideReprice(prices: Prices, original: UsageRecord, former: readonly FormerEntry[]): Decided {
  const entries = former.map(({ record }) => record)
  const all = sumOf([original, ...entries])
  const named = entries.filter(({ cost_source: source }) => source === "reported")
  const byBook = sumOf([original, ...entries.filter((entry) => !named.includes(entry))])
  // Somebody gave the record the cost that the book did not know.
  if (byBook.costPicos === null && named.length > 0) return { kind: "same" }
  // Named corrections took tokens that came by the others: what is left cannot be priced apart.
  if (USAGE_COLUMN_NAMES.some(([member]) => byBook.usage[member] < 0) || usageFault(byBook.usage) !== null)
    return { kind: "same" }
  const priced = priceAsRecorded(prices, original, byBook.usage)
  if (priced.kind === "unpriced") return byBook.costPicos === null ? { kind: "unpriced" } : { kind: "same" }
  const wanted = priced.costPicos - (byBook.costPicos ?? 0n)
  const floor = -(all.costPicos ?? 0n)
  const differencePicos = wanted < floor ? floor : wanted
  const isFirstPrice = byBook.costPicos === null
  if (differencePicos === 0n && !isFirstPrice) return { kind: "same" }
  return { kind: "change", original, differencePicos, priceRow: priced.priceRow, isFirstPrice }
}

/**
 * What one call's cost consists of: the token classes of its record, each priced by the very row that the record pins, and
 * what the organization's markup and discount made of it. The lines add up to the record's cost; what the row does not
 * explain, such as units or a provider's own price, is `not_split`.
 */
import { formatUsd } from "../pricing/money.ts"
import { type PriceRow, rateFor, TOKEN_CLASSES, type TokenClass } from "../pricing/price-row.ts"
import { readSums } from "./measures.ts"
import { type ClassCost, type FindSheet, OF_TERMS, picosOf, splitByClass } from "./token-classes.ts"
import type { ShownRecord } from "./usage-records.ts"

export type RecordCostLine = {
  /** A token class, a fee such as `fee:web_search`, `terms` or `not_split`. */
  readonly class: string
  /** Tokens as a decimal string; '0' for fees and what is not split. */
  readonly count: string
  /** Dollars for a million tokens as a decimal string; null where no rate stands behind the line. */
  readonly rate_usd: string | null
  /** Dollars as a decimal string. */
  readonly cost_usd: string
}

/** The lines of a priced record; none where it has no price. */
export function recordCostLines(record: ShownRecord, findSheet: FindSheet): RecordCostLine[] {
  if (record.cost_usd === null) return []
  const row = findSheet(String(record.price_row))
  const base = typeof record.base_cost_usd === "string" ? record.base_cost_usd : null
  const sums = readSums(record, false)
  const split = splitByClass(base === null ? sums : { ...sums, cost_usd: base }, row)
  const ofTerms = base === null ? [] : [termsLine(picosOf(sums.cost_usd) - picosOf(base))]
  return [...split, ...ofTerms].map(({ tokenClass, tokens, costUsd }) => ({
    class: tokenClass,
    count: tokens,
    rate_usd: rateOf(row, tokenClass),
    cost_usd: costUsd,
  }))
}

function termsLine(picos: bigint): ClassCost {
  return { tokenClass: OF_TERMS, tokens: "0", costUsd: formatUsd(picos) }
}

function rateOf(row: PriceRow | undefined, tokenClass: string): string | null {
  if (row === undefined || !isTokenClass(tokenClass)) return null
  const rate = rateFor(row.sheets[0].rates, tokenClass)
  return rate === undefined ? null : formatUsd(rate.ratePicos)
}

function isTokenClass(name: string): name is TokenClass {
  return (TOKEN_CLASSES as readonly string[]).includes(name)
}

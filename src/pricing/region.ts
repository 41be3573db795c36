/** What a region does to a price: its token rates are so many times those of the row. Units and fees are the same everywhere. */
import { proRata } from "./money.ts"
import type { PriceRow, RateSheet } from "./price-row.ts"

/** A multiplier of 1, in ten-thousandths. */
export const REGION_UNIT = 10_000n

/** `1.1` as 11,000 ten-thousandths; null where it is no plain decimal of at most four places, or nothing. */
export function readMultiplier(text: string): bigint | null {
  const [, whole, fraction = ""] = /^(0|[1-9]\d?)(?:\.(\d{1,4}))?$/.exec(text) ?? []
  const multiplier = whole === undefined ? 0n : BigInt(whole + fraction.padEnd(4, "0"))
  return multiplier === 0n ? null : multiplier
}

/** The shortest decimal of a multiplier: `1.1`. */
export function formatMultiplier(multiplier: bigint): string {
  const fraction = (multiplier % REGION_UNIT).toString().padStart(4, "0").replace(/0+$/, "")
  return `${multiplier / REGION_UNIT}${fraction === "" ? "" : `.${fraction}`}`
}

/** Rows are few and live long; a row of a region is made once. */
const made = new WeakMap<PriceRow, Map<string, PriceRow>>()

/** The row as it holds in a region: itself where the region has no multiplier. What it pins names the region. */
export function inRegion(row: PriceRow, region: string): PriceRow {
  const multiplier = row.regions.get(region)
  if (multiplier === undefined) return row
  let rows = made.get(row)
  if (rows === undefined) {
    rows = new Map()
    made.set(row, rows)
  }
  const known = rows.get(region)
  if (known !== undefined) return known
  const [first, ...rest] = row.sheets
  const of = (sheet: RateSheet) => sheetOf(sheet, region, multiplier)
  const regional = { ...row, sheets: [of(first), ...rest.map(of)] as const, regions: NONE }
  rows.set(region, regional)
  return regional
}

const NONE: PriceRow["regions"] = new Map()

function sheetOf({ id, contextOver, rates }: RateSheet, region: string, multiplier: bigint): RateSheet {
  const own = Object.entries(rates).map(([name, rate]) => [name, proRata(rate, multiplier, REGION_UNIT)])
  return { id: `${id}~${region}`, contextOver, rates: Object.fromEntries(own) }
}

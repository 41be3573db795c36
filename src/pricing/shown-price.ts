/** A price as people and programs are shown it: every figure a decimal string in dollars. */
import { formatUsd } from "./money.ts"
import type { PriceRow, RateSheet } from "./price-row.ts"
import { formatMultiplier } from "./region.ts"

export type ShownSheet = {
  /** What a record pins that is priced by it. */
  readonly price_row: string
  readonly context_over: number
  readonly usd_per_1m_tokens: Readonly<Record<string, string>>
}

export type ShownRow = {
  readonly tier: string
  /** As it is listed. */
  readonly model: string
  /** Null: since ever. */
  readonly effective_from: string | null
  readonly sheets: readonly ShownSheet[]
  readonly usd_per_unit: Readonly<Record<string, string>>
  readonly usd_per_call: Readonly<Record<string, string>>
  /** How many times the token rates are asked in a region. */
  readonly regions: Readonly<Record<string, string>>
  readonly source: string
  readonly checked: string
}

export function shownRow(row: PriceRow): ShownRow {
  const { tier, model, effectiveFromMs, sheets, units, fees, regions, source, checked } = row
  return {
    tier,
    model,
    effective_from: effectiveFromMs === null ? null : new Date(effectiveFromMs).toISOString(),
    sheets: sheets.map((sheet) => ({
      price_row: sheet.id,
      context_over: sheet.contextOver,
      usd_per_1m_tokens: Object.fromEntries(shownRates(sheet)),
    })),
    usd_per_unit: Object.fromEntries(shownFigures(units)),
    usd_per_call: Object.fromEntries(shownFigures(fees)),
    regions: Object.fromEntries(shownRegions(regions)),
    source,
    checked,
  }
}

export function shownRates({ rates }: RateSheet): [name: string, usd: string][] {
  return Object.entries(rates).map(([name, picos]) => [name, formatUsd(picos)])
}

/** Of units or fees; `prefix` stands in front of each name. */
export function shownFigures(prices: ReadonlyMap<string, bigint>, prefix?: string): [name: string, usd: string][] {
  return [...prices].map(([name, picos]) => [prefix === undefined ? name : `${prefix}:${name}`, formatUsd(picos)])
}

export function shownRegions(regions: PriceRow["regions"]): [region: string, multiplier: string][] {
  return [...regions].map(([region, multiplier]) => [region, formatMultiplier(multiplier)])
}

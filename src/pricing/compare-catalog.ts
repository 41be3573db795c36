/**
 * A public catalog beside the prices there are: what is new in it, what differs, what says the same. Nothing that has a
 * price is overwritten unless that is asked for. Pure.
 */
import type { CatalogPrice } from "./catalog-entry.ts"
import { effectiveTiers, type PriceSources } from "./effective-price.ts"
import { rowsOfPeriod } from "./price-catalog.ts"
import type { PriceRow, RateSheet } from "./price-row.ts"
import { readPeriod } from "./read-period.ts"
import { type ShownRow, shownRow } from "./shown-price.ts"

export type Compared = CatalogPrice & {
  /** `kept`: it has another price, which stays. `foreign`: of a provider whose prices nobody asks for. */
  readonly status: "added" | "replaced" | "kept" | "unchanged" | "foreign"
  /** What there is instead, tier by tier, of those that differ; empty where there is nothing. */
  readonly before: readonly ShownRow[]
}

export type CompareOptions = {
  /** '': the installation's prices. */
  readonly organizationId: string
  readonly atMs: number
  /** Takes entries that differ from a price there is. */
  readonly isOverwriting: boolean
  readonly providers: ReadonlySet<string>
}

export function compareCatalog(
  sources: PriceSources,
  prices: readonly CatalogPrice[],
  { organizationId, atMs, isOverwriting, providers }: CompareOptions,
): Compared[] {
  return prices.map((price): Compared => {
    const { provider, model } = price
    if (!providers.has(provider)) return { ...price, status: "foreign", before: [] }
    const found = effectiveTiers(sources, { organizationId, provider, model, atMs })
    if (found.kind === "unpriced") return { ...price, status: "added", before: [] }
    const now = new Map(found.prices.map(({ row }) => [row.tier, row]))
    const differing = [...rowsOf(price).values()].filter((row) => !isSame(row, now.get(row.tier)))
    if (differing.length === 0) return { ...price, status: "unchanged", before: [] }
    const before = differing.flatMap(({ tier }) => now.get(tier) ?? []).map(shownRow)
    // A tier that had no price takes nothing's place.
    const isNew = before.length === 0
    return { ...price, status: isNew ? "added" : isOverwriting ? "replaced" : "kept", before }
  })
}

function rowsOf({ provider, model, price }: CatalogPrice): ReadonlyMap<string, PriceRow> {
  const read = readPeriod(price)
  if (read.kind === "invalid") throw new Error(`The price of ${provider}/${model} was read before and is none now.`)
  return rowsOfPeriod({ provider, model, since: "", fromMs: null, source: "", checked: "" }, read.period)
}

/** Fees that the catalog does not name are nothing that it says. */
function isSame(row: PriceRow, other: PriceRow | undefined): boolean {
  if (other === undefined || row.sheets.length !== other.sheets.length) return false
  if (!row.sheets.every((sheet, index) => isSameSheet(sheet, other.sheets[index]))) return false
  if (row.units.size > 0 && !isSameMap(row.units, other.units)) return false
  return [...row.fees].every(([name, fee]) => other.fees.get(name) === fee)
}

function isSameSheet({ contextOver, rates }: RateSheet, other: RateSheet | undefined): boolean {
  if (other?.contextOver !== contextOver) return false
  return isSameMap(new Map(Object.entries(rates)), new Map(Object.entries(other.rates)))
}

function isSameMap(one: ReadonlyMap<string, bigint>, other: ReadonlyMap<string, bigint>): boolean {
  return one.size === other.size && [...one].every(([name, price]) => other.get(name) === price)
}

/**
 * What an organization pays beside the list: a markup, a discount, and a ceiling for what has no price. Percentages are
 * whole parts per million, so that what is charged is one exact fraction of the cost, rounded once, at its end, to the
 * nearest pico-dollar (halves up).
 */
import { formatUsd, proRata } from "./money.ts"
import type { PriceRow } from "./price-row.ts"

/** Of a hundred percent. */
const PPM = 1_000_000n
const PERCENT_DECIMALS = 4

export type PriceTerms = {
  readonly id: string
  readonly organizationId: string
  /** As price files name it; '': every provider that has no terms of its own. */
  readonly provider: string
  readonly markupPpm: bigint
  readonly discountPpm: bigint
  /** What a token of a model without a price costs at most; null: such calls are not held, and refused under a budget. */
  readonly ceiling: Ceiling | null
  /** Epoch milliseconds. */
  readonly fromMs: number
  /** Exclusive; null: until others begin. */
  readonly untilMs: number | null
}

/** Pico-dollars per 1,000,000 tokens of input and of output. */
export type Ceiling = { readonly inputPicos: bigint; readonly outputPicos: bigint }

/** `12.5` as 125,000 parts per million; null where it is no plain decimal of at most four places. */
export function percentToPpm(text: string): bigint | null {
  const [, whole, fraction = ""] = /^(0|[1-9]\d{0,3})(?:\.(\d{1,4}))?$/.exec(text) ?? []
  return whole === undefined ? null : BigInt(whole + fraction.padEnd(PERCENT_DECIMALS, "0"))
}

/** The shortest decimal of a percentage: `12.5`. */
export function formatPercent(ppm: bigint): string {
  const digits = ppm.toString().padStart(PERCENT_DECIMALS + 1, "0")
  const point = digits.length - PERCENT_DECIMALS
  const fraction = digits.slice(point).replace(/0+$/, "")
  return fraction === "" ? digits.slice(0, point) : `${digits.slice(0, point)}.${fraction}`
}

/** What a cost is multiplied by under the terms, as an exact decimal: `1.045`. */
export function formatFactor(terms: Rebate): string {
  return formatUsd(factorOf(terms))
}

/** Whether a cost is another one under the terms. */
export function changesCost({ markupPpm, discountPpm }: PriceTerms): boolean {
  return factorOf({ markupPpm, discountPpm }) !== PPM * PPM
}

/** What is charged for a cost: raised by the markup, then lowered by the discount, to the nearest pico, halves up. */
export function charged(costPicos: bigint, terms: Rebate): bigint {
  return proRata(costPicos, factorOf(terms), PPM * PPM)
}

/** The same rounded up: never less than what is charged for any cost up to this one. */
export function chargedAtMost(costPicos: bigint, terms: Rebate): bigint {
  return (costPicos * factorOf(terms) + PPM * PPM - 1n) / (PPM * PPM)
}

type Rebate = Pick<PriceTerms, "markupPpm" | "discountPpm">

function factorOf({ markupPpm, discountPpm }: Rebate): bigint {
  return (PPM + markupPpm) * (PPM - discountPpm)
}

/** Between a row and the terms in what a record pins. */
const BEHIND_ROW = "+"
/** In the place of a row, of what was charged by a ceiling. */
const CEILING = "ceiling"

/** What a record pins: the sheet that priced it, and the terms where they changed the cost. */
export function pinned(priceRow: string, terms: PriceTerms | null): string {
  return terms === null || !changesCost(terms) ? priceRow : `${priceRow}${BEHIND_ROW}${terms.id}`
}

/** The parts of what a record pins; '' for no terms. */
export function readPinned(pin: string): { readonly priceRow: string; readonly termsId: string } {
  const [, priceRow = pin, termsId = ""] = /^(.*)\+(trm_\w+)$/.exec(pin) ?? []
  return { priceRow, termsId }
}

/** The row of a model that nobody has priced, where the organization has a ceiling for such. */
export function ceilingRow({ id, fromMs }: PriceTerms, { inputPicos, outputPicos }: Ceiling): PriceRow {
  const row = `${CEILING}${BEHIND_ROW}${id}`
  const rates = { input: inputPicos, output: outputPicos }
  const source = "the organization's ceiling for models without a price"
  return {
    ...{ id: row, provider: "", model: "", tier: "standard", effectiveFromMs: fromMs, source, checked: "" },
    ...{ sheets: [{ id: row, contextOver: 0, rates }], units: new Map(), fees: new Map() },
    ...{ regions: new Map(), isFree: false },
  }
}

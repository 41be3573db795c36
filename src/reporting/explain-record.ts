/**
 * Why a record costs what it costs: its usage priced once more by the very row that it pins, line by line. The lines add
 * up to the record's cost, always: what the row does not account for is a line of its own. What was corrected since
 * stands below, with the sum that counts now.
 */

import { type Prices, priceAsRecorded, usageOf } from "../ledger/priced-record.ts"
import type { UsageRecord } from "../ledger/usage-record.ts"
import type { Usage } from "../metering/usage.ts"
import { type CostLine, priceUsage } from "../pricing/cost.ts"
import { formatUsd } from "../pricing/money.ts"
import type { PriceRow, TokenClass } from "../pricing/price-row.ts"
import { formatFactor, formatPercent, type PriceTerms, readPinned } from "../pricing/price-terms.ts"
import { formatMultiplier } from "../pricing/region.ts"
import { type ExplainedWords, explainInWords } from "./explain-words.ts"
import { type FindSheet, NOT_SPLIT, OF_TERMS, picosOf } from "./token-classes.ts"
import type { ShownRecord } from "./usage-records.ts"

/** `correction`: the record is an entry that corrects another one. */
export type ExplainedState = "priced" | "reported" | "unpriced" | "unmetered" | "free" | "correction"

/** All decimals are exact, as strings. */
export type ExplainedLine = {
  /** A token class, `unit:second`, `fee:web_search`; or `terms`, `reported`, `correction`, `not_split`. */
  readonly class: string
  /** The class whose rate was taken; null where no rate stands behind the line. */
  readonly rated_as: string | null
  readonly count: string | null
  /** What is counted: token, call, second, image … */
  readonly unit: string | null
  /** Dollars for `per` of the unit. */
  readonly rate_usd: string | null
  readonly per: number | null
  readonly tier: string | null
  /** The rates are those of requests with more input tokens than this; 0: of all others. */
  readonly context_over: number | null
  /** What the rate was multiplied by; on the line `terms`, what all lines above it were. */
  readonly multiplier: string | null
  readonly is_fee: boolean
  readonly amount_usd: string
}

export type ExplainedPrice = {
  /** What the record pins. */
  readonly row: string
  /** Whether the price book still has it; else what it said is not known any more. */
  readonly is_in_book: boolean
  readonly tier: string | null
  readonly context_over: number | null
  /** The account's region, where the price has a multiplier for it. */
  readonly region: string | null
  /** Of the organization's markup and discount, where they changed the cost. */
  readonly terms: ExplainedTerms | null
  /** ISO 8601; null: since ever, or not known any more. */
  readonly effective_from: string | null
  readonly source: string | null
  readonly checked: string | null
}

export type ExplainedTerms = {
  readonly id: string
  /** Null: they are not known any more. */
  readonly markup_percent: string | null
  readonly discount_percent: string | null
}

export type ExplainedAdjustment = {
  readonly id: string
  /** When it was booked, ISO 8601. */
  readonly booked_at: string
  readonly reason: string
  /** `reprice`, or `correction` by an admin. */
  readonly source: string
  readonly price_row: string
  /** By how much each count of the record was wrong, where any was. */
  readonly counts: Readonly<Record<string, string>>
  readonly cost_usd: string | null
}

export type Explanation = ExplainedWords & {
  readonly id: string
  readonly time: string
  readonly organization_id: string
  readonly provider: string
  readonly model: string
  readonly state: ExplainedState
  /** The provider reported no usage: what was used was counted here. */
  readonly is_estimated: boolean
  readonly price: ExplainedPrice | null
  readonly lines: readonly ExplainedLine[]
  /** Null: not known. */
  readonly cost_usd: string | null
  readonly adjustments: readonly ExplainedAdjustment[]
  /** The cost and its adjustments. */
  readonly total_usd: string | null
}

export type ExplainParts = { readonly findSheet: FindSheet; readonly prices: Prices }

/** `adjustments` are the entries that correct the record, oldest first. */
export function explainRecord(
  record: ShownRecord,
  adjustments: readonly ShownRecord[],
  { findSheet, prices }: ExplainParts,
): Explanation {
  // Every column of a record stands on it as it is shown.
  const own = record as unknown as UsageRecord
  const state = stateOf(own)
  const usage = usageOf(own)
  const row = own.price_row === "" ? undefined : findSheet(own.price_row)
  const termsId = readPinned(own.price_row).termsId
  const terms = termsId === "" ? undefined : prices.storedPrices.termsOf(termsId)
  const lines = linesOf(own, state, usage, { row, terms, regional: regionalOf(own.price_row, findSheet) })
  const present = state === "unpriced" ? priceAsRecorded(prices, own, usage) : null
  const costs = [own.cost_usd, ...adjustments.map(({ cost_usd: cost }) => cost as string | null)]
  const known = costs.filter((cost) => cost !== null)
  const explained = {
    id: own.id,
    time: own.time,
    organization_id: own.organization_id,
    provider: own.provider,
    model: own.model_served || own.model_routed || own.model_requested,
    state,
    is_estimated: own.usage_source === "estimated",
    price: state === "priced" ? { ...priceOf(own.price_row, row), terms: termsShown(termsId, terms) } : null,
    lines,
    cost_usd: own.cost_usd,
    adjustments: adjustments.map(adjustmentOf),
    total_usd: known.length === 0 ? null : formatUsd(known.reduce((sum, cost) => sum + picosOf(cost), 0n)),
  }
  return { ...explained, ...explainInWords(own, explained, present) }
}

function stateOf(record: UsageRecord): ExplainedState {
  if (record.kind === "adjustment") return "correction"
  if (record.usage_source === "unmetered") return "unmetered"
  if (record.cost_source === "reported") return "reported"
  return record.price_state
}

/** The rates as they are listed, and what the account's region makes of them. */
type Regional = { readonly listed: PriceRow; readonly multiplier: string }

type Pinned = {
  readonly row: PriceRow | undefined
  readonly terms: PriceTerms | undefined
  readonly regional: Regional | null
}

/** Behind a tilde in what a record pins. */
const REGION = /~([\w.-]+)$/

function regionalOf(pin: string, findSheet: FindSheet): Regional | null {
  const { priceRow } = readPinned(pin)
  const [part, region] = REGION.exec(priceRow) ?? []
  if (part === undefined || region === undefined) return null
  const listed = findSheet(priceRow.slice(0, -part.length))
  const multiplier = listed?.regions.get(region)
  return listed === undefined || multiplier === undefined ? null : { listed, multiplier: formatMultiplier(multiplier) }
}

function linesOf(record: UsageRecord, state: ExplainedState, usage: Usage, pinned: Pinned): ExplainedLine[] {
  const { row, terms, regional } = pinned
  if (record.cost_usd === null || state === "free") return []
  const costPicos = picosOf(record.cost_usd)
  if (state !== "priced") return [bareLine(state, costPicos)]
  const basePicos = record.base_cost_usd === null ? costPicos : picosOf(record.base_cost_usd)
  const priced = row === undefined ? undefined : priceUsage(row, usage)
  const lines = priced?.kind === "priced" ? priced.lines : []
  const rest = basePicos - lines.reduce((sum, { picos }) => sum + picos, 0n)
  const shown = row === undefined ? [] : lines.map((line) => ratedLine(line, row, regional))
  if (rest !== 0n) shown.push(bareLine(NOT_SPLIT, rest))
  if (record.base_cost_usd !== null) {
    const multiplier = terms === undefined ? null : formatFactor(terms)
    shown.push({ ...bareLine(OF_TERMS, costPicos - basePicos), multiplier })
  }
  return shown
}

function termsShown(id: string, terms: PriceTerms | undefined): ExplainedTerms | null {
  if (id === "") return null
  if (terms === undefined) return { id, markup_percent: null, discount_percent: null }
  return {
    id,
    markup_percent: formatPercent(terms.markupPpm),
    discount_percent: formatPercent(terms.discountPpm),
  }
}

function ratedLine(line: CostLine, row: PriceRow, regional: Regional | null): ExplainedLine {
  const [kind = "", name = ""] = line.class.split(":", 2)
  const isFee = kind === "fee"
  // Units and fees are the same in every region.
  const listed = regional?.listed.sheets[0].rates[line.ratedAs as TokenClass]
  return {
    class: line.class,
    rated_as: line.ratedAs,
    count: String(line.count),
    unit: isFee ? "call" : kind === "unit" ? name : "token",
    rate_usd: formatUsd(listed ?? line.ratePicos),
    per: line.per,
    tier: row.tier,
    context_over: contextOf(row.sheets[0].id),
    multiplier: listed === undefined ? "1" : (regional?.multiplier ?? "1"),
    is_fee: isFee,
    amount_usd: formatUsd(line.picos),
  }
}

/** A line with nothing behind it but its amount. */
function bareLine(name: string, picos: bigint): ExplainedLine {
  return {
    ...{ class: name, rated_as: null, count: null, unit: null, rate_usd: null, per: null, tier: null },
    ...{ context_over: null, multiplier: null, is_fee: false, amount_usd: formatUsd(picos) },
  }
}

function priceOf(pin: string, row: PriceRow | undefined): Omit<ExplainedPrice, "terms"> {
  const id = readPinned(pin).priceRow
  const fromMs = row?.effectiveFromMs ?? null
  return {
    row: id,
    is_in_book: row !== undefined,
    tier: row?.tier ?? null,
    context_over: row === undefined ? null : contextOf(id),
    region: REGION.exec(id)?.[1] ?? null,
    effective_from: fromMs === null ? null : new Date(fromMs).toISOString(),
    source: row?.source ?? null,
    checked: row?.checked ?? null,
  }
}

/** The threshold that stands in a sheet's id: a sheet that is looked up by its id is a row of its own, without one. */
function contextOf(sheetId: string): number {
  return Number(/>(\d+)(?:~|$)/.exec(sheetId)?.[1] ?? 0)
}

const COUNTED = /_tokens$|^web_searches$|^units$/

function adjustmentOf(entry: ShownRecord): ExplainedAdjustment {
  const { metadata, ...rest } = entry as unknown as UsageRecord & { readonly ingested_at: string }
  const counts = Object.entries(rest).filter(([name, value]) => COUNTED.test(name) && Number(value) !== 0)
  return {
    id: rest.id,
    booked_at: new Date(rest.ingested_at).toISOString(),
    reason: metadata.reason ?? "",
    source: metadata.source ?? "correction",
    price_row: rest.cost_source === "reported" ? "" : rest.price_row,
    counts: Object.fromEntries(counts.map(([name, value]) => [name, String(value)])),
    cost_usd: rest.cost_usd,
  }
}

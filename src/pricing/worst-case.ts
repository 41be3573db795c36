/**
 * What a call can cost at most: what a hold takes. Every rate that a token of the request could end up at is looked
 * at, in every tier and over every context threshold that its bound reaches, and the dearest is taken.
 */
import { type PriceRow, type RateSheet, rateFor, TOKEN_CLASSES, type TokenClass } from "./price-row.ts"

const TOKENS_PER_RATE = 1_000_000n

export const INPUT_CLASSES: readonly TokenClass[] = TOKEN_CLASSES.filter((name) => /^(?:input|cache)/.test(name))
export const OUTPUT_CLASSES: readonly TokenClass[] = TOKEN_CLASSES.filter((name) => /^(?:output|reasoning)/.test(name))

export type CostBound = {
  /** All input, cached included. */
  readonly inputTokensMax: number
  /** All output of all choices, reasoning included. */
  readonly outputTokensMax: number
  /** What the input can be billed as; a request without cache marks need not hold for an hour's cache write. */
  readonly inputClasses?: readonly TokenClass[]
  readonly outputClasses?: readonly TokenClass[]
  /** Most calls of each of the provider's tools. */
  readonly fees?: Readonly<Record<string, number>>
}

export type WorstCase =
  | { readonly kind: "bounded"; readonly costPicos: bigint }
  | { readonly kind: "unpriced"; readonly reason: string }

/**
 * The most that the bound can cost under any of the rows (the tiers the model may be served in). Never less than
 * `priceUsage` of a usage within the bound: rates finer than a pico per token are rounded up first. Unpriced where no
 * row rates what may be used; calls billed by units have no such bound.
 */
export function worstCaseCost(rows: readonly [PriceRow, ...PriceRow[]], bound: CostBound): WorstCase {
  let costPicos = 0n
  for (const row of rows) {
    const worst = worstOfRow(row, bound)
    if (worst.kind === "unpriced") return worst
    if (worst.costPicos > costPicos) costPicos = worst.costPicos
  }
  return { kind: "bounded", costPicos }
}

function worstOfRow(row: PriceRow, bound: CostBound): WorstCase {
  let costPicos = 0n
  for (const sheet of row.sheets) {
    if (sheet.contextOver > 0 && bound.inputTokensMax <= sheet.contextOver) continue
    const ofAll = dearestOfAll(sheet)
    const input = bound.inputClasses === undefined ? ofAll.input : dearest(sheet, bound.inputClasses)
    const output = bound.outputClasses === undefined ? ofAll.output : dearest(sheet, bound.outputClasses)
    if (input === undefined && bound.inputTokensMax > 0) return unrated(sheet.id, "input")
    if (output === undefined && bound.outputTokensMax > 0) return unrated(sheet.id, "output")
    const cost = BigInt(bound.inputTokensMax) * (input ?? 0n) + BigInt(bound.outputTokensMax) * (output ?? 0n)
    if (cost > costPicos) costPicos = cost
  }
  if (bound.fees === undefined) return { kind: "bounded", costPicos }
  for (const [name, callsMax] of Object.entries(bound.fees)) {
    const fee = row.fees.get(name)
    if (fee === undefined && callsMax > 0) return unrated(row.id, name)
    costPicos += BigInt(callsMax) * (fee ?? 0n)
  }
  return { kind: "bounded", costPicos }
}

type Dearest = { readonly input: bigint | undefined; readonly output: bigint | undefined }

/** Of every class there is, by sheet: what nearly every call asks. */
const remembered = new WeakMap<RateSheet, Dearest>()

function dearestOfAll(sheet: RateSheet): Dearest {
  let known = remembered.get(sheet)
  if (known === undefined) {
    known = { input: dearest(sheet, INPUT_CLASSES), output: dearest(sheet, OUTPUT_CLASSES) }
    remembered.set(sheet, known)
  }
  return known
}

/** Whole pico-dollars per token, rounded up; undefined where none of the classes has a rate. */
function dearest({ rates }: RateSheet, classes: readonly TokenClass[]): bigint | undefined {
  let most: bigint | undefined
  for (const tokenClass of classes) {
    const ratePicos = rateFor(rates, tokenClass)?.ratePicos
    if (ratePicos !== undefined && (most === undefined || ratePicos > most)) most = ratePicos
  }
  return most === undefined ? undefined : (most + TOKENS_PER_RATE - 1n) / TOKENS_PER_RATE
}

function unrated(priceRow: string, what: string): WorstCase {
  return { kind: "unpriced", reason: `${priceRow} has no rate for ${what}` }
}

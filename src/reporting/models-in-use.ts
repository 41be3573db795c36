/**
 * Which models were called, at what they cost, and at which price they are billed now: each with the price that applies to
 * the organization that asks, what will change about it, and what a million tokens came to.
 */
import type { Prices } from "../ledger/priced-record.ts"
import { effectiveTiers, type PriceOrigin, priceChanges } from "../pricing/effective-price.ts"
import { formatUsd } from "../pricing/money.ts"
import { type ShownRow, shownRow } from "../pricing/shown-price.ts"
import type { Sums } from "./measures.ts"
import { picosOf } from "./token-classes.ts"
import type { ReportGroup } from "./usage-report.ts"

export type PriceNow = ShownRow & { readonly origin: PriceOrigin; readonly terms_apply: boolean }

export type ModelInUse = {
  readonly provider: string
  readonly model: string
  readonly sums: Sums
  /** Dollars for a million tokens of all classes together; null where none were used, or calls have no price. */
  readonly usd_per_1m_tokens: string | null
  /** Of the standard tier, or of the first that is listed; null: there is none. */
  readonly price: PriceNow | null
  /** Why there is none. */
  readonly reason: string | null
  readonly tiers: readonly string[]
  /** Prices that are known and do not hold yet, soonest first. */
  readonly coming: readonly { readonly at: string; readonly price: PriceNow | null }[]
}

const COMING_MAX = 3
const PER_TOKENS = 1_000_000n

/** `organizationId`: for whom prices apply; '': those of the installation. Groups are by provider and model. */
export function modelsInUse(
  groups: readonly ReportGroup[],
  prices: Prices,
  organizationId: string,
  nowMs: number,
): ModelInUse[] {
  return groups.map(({ key: { provider: name = "", model = "" }, sums }) => {
    const provider = prices.router.providers.get(name)?.pricedAs ?? name
    const question = { organizationId, provider, model }
    const now = priceAt(prices, question, nowMs)
    const coming = priceChanges(prices, question, nowMs).slice(0, COMING_MAX)
    return {
      provider: name,
      model,
      sums,
      usd_per_1m_tokens: perMillion(sums),
      price: now.price,
      reason: now.reason,
      tiers: now.tiers,
      coming: coming.map((atMs) => {
        return { at: new Date(atMs).toISOString(), price: priceAt(prices, question, atMs).price }
      }),
    }
  })
}

type Question = { readonly organizationId: string; readonly provider: string; readonly model: string }

/** The price that a list shows of a model. */
export function priceAt(
  prices: Prices,
  question: Question,
  atMs: number,
): { readonly price: PriceNow | null; readonly reason: string | null; readonly tiers: readonly string[] } {
  const found = effectiveTiers(prices, { ...question, atMs })
  if (found.kind === "unpriced") return { price: null, reason: found.reason, tiers: [] }
  const [first] = found.prices
  const { row, origin, terms } = found.prices.find(({ row: { tier } }) => tier === "standard") ?? first
  // Who asks for no organization is told of the installation's prices, the first layer that then is looked at.
  const whose = question.organizationId === "" && origin === "organization" ? "installation" : origin
  const price = { ...shownRow(row), origin: whose, terms_apply: terms !== null }
  return { price, reason: null, tiers: found.prices.map(({ row: { tier } }) => tier) }
}

/** To a millionth of a dollar, halves up. */
function perMillion({ tokens, cost_usd: cost, unpriced_records: unpriced }: Sums): string | null {
  const count = BigInt(tokens)
  if (count <= 0n || unpriced !== "0") return null
  // Picos for a million tokens, then to the nearest whole millionth of a dollar.
  const picos = (picosOf(cost) * PER_TOKENS) / count
  return formatUsd(((picos + 500_000n) / 1_000_000n) * 1_000_000n)
}

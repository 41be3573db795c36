/** The price that a running Tallygate would apply, with what was set there, as the commands reckon with it. */
import { z } from "zod"
import type { Environment } from "../config/interpolate.ts"
import type { EffectivePrice } from "../pricing/effective-price.ts"
import { parseUsd } from "../pricing/money.ts"
import { type PriceRow, type Rates, TOKEN_CLASSES } from "../pricing/price-row.ts"
import { type PriceTerms, percentToPpm } from "../pricing/price-terms.ts"
import { readMultiplier } from "../pricing/region.ts"
import { AdminClient, withQuery } from "./admin-client.ts"
import { CommandError } from "./command.ts"

const usd = z.string().transform((text, context) => {
  const money = parseUsd(text)
  if (money.kind === "parsed") return money.picos
  context.addIssue({ code: "custom", message: "dollars" })
  return z.NEVER
})
const percent = z.string().transform((text, context) => {
  const ppm = percentToPpm(text)
  if (ppm !== null) return ppm
  context.addIssue({ code: "custom", message: "a percentage" })
  return z.NEVER
})
const multiplier = z.string().transform((text, context) => {
  const read = readMultiplier(text)
  if (read !== null) return read
  context.addIssue({ code: "custom", message: "a multiplier" })
  return z.NEVER
})
const rates = z.partialRecord(z.enum(TOKEN_CLASSES), usd)
const figures = z.record(z.string(), usd)
const tier = z.looseObject({
  tier: z.string(),
  origin: z.enum(["organization", "installation", "book"]),
  model: z.string(),
  effective_from: z.string().nullable(),
  sheets: z.array(z.looseObject({ price_row: z.string(), context_over: z.number(), usd_per_1m_tokens: rates })).min(1),
  usd_per_unit: figures,
  usd_per_call: figures,
  regions: z.record(z.string(), multiplier),
  source: z.string(),
  checked: z.string(),
  terms_apply: z.boolean(),
})
const effective = z.looseObject({
  organization_id: z.string(),
  priced_as: z.string(),
  reason: z.string().nullable(),
  tiers: z.array(tier),
  terms: z.looseObject({ id: z.string(), markup_percent: percent, discount_percent: percent }).nullable(),
})
type Effective = z.output<typeof effective>

export type LivePrice = Extract<EffectivePrice, { readonly kind: "found" }>

export type LiveQuestion = {
  readonly provider: string
  readonly model: string
  readonly tier: string
  readonly atMs: number
  /** Undefined: the one that the admin key means. */
  readonly organizationId: string | undefined
}

/** @throws CommandError where there is no price, or nobody to ask */
export async function askLivePrice(env: Environment, question: LiveQuestion): Promise<LivePrice> {
  const { provider, model, atMs, organizationId } = question
  const at = new Date(atMs).toISOString()
  const tier = question.tier || "standard"
  const query = { provider, model, tier, at, organization_id: organizationId }
  const answer = await new AdminClient(env).ask(effective, "GET", withQuery("/admin/v1/prices/effective", query))
  const [found] = answer.tiers
  if (found === undefined) {
    throw new CommandError(`the call would be unpriced: ${answer.reason ?? "nobody has priced it"}.`)
  }
  const terms = answer.terms !== null && found.terms_apply ? termsFrom(answer, answer.terms) : null
  return { kind: "found", row: rowFrom(answer, found), origin: found.origin, terms }
}

function rowFrom({ priced_as: provider }: Effective, found: Effective["tiers"][number]): PriceRow {
  const { tier, model, effective_from: from, source, checked } = found
  const sheets = found.sheets.map((sheet) => {
    return { id: sheet.price_row, contextOver: sheet.context_over, rates: sheet.usd_per_1m_tokens as Rates }
  })
  const [first, ...rest] = sheets
  if (first === undefined) throw new CommandError("the Tallygate answers a price without rates.")
  const units = new Map(Object.entries(found.usd_per_unit))
  const fees = new Map(Object.entries(found.usd_per_call))
  const regions = new Map(Object.entries(found.regions))
  const effectiveFromMs = from === null ? null : Date.parse(from)
  const about = { id: first.id, provider, model, tier, effectiveFromMs, source, checked }
  const prices = [...sheets.flatMap((sheet) => Object.values(sheet.rates)), ...units.values()]
  return { ...about, sheets: [first, ...rest], units, fees, regions, isFree: prices.every((price) => price === 0n) }
}

function termsFrom(
  { organization_id: organizationId }: Effective,
  { id, markup_percent: markupPpm, discount_percent: discountPpm }: NonNullable<Effective["terms"]>,
): PriceTerms {
  return { id, organizationId, provider: "", markupPpm, discountPpm, ceiling: null, fromMs: 0, untilMs: null }
}

/** Which price would apply to a call, and why: whose price it is, which row, and what the organization's terms make of it. */
import { createRoute, z } from "@hono/zod-openapi"
import { type EffectiveTiers, effectiveTiers, type TierPrice } from "../pricing/effective-price.ts"
import { formatUsd } from "../pricing/money.ts"
import { tierName } from "../pricing/price-row.ts"
import { shownRow } from "../pricing/shown-price.ts"
import { permit, permittedOrganization } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers, idInput } from "./answers.ts"
import { instantInput, shownInForce, termsInForce } from "./price-shape.ts"

const query = z.strictObject({
  provider: z.string().min(1).max(100).openapi({ description: "A configured provider, or one of the price files." }),
  model: z.string().min(1).max(200).openapi({ description: "As the provider serves it." }),
  tier: z.string().max(100).optional().openapi({ description: "The tier that served it; absent: all." }),
  at: instantInput.optional().openapi({ description: "When the call arrives; now unless told." }),
  organization_id: idInput.optional(),
})

const figures = z.record(z.string(), z.string())
const tierOutput = z.object({
  tier: z.string(),
  origin: z.enum(["organization", "installation", "book"]).openapi({ description: "Whose price it is." }),
  price_id: z.string().nullable().openapi({ description: "The price that was set by API; null: of a price file." }),
  model: z.string().openapi({ description: "As it is listed." }),
  effective_from: z.string().nullable(),
  sheets: z.array(z.object({ price_row: z.string(), context_over: z.number(), usd_per_1m_tokens: figures })),
  usd_per_unit: figures,
  usd_per_call: figures,
  regions: figures.openapi({ description: "Multipliers of the token rates by the region of the account." }),
  source: z.string(),
  checked: z.string(),
  terms_apply: z.boolean().openapi({ description: "Not on a price of the organization's own, which is final." }),
})
const effectiveOutput = z
  .object({
    organization_id: z.string(),
    provider: z.string(),
    priced_as: z.string(),
    model: z.string(),
    at: z.string(),
    state: z.enum(["priced", "unpriced"]),
    reason: z.string().nullable().openapi({ description: "Why it is unpriced." }),
    tiers: z.array(tierOutput),
    terms: termsInForce.nullable(),
    ceiling_applies: z.boolean().openapi({ description: "Unpriced, and held and charged by the terms' ceiling." }),
  })
  .openapi("EffectivePrice")

export function effectivePriceRoutes(app: AdminApp, { clock, prices, organizationId: defaultId }: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/admin/v1/prices/effective",
    middleware: permit("prices:read"),
    request: { query },
    responses: answers(200, "The price of each tier, or why there is none.", effectiveOutput),
  })
  app.openapi(route, async (context) => {
    const { provider, model, tier, at, organization_id: named } = context.req.valid("query")
    const organizationId = permittedOrganization(context.get("access"), named, defaultId)
    const now = prices()
    const pricedAs = now.router.providers.get(provider)?.pricedAs ?? provider
    const atMs = at === undefined ? clock.nowMs() : Date.parse(at)
    const found = effectiveTiers(now, { organizationId, provider: pricedAs, model, atMs })
    const terms = now.storedPrices.terms(organizationId, pricedAs, atMs)
    const shown = shownTiers(found, tier)
    const isUnpriced = shown.tiers.length === 0
    const about = {
      organization_id: organizationId,
      provider,
      priced_as: pricedAs,
      model,
      at: new Date(atMs).toISOString(),
    }
    const answer = {
      ...about,
      state: isUnpriced ? ("unpriced" as const) : ("priced" as const),
      ...shown,
      terms: terms && shownInForce(terms, formatUsd),
      ceiling_applies: isUnpriced && terms !== null && terms.ceiling !== null,
    }
    return context.json(answer, 200)
  })
}

type Shown = Pick<z.infer<typeof effectiveOutput>, "reason" | "tiers">

function shownTiers(found: EffectiveTiers, tier: string | undefined): Shown {
  if (found.kind === "unpriced") return { reason: found.reason, tiers: [] }
  const wanted = tier === undefined ? null : tierName(tier)
  const prices = found.prices.filter(({ row }) => wanted === null || row.tier === wanted)
  const [{ row }] = found.prices
  const reason = prices.length > 0 ? null : `${row.provider}/${row.model} has no price for tier ${wanted ?? ""}`
  return { reason, tiers: prices.map(shownTier) }
}

function shownTier({ row, origin, terms }: TierPrice): z.infer<typeof tierOutput> {
  const { sheets, ...shown } = shownRow(row)
  const priceId = origin === "book" ? null : (/@(prc_\w+)\//.exec(row.id)?.[1] ?? null)
  const copies = sheets.map((sheet) => ({ ...sheet, usd_per_1m_tokens: { ...sheet.usd_per_1m_tokens } }))
  return {
    ...shown,
    origin,
    price_id: priceId,
    sheets: copies,
    usd_per_unit: { ...shown.usd_per_unit },
    usd_per_call: { ...shown.usd_per_call },
    regions: { ...shown.regions },
    terms_apply: terms !== null,
  }
}

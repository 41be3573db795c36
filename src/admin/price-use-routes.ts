/** Prices as they are used: the models that were called with the price of each, and those that were called without one. */
import { createRoute, z } from "@hono/zod-openapi"
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import type { Sql } from "../platform/postgres.ts"
import { type ModelInUse, modelsInUse } from "../reporting/models-in-use.ts"
import { namesOf } from "../reporting/names.ts"
import { TOP_MAX, usageQuestion } from "../reporting/question.ts"
import { unpricedModels } from "../reporting/unpriced-models.ts"
import { usageReport } from "../reporting/usage-report.ts"
import { permit } from "./access.ts"
import type { AdminApp, AdminOptions } from "./admin-app.ts"
import { answers, idInput } from "./answers.ts"
import { answered, shownSummary, summaryOutput } from "./usage-shape.ts"

const DAY_MS = 86_400_000
const LOOKED_BACK_DAYS = 90

const figures = z.record(z.string(), z.string())
const priceNow = z.object({
  tier: z.string(),
  model: z.string().openapi({ description: "As it is listed." }),
  effective_from: z.string().nullable(),
  sheets: z.array(z.object({ price_row: z.string(), context_over: z.number(), usd_per_1m_tokens: figures })),
  usd_per_unit: figures,
  usd_per_call: figures,
  source: z.string(),
  checked: z.string(),
  origin: z.enum(["organization", "installation", "book"]),
  terms_apply: z.boolean(),
})
const modelsOutput = summaryOutput
  .pick({ range: true, as_of: true, totals: true, other: true })
  .extend({
    organization_id: z.string().nullable().openapi({ description: "For whom the prices apply; null: for all." }),
    data: z.array(
      z.object({
        provider: z.string(),
        model: z.string(),
        records: z.string(),
        unpriced_records: z.string(),
        tokens: z.string(),
        cost_usd: z.string(),
        usd_per_1m_tokens: z.string().nullable().openapi({ description: "What a million tokens came to." }),
        price: priceNow.nullable().openapi({ description: "Of the standard tier, as it holds now." }),
        reason: z.string().nullable().openapi({ description: "Why there is no price." }),
        tiers: z.array(z.string()),
        coming: z.array(z.object({ at: z.string(), price: priceNow.nullable() })),
      }),
    ),
  })
  .openapi("ModelsInUse")

const unpricedOutput = z.object({
  since: z.string(),
  data: z.array(
    z
      .object({
        organization_id: z.string(),
        organization: z.string(),
        provider: z.string(),
        priced_as: z.string(),
        model: z.string(),
        calls: z.string(),
        tokens: z.string(),
        first_seen: z.string(),
        last_seen: z.string(),
        next: z.enum(["price", "reprice"]).openapi({
          description: "price: one is to be set. reprice: there is one by now, and the calls are to be priced by it.",
        }),
        reason: z.string().nullable(),
      })
      .openapi("UnpricedModel"),
  ),
})

export function priceUseRoutes(app: AdminApp, options: AdminOptions): void {
  models(app, options)
  unpriced(app, options)
}

function models(app: AdminApp, options: AdminOptions): void {
  const { sql, clock, prices } = options
  const route = createRoute({
    method: "get",
    path: "/admin/v1/prices/models",
    middleware: permit("usage:read"),
    request: { query: usageQuestion.omit({ bucket: true, group_by: true, top: true, latency: true, compare: true }) },
    responses: answers(
      200,
      "The models that were called, with what they cost and the price that holds now.",
      modelsOutput,
    ),
  })
  app.openapi(route, async (context) => {
    const asked = context.req.valid("query")
    const nowMs = clock.nowMs()
    const question = {
      ...{ ...asked, group_by: ["provider" as const, "model" as const], bucket: undefined, top: TOP_MAX },
      ...{ latency: false, compare: "none" as const },
    }
    const report = answered(await usageReport(options, question, context.get("access").visible(), nowMs))
    const { range, as_of, totals, other } = shownSummary(report, await namesOf(sql, report))
    const ofOne = await onlyOrganization(sql, asked.organization, context.get("access").visible())
    const data = modelsInUse(report.groups, prices(), ofOne ?? "", nowMs).map(shownModel)
    return context.json({ range, as_of, totals, other, organization_id: ofOne, data }, 200)
  })
}

/** The one organization that the answer is about, so that its own prices are shown; null where there are several. */
async function onlyOrganization(
  sql: Sql,
  asked: readonly string[] | undefined,
  visibility: Visibility,
): Promise<string | null> {
  if (asked !== undefined) return asked.length === 1 ? (asked[0] ?? null) : null
  const [first, second] = await sql<{ id: string }[]>`
    SELECT id FROM organizations WHERE ${visibleRows(sql, visibility, sql`id`, null)} ORDER BY id LIMIT 2`
  return second === undefined ? (first?.id ?? null) : null
}

function shownModel({ sums, tiers, coming, ...model }: ModelInUse) {
  const { records, unpriced_records, tokens, cost_usd } = sums
  return {
    ...model,
    ...{ records, unpriced_records, tokens, cost_usd },
    price: model.price && copied(model.price),
    tiers: [...tiers],
    coming: coming.map(({ at, price }) => ({ at, price: price && copied(price) })),
  }
}

function copied<Price extends NonNullable<ModelInUse["price"]>>(price: Price) {
  return { ...price, sheets: price.sheets.map((sheet) => ({ ...sheet })) }
}

function unpriced(app: AdminApp, { sql, clock, prices }: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/admin/v1/prices/unpriced",
    middleware: permit("usage:read"),
    request: {
      query: z.strictObject({
        organization_id: idInput.optional(),
        since: z.iso.datetime({ offset: true }).optional(),
      }),
    },
    responses: answers(200, "Models that were called without a price, the most called first.", unpricedOutput),
  })
  app.openapi(route, async (context) => {
    const { organization_id: organizationId = null, since } = context.req.valid("query")
    const nowMs = clock.nowMs()
    const sinceMs = since === undefined ? nowMs - LOOKED_BACK_DAYS * DAY_MS : Date.parse(since)
    const visibility = context.get("access").visible()
    const data = await unpricedModels(sql, { sinceMs, nowMs, organizationId }, visibility, prices())
    return context.json({ since: new Date(sinceMs).toISOString(), data }, 200)
  })
}

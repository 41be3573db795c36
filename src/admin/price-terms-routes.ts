/**
 * What an organization pays beside the list: markup, discount, and a ceiling for what has no price. Setting them takes a
 * role over the installation; the organization may read them.
 */
import { createRoute, z } from "@hono/zod-openapi"
import { readOrganization } from "../identity/organization-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { endTerms, listTerms, setTerms } from "../pricing/terms-registry.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing } from "./answers.ts"
import { readEnd, requireKnownProvider, shownTerms, termsInput, termsOutput } from "./price-shape.ts"

const termsParams = idParams.extend({ terms_id: z.string().max(100) })

export function priceTermsRoutes(app: AdminApp, options: AdminOptions): void {
  showTerms(app, options)
  changeTerms(app, options)
}

function showTerms(app: AdminApp, { sql }: AdminOptions): void {
  const show = createRoute({
    method: "get",
    path: "/admin/v1/organizations/{id}/price-terms",
    middleware: permit("prices:read"),
    request: { params: idParams },
    responses: answers(200, "All terms there are or were, the newest first.", z.object({ data: z.array(termsOutput) })),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    const missing = missingThing("organization", id)
    context.get("access").inOrganization(id, missing)
    if ((await readOrganization(sql, id)) === null) missing()
    return context.json({ data: (await listTerms(sql, id)).map(shownTerms) }, 200)
  })
}

function changeTerms(app: AdminApp, { sql, clock, directory, prices }: AdminOptions): void {
  const set = createRoute({
    method: "put",
    path: "/admin/v1/organizations/{id}/price-terms",
    middleware: permit("prices:write"),
    request: { params: idParams, body: jsonBody(termsInput) },
    responses: answers(200, "The terms; they take the place of earlier ones from their beginning on.", termsOutput),
  })
  app.openapi(set, async (context) => {
    context.get("access").onInstallation()
    const { id: organizationId } = context.req.valid("param")
    const { provider = "", markup_percent, discount_percent, ceiling, effective_from, note } = context.req.valid("json")
    if (provider !== "") requireKnownProvider(prices, provider)
    const row = await setTerms(sql, actorOf(context), {
      organizationId,
      provider,
      markupPercent: markup_percent,
      discountPercent: discount_percent,
      ceiling: ceiling && { inputUsd: ceiling.input_usd_per_1m, outputUsd: ceiling.output_usd_per_1m },
      note: note ?? "",
      effectiveFrom: new Date(effective_from ?? clock.nowMs()),
    })
    await directory.changed()
    return context.json(shownTerms(row ?? missingThing("organization", organizationId)()), 200)
  })

  const end = createRoute({
    method: "delete",
    path: "/admin/v1/organizations/{id}/price-terms/{terms_id}",
    middleware: permit("prices:write"),
    request: { params: termsParams },
    responses: answers(200, "The terms as they ended; what stood before them holds again.", termsOutput),
  })
  app.openapi(end, async (context) => {
    context.get("access").onInstallation()
    const { id: organizationId, terms_id: id } = context.req.valid("param")
    const ended = await endTerms(sql, actorOf(context), { organizationId, id }, readEnd(undefined, clock.nowMs()))
    if (ended.kind === "missing") return missingThing("price terms", id, "terms_id")()
    if (ended.kind === "ended_before") {
      throw new ApiError("conflict", `The terms \`${id}\` ended at ${ended.at.toISOString()} already.`, {
        param: "terms_id",
      })
    }
    await directory.changed()
    return context.json(shownTerms(ended.row), 200)
  })
}

/**
 * Prices that are set by API: the installation's, and what it has agreed with single organizations. Setting and ending
 * them takes a role over the installation, since an organization would else name its own prices; it may read them.
 */
import { createRoute, z } from "@hono/zod-openapi"
import { readOrganization } from "../identity/organization-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { endPrice, listPrices, type PriceRowStored, readPrice, setPrice } from "../pricing/price-registry.ts"
import type { Access } from "./access.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idInput, idParams, jsonBody, missingThing, nextAfter, pageOf, pageQuery } from "./answers.ts"
import {
  instantInput,
  newPrice,
  priceOutput,
  priceTextOf,
  readEnd,
  requireKnownProvider,
  shownPrice,
  withBefore,
} from "./price-shape.ts"

const listQuery = pageQuery.extend({
  organization_id: idInput.optional().openapi({ description: "Only those of this organization." }),
  scope: z.enum(["installation"]).optional().openapi({ description: "Only the installation's." }),
  provider: z.string().max(100).optional(),
  model: z.string().max(200).optional(),
  ended: z.enum(["true", "false"]).default("false").openapi({ description: "Ended ones as well." }),
})
const endBody = z.strictObject({ at: instantInput.optional() }).openapi("PriceEnd")

export function priceRoutes(app: AdminApp, options: AdminOptions): void {
  setRoute(app, options)
  listAndShow(app, options)
  endRoute(app, options)
}

function setRoute(app: AdminApp, { sql, clock, directory, prices }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/prices",
    middleware: permit("prices:write"),
    request: { body: jsonBody(newPrice) },
    responses: answers(201, "The price; it takes the place of earlier ones from its beginning on.", priceOutput),
  })
  app.openapi(route, async (context) => {
    context.get("access").onInstallation()
    const wanted = context.req.valid("json")
    const { organization_id: organizationId = null, provider, model } = wanted
    requireKnownProvider(prices, provider)
    if (organizationId !== null && (await readOrganization(sql, organizationId)) === null)
      missingThing("organization", organizationId, "organization_id")()
    const effectiveFrom = new Date(wanted.effective_from ?? clock.nowMs())
    const of = { organizationId, provider, model, effectiveFrom }
    const set = await setPrice(sql, actorOf(context), {
      ...of,
      price: withBefore(prices(), of, priceTextOf(wanted)),
      source: wanted.source ?? "set by an admin",
      note: wanted.note ?? "",
    })
    await directory.changed()
    return context.json(shownPrice(set), 201)
  })
}

function listAndShow(app: AdminApp, { sql, clock }: AdminOptions): void {
  const list = createRoute({
    method: "get",
    path: "/admin/v1/prices",
    middleware: permit("prices:read"),
    request: { query: listQuery },
    responses: answers(200, "A page of the prices that were set.", pageOf(priceOutput)),
  })
  app.openapi(list, async (context) => {
    const query = context.req.valid("query")
    const { organization_id: named, scope, provider = null, model = null, ended, after, limit } = query
    if (named !== undefined && scope !== undefined) {
      throw new ApiError("invalid_request", "Give one of organization_id and scope.", { param: "scope" })
    }
    const organizationId = scope === "installation" ? "" : (named ?? null)
    const standingAt = ended === "true" ? null : new Date(clock.nowMs())
    const of = { organizationId, provider, model, standingAt, after, max: limit }
    const rows = await listPrices(sql, { visibility: context.get("access").visible(), ...of })
    return context.json({ data: rows.map(shownPrice), next: nextAfter(rows, limit) }, 200)
  })

  const show = createRoute({
    method: "get",
    path: "/admin/v1/prices/{id}",
    middleware: permit("prices:read"),
    request: { params: idParams },
    responses: answers(200, "The price, be it ended.", priceOutput),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    const row = (await readPrice(sql, id)) ?? missingPrice(id)()
    onPrice(context.get("access"), row)
    return context.json(shownPrice(row), 200)
  })
}

function endRoute(app: AdminApp, { sql, clock, directory }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/prices/{id}/end",
    middleware: permit("prices:write"),
    request: { params: idParams, body: jsonBody(endBody) },
    responses: answers(200, "The price with its end; what stood before it holds again from then on.", priceOutput),
  })
  app.openapi(route, async (context) => {
    context.get("access").onInstallation()
    const { id } = context.req.valid("param")
    const at = readEnd(context.req.valid("json").at, clock.nowMs())
    const ended = await endPrice(sql, actorOf(context), id, at)
    if (ended.kind === "missing") return missingPrice(id)()
    if (ended.kind === "ended_before") {
      throw new ApiError("conflict", `The price \`${id}\` ended or ends at ${ended.at.toISOString()} already.`, {
        param: "at",
      })
    }
    await directory.changed()
    return context.json(shownPrice(ended.row), 200)
  })
}

function onPrice(access: Access, { id, organization_id: organizationId }: PriceRowStored): void {
  if (organizationId === null) access.on({ scope: "installation" }, missingPrice(id))
  else access.inOrganization(organizationId, missingPrice(id))
}

function missingPrice(id: string): () => never {
  return missingThing("price", id)
}

/** Pricing calls of a span again by the prices of now: told first, and booked as entries beside the records when it is meant. */
import { createRoute, z } from "@hono/zod-openapi"
import { readSubject } from "../identity/counted-apart.ts"
import type { Repriced, RepricedLimit, RepricedPart } from "../ledger/reprice-sums.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { formatUsd } from "../pricing/money.ts"
import { namesOfCounters } from "../reporting/budget-projection.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idInput, jsonBody, missingThing } from "./answers.ts"
import { shownCap } from "./limit-shape.ts"

const moment = z.union([z.iso.date(), z.iso.datetime({ offset: true })])
const names = z.array(z.string().min(1).max(256)).min(1).max(100)
const repriceInput = z
  .strictObject({
    from: moment.openapi({ description: "A date, which is its first moment in UTC, or an instant." }),
    until: moment.openapi({ description: "Not part of the span." }),
    organization_id: idInput.optional().openapi({ description: "Absent: all that the caller's role reaches." }),
    provider: names.optional(),
    model: names.optional().openapi({ description: "As they were served." }),
    dry_run: z.boolean().default(true).openapi({ description: "Only tell what would change." }),
  })
  .openapi("Reprice")

const part = {
  records: z.number().openapi({ description: "Records whose cost differs." }),
  first_priced: z.number().openapi({ description: "Of them those that had no cost before." }),
  difference_usd: z.string(),
}
const repricedOutput = z
  .object({
    from: z.string(),
    until: z.string(),
    dry_run: z.boolean(),
    end: z.enum(["finished", "stopped"]).openapi({ description: "stopped: run it again, it goes on where it was." }),
    looked_at: z.number(),
    still_unpriced: z.number().openapi({ description: "Records for which there is no price now either." }),
    ...part,
    organizations: z.array(z.object({ organization_id: z.string(), organization: z.string().nullable(), ...part })),
    models: z.array(z.object({ provider: z.string(), model: z.string(), price_row: z.string(), ...part })),
    limits: z
      .array(
        z.object({
          limit_id: z.string(),
          scope: z.string(),
          subject: z.string(),
          subject_name: z.string().nullable(),
          counted: z.string().nullable(),
          counted_name: z.string().nullable(),
          window: z.string(),
          window_id: z.string(),
          cap: z.string(),
          records: z.number(),
          difference_usd: z.string().openapi({ description: "By how much more of it is used, as limits round." }),
        }),
      )
      .openapi({ description: "Money limits that count the records, the most changed first." }),
  })
  .openapi("Repriced")

const LIMITS_SHOWN = 1_000

export function repriceRoutes(app: AdminApp, { sql, reports }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/prices/reprice",
    middleware: permit("usage:write"),
    request: { body: jsonBody(repriceInput) },
    responses: answers(
      200,
      "What differs, by organization, model and limit; booked unless it is a dry run.",
      repricedOutput,
    ),
  })
  app.openapi(route, async (context) => {
    const wanted = context.req.valid("json")
    const { organization_id: organizationId, provider: providers = [], model: models = [] } = wanted
    const [fromMs, toMs] = [Date.parse(wanted.from), Date.parse(wanted.until)]
    if (fromMs >= toMs) throw new ApiError("invalid_request", "from: must be before until.", { param: "from" })
    const access = context.get("access")
    if (organizationId !== undefined)
      access.inOrganization(organizationId, missingThing("organization", organizationId, "organization_id"))
    const question = {
      ...{ fromMs, toMs, providers, models, isDryRun: wanted.dry_run, visibility: access.visible() },
      organizationIds: organizationId === undefined ? [] : [organizationId],
    }
    const { signal } = context.req.raw
    const result = await reports.repricer.run(question, actorOf(context), () => !signal.aborted)
    return context.json(await shown(sql, wanted.dry_run, { fromMs, toMs }, result), 200)
  })
}

async function shown(
  sql: Sql,
  isDryRun: boolean,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
  result: Repriced,
): Promise<z.infer<typeof repricedOutput>> {
  const limits = result.limits.slice(0, LIMITS_SHOWN)
  const counters = limits.map(({ limit: { scope, each, subject } }) => {
    const { own, counted } = readSubject(subject)
    return { counter: { scope, each, subject: own, counted } }
  })
  const organizations = result.organizations.map(({ organizationId: subject }) => {
    return { counter: { scope: "organization", each: "", subject, counted: "" } as const }
  })
  const named = await namesOfCounters(sql, [...counters, ...organizations])
  return {
    ...{ from: new Date(fromMs).toISOString(), until: new Date(toMs).toISOString(), dry_run: isDryRun },
    ...{ end: result.end, looked_at: result.lookedAt, still_unpriced: result.stillUnpriced },
    ...shownPart(result),
    organizations: result.organizations.map(({ organizationId: id, ...rest }) => {
      return { organization_id: id, organization: named.get(`organization ${id}`) ?? null, ...shownPart(rest) }
    }),
    models: result.models.map(({ provider, model, priceRow, ...rest }) => {
      return { provider, model, price_row: priceRow, ...shownPart(rest) }
    }),
    limits: limits.map((limit) => shownLimit(limit, named)),
  }
}

function shownPart({ records, firstPriced, differencePicos }: RepricedPart) {
  return { records, first_priced: firstPriced, difference_usd: formatUsd(differencePicos) }
}

function shownLimit({ limit, window, records, differenceNanos }: RepricedLimit, named: ReadonlyMap<string, string>) {
  const { id, scope, each, cap } = limit
  const { own: subject, counted } = readSubject(limit.subject)
  return {
    ...{ limit_id: id, scope, subject, subject_name: named.get(`${scope} ${subject}`) ?? null },
    ...{ counted: counted || null, counted_name: named.get(`${each} ${counted}`) ?? null },
    ...{ window: limit.window, window_id: window, cap: shownCap("usd", cap), records },
    difference_usd: shownCap("usd", differenceNanos),
  }
}

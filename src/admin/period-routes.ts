/** Months and their statements: what was used of a month, and closing it, after which its statement stays as it is. */
import { createRoute, z } from "@hono/zod-openapi"
import { LINE_SUMS } from "../ledger/period-lines.ts"
import {
  closePeriod,
  listPeriods,
  type Period,
  readStatement,
  reportsOnTheirWay,
  type Statement,
} from "../ledger/periods.ts"
import { ApiError } from "../platform/error-table.ts"
import { csvOf } from "../reporting/export-text.ts"
import { lineKind, periodTable } from "../reporting/period-table.ts"
import { CONTENT_TYPES } from "../reporting/table.ts"
import { permit, permittedOrganization } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idInput, iso, missingThing } from "./answers.ts"

const PERIOD = /^\d{4}-(0[1-9]|1[0-2])$/
const periodParams = z.object({
  period: z.string().regex(PERIOD, "must be a month such as 2026-11").openapi({ description: "A month: 2026-11." }),
})
const ofOrganization = z.strictObject({ organization_id: idInput.optional() })

const lineSums = Object.fromEntries(LINE_SUMS.map((name) => [name, z.string()])) as Record<
  (typeof LINE_SUMS)[number],
  z.ZodString
>
const periodMembers = {
  organization_id: z.string(),
  organization: z.string(),
  period: z.string(),
  time_zone: z.string(),
  from: z.string(),
  until: z.string(),
  state: z.enum(["running", "open", "closed"]).openapi({ description: "open: it is over and can be closed." }),
  closed_at: z.string().nullable(),
  closed_by: z.string().nullable(),
}
const periodOutput = z.object(periodMembers).openapi("Period")
const statementOutput = z
  .object({
    ...periodMembers,
    totals: z.object(lineSums),
    own_cost_usd: z.string().openapi({ description: "Of the total, what is of the month itself." }),
    prior_period_cost_usd: z.string().openapi({ description: "Of the total, what came late for earlier months." }),
    lines: z.array(
      z.object({
        line: z.enum(["usage", "prior_period"]).openapi({
          description: "prior_period: of an earlier month, which was closed before this came.",
        }),
        for_period: z.string(),
        project_id: z.string(),
        project: z.string(),
        client: z.string(),
        cost_center: z.string(),
        provider: z.string(),
        model: z.string(),
        ...lineSums,
      }),
    ),
  })
  .openapi("PeriodStatement", { description: "Decimal strings, exact: the lines add up to the totals." })

const closeInput = z.strictObject({
  organization_id: idInput.optional(),
  force: z.boolean().default(false).openapi({
    description:
      "Close although usage of the month is known to be on its way; it becomes a line of the next statement.",
  }),
})

export function periodRoutes(app: AdminApp, options: AdminOptions): void {
  reading(app, options)
  closing(app, options)
}

function reading(app: AdminApp, { sql, clock, organizationId: defaultId }: AdminOptions): void {
  const list = createRoute({
    method: "get",
    path: "/admin/v1/periods",
    middleware: permit("periods:read"),
    request: { query: ofOrganization },
    responses: answers(200, "The organization's months, newest first.", z.object({ data: z.array(periodOutput) })),
  })
  app.openapi(list, async (context) => {
    const { organization_id: named } = context.req.valid("query")
    const organizationId = permittedOrganization(context.get("access"), named, defaultId)
    return context.json({ data: (await listPeriods(sql, organizationId, clock.nowMs())).map(shownPeriod) }, 200)
  })

  const one = createRoute({
    method: "get",
    path: "/admin/v1/periods/{period}",
    middleware: permit("periods:read"),
    request: {
      params: periodParams,
      query: ofOrganization.extend({ format: z.enum(["json", "csv"]).default("json") }),
    },
    responses: {
      ...answers(200, "The month's statement: as it was closed, or as it stands now.", statementOutput),
      200: {
        description: "The month's statement: as it was closed, or as it stands now.",
        content: { "application/json": { schema: statementOutput }, "text/csv": { schema: z.string() } },
      },
    },
  })
  app.openapi(one, async (context) => {
    const { period } = context.req.valid("param")
    const { organization_id: named, format } = context.req.valid("query")
    const organizationId = permittedOrganization(context.get("access"), named, defaultId)
    const found = await readStatement(sql, organizationId, period, clock.nowMs())
    const statement = found ?? missingThing("period", period, "period")()
    if (format === "json") return context.json(shownStatement(statement), 200)
    context.header("content-type", CONTENT_TYPES.csv)
    context.header("content-disposition", `attachment; filename="tallygate-${period}.csv"`)
    let text = ""
    for await (const piece of csvOf(periodTable(statement))) text += piece
    return context.body(text, 200)
  })
}

function closing(app: AdminApp, { sql, clock, organizationId: defaultId, reports }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/periods/{period}/close",
    middleware: permit("periods:write"),
    request: {
      params: periodParams,
      body: { required: false, content: { "application/json": { schema: closeInput } } },
    },
    responses: {
      ...answers(201, "The statement, written down now.", statementOutput),
      200: {
        description: "The statement, written down before.",
        content: { "application/json": { schema: statementOutput } },
      },
    },
  })
  app.openapi(route, async (context) => {
    const { period } = context.req.valid("param")
    const { organization_id: named, force = false } = context.req.valid("json")
    const organizationId = permittedOrganization(context.get("access"), named, defaultId)
    const nowMs = clock.nowMs()
    const known = await readStatement(sql, organizationId, period, nowMs)
    if (known?.state === "open" && !force) {
      const reported = await reportsOnTheirWay(sql, organizationId, known.ends_at)
      refuseBacklog(period, known.ends_at, reports.oldestUnshippedMs(), reported)
    }
    const closed = await closePeriod(sql, organizationId, period, { nowMs, actor: actorOf(context) })
    if (closed.kind === "refused") throw new ApiError("conflict", closed.message, { param: "period" })
    const shown = shownStatement(closed.statement)
    return closed.isNew ? context.json(shown, 201) : context.json(shown, 200)
  })
}

/** @throws ApiError where usage of the month is known to be on its way to the ledger */
function refuseBacklog(period: string, endsAt: Date, oldestMs: number | null, reported: number): void {
  const isCallOfMonth = oldestMs !== null && oldestMs < endsAt.getTime()
  if (!isCallOfMonth && reported === 0) return
  const what = isCallOfMonth
    ? `Calls that ended before ${endsAt.toISOString()} wait in this proxy's journal for the ledger`
    : `${reported} reports of usage of before ${endsAt.toISOString()} are not in the ledger yet`
  throw new ApiError(
    "conflict",
    `${what}, so the statement of ${period} would lack them. Close it when GET /readyz says that the ledger is complete, or ` +
      "send `force: true`: what comes after stands in the next statement, as a line of this month.",
    { param: "force" },
  )
}

function shownPeriod(period: Period): z.infer<typeof periodOutput> {
  const { organization_id, organization, period: name, time_zone, starts_at, ends_at, state, closed_at } = period
  return {
    ...{ organization_id, organization, period: name, time_zone, state },
    from: starts_at.toISOString(),
    until: ends_at.toISOString(),
    closed_at: iso(closed_at),
    closed_by: period.closed_by,
  }
}

function shownStatement(statement: Statement): z.infer<typeof statementOutput> {
  return {
    ...shownPeriod(statement),
    totals: statement.totals,
    own_cost_usd: statement.own_cost_usd,
    prior_period_cost_usd: statement.earlier_cost_usd,
    lines: statement.lines.map((line) => ({ line: lineKind(statement, line.for_period), ...line })),
  }
}

/**
 * Budgets of an organization, a project, a user or a key: money and tokens in one window, written in one act and shown
 * with what is used. They are limits, which `/admin/v1/limits` shows one by one.
 */
import { createRoute, z } from "@hono/zod-openapi"
import {
  BUDGET_KINDS,
  BUDGET_WINDOWS,
  type BudgetKind,
  putBudgets,
  readBudgetLimits,
  type WantedBudget,
} from "../identity/budget-registry.ts"
import { anchorDayMax, isCalendarWindow, type LimitScope } from "../identity/limit.ts"
import { LIMITS_PER_SUBJECT_MAX, type LimitSubject, limitTarget } from "../identity/limit-registry.ts"
import { type LimitRow, limitFrom } from "../identity/limit-row.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { type LimitStanding, limitStandings } from "../reporting/limit-standings.ts"
import { type Access, permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing } from "./answers.ts"
import { capInput, readCap, shownCap, thresholdsInput, timeZoneInput } from "./limit-shape.ts"

const SCOPES = {
  organizations: "organization",
  projects: "project",
  users: "user",
  keys: "key",
} as const satisfies Record<string, LimitScope>

/** What each user of a project may spend where nobody says more. */
const PRESET: readonly WantedBudget[] = [
  { window: "day", caps: { tokens: 100_000n, usd: 10_000_000_000n } },
  { window: "month", caps: { tokens: 3_000_000n, usd: 200_000_000_000n } },
]

const budgetChange = z
  .strictObject({
    usd: capInput.nullable().optional().openapi({ description: 'Dollars ("25.00"); null: money is not limited.' }),
    tokens: capInput.nullable().optional().openapi({ description: "Whole tokens; null: tokens are not limited." }),
    window: z.enum(BUDGET_WINDOWS).openapi({ description: "Which budget it is: there is one of each window." }),
    time_zone: timeZoneInput.optional(),
    anchor_day: z.int().min(1).max(31).optional(),
    hard: z.boolean().optional().openapi({
      description: "true: calls without room are refused; false: they pass with a warning. A new budget is hard.",
    }),
    thresholds: thresholdsInput.optional(),
  })
  .openapi("BudgetChange", {
    description:
      "What is absent stays as it is. Another time zone or anchor day begins another window, with nothing used.",
  })
  .transform((input, context): WantedBudget => {
    const fault = (member: string, message: string) => {
      context.addIssue({ code: "custom", path: [member], message })
    }
    const { window, time_zone: timeZone, anchor_day: anchorDay, hard, thresholds } = input
    const capOf = (kind: BudgetKind): bigint | null | undefined => {
      const given = input[kind]
      const cap = given === undefined || given === null ? given : readCap(kind, given)
      if (typeof cap !== "string") return cap
      fault(kind, cap)
      return undefined
    }
    if (timeZone !== undefined && !isCalendarWindow(window)) fault("time_zone", "belongs to windows of the calendar")
    const anchorMax = anchorDayMax(window)
    if (anchorDay !== undefined && anchorDay > anchorMax) {
      fault("anchor_day", anchorMax === 0 ? `does not belong to a ${window}` : `must be at most ${anchorMax}`)
    }
    const enforcement = hard === undefined ? undefined : hard ? "hard" : "soft"
    const caps = { usd: capOf("usd"), tokens: capOf("tokens") }
    return { window, caps, timeZone, anchorDay, enforcement, thresholds }
  })

const spendingOutput = z.object({
  limit_id: z.string(),
  cap: z.string().openapi({ description: "The cap in force, that of a raise included." }),
  used: z.string().nullable().openapi({ description: "By the ledger; null where each user has a budget of its own." }),
  remaining: z.string().nullable(),
  resets_at: z.string().nullable(),
  hard: z.boolean(),
  thresholds: z.array(z.number()),
})
const budgetOutput = z
  .object({
    window: z.enum(BUDGET_WINDOWS),
    time_zone: z.string(),
    anchor_day: z.number(),
    usd: spendingOutput.nullable(),
    tokens: spendingOutput.nullable(),
  })
  .openapi("Budget")
const budgetsOutput = z.object({ data: z.array(budgetOutput) })
type ShownBudget = z.infer<typeof budgetOutput>

export function budgetRoutes(app: AdminApp, options: AdminOptions): void {
  for (const collection of Object.keys(SCOPES) as (keyof typeof SCOPES)[]) showAndPut(app, options, collection)
  preset(app, options)
}

function showAndPut(app: AdminApp, options: AdminOptions, collection: keyof typeof SCOPES): void {
  const { sql, clock, directory } = options
  const scope = SCOPES[collection]
  const path = `/admin/v1/${collection}/{id}/budget` as const
  const show = createRoute({
    method: "get",
    path,
    middleware: permit("limits:read"),
    request: { params: idParams },
    responses: answers(200, `The ${scope}'s budgets, one of each window that has any.`, budgetsOutput),
  })
  app.openapi(show, async (context) => {
    const subject = await permitted(sql, context.get("access"), scope, context.req.valid("param").id)
    return context.json({ data: await shown(sql, await readBudgetLimits(sql, subject), clock.nowMs()) }, 200)
  })

  const put = createRoute({
    method: "patch",
    path,
    middleware: permit("limits:write"),
    request: { params: idParams, body: jsonBody(budgetChange) },
    responses: answers(
      200,
      `The ${scope}'s budget of that window, or none; it applies to the next call.`,
      budgetsOutput,
    ),
  })
  app.openapi(put, async (context) => {
    const subject = await permitted(sql, context.get("access"), scope, context.req.valid("param").id)
    const done = await putBudgets(sql, actorOf(context), subject, [context.req.valid("json")])
    if (done.kind === "full") throw full()
    await directory.changed()
    return context.json({ data: await shown(sql, done.rows, clock.nowMs()) }, 200)
  })
}

function preset(app: AdminApp, { sql, clock, directory }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/projects/{id}/budget/preset",
    middleware: permit("limits:write"),
    request: { params: idParams },
    responses: answers(
      200,
      "What each user of the project may spend from now on: 100,000 tokens and $10 a day, 3,000,000 tokens and $200 a " +
        "month. The caps are each one's own; what each has used its keys show at GET /v1/key.",
      budgetsOutput,
    ),
  })
  app.openapi(route, async (context) => {
    const subject = await permitted(sql, context.get("access"), "project", context.req.valid("param").id)
    const done = await putBudgets(sql, actorOf(context), { ...subject, each: "user" }, PRESET)
    if (done.kind === "full") throw full()
    await directory.changed()
    return context.json({ data: await shown(sql, done.rows, clock.nowMs()) }, 200)
  })
}

/** The subject, where the caller may do to its limits what the route does; else 404 or 403. */
async function permitted(sql: Sql, access: Access, scope: LimitScope, id: string): Promise<LimitSubject> {
  const missing = missingThing(scope, id)
  const target = (await limitTarget(sql, { scope, subject: id })) ?? missing()
  access.on(target, missing)
  return { organizationId: target.scope === "installation" ? "" : target.organizationId, scope, subject: id }
}

function full(): ApiError {
  const message = `It would have more than ${LIMITS_PER_SUBJECT_MAX} limits. Delete some at /admin/v1/limits.`
  return new ApiError("conflict", message)
}

/** Limits of one window, zone and anchor day are one budget; where two are of one kind, the smaller cap counts. */
async function shown(sql: Sql, rows: readonly LimitRow[], nowMs: number): Promise<ShownBudget[]> {
  const standings = await limitStandings(sql, rows.map(limitFrom), nowMs)
  const budgets = new Map<string, ShownBudget>()
  for (const standing of standings) {
    const { window, timeZone, anchorDay, kind } = standing.limit
    const name = `${window} ${timeZone} ${anchorDay}`
    const blank = { window: window as ShownBudget["window"], time_zone: timeZone, anchor_day: anchorDay }
    const budget = budgets.get(name) ?? { ...blank, usd: null, tokens: null }
    budgets.set(name, budget)
    const own = BUDGET_KINDS.find((known) => known === kind)
    if (own !== undefined && isSmaller(standing, budget[own])) budget[own] = shownSpending(standing)
  }
  return [...budgets.values()]
}

function isSmaller({ limit }: LimitStanding, known: ShownBudget[BudgetKind]): boolean {
  if (known === null) return true
  const cap = readCap(limit.kind, known.cap)
  return typeof cap === "bigint" && limit.cap < cap
}

function shownSpending({ limit, used, remaining, resetsAtMs }: LimitStanding): z.infer<typeof spendingOutput> {
  const amount = (value: bigint | null) => (value === null ? null : shownCap(limit.kind, value))
  return {
    limit_id: limit.id,
    cap: shownCap(limit.kind, limit.cap),
    used: amount(used),
    remaining: amount(remaining),
    resets_at: resetsAtMs === null ? null : new Date(resetsAtMs).toISOString(),
    hard: limit.enforcement === "hard",
    thresholds: [...limit.thresholds],
  }
}

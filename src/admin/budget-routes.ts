/**
 * Budgets of an organization, a project, a user, a key or a provider account: money and tokens in one window, written in
 * one act and shown with what is used. They are limits, which `/admin/v1/limits` shows one by one.
 */
import { createRoute, z } from "@hono/zod-openapi"
import { accountSubject } from "../identity/account-limit.ts"
import type { Actor } from "../identity/audit.ts"
import { putBudgets, readBudgetLimits, type WantedBudget } from "../identity/budget-registry.ts"
import type { LimitScope } from "../identity/limit.ts"
import { LIMITS_PER_SUBJECT_MAX, type LimitSubject, limitTarget } from "../identity/limit-registry.ts"
import { limitFrom } from "../identity/limit-row.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { limitStandings } from "../reporting/limit-standings.ts"
import { type Access, permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing } from "./answers.ts"
import { budgetChange, budgetsOutput, requireNarrowing, shownBudgets } from "./budget-shape.ts"
import { isAccount } from "./provider-view.ts"

const SCOPES = {
  organizations: "organization",
  projects: "project",
  users: "user",
  keys: "key",
} as const satisfies Record<string, LimitScope>

/** What each user of a project may spend where nobody says more. */
const PRESET: readonly WantedBudget[] = [
  { window: "day", each: "user", filter: null, caps: { tokens: 100_000n, usd: 10_000_000_000n } },
  { window: "month", each: "user", filter: null, caps: { tokens: 3_000_000n, usd: 200_000_000_000n } },
]

const accountParams = z.object({ name: z.string().max(100), account: z.string().max(200) })

export function budgetRoutes(app: AdminApp, options: AdminOptions): void {
  for (const collection of Object.keys(SCOPES) as (keyof typeof SCOPES)[]) showAndPut(app, options, collection)
  showAndPutOfAccount(app, options)
  preset(app, options)
}

function showAndPut(app: AdminApp, options: AdminOptions, collection: keyof typeof SCOPES): void {
  const { sql } = options
  const scope = SCOPES[collection]
  const path = `/admin/v1/${collection}/{id}/budget` as const
  const show = createRoute({
    method: "get",
    path,
    middleware: permit("limits:read"),
    request: { params: idParams },
    responses: answers(200, `The ${scope}'s budgets.`, budgetsOutput),
  })
  app.openapi(show, async (context) => {
    const subject = await permitted(sql, context.get("access"), scope, context.req.valid("param").id)
    return context.json(await budgetsOf(options, subject), 200)
  })

  const put = createRoute({
    method: "patch",
    path,
    middleware: permit("limits:write"),
    request: { params: idParams, body: jsonBody(budgetChange) },
    responses: answers(200, `That budget of the ${scope}, or none; it applies to the next call.`, budgetsOutput),
  })
  app.openapi(put, async (context) => {
    const subject = await permitted(sql, context.get("access"), scope, context.req.valid("param").id)
    const { narrowing, ...wanted } = context.req.valid("json")
    requireNarrowing(scope, narrowing)
    return context.json(await putAll(options, actorOf(context), subject, [wanted]), 200)
  })
}

/** Accounts at providers are the installation's, and known by two names in place of an id. */
function showAndPutOfAccount(app: AdminApp, options: AdminOptions): void {
  const path = "/admin/v1/providers/{name}/accounts/{account}/budget"
  const show = createRoute({
    method: "get",
    path,
    middleware: permit("limits:read"),
    request: { params: accountParams },
    responses: answers(200, "The provider account's budgets, over all organizations.", budgetsOutput),
  })
  app.openapi(show, async (context) => {
    context.get("access").onInstallation()
    return context.json(await budgetsOf(options, await account(options, context.req.valid("param"))), 200)
  })

  const put = createRoute({
    method: "patch",
    path,
    middleware: permit("limits:write"),
    request: { params: accountParams, body: jsonBody(budgetChange) },
    responses: answers(
      200,
      "That budget of the provider account, or none; it applies to the next call that goes there.",
      budgetsOutput,
    ),
  })
  app.openapi(put, async (context) => {
    context.get("access").onInstallation()
    const subject = await account(options, context.req.valid("param"))
    const { narrowing, ...wanted } = context.req.valid("json")
    requireNarrowing(subject.scope, narrowing)
    return context.json(await putAll(options, actorOf(context), subject, [wanted]), 200)
  })
}

function preset(app: AdminApp, options: AdminOptions): void {
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
    const subject = await permitted(options.sql, context.get("access"), "project", context.req.valid("param").id)
    return context.json(await putAll(options, actorOf(context), subject, PRESET), 200)
  })
}

/** The subject, where the caller may do to its limits what the route does; else 404 or 403. */
async function permitted(sql: Sql, access: Access, scope: LimitScope, id: string): Promise<LimitSubject> {
  const missing = missingThing(scope, id)
  const target = (await limitTarget(sql, { scope, subject: id })) ?? missing()
  access.on(target, missing)
  return { organizationId: target.scope === "installation" ? "" : target.organizationId, scope, subject: id }
}

async function account(
  { sql, providers }: AdminOptions,
  { name, account }: z.output<typeof accountParams>,
): Promise<LimitSubject> {
  const subject = accountSubject(name, account)
  if (!(await isAccount(sql, providers, subject))) missingThing("provider account", `${name}/${account}`, "account")()
  return { organizationId: "", scope: "provider_account", subject }
}

async function budgetsOf({ sql, clock }: AdminOptions, subject: LimitSubject): Promise<z.infer<typeof budgetsOutput>> {
  const rows = await readBudgetLimits(sql, subject)
  return { data: shownBudgets(await limitStandings(sql, rows.map(limitFrom), clock.nowMs())) }
}

/** The budgets as they are then; 409 where they would be too many. */
async function putAll(
  { sql, clock, directory }: AdminOptions,
  actor: Actor,
  subject: LimitSubject,
  budgets: readonly WantedBudget[],
): Promise<z.infer<typeof budgetsOutput>> {
  const done = await putBudgets(sql, actor, subject, budgets)
  if (done.kind === "full") {
    const message = `It would have more than ${LIMITS_PER_SUBJECT_MAX} limits. Delete some at /admin/v1/limits.`
    throw new ApiError("conflict", message)
  }
  await directory.changed()
  return { data: shownBudgets(await limitStandings(sql, done.rows.map(limitFrom), clock.nowMs())) }
}

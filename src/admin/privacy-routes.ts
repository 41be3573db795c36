/**
 * What persons may ask for: all that stands of them, and that it goes; and for how long records are kept. Owners and
 * admins do it for those in their scope. End-customers are known by what calls of an organization name them.
 */
import { createRoute, z } from "@hono/zod-openapi"
import type { Context } from "hono"
import { stream } from "hono/streaming"
import { writeAudit } from "../identity/audit.ts"
import { readOrganization } from "../identity/organization-registry.ts"
import { readUser, type UserKind } from "../identity/user-registry.ts"
import { previewRetention, RETENTION_DAYS_MAX, RETENTION_DAYS_MIN } from "../ledger/usage-retention.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { countCustomer, isOwnId } from "../privacy/erase-customer.ts"
import { countUser } from "../privacy/erase-user.ts"
import { type ExportedPerson, exportPerson } from "../privacy/export-person.ts"
import { type Access, permit } from "./access.ts"
import { type AdminApp, type AdminEnv, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idInput, idParams, iso, jsonBody, missingThing } from "./answers.ts"
import {
  endCustomerInput,
  erasedCustomerOutput,
  erasedOutput,
  previewOutput,
  retentionOutput,
} from "./privacy-shape.ts"
import { permittedUser, shownUser, USER_WORDS, userOutput } from "./user-routes.ts"

const customer = z.strictObject({ organization_id: idInput, end_customer: endCustomerInput })
const EXPORT = {
  200: {
    description: "One JSON object a line: `table`, and `row` as the database has it, without secrets.",
    content: { "application/x-ndjson": { schema: z.string() } },
  },
}

export function privacyRoutes(app: AdminApp, options: AdminOptions): void {
  for (const kind of ["person", "service_account"] as const) {
    exportUser(app, options, kind)
    eraseUser(app, options, kind)
  }
  exportCustomer(app, options)
  eraseCustomer(app, options)
  showRetention(app, options)
}

function exportUser(app: AdminApp, { sql }: AdminOptions, kind: UserKind): void {
  const { path, one } = USER_WORDS[kind]
  const route = createRoute({
    method: "get",
    path: `${path}/{id}/export`,
    middleware: permit("privacy:read"),
    request: { params: idParams },
    responses: { ...answers(200, `All that stands of the ${one}.`, z.string()), ...EXPORT },
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    const { organization_id: organizationId, name, email } = await permittedUser(sql, context.get("access"), id, kind)
    await auditExport(context, sql, organizationId, { action: "user.export", subject: id })
    return exported(context, sql, { kind: "user", id, organizationId, name, email })
  })
}

function exportCustomer(app: AdminApp, { sql }: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/admin/v1/end-customers/export",
    middleware: permit("privacy:read"),
    request: { query: customer },
    responses: { ...answers(200, "All that stands of an end-customer.", z.string()), ...EXPORT },
  })
  app.openapi(route, async (context) => {
    const { organization_id: organizationId, end_customer: value } = context.req.valid("query")
    inOrganization(context.get("access"), organizationId)
    // Whose is not said: the log outlives an erasure.
    await auditExport(context, sql, organizationId, { action: "end_customer.export", subject: "end_customer" })
    return exported(context, sql, { kind: "customer", value, organizationId })
  })
}

async function auditExport(
  context: Context<AdminEnv>,
  sql: Sql,
  organizationId: string,
  about: { readonly action: string; readonly subject: string },
): Promise<void> {
  const entry = { organizationId, ...about, before: null, after: null }
  await sql.begin((transaction) => writeAudit(transaction, actorOf(context), entry))
}

function exported(context: Context<AdminEnv>, sql: Sql, person: ExportedPerson): never {
  context.header("content-type", "application/x-ndjson")
  context.header("content-disposition", 'attachment; filename="tallygate-person.ndjson"')
  return stream(context, async (out) => {
    for await (const lines of exportPerson(sql, person)) {
      if (out.aborted) return
      await out.write(lines)
    }
  }) as never
}

function eraseUser(app: AdminApp, { sql, privacy }: AdminOptions, kind: UserKind): void {
  const { path, one } = USER_WORDS[kind]
  const preview = createRoute({
    method: "get",
    path: `${path}/{id}/erase`,
    middleware: permit("privacy:read"),
    request: { params: idParams },
    responses: answers(200, `What erasing the ${one} would change.`, previewOutput),
  })
  app.openapi(preview, async (context) => {
    const { id } = context.req.valid("param")
    const user = await permittedUser(sql, context.get("access"), id, kind)
    return context.json({ counts: await countUser(sql, user) }, 200)
  })

  const erase = createRoute({
    method: "post",
    path: `${path}/{id}/erase`,
    middleware: permit("privacy:write"),
    request: { params: idParams },
    responses: answers(
      200,
      "What is left: the id, under which its usage stays. Keys are revoked.",
      userOutput.extend(erasedOutput).openapi(kind === "person" ? "ErasedUser" : "ErasedServiceAccount"),
    ),
  })
  app.openapi(erase, async (context) => {
    const { id } = context.req.valid("param")
    await permittedUser(sql, context.get("access"), id, kind)
    const erased = await privacy.erasure.eraseUser(actorOf(context), id)
    const row = await readUser(sql, id)
    if (erased === null || row === null) return missingThing(one, id)()
    return context.json({ ...shownUser(row), state: stateOf(erased.isDone), counts: erased.counts }, 200)
  })
}

function eraseCustomer(app: AdminApp, { sql, privacy }: AdminOptions): void {
  const preview = createRoute({
    method: "get",
    path: "/admin/v1/end-customers/erase",
    middleware: permit("privacy:read"),
    request: { query: customer },
    responses: answers(200, "What erasing the end-customer would change.", previewOutput),
  })
  app.openapi(preview, async (context) => {
    const { organization_id: organizationId, end_customer: value } = context.req.valid("query")
    inOrganization(context.get("access"), organizationId)
    return context.json({ counts: await countCustomer(sql, { organizationId, value }) }, 200)
  })

  const erase = createRoute({
    method: "post",
    path: "/admin/v1/end-customers/erase",
    middleware: permit("privacy:write"),
    request: { body: jsonBody(customer) },
    responses: answers(200, "The pseudonym, under which its usage and its limits go on.", erasedCustomerOutput),
  })
  app.openapi(erase, async (context) => {
    const { organization_id: organizationId, end_customer: value } = context.req.valid("json")
    inOrganization(context.get("access"), organizationId)
    if (await isOwnId(sql, value)) {
      const message =
        "This is an id of this installation, a pseudonym, or what calls without an end-customer are counted as; it names " +
        "nobody. A user is erased by POST /admin/v1/users/{id}/erase."
      throw new ApiError("invalid_request", message, { param: "end_customer" })
    }
    const erased = await privacy.erasure.eraseCustomer(actorOf(context), { organizationId, value })
    return context.json({ pseudonym: erased.pseudonym, state: stateOf(erased.isDone), counts: erased.counts }, 200)
  })
}

function showRetention(app: AdminApp, { sql, clock, privacy }: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path: "/admin/v1/organizations/{id}/retention",
    middleware: permit("organizations:read"),
    request: {
      params: idParams,
      query: z.strictObject({
        days: z.coerce.number().int().min(RETENTION_DAYS_MIN).max(RETENTION_DAYS_MAX).optional().openapi({
          description: "Answers for so many days, and changes nothing.",
        }),
      }),
    },
    responses: answers(200, "How long records are kept, and what goes by that at this moment.", retentionOutput),
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    const missing = missingThing("organization", id)
    context.get("access").inOrganization(id, missing)
    const organization = (await readOrganization(sql, id)) ?? missing()
    const { usage_retention_days: own } = organization
    const days = context.req.valid("query").days ?? own ?? privacy.defaultRetentionDays
    const preview = days === null ? null : await previewRetention(sql, id, days, clock.nowMs())
    const answer = {
      organization_id: id,
      usage_retention_days: own,
      default_days: privacy.defaultRetentionDays,
      days,
      before: iso(preview?.before ?? null),
      records: preview?.records ?? 0,
      oldest: iso(preview?.oldest ?? null),
    }
    return context.json(answer, 200)
  })
}

function inOrganization(access: Access, organizationId: string): void {
  access.inOrganization(organizationId, missingThing("organization", organizationId, "organization_id"))
}

function stateOf(isDone: boolean): "done" | "running" {
  return isDone ? "done" : "running"
}

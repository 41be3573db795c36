/** Limits on every scope: an organization's, a project's, a user's, a key's, a provider account's; create, list, change, delete. */
import { createRoute, z } from "@hono/zod-openapi"
import { accountSubject, readAccountSubject } from "../identity/account-limit.ts"
import { LIMIT_EACH, type Limit, type LimitScope } from "../identity/limit.ts"
import {
  changeLimit,
  createLimit,
  deleteLimit,
  LIMITS_PER_SUBJECT_MAX,
  limitTarget,
  listLimits,
  readLimit,
} from "../identity/limit-registry.ts"
import type { LimitRow } from "../identity/limit-row.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { type Access, permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing, nextAfter, pageOf, pageQuery } from "./answers.ts"
import { capInput, limitMembers, limitOutput, newLimit, readCap, shownLimit, storeFailureInput } from "./limit-shape.ts"
import { isAccount } from "./provider-view.ts"

/** The member of `scope` that names the subject → the scope. */
const SCOPE_MEMBERS = {
  key_id: "key",
  user_id: "user",
  project_id: "project",
  organization_id: "organization",
  provider_account: "provider_account",
} as const satisfies Record<string, LimitScope>
type ScopeMember = keyof typeof SCOPE_MEMBERS
const MEMBERS = Object.keys(SCOPE_MEMBERS) as ScopeMember[]

const subjectId = z.string().min(1).max(100).optional()
const providerAccount = z
  .string()
  .max(200)
  .regex(/^[^/]+\/.+$/, { error: "must be <provider>/<account>" })
  .optional()
const scopeIds = {
  key_id: subjectId,
  user_id: subjectId,
  project_id: subjectId,
  organization_id: subjectId,
  provider_account: providerAccount,
}
const each = z
  .enum(LIMIT_EACH)
  .optional()
  .openapi({
    description:
      "Of a provider account: whom the limit counts apart, each with the whole cap. Unset counts all calls on the account " +
      "together, over all organizations.",
  })
const scopeObject = z
  .strictObject({ ...scopeIds, each })
  .openapi("LimitScope", { description: "Exactly one of the five, and `each` beside provider_account." })

const newScopedLimit = z
  .strictObject({ scope: scopeObject, ...limitMembers })
  .openapi("NewScopedLimit")
  .transform(({ scope, ...members }, context) => {
    const of = subjectOf(scope)
    if (of === "several" || of === null) {
      const message = `must have exactly one of ${MEMBERS.join(", ")}`
      context.addIssue({ code: "custom", path: ["scope"], message })
      return z.NEVER
    }
    if (scope.each !== undefined && of.scope !== "provider_account") {
      context.addIssue({ code: "custom", path: ["scope", "each"], message: "belongs to provider_account" })
    }
    const limit = newLimit(members, context)
    return limit === null ? z.NEVER : { of: { ...of, each: scope.each ?? "" }, limit }
  })

const limitChange = z
  .strictObject({ cap: capInput.optional(), on_store_failure: storeFailureInput.optional() })
  .refine((change) => Object.keys(change).length > 0, { error: "must have cap or on_store_failure" })
  .openapi("LimitChange")

const limitsQuery = pageQuery.extend(scopeIds).transform((query, context) => {
  const of = subjectOf(query)
  if (of === "several") {
    context.addIssue({ code: "custom", message: `at most one of ${MEMBERS.join(", ")}` })
    return z.NEVER
  }
  return { after: query.after, max: query.limit, of }
})

const scopedLimit = limitOutput
  .extend({
    organization_id: z.string().openapi({ description: "'' for a limit on a provider account." }),
    scope: z.object({ ...scopeIds, each }),
    created_at: z.string(),
  })
  .openapi("Limit")

export function limitRoutes(app: AdminApp, options: AdminOptions): void {
  createAndList(app, options)
  showAndChange(app, options)
}

function createAndList(app: AdminApp, { sql, directory, providers }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/limits",
    middleware: permit("limits:write"),
    request: { body: jsonBody(newScopedLimit) },
    responses: answers(201, "The limit; it applies to the next call.", scopedLimit),
  })
  app.openapi(create, async (context) => {
    const { of, limit } = context.req.valid("json")
    const missing = missingThing(of.scope.replace("_", " "), shownSubject(of), `scope.${memberOf(of.scope)}`)
    const target = (await limitTarget(sql, of)) ?? missing()
    context.get("access").on(target, missing)
    if (of.scope === "provider_account" && !(await isAccount(sql, providers, of.subject))) missing()
    const organizationId = target.scope === "installation" ? "" : target.organizationId
    const created = await createLimit(sql, actorOf(context), { organizationId, ...of }, limit)
    if (created.kind === "missing") return missing()
    if (created.kind === "full") {
      const message = `The ${of.scope.replace("_", " ")} \`${shownSubject(of)}\` has ${LIMITS_PER_SUBJECT_MAX} limits already. Change or delete one.`
      throw new ApiError("conflict", message, { param: "scope" })
    }
    await directory.changed()
    return context.json(shown(created.row), 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/limits",
    middleware: permit("limits:read"),
    request: { query: limitsQuery },
    responses: answers(200, "A page of limits, of one scope where the query names it.", pageOf(scopedLimit)),
  })
  app.openapi(list, async (context) => {
    const { of, after, max } = context.req.valid("query")
    const rows = await listLimits(sql, { visibility: context.get("access").visible(), of, after, max })
    return context.json({ data: rows.map(shown), next: nextAfter(rows, max) }, 200)
  })
}

function showAndChange(app: AdminApp, { sql, directory }: AdminOptions): void {
  const show = createRoute({
    method: "get",
    path: "/admin/v1/limits/{id}",
    middleware: permit("limits:read"),
    request: { params: idParams },
    responses: answers(200, "The limit.", scopedLimit),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    return context.json(shown(await permittedLimit(sql, context.get("access"), id)), 200)
  })

  const change = createRoute({
    method: "patch",
    path: "/admin/v1/limits/{id}",
    middleware: permit("limits:write"),
    request: { params: idParams, body: jsonBody(limitChange) },
    responses: answers(200, "The limit as it is now; what it has counted stays.", scopedLimit),
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    const wanted = context.req.valid("json")
    // A limit's kind never changes, so the cap may be read by it before the transaction.
    const { kind } = await permittedLimit(sql, context.get("access"), id)
    const cap = wanted.cap === undefined ? null : readCap(kind, wanted.cap)
    if (typeof cap === "string") throw new ApiError("invalid_request", `cap: ${cap}.`, { param: "cap" })
    const onStoreFailure = wanted.on_store_failure ?? null
    const row = await changeLimit(sql, actorOf(context), id, { cap, onStoreFailure })
    await directory.changed()
    return context.json(shown(row ?? missing(id)()), 200)
  })

  const remove = createRoute({
    method: "delete",
    path: "/admin/v1/limits/{id}",
    middleware: permit("limits:write"),
    request: { params: idParams },
    responses: answers(200, "The limit as it stood; it applies to no further call.", scopedLimit),
  })
  app.openapi(remove, async (context) => {
    const { id } = context.req.valid("param")
    await permittedLimit(sql, context.get("access"), id)
    const row = await deleteLimit(sql, actorOf(context), id)
    await directory.changed()
    return context.json(shown(row ?? missing(id)()), 200)
  })
}

/** The one subject that is named; null where none is. */
function subjectOf(
  ids: {
    readonly [Member in ScopeMember]?: string | undefined
  },
): Pick<Limit, "scope" | "subject"> | "several" | null {
  const named = MEMBERS.flatMap((member) => {
    const subject = ids[member]
    if (subject === undefined) return []
    return [{ scope: SCOPE_MEMBERS[member], subject: member === "provider_account" ? encodeAccount(subject) : subject }]
  })
  return named.length > 1 ? "several" : (named[0] ?? null)
}

/** The limit, where the caller may do what the route does to it; else 404 or 403. */
async function permittedLimit(sql: Sql, access: Access, id: string): Promise<LimitRow> {
  const row = (await readLimit(sql, id)) ?? missing(id)()
  access.on((await limitTarget(sql, row)) ?? missing(id)(), missing(id))
  return row
}

function memberOf(scope: LimitScope): ScopeMember {
  return scope === "provider_account" ? scope : `${scope}_id`
}

function encodeAccount(named: string): string {
  const slash = named.indexOf("/")
  return accountSubject(named.slice(0, slash), named.slice(slash + 1))
}

function shownSubject({ scope, subject }: Pick<Limit, "scope" | "subject">): string {
  return scope === "provider_account" ? readAccountSubject(subject).account : subject
}

function missing(id: string): () => never {
  return missingThing("limit", id)
}

function shown(row: LimitRow): z.infer<typeof scopedLimit> {
  const { organization_id, scope, each, created_at } = row
  return {
    ...shownLimit(row),
    organization_id,
    scope: { [memberOf(scope)]: shownSubject(row), ...(scope === "provider_account" ? { each } : {}) },
    created_at: created_at.toISOString(),
  }
}

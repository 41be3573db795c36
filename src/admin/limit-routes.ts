/** Limits on every scope: an organization's, a project's, a user's, a key's; create, list, change, delete. */
import { createRoute, z } from "@hono/zod-openapi"
import type { Limit, LimitScope } from "../identity/limit.ts"
import {
  changeLimit,
  createLimit,
  deleteLimit,
  LIMITS_PER_SUBJECT_MAX,
  listLimits,
  readLimit,
} from "../identity/limit-registry.ts"
import type { LimitRow } from "../identity/limit-row.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AdminApp, type AdminOptions, callerIp } from "./admin-app.ts"
import { answers, errorAnswer, nextAfter, pageOf, pageQuery } from "./answers.ts"
import { capInput, limitMembers, limitOutput, newLimit, readCap, shownLimit, storeFailureInput } from "./limit-shape.ts"

/** The member of `scope` that names the subject → the scope. */
const SCOPE_MEMBERS = {
  key_id: "key",
  user_id: "user",
  project_id: "project",
  organization_id: "organization",
} as const satisfies Record<string, LimitScope>
type ScopeMember = keyof typeof SCOPE_MEMBERS
const MEMBERS = Object.keys(SCOPE_MEMBERS) as ScopeMember[]

const subjectId = z.string().min(1).max(100).optional()
const scopeIds = { key_id: subjectId, user_id: subjectId, project_id: subjectId, organization_id: subjectId }
const scopeObject = z.strictObject(scopeIds).openapi("LimitScope", { description: "Exactly one of the four." })

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
    const limit = newLimit(members, context)
    return limit === null ? z.NEVER : { of, limit }
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
  .extend({ organization_id: z.string(), scope: z.object(scopeIds), created_at: z.string() })
  .openapi("Limit")
const params = z.object({ id: z.string().max(100) })

export function limitRoutes(app: AdminApp, options: AdminOptions): void {
  createAndList(app, options)
  changeAndDelete(app, options)
}

function createAndList(app: AdminApp, { sql, organizationId, directory }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/limits",
    request: { body: { required: true, content: { "application/json": { schema: newScopedLimit } } } },
    responses: {
      ...answers(201, "The limit; it applies to the next call.", scopedLimit),
      409: {
        description: `The subject has ${LIMITS_PER_SUBJECT_MAX} limits already.`,
        content: { "application/json": { schema: errorAnswer } },
      },
    },
  })
  app.openapi(create, async (context) => {
    const { of, limit } = context.req.valid("json")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    const created = await createLimit(sql, actor, { organizationId, ...of }, limit)
    if (created.kind === "missing") {
      const message = `There is no ${of.scope} \`${of.subject}\` in this organization.`
      throw new ApiError("not_found", message, { param: `scope.${of.scope}_id` })
    }
    if (created.kind === "full") {
      const message = `The ${of.scope} \`${of.subject}\` has ${LIMITS_PER_SUBJECT_MAX} limits already. Change or delete one.`
      throw new ApiError("conflict", message, { param: "scope" })
    }
    await directory.changed()
    return context.json(shown(created.row), 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/limits",
    request: { query: limitsQuery },
    responses: answers(200, "A page of limits, of one scope where the query names it.", pageOf(scopedLimit)),
  })
  app.openapi(list, async (context) => {
    const { of, after, max } = context.req.valid("query")
    const rows = await listLimits(sql, { organizationId, of, after, max })
    return context.json({ data: rows.map(shown), next: nextAfter(rows, max) }, 200)
  })
}

function changeAndDelete(app: AdminApp, { sql, organizationId, directory }: AdminOptions): void {
  const change = createRoute({
    method: "patch",
    path: "/admin/v1/limits/{id}",
    request: { params, body: { required: true, content: { "application/json": { schema: limitChange } } } },
    responses: answers(200, "The limit as it is now; what it has counted stays.", scopedLimit),
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    const wanted = context.req.valid("json")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    // A limit's kind never changes, so the cap may be read by it before the transaction.
    const { kind } = (await readLimit(sql, organizationId, id)) ?? missing(id)
    const cap = wanted.cap === undefined ? null : readCap(kind, wanted.cap)
    if (typeof cap === "string") throw new ApiError("invalid_request", `cap: ${cap}.`, { param: "cap" })
    const onStoreFailure = wanted.on_store_failure ?? null
    const row = await changeLimit(sql, actor, organizationId, id, { cap, onStoreFailure })
    await directory.changed()
    return context.json(shown(row ?? missing(id)), 200)
  })

  const remove = createRoute({
    method: "delete",
    path: "/admin/v1/limits/{id}",
    request: { params },
    responses: answers(200, "The limit as it stood; it applies to no further call.", scopedLimit),
  })
  app.openapi(remove, async (context) => {
    const { id } = context.req.valid("param")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    const row = await deleteLimit(sql, actor, organizationId, id)
    await directory.changed()
    return context.json(shown(row ?? missing(id)), 200)
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
    return subject === undefined ? [] : [{ scope: SCOPE_MEMBERS[member], subject }]
  })
  return named.length > 1 ? "several" : (named[0] ?? null)
}

function missing(id: string): never {
  throw new ApiError("not_found", `There is no limit \`${id}\`.`, { param: "id" })
}

function shown(row: LimitRow): z.infer<typeof scopedLimit> {
  const { organization_id, scope, subject, created_at } = row
  return {
    ...shownLimit(row),
    organization_id,
    scope: { [`${scope}_id`]: subject },
    created_at: created_at.toISOString(),
  }
}

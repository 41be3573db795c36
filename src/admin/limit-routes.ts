/** Limits on every scope: an organization's, a project's, a user's, a key's, a provider account's; create, list, change, raise, delete. */
import { createRoute, z } from "@hono/zod-openapi"
import { accountSubject, shownAccount } from "../identity/account-limit.ts"
import { LIMIT_EACH, type Limit, type LimitScope } from "../identity/limit.ts"
import {
  changeLimit,
  createLimit,
  deleteLimit,
  LIMITS_PER_SUBJECT_MAX,
  limitTarget,
  listLimits,
  raiseLimit,
  readLimit,
  shadowRefusals,
} from "../identity/limit-registry.ts"
import type { LimitRow } from "../identity/limit-row.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { type Access, permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing, nextAfter, pageOf, pageQuery } from "./answers.ts"
import {
  canSlice,
  capInput,
  enforcementInput,
  limitMembers,
  limitOutput,
  newLimit,
  readCap,
  SLICE_FAULT,
  shownCap,
  shownLimit,
  sliceInput,
  storeFailureInput,
  thresholdsInput,
  unboundedInput,
} from "./limit-shape.ts"
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
      "Whom the limit counts apart, each with the whole cap: of a provider account, an organization or project each user " +
      "or key, of a provider account also each organization or project. Unset counts all calls together.",
  })
const filterValue = z.string().trim().min(1).max(128).optional()
const filters = {
  tool: filterValue.openapi({
    description: "Of an organization or project: only calls with this x-tallygate-tool count.",
  }),
  tag: filterValue.openapi({ description: "Of an organization or project: only calls with this tag count." }),
}
const scopeObject = z.strictObject({ ...scopeIds, each, ...filters }).openapi("LimitScope", {
  description: "Exactly one of the five; `each`, and one of `tool` and `tag`, where they apply.",
})

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
    const faults = scopeFaults(of.scope, scope)
    for (const [member, message] of faults) context.addIssue({ code: "custom", path: ["scope", member], message })
    const limit = newLimit(members, context)
    if (limit === null || faults.length > 0) return z.NEVER
    return { of: { ...of, each: scope.each ?? "", filter: filterOf(scope) }, limit }
  })

type Narrowing = Pick<z.output<typeof scopeObject>, "each" | "tool" | "tag">

function scopeFaults(scope: LimitScope, { each, tool, tag }: Narrowing): (readonly [string, string])[] {
  const isWide = scope === "organization" || scope === "project"
  const faults: (readonly [string, string])[] = []
  if (each !== undefined && scope !== "provider_account" && !(isWide && (each === "user" || each === "key"))) {
    const message = isWide ? "must be user or key here" : "belongs to provider_account, organization_id and project_id"
    faults.push(["each", message])
  }
  if (tool !== undefined && tag !== undefined) faults.push(["tag", "must not stand beside tool"])
  for (const [member, value] of Object.entries({ tool, tag })) {
    if (value !== undefined && !isWide) faults.push([member, "belongs to organization_id and project_id"])
  }
  return faults
}

function filterOf({ tool, tag }: Narrowing): Limit["filter"] {
  if (tool !== undefined) return { by: "tool", value: tool }
  return tag === undefined ? null : { by: "tag", value: tag }
}

const limitChange = z
  .strictObject({
    cap: capInput.optional(),
    on_store_failure: storeFailureInput.optional(),
    enforcement: enforcementInput.optional(),
    unbounded: unboundedInput.optional(),
    thresholds: thresholdsInput.optional(),
    slice_tokens: sliceInput.nullable().optional(),
  })
  .refine((change) => Object.keys(change).length > 0, {
    error: "must have cap, on_store_failure, enforcement, unbounded, thresholds or slice_tokens",
  })
  .openapi("LimitChange")

/** A raise ends at the latest after so long. */
const RAISE_MS_MAX = 366 * 86_400_000
const newRaise = z
  .strictObject({
    cap: capInput,
    until: z.iso
      .datetime({ offset: true })
      .openapi({ description: "When it ends by itself; in the future, and at most a year from now." }),
  })
  .openapi("NewRaise")

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
    scope: z.object({ ...scopeIds, each, ...filters }),
    shadow_refusals: z
      .number()
      .nullable()
      .openapi({ description: "How often a shadow limit would have refused so far; null: it is none." }),
    created_at: z.string(),
  })
  .openapi("Limit")

export function limitRoutes(app: AdminApp, options: AdminOptions): void {
  createAndList(app, options)
  showAndChange(app, options)
  raise(app, options)
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
    return context.json(await shownOne(sql, created.row), 201)
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
    return context.json({ data: await shownAll(sql, rows), next: nextAfter(rows, max) }, 200)
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
    return context.json(await shownOne(sql, await permittedLimit(sql, context.get("access"), id)), 200)
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
    const { kind, window, enforcement: before } = await permittedLimit(sql, context.get("access"), id)
    const cap = wanted.cap === undefined ? undefined : requiredCap(kind, wanted.cap)
    const { on_store_failure: onStoreFailure, enforcement, unbounded, thresholds, slice_tokens: sliceTokens } = wanted
    if (typeof sliceTokens === "number" && !canSlice({ kind, window, enforcement: enforcement ?? before })) {
      throw new ApiError("invalid_request", `\`slice_tokens\` ${SLICE_FAULT}.`, { param: "slice_tokens" })
    }
    const change = { cap, onStoreFailure, enforcement, unbounded, thresholds, sliceTokens }
    const row = await changeLimit(sql, actorOf(context), id, change)
    await directory.changed()
    return context.json(await shownOne(sql, row ?? missing(id)()), 200)
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
    return context.json(await shownOne(sql, row ?? missing(id)()), 200)
  })
}

function raise(app: AdminApp, { sql, clock, directory }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/limits/{id}/raises",
    middleware: permit("limits:write"),
    request: { params: idParams, body: jsonBody(newRaise) },
    responses: answers(201, "The limit with its raise, which takes the place of one in force.", scopedLimit),
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    const wanted = context.req.valid("json")
    const { kind } = await permittedLimit(sql, context.get("access"), id)
    const cap = requiredCap(kind, wanted.cap)
    const until = new Date(wanted.until)
    const aheadMs = until.getTime() - clock.nowMs()
    if (aheadMs <= 0 || aheadMs > RAISE_MS_MAX) {
      const message = "until: must be in the future, and at most a year from now."
      throw new ApiError("invalid_request", message, { param: "until" })
    }
    const raised = await raiseLimit(sql, actorOf(context), id, { cap, until })
    if (raised.kind === "missing") return missing(id)()
    if (raised.kind === "not_larger") {
      const message = `cap: must be larger than the limit's own, ${shownCap(kind, raised.cap)}. PATCH the limit to lower it.`
      throw new ApiError("invalid_request", message, { param: "cap" })
    }
    await directory.changed()
    return context.json(await shownOne(sql, raised.row), 201)
  })
}

function requiredCap(kind: Limit["kind"], given: string | number): bigint {
  const cap = readCap(kind, given)
  if (typeof cap === "string") throw new ApiError("invalid_request", `cap: ${cap}.`, { param: "cap" })
  return cap
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
  return scope === "provider_account" ? shownAccount(subject) : subject
}

function missing(id: string): () => never {
  return missingThing("limit", id)
}

async function shownOne(sql: Sql, row: LimitRow): Promise<z.infer<typeof scopedLimit>> {
  return shown(row, await shadowRefusals(sql, [row.id]))
}

async function shownAll(sql: Sql, rows: readonly LimitRow[]): Promise<z.infer<typeof scopedLimit>[]> {
  const refusals = await shadowRefusals(
    sql,
    rows.filter(isShadow).map(({ id }) => id),
  )
  return rows.map((row) => shown(row, refusals))
}

function isShadow({ enforcement }: LimitRow): boolean {
  return enforcement === "shadow"
}

function shown(row: LimitRow, refusals: ReadonlyMap<string, number>): z.infer<typeof scopedLimit> {
  const { organization_id, scope, each, created_at, filter_tool: tool, filter_tag: tag } = row
  return {
    ...shownLimit(row),
    organization_id,
    scope: {
      [memberOf(scope)]: shownSubject(row),
      ...(scope === "provider_account" || each !== "" ? { each } : {}),
      ...(tool === "" ? {} : { tool }),
      ...(tag === "" ? {} : { tag }),
    },
    shadow_refusals: isShadow(row) ? (refusals.get(row.id) ?? 0) : null,
    created_at: created_at.toISOString(),
  }
}

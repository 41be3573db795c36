/** Limits on every scope: an organization's, a project's, a user's, a key's, a provider account's; create, list, change, delete. */
import { createRoute, z } from "@hono/zod-openapi"
import {
  changeLimit,
  createLimit,
  deleteLimit,
  LIMITS_PER_SUBJECT_MAX,
  limitTarget,
  listLimits,
} from "../identity/limit-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing, nextAfter, pageOf, pageQuery } from "./answers.ts"
import {
  filterOf,
  memberOf,
  SCOPE_MEMBER_NAMES,
  scopeFaults,
  scopeIds,
  scopeObject,
  shownSubject,
  subjectOf,
} from "./limit-scope.ts"
import {
  canSlice,
  capInput,
  enforcementInput,
  limitMembers,
  newLimit,
  SLICE_FAULT,
  sliceInput,
  storeFailureInput,
  thresholdsInput,
  unboundedInput,
} from "./limit-shape.ts"
import {
  missingLimit,
  permittedLimit,
  requiredCap,
  scopedLimit,
  shownOne,
  standingLimit,
  withStandings,
} from "./limit-view.ts"
import { isAccount } from "./provider-view.ts"

const newScopedLimit = z
  .strictObject({ scope: scopeObject, ...limitMembers })
  .openapi("NewScopedLimit")
  .transform(({ scope, ...members }, context) => {
    const of = subjectOf(scope)
    if (of === "several" || of === null) {
      const message = `must have exactly one of ${SCOPE_MEMBER_NAMES.join(", ")}`
      context.addIssue({ code: "custom", path: ["scope"], message })
      return z.NEVER
    }
    const faults = scopeFaults(of.scope, scope)
    for (const [member, message] of faults) context.addIssue({ code: "custom", path: ["scope", member], message })
    const limit = newLimit(members, context)
    if (limit === null || faults.length > 0) return z.NEVER
    return { of: { ...of, each: scope.each ?? "", filter: filterOf(scope) }, limit }
  })

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

const limitsQuery = pageQuery.extend(scopeIds).transform((query, context) => {
  const of = subjectOf(query)
  if (of === "several") {
    context.addIssue({ code: "custom", message: `at most one of ${SCOPE_MEMBER_NAMES.join(", ")}` })
    return z.NEVER
  }
  return { after: query.after, max: query.limit, of }
})

export function limitRoutes(app: AdminApp, options: AdminOptions): void {
  createAndList(app, options)
  showAndChange(app, options)
}

function createAndList(app: AdminApp, options: AdminOptions): void {
  const { sql, directory, providers } = options
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
    responses: answers(200, "A page of limits, of one scope where the query names it.", pageOf(standingLimit)),
  })
  app.openapi(list, async (context) => {
    const { of, after, max } = context.req.valid("query")
    const rows = await listLimits(sql, { visibility: context.get("access").visible(), of, after, max })
    return context.json({ data: await withStandings(options, rows), next: nextAfter(rows, max) }, 200)
  })
}

function showAndChange(app: AdminApp, options: AdminOptions): void {
  const { sql, directory } = options
  const show = createRoute({
    method: "get",
    path: "/admin/v1/limits/{id}",
    middleware: permit("limits:read"),
    request: { params: idParams },
    responses: answers(200, "The limit, and where it stands.", standingLimit),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    const row = await permittedLimit(sql, context.get("access"), id)
    const [shown] = await withStandings(options, [row])
    return context.json(shown ?? missingLimit(id)(), 200)
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
    return context.json(await shownOne(sql, row ?? missingLimit(id)()), 200)
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
    return context.json(await shownOne(sql, row ?? missingLimit(id)()), 200)
  })
}

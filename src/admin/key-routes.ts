/** Virtual keys: create with limits, list, show, change, revoke. */
import { createRoute, z } from "@hono/zod-openapi"
import {
  createVirtualKey,
  listVirtualKeys,
  readKeyRow,
  revokeVirtualKey,
  updateVirtualKey,
} from "../identity/key-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AdminApp, type AdminOptions, callerIp } from "./admin-app.ts"
import { answers, nextAfter, pageOf, pageQuery } from "./answers.ts"
import { createdKey, keyChange, keyChanges, keyOutput, newKey, shownKey } from "./key-shape.ts"

const params = z.object({ id: z.string().max(100) })

export function keyRoutes(app: AdminApp, options: AdminOptions): void {
  createAndList(app, options)
  showAndChange(app, options)
}

function createAndList(app: AdminApp, { sql, organizationId, directory }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/keys",
    request: { body: { required: true, content: { "application/json": { schema: newKey } } } },
    responses: answers(201, "The key, with its secret.", createdKey),
  })
  app.openapi(create, async (context) => {
    const wanted = context.req.valid("json")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    const created = await createVirtualKey(sql, actor, {
      ...keyChanges(wanted),
      name: wanted.name,
      organizationId,
      projectId: wanted.project_id ?? null,
      userId: wanted.user_id ?? null,
      limits: wanted.limits ?? [],
    })
    if (created.kind === "missing") {
      const message = `There is no ${created.what} \`${created.id}\` in this organization.`
      throw new ApiError("not_found", message, { param: `${created.what}_id` })
    }
    await directory.changed()
    return context.json({ ...shownKey(created.row), key: created.secret }, 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/keys",
    request: { query: pageQuery },
    responses: answers(200, "A page of keys, without secrets.", pageOf(keyOutput)),
  })
  app.openapi(list, async (context) => {
    const { after, limit } = context.req.valid("query")
    const rows = await listVirtualKeys(sql, after, limit)
    return context.json({ data: rows.map(shownKey), next: nextAfter(rows, limit) }, 200)
  })
}

function showAndChange(app: AdminApp, { sql, clock, directory }: AdminOptions): void {
  const show = createRoute({
    method: "get",
    path: "/admin/v1/keys/{id}",
    request: { params },
    responses: answers(200, "The key, without its secret.", keyOutput),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    return context.json(shownKey((await readKeyRow(sql, id)) ?? missing(id)), 200)
  })

  const change = createRoute({
    method: "patch",
    path: "/admin/v1/keys/{id}",
    request: { params, body: { required: true, content: { "application/json": { schema: keyChange } } } },
    responses: answers(200, "The key as it is now; it applies to the next call.", keyOutput),
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    const row = await updateVirtualKey(sql, actor, id, keyChanges(context.req.valid("json")))
    if (row === null) missing(id)
    await directory.changed()
    return context.json(shownKey(row), 200)
  })

  const revoke = createRoute({
    method: "post",
    path: "/admin/v1/keys/{id}/revoke",
    request: { params },
    responses: answers(200, "The key, revoked.", keyOutput),
  })
  app.openapi(revoke, async (context) => {
    const { id } = context.req.valid("param")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    const row = await revokeVirtualKey(sql, actor, id, new Date(clock.nowMs()))
    if (row === null) missing(id)
    await directory.changed()
    return context.json(shownKey(row), 200)
  })
}

function missing(id: string): never {
  throw new ApiError("not_found", `There is no key \`${id}\`.`, { param: "id" })
}

/** Admin keys: make one with a role over a scope, list, revoke. Nobody makes one that may do more than its maker. */
import { createRoute, z } from "@hono/zod-openapi"
import {
  type AdminKeyRow,
  createAdminKey,
  listAdminKeys,
  readAdminKey,
  revokeAdminKey,
} from "../identity/admin-key-registry.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, iso, jsonBody, missingThing, nameInput, nextAfter, pageOf, pageQuery } from "./answers.ts"
import { grantOver, grantScope, roleInput, shownScope, targetOf, targetOfGrant } from "./grant-shape.ts"

const newAdminKey = z
  .strictObject({
    name: nameInput,
    role: roleInput,
    scope: grantScope.default({}),
    expires_at: z.iso.datetime({ offset: true }).nullable().optional(),
  })
  .openapi("NewAdminKey")
const adminKeyOutput = z
  .object({
    id: z.string(),
    name: z.string(),
    role: roleInput,
    scope: grantScope,
    last4: z.string(),
    expires_at: z.string().nullable(),
    revoked_at: z.string().nullable(),
    created_at: z.string(),
  })
  .openapi("AdminKey")
const createdAdminKey = adminKeyOutput
  .extend({ key: z.string().openapi({ description: "The secret, shown this once." }) })
  .openapi("CreatedAdminKey")

export function adminKeyRoutes(app: AdminApp, options: AdminOptions): void {
  makeAndList(app, options)
  revoke(app, options)
}

function makeAndList(app: AdminApp, { sql }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/admin-keys",
    middleware: permit("admin_keys:write"),
    request: { body: jsonBody(newAdminKey) },
    responses: answers(201, "The key, with its secret.", createdAdminKey),
  })
  app.openapi(create, async (context) => {
    const wanted = context.req.valid("json")
    const access = context.get("access")
    const target = await targetOf(sql, wanted.scope)
    if (target.scope === "installation") access.onInstallation()
    else access.on(target, missingThing(target.scope, grantOver("viewer", target).scopeId, `scope.${target.scope}_id`))
    access.grants(wanted.role, target)
    const expiresAt = wanted.expires_at ? new Date(wanted.expires_at) : null
    const key = { ...grantOver(wanted.role, target), name: wanted.name, expiresAt }
    const { row, secret } = await createAdminKey(sql, actorOf(context), key)
    return context.json({ ...shown(row), key: secret }, 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/admin-keys",
    middleware: permit("admin_keys:read"),
    request: { query: pageQuery },
    responses: answers(200, "A page of admin keys, without secrets.", pageOf(adminKeyOutput)),
  })
  app.openapi(list, async (context) => {
    const { after, limit } = context.req.valid("query")
    const rows = await listAdminKeys(sql, { visibility: context.get("access").visible(), after, max: limit })
    return context.json({ data: rows.map(shown), next: nextAfter(rows, limit) }, 200)
  })
}

function revoke(app: AdminApp, { sql }: AdminOptions): void {
  const route = createRoute({
    method: "post",
    path: "/admin/v1/admin-keys/{id}/revoke",
    middleware: permit("admin_keys:write"),
    request: { params: idParams },
    responses: answers(200, "The key, revoked; sessions that it opened have ended.", adminKeyOutput),
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    const missing = missingThing("admin key", id)
    const access = context.get("access")
    const before = (await readAdminKey(sql, id)) ?? missing()
    const target = (await targetOfGrant(sql, { scope: before.scope, scopeId: before.scope_id })) ?? missing()
    access.on(target, missing)
    access.grants(before.role, target)
    return context.json(shown((await revokeAdminKey(sql, actorOf(context), id)) ?? missing()), 200)
  })
}

function shown(row: AdminKeyRow): z.infer<typeof adminKeyOutput> {
  const { id, name, role, last4 } = row
  return {
    id,
    name,
    role,
    scope: shownScope({ scope: row.scope, scopeId: row.scope_id }),
    last4,
    expires_at: iso(row.expires_at),
    revoked_at: iso(row.revoked_at),
    created_at: row.created_at.toISOString(),
  }
}

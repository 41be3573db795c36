/** Users' roles. Nobody gives or takes more than the own role over the same scope; a change ends the user's sessions. */
import { createRoute, z } from "@hono/zod-openapi"
import type { Grant } from "../identity/role.ts"
import { grantRole, grantsOf, revokeRole } from "../identity/role-registry.ts"
import type { Sql } from "../platform/postgres.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idParams, jsonBody, missingThing } from "./answers.ts"
import { grantOver, grantScope, roleInput, shownScope, targetOf } from "./grant-shape.ts"
import { permittedUser } from "./user-routes.ts"

const newGrant = z.strictObject({ role: roleInput, scope: grantScope.default({}) }).openapi("NewGrant")
const rolesOutput = z
  .object({ user_id: z.string(), roles: z.array(z.object({ role: roleInput, scope: grantScope })) })
  .openapi("UserRoles")
const takenScope = z.strictObject({ scope: grantScope.default({}) }).openapi("TakenRole")
const path = "/admin/v1/users/{id}/roles"

export function roleRoutes(app: AdminApp, options: AdminOptions): void {
  show(app, options)
  give(app, options)
  take(app, options)
}

function show(app: AdminApp, { sql }: AdminOptions): void {
  const route = createRoute({
    method: "get",
    path,
    middleware: permit("roles:read"),
    request: { params: idParams },
    responses: answers(200, "The user's roles.", rolesOutput),
  })
  app.openapi(route, async (context) => {
    const { id } = await permittedUser(sql, context.get("access"), context.req.valid("param").id, "person")
    return context.json(await shown(sql, id), 200)
  })
}

function give(app: AdminApp, { sql }: AdminOptions): void {
  const route = createRoute({
    method: "put",
    path,
    middleware: permit("roles:write"),
    request: { params: idParams, body: jsonBody(newGrant) },
    responses: answers(200, "The user's roles as they are now; at each scope there is one.", rolesOutput),
  })
  app.openapi(route, async (context) => {
    const { role, scope } = context.req.valid("json")
    const access = context.get("access")
    const user = await permittedUser(sql, access, context.req.valid("param").id, "person")
    const target = await targetOf(sql, scope)
    access.grants(role, target)
    const grant = grantOver(role, target)
    // What the user has there now would be taken away.
    const before = await grantAt(sql, user.id, grant)
    if (before !== null) access.grants(before.role, target)
    await grantRole(sql, actorOf(context), user, grant)
    return context.json(await shown(sql, user.id), 200)
  })
}

function take(app: AdminApp, { sql }: AdminOptions): void {
  const route = createRoute({
    method: "delete",
    path,
    middleware: permit("roles:write"),
    request: { params: idParams, body: jsonBody(takenScope) },
    responses: answers(200, "The roles that are left.", rolesOutput),
  })
  app.openapi(route, async (context) => {
    const { scope } = context.req.valid("json")
    const access = context.get("access")
    const user = await permittedUser(sql, access, context.req.valid("param").id, "person")
    const target = await targetOf(sql, scope)
    const before = await grantAt(sql, user.id, grantOver("viewer", target))
    if (before === null) missingThing("role of this user at", JSON.stringify(scope), "scope")()
    else access.grants(before.role, target)
    await revokeRole(sql, actorOf(context), user, grantOver("viewer", target))
    return context.json(await shown(sql, user.id), 200)
  })
}

async function grantAt(sql: Sql, userId: string, { scope, scopeId }: Omit<Grant, "role">): Promise<Grant | null> {
  const grants = await grantsOf(sql, userId)
  return grants.find((grant) => grant.scope === scope && grant.scopeId === scopeId) ?? null
}

async function shown(sql: Sql, userId: string): Promise<z.infer<typeof rolesOutput>> {
  const roles = (await grantsOf(sql, userId)).map((grant) => ({ role: grant.role, scope: shownScope(grant) }))
  return { user_id: userId, roles }
}

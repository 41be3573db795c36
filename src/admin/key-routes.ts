/** Virtual keys: create with limits, list, revoke. */
import { createRoute, z } from "@hono/zod-openapi"
import { LIMITS_PER_SUBJECT_MAX } from "../identity/limit-registry.ts"
import { createVirtualKey, listVirtualKeys, revokeVirtualKey, type VirtualKeyRow } from "../identity/registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AdminApp, type AdminOptions, callerIp } from "./admin-app.ts"
import { answers, nextAfter, pageOf, pageQuery } from "./answers.ts"
import { limitInput, limitOutput, shownLimit } from "./limit-shape.ts"

const name = z.string().trim().min(1).max(200)

const newKey = z
  .strictObject({
    name,
    project_id: z.string().max(100).optional(),
    user_id: z.string().max(100).optional(),
    allowed_models: z
      .array(z.string().min(1).max(256))
      .max(1000)
      .optional()
      .openapi({ description: "Names or globs with *." }),
    expires_at: z.iso.datetime({ offset: true }).optional(),
    limits: z.array(limitInput).max(LIMITS_PER_SUBJECT_MAX).optional(),
  })
  .openapi("NewVirtualKey")

const keyOutput = z
  .object({
    id: z.string(),
    name: z.string(),
    organization_id: z.string(),
    project_id: z.string(),
    user_id: z.string().nullable(),
    allowed_models: z.array(z.string()).nullable(),
    expires_at: z.string().nullable(),
    revoked_at: z.string().nullable(),
    created_at: z.string(),
    last4: z.string(),
    limits: z.array(limitOutput),
  })
  .openapi("VirtualKey")
const createdKey = keyOutput
  .extend({ key: z.string().openapi({ description: "The secret, shown this once." }) })
  .openapi("CreatedKey")

export function keyRoutes(app: AdminApp, options: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/keys",
    request: { body: { required: true, content: { "application/json": { schema: newKey } } } },
    responses: answers(201, "The key, with its secret.", createdKey),
  })
  app.openapi(create, async (context) => {
    const wanted = context.req.valid("json")
    const created = await createVirtualKey(
      options.sql,
      { name: context.get("admin"), ip: callerIp(context) },
      {
        name: wanted.name,
        organizationId: options.organizationId,
        projectId: wanted.project_id ?? null,
        userId: wanted.user_id ?? null,
        allowedModels: wanted.allowed_models ?? null,
        expiresAt: wanted.expires_at === undefined ? null : new Date(wanted.expires_at),
        limits: wanted.limits ?? [],
      },
    )
    if (created.kind === "missing") {
      const message = `There is no ${created.what} \`${created.id}\` in this organization.`
      throw new ApiError("not_found", message, { param: `${created.what}_id` })
    }
    await options.directory.changed()
    return context.json({ ...shown(created.row), key: created.secret }, 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/keys",
    request: { query: pageQuery },
    responses: answers(200, "A page of keys, without secrets.", pageOf(keyOutput)),
  })
  app.openapi(list, async (context) => {
    const { after, limit } = context.req.valid("query")
    const rows = await listVirtualKeys(options.sql, after, limit)
    return context.json({ data: rows.map(shown), next: nextAfter(rows, limit) }, 200)
  })

  const revoke = createRoute({
    method: "post",
    path: "/admin/v1/keys/{id}/revoke",
    request: { params: z.object({ id: z.string().max(100) }) },
    responses: answers(200, "The key, revoked.", keyOutput),
  })
  app.openapi(revoke, async (context) => {
    const { id } = context.req.valid("param")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    const row = await revokeVirtualKey(options.sql, actor, id, new Date(options.clock.nowMs()))
    if (row === null) throw new ApiError("not_found", `There is no key \`${id}\`.`, { param: "id" })
    await options.directory.changed()
    return context.json(shown(row), 200)
  })
}

function shown(row: VirtualKeyRow): z.infer<typeof keyOutput> {
  const iso = (date: Date | null) => date?.toISOString() ?? null
  return {
    ...row,
    expires_at: iso(row.expires_at),
    revoked_at: iso(row.revoked_at),
    created_at: row.created_at.toISOString(),
    limits: row.limits.map(shownLimit),
  }
}

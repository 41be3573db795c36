/** Virtual keys: make with limits, list, show, change, rotate, revoke. */
import { createRoute, z } from "@hono/zod-openapi"
import {
  createVirtualKey,
  listVirtualKeys,
  type NewVirtualKey,
  readKeyRow,
  revokeVirtualKey,
  rotateVirtualKey,
  updateVirtualKey,
  type VirtualKeyRow,
} from "../identity/key-registry.ts"
import { DEFAULT_PROJECT, readProject, readProjectNamed } from "../identity/project-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { type Access, organizationMeant, permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, idInput, idParams, jsonBody, missingThing, nextAfter, pageOf, pageQuery } from "./answers.ts"
import { createdKey, keyChange, keyChanges, keyOutput, newKey, shownKey } from "./key-shape.ts"

const OVERLAP_SECONDS_MAX = 30 * 24 * 3_600

export const rotation = z
  .strictObject({
    overlap_seconds: z.int().min(0).max(OVERLAP_SECONDS_MAX).default(0).openapi({
      description: "How long the old secret goes on working, in seconds; 0: it stops at once.",
    }),
  })
  .openapi("Rotation")

const listQuery = pageQuery.extend({
  organization_id: idInput.optional(),
  project_id: idInput.optional(),
  user_id: idInput.optional(),
})

export function keyRoutes(app: AdminApp, options: AdminOptions): void {
  makeAndList(app, options)
  showAndChange(app, options)
  rotateAndRevoke(app, options)
}

/** Where a new key belongs, as far as the caller may make one there. */
async function keyPlace(
  { sql, organizationId: defaultId }: Pick<AdminOptions, "sql" | "organizationId">,
  access: Access,
  wanted: { readonly organization_id?: string | undefined; readonly project_id?: string | undefined },
): Promise<Pick<NewVirtualKey, "organizationId" | "projectId">> {
  const { project_id: projectId } = wanted
  const organizationId = organizationMeant(access.principal, wanted.organization_id, defaultId)
  const missing = missingThing("project", projectId ?? DEFAULT_PROJECT, "project_id")
  const project =
    (projectId === undefined
      ? await readProjectNamed(sql, organizationId, DEFAULT_PROJECT)
      : await readProject(sql, projectId)) ?? missing()
  access.on({ scope: "project", organizationId: project.organization_id, projectId: project.id }, missing)
  if (wanted.organization_id !== undefined && wanted.organization_id !== project.organization_id) missing()
  return { organizationId: project.organization_id, projectId: project.id }
}

function makeAndList(app: AdminApp, options: AdminOptions): void {
  const { sql, directory } = options
  const create = createRoute({
    method: "post",
    path: "/admin/v1/keys",
    middleware: permit("keys:write"),
    request: { body: jsonBody(newKey) },
    responses: answers(201, "The key, with its secret.", createdKey),
  })
  app.openapi(create, async (context) => {
    const wanted = context.req.valid("json")
    const created = await createVirtualKey(sql, actorOf(context), {
      ...keyChanges(wanted),
      ...(await keyPlace(options, context.get("access"), wanted)),
      name: wanted.name,
      userId: wanted.user_id ?? null,
      limits: wanted.limits ?? [],
    })
    if (created.kind === "taken") throw externalIdTaken()
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
    middleware: permit("keys:read"),
    request: { query: listQuery },
    responses: answers(200, "A page of keys, without secrets.", pageOf(keyOutput)),
  })
  app.openapi(list, async (context) => {
    const query = context.req.valid("query")
    const rows = await listVirtualKeys(sql, {
      visibility: context.get("access").visible(),
      organizationId: query.organization_id ?? null,
      projectId: query.project_id ?? null,
      userId: query.user_id ?? null,
      after: query.after,
      max: query.limit,
    })
    return context.json({ data: rows.map(shownKey), next: nextAfter(rows, query.limit) }, 200)
  })
}

function showAndChange(app: AdminApp, { sql, directory }: AdminOptions): void {
  const show = createRoute({
    method: "get",
    path: "/admin/v1/keys/{id}",
    middleware: permit("keys:read"),
    request: { params: idParams },
    responses: answers(200, "The key, without its secret.", keyOutput),
  })
  app.openapi(show, async (context) => {
    const { id } = context.req.valid("param")
    return context.json(shownKey(await permittedKey(sql, context.get("access"), id)), 200)
  })

  const change = createRoute({
    method: "patch",
    path: "/admin/v1/keys/{id}",
    middleware: permit("keys:write"),
    request: { params: idParams, body: jsonBody(keyChange) },
    responses: answers(200, "The key as it is now; it applies to the next call.", keyOutput),
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    await permittedKey(sql, context.get("access"), id)
    const row = await updateVirtualKey(sql, actorOf(context), id, keyChanges(context.req.valid("json")))
    if (row !== null && "kind" in row) throw externalIdTaken()
    await directory.changed()
    return context.json(shownKey(row ?? missing(id)()), 200)
  })
}

function rotateAndRevoke(app: AdminApp, { sql, clock, directory }: AdminOptions): void {
  const rotate = createRoute({
    method: "post",
    path: "/admin/v1/keys/{id}/rotate",
    middleware: permit("keys:write"),
    request: { params: idParams, body: { ...jsonBody(rotation), required: false } },
    responses: answers(201, "The key, with its new secret.", createdKey),
  })
  app.openapi(rotate, async (context) => {
    const { id } = context.req.valid("param")
    await permittedKey(sql, context.get("access"), id)
    const overlapMs = (context.req.valid("json").overlap_seconds ?? 0) * 1_000
    const now = new Date(clock.nowMs())
    const rotated = await rotateVirtualKey(sql, actorOf(context), id, { now, overlapMs })
    if (rotated === "revoked") throw new ApiError("conflict", "This key was revoked. Make a new one.", { param: "id" })
    await directory.changed()
    const { row, secret } = rotated ?? missing(id)()
    return context.json({ ...shownKey(row), key: secret }, 201)
  })

  const revoke = createRoute({
    method: "post",
    path: "/admin/v1/keys/{id}/revoke",
    middleware: permit("keys:write"),
    request: { params: idParams },
    responses: answers(200, "The key, revoked.", keyOutput),
  })
  app.openapi(revoke, async (context) => {
    const { id } = context.req.valid("param")
    await permittedKey(sql, context.get("access"), id)
    const row = await revokeVirtualKey(sql, actorOf(context), id, new Date(clock.nowMs()))
    await directory.changed()
    return context.json(shownKey(row ?? missing(id)()), 200)
  })
}

/** The key, where the caller may do what the route does to it; else 404 or 403. */
async function permittedKey(sql: Sql, access: Access, id: string): Promise<VirtualKeyRow> {
  const row = (await readKeyRow(sql, id)) ?? missing(id)()
  access.on({ scope: "project", organizationId: row.organization_id, projectId: row.project_id }, missing(id))
  return row
}

function externalIdTaken(): ApiError {
  return new ApiError("conflict", "The organization has a key with that external_id already.", { param: "external_id" })
}

function missing(id: string): () => never {
  return missingThing("key", id)
}

/**
 * Users, and service accounts, which are users that nobody logs in as: make, list, show, change, disable. Both have the
 * same life under two names, so that nobody takes one for the other. How they are erased stands in `privacy-routes.ts`.
 */
import { createRoute, z } from "@hono/zod-openapi"
import {
  type ChangedUser,
  createUser,
  listUsers,
  readUser,
  type UserKind,
  type UserRow,
  updateUser,
} from "../identity/user-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import { type Access, permit, permittedOrganization } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import {
  answers,
  atLeastOneField,
  externalIdInput,
  idInput,
  idParams,
  iso,
  jsonBody,
  missingThing,
  nameInput,
  nextAfter,
  pageOf,
  pageQuery,
} from "./answers.ts"
import { requireRolesOf } from "./user-guard.ts"

const emailInput = z.email().max(320)

const projectIds = z.array(idInput).max(1_000)
const newUser = z
  .strictObject({
    name: nameInput,
    organization_id: idInput.optional(),
    email: emailInput.optional(),
    external_id: externalIdInput,
    project_ids: projectIds.optional().openapi({ description: "Projects of the organization to be a member of." }),
  })
  .openapi("NewUser")
const userChange = z
  .strictObject({
    name: nameInput.optional(),
    email: emailInput.nullable().optional(),
    external_id: externalIdInput,
    disabled: z.boolean().optional().openapi({
      description: "While true, the user's keys are refused and nobody logs in as the user; sessions end.",
    }),
  })
  .refine(...atLeastOneField)
  .openapi("UserChange", { description: "What is absent stays as it is; null clears." })
export const userOutput = z
  .object({
    id: z.string(),
    organization_id: z.string(),
    kind: z.enum(["person", "service_account"]),
    name: z.string(),
    email: z.string().nullable(),
    external_id: z.string().nullable(),
    has_password: z.boolean(),
    project_ids: z.array(z.string()),
    disabled_at: z.string().nullable(),
    created_at: z.string(),
  })
  .openapi("User")
const listQuery = pageQuery.extend({
  organization_id: idInput.optional(),
  project_id: idInput.optional(),
  q: z.string().max(200).default("").openapi({ description: "Text that the name or address contains." }),
})

export const USER_WORDS = {
  person: { path: "/admin/v1/users", one: "user", many: "users" },
  service_account: { path: "/admin/v1/service-accounts", one: "service account", many: "service accounts" },
} as const

export function userRoutes(app: AdminApp, options: AdminOptions, kind: UserKind): void {
  makeAndList(app, options, kind)
  show(app, options, kind)
  change(app, options, kind)
}

/** The user of this kind, where the caller may do what the route does; else 404 or 403. */
export async function permittedUser(sql: Sql, access: Access, id: string, kind: UserKind): Promise<UserRow> {
  const missing = missingThing(USER_WORDS[kind].one, id)
  const row = await readUser(sql, id)
  if (row === null || row.kind !== kind) return missing()
  access.inOrganization(row.organization_id, missing)
  return row
}

function makeAndList(app: AdminApp, { sql, organizationId: defaultId }: AdminOptions, kind: UserKind): void {
  const { path, one, many } = USER_WORDS[kind]
  const create = createRoute({
    method: "post",
    path,
    middleware: permit("users:write"),
    request: { body: jsonBody(newUser) },
    responses: answers(201, `The ${one}.`, userOutput),
  })
  app.openapi(create, async (context) => {
    const wanted = context.req.valid("json")
    const organizationId = permittedOrganization(context.get("access"), wanted.organization_id, defaultId)
    const { name, email, external_id: externalId, project_ids: ids = [] } = wanted
    const user = { organizationId, kind, name, email, externalId, projectIds: ids }
    return context.json(shownUser(rowOf(await createUser(sql, actorOf(context), user))), 201)
  })

  const list = createRoute({
    method: "get",
    path,
    middleware: permit("users:read"),
    request: { query: listQuery },
    responses: answers(200, `A page of ${many}.`, pageOf(userOutput)),
  })
  app.openapi(list, async (context) => {
    const query = context.req.valid("query")
    const rows = await listUsers(sql, {
      visibility: context.get("access").visible(),
      kind,
      organizationId: query.organization_id ?? null,
      projectId: query.project_id ?? null,
      text: query.q,
      after: query.after,
      max: query.limit,
    })
    return context.json({ data: rows.map(shownUser), next: nextAfter(rows, query.limit) }, 200)
  })
}

function show(app: AdminApp, { sql }: AdminOptions, kind: UserKind): void {
  const { path, one } = USER_WORDS[kind]
  const route = createRoute({
    method: "get",
    path: `${path}/{id}`,
    middleware: permit("users:read"),
    request: { params: idParams },
    responses: answers(200, `The ${one}.`, userOutput),
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    return context.json(shownUser(await permittedUser(sql, context.get("access"), id, kind)), 200)
  })
}

function change(app: AdminApp, { sql, directory }: AdminOptions, kind: UserKind): void {
  const { path, one } = USER_WORDS[kind]
  const route = createRoute({
    method: "patch",
    path: `${path}/{id}`,
    middleware: permit("users:write"),
    request: { params: idParams, body: jsonBody(userChange) },
    responses: answers(200, `The ${one} as it is now.`, userOutput),
  })
  app.openapi(route, async (context) => {
    const { id } = context.req.valid("param")
    const { name, email, external_id: externalId, disabled: isDisabled } = context.req.valid("json")
    await permittedUser(sql, context.get("access"), id, kind)
    if (email !== undefined) await requireRolesOf(sql, context.get("access"), id)
    const changes = { name, email: email === null ? "" : email, externalId, isDisabled }
    const changed = await updateUser(sql, actorOf(context), id, changes)
    await directory.changed()
    return context.json(shownUser(rowOf(changed)), 200)
  })
}

export function rowOf(changed: ChangedUser): UserRow {
  if (changed.kind === "done") return changed.row
  if (changed.kind === "missing") {
    const param = { organization: "organization_id", project: "project_ids", user: "id" }[changed.what]
    return missingThing(changed.what, changed.id, param)()
  }
  const message = "The organization has a user with that email or external_id already."
  throw new ApiError("conflict", message, { param: "email" })
}

export function shownUser(row: UserRow): z.infer<typeof userOutput> {
  return {
    ...row,
    email: row.email === "" ? null : row.email,
    project_ids: [...row.project_ids],
    disabled_at: iso(row.disabled_at),
    created_at: row.created_at.toISOString(),
  }
}

/** Projects: make, list, show, change, disable and enable; caps on the calls of a project's keys. */
import { createRoute, z } from "@hono/zod-openapi"
import { keyDefaultsSchema, readKeyDefaults } from "../identity/key-defaults.ts"
import {
  type ChangedProject,
  createProject,
  listProjects,
  type ProjectChanges,
  type ProjectRow,
  readProject,
  updateProject,
} from "../identity/project-registry.ts"
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
import { capChanges, capMembers, capOutput, shownCaps } from "./cap-shape.ts"

const label = z.string().trim().max(200).optional()
const members = {
  external_id: externalIdInput,
  client: label.openapi({ description: "Whom the project's cost is charged to; stands in exports." }),
  cost_center: label.openapi({ description: "The cost centre; stands in exports." }),
  key_defaults: keyDefaultsSchema.optional().openapi({
    description:
      "What members may make for themselves: keys_per_member_max (0: no keys), expires_in_days_max, allowed_models, " +
      "max_output_tokens.",
  }),
  ...capMembers,
}
const newProject = z
  .strictObject({ name: nameInput, organization_id: idInput.optional(), ...members })
  .openapi("NewProject")
const projectChange = z
  .strictObject({
    name: nameInput.optional(),
    ...members,
    disabled: z.boolean().optional().openapi({ description: "While true, every key of the project is refused." }),
  })
  .refine(...atLeastOneField)
  .openapi("ProjectChange", { description: "What is absent stays as it is; null lifts a cap." })
const projectOutput = z
  .object({
    id: z.string(),
    organization_id: z.string(),
    name: z.string(),
    external_id: z.string().nullable(),
    client: z.string(),
    cost_center: z.string(),
    key_defaults: keyDefaultsSchema,
    ...capOutput,
    disabled_at: z.string().nullable(),
    created_at: z.string(),
  })
  .openapi("Project")

export function projectRoutes(app: AdminApp, options: AdminOptions): void {
  makeAndList(app, options)
  showAndChange(app, options)
}

/** The project, where the caller may do what the route does to it; else 404 or 403. */
export async function permittedProject(sql: Sql, access: Access, id: string, param = "id"): Promise<ProjectRow> {
  const missing = missingThing("project", id, param)
  const row = (await readProject(sql, id)) ?? missing()
  access.on({ scope: "project", organizationId: row.organization_id, projectId: id }, missing)
  return row
}

function makeAndList(app: AdminApp, { sql, organizationId: defaultId }: AdminOptions): void {
  const create = createRoute({
    method: "post",
    path: "/admin/v1/projects",
    middleware: permit("projects:write"),
    request: { body: jsonBody(newProject) },
    responses: answers(201, "The project.", projectOutput),
  })
  app.openapi(create, async (context) => {
    const wanted = context.req.valid("json")
    const organizationId = permittedOrganization(context.get("access"), wanted.organization_id, defaultId)
    const changes = { ...changesOf(wanted), name: wanted.name }
    const made = await createProject(sql, actorOf(context), organizationId, changes)
    return context.json(shownProject(rowOf(made, missingThing("organization", organizationId, "organization_id"))), 201)
  })

  const list = createRoute({
    method: "get",
    path: "/admin/v1/projects",
    middleware: permit("projects:read"),
    request: { query: pageQuery.extend({ organization_id: idInput.optional() }) },
    responses: answers(200, "A page of projects.", pageOf(projectOutput)),
  })
  app.openapi(list, async (context) => {
    const { after, limit, organization_id: organizationId = null } = context.req.valid("query")
    const visibility = context.get("access").visible()
    const rows = await listProjects(sql, { visibility, organizationId, after, max: limit })
    return context.json({ data: rows.map(shownProject), next: nextAfter(rows, limit) }, 200)
  })
}

function showAndChange(app: AdminApp, { sql, directory }: AdminOptions): void {
  const show = createRoute({
    method: "get",
    path: "/admin/v1/projects/{id}",
    middleware: permit("projects:read"),
    request: { params: idParams },
    responses: answers(200, "The project.", projectOutput),
  })
  app.openapi(show, async (context) => {
    const row = await permittedProject(sql, context.get("access"), context.req.valid("param").id)
    return context.json(shownProject(row), 200)
  })

  const change = createRoute({
    method: "patch",
    path: "/admin/v1/projects/{id}",
    middleware: permit("projects:write"),
    request: { params: idParams, body: jsonBody(projectChange) },
    responses: answers(200, "The project as it is now; it applies to the next call.", projectOutput),
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    const wanted = context.req.valid("json")
    await permittedProject(sql, context.get("access"), id)
    const changes = { ...changesOf(wanted), isDisabled: wanted.disabled }
    const changed = await updateProject(sql, actorOf(context), id, changes)
    await directory.changed()
    return context.json(shownProject(rowOf(changed, missingThing("project", id))), 200)
  })
}

function changesOf(wanted: Omit<z.output<typeof projectChange>, "disabled">): ProjectChanges {
  return {
    name: wanted.name,
    externalId: wanted.external_id,
    client: wanted.client,
    costCenter: wanted.cost_center,
    keyDefaults: wanted.key_defaults,
    caps: capChanges(wanted),
  }
}

function rowOf(changed: ChangedProject, missing: () => never): ProjectRow {
  if (changed.kind === "done") return changed.row
  if (changed.kind === "missing") return missing()
  const message =
    changed.kind === "taken"
      ? "The organization has a project of that name or external_id already."
      : "The default project keeps its name, by which keys that name no project find it."
  throw new ApiError("conflict", message, { param: "name" })
}

function shownProject(row: ProjectRow): z.infer<typeof projectOutput> {
  const { max_cost_nanos: _, ...members } = row
  return {
    ...members,
    ...shownCaps(row),
    key_defaults: readKeyDefaults(row.key_defaults),
    disabled_at: iso(row.disabled_at),
    created_at: row.created_at.toISOString(),
  }
}

/** Projects and users, as far as keys need them: create one to bind keys to it, cap the calls of a project's keys. */
import { createRoute, z } from "@hono/zod-openapi"
import {
  type ChangedProject,
  type CreatedNamed,
  createProject,
  createUser,
  type ProjectRow,
  updateProject,
} from "../identity/registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AdminApp, type AdminOptions, callerIp } from "./admin-app.ts"
import { answers, errorAnswer } from "./answers.ts"
import { capChanges, capMembers, capOutput, shownCaps } from "./cap-shape.ts"

const name = z.string().trim().min(1).max(200)
const created = z.object({ id: z.string(), name: z.string() }).openapi("Created")

const projectChange = z
  .strictObject({ name: name.optional(), ...capMembers })
  .refine((change) => Object.keys(change).length > 0, { error: "must have at least one field" })
  .openapi("ProjectChange", { description: "What is absent stays as it is; null lifts a cap." })

const projectOutput = z
  .object({ id: z.string(), organization_id: z.string(), name: z.string(), ...capOutput, created_at: z.string() })
  .openapi("Project")

export function peopleRoutes(app: AdminApp, options: AdminOptions): void {
  createThem(app, options)
  changeProject(app, options)
}

function createThem(app: AdminApp, { organizationId, sql }: AdminOptions): void {
  const project = createRoute({
    method: "post",
    path: "/admin/v1/projects",
    request: {
      body: {
        required: true,
        content: { "application/json": { schema: z.strictObject({ name }).openapi("NewProject") } },
      },
    },
    responses: answers(201, "The project.", created),
  })
  app.openapi(project, async (context) => {
    const wanted = context.req.valid("json")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    const made = await createProject(sql, actor, { organizationId, name: wanted.name })
    return context.json({ id: idOf(made, `a project named ${wanted.name}`), name: wanted.name }, 201)
  })

  const newUser = z.strictObject({ name, email: z.email().max(320).optional() }).openapi("NewUser")
  const user = createRoute({
    method: "post",
    path: "/admin/v1/users",
    request: { body: { required: true, content: { "application/json": { schema: newUser } } } },
    responses: answers(201, "The user.", created),
  })
  app.openapi(user, async (context) => {
    const wanted = context.req.valid("json")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    const made = await createUser(sql, actor, { organizationId, name: wanted.name, email: wanted.email ?? "" })
    return context.json({ id: idOf(made, "a user with that e-mail address"), name: wanted.name }, 201)
  })
}

function changeProject(app: AdminApp, { sql, directory }: AdminOptions): void {
  const change = createRoute({
    method: "patch",
    path: "/admin/v1/projects/{id}",
    request: {
      params: z.object({ id: z.string().max(100) }),
      body: { required: true, content: { "application/json": { schema: projectChange } } },
    },
    responses: {
      ...answers(200, "The project as it is now; its caps apply to the next call.", projectOutput),
      409: {
        description: "There is a project of that name already, or this is the default project, which keeps its name.",
        content: { "application/json": { schema: errorAnswer } },
      },
    },
  })
  app.openapi(change, async (context) => {
    const { id } = context.req.valid("param")
    const wanted = context.req.valid("json")
    const actor = { name: context.get("admin"), ip: callerIp(context) }
    const row = projectOf(await updateProject(sql, actor, id, { name: wanted.name, caps: capChanges(wanted) }), id)
    await directory.changed()
    return context.json(shownProject(row), 200)
  })
}

function projectOf(changed: ChangedProject, id: string): ProjectRow {
  if (changed.kind === "changed") return changed.row
  if (changed.kind === "missing") throw new ApiError("not_found", `There is no project \`${id}\`.`, { param: "id" })
  const message =
    changed.kind === "taken"
      ? "There is a project of that name already."
      : "The default project keeps its name, by which keys that name no project find it."
  throw new ApiError("conflict", message, { param: "name" })
}

function shownProject(row: ProjectRow): z.infer<typeof projectOutput> {
  const { id, organization_id, name, created_at } = row
  return { id, organization_id, name, ...shownCaps(row), created_at: created_at.toISOString() }
}

function idOf(made: CreatedNamed, what: string): string {
  if (made.kind === "taken") throw new ApiError("conflict", `There is ${what} already.`)
  return made.id
}

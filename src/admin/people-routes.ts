/** Projects and users, as far as keys need them: create one to bind keys to it. */
import { createRoute, z } from "@hono/zod-openapi"
import { type CreatedNamed, createProject, createUser } from "../identity/registry.ts"
import { ApiError } from "../platform/error-table.ts"
import { type AdminApp, type AdminOptions, callerIp } from "./admin-app.ts"
import { answers } from "./answers.ts"

const name = z.string().trim().min(1).max(200)
const created = z.object({ id: z.string(), name: z.string() }).openapi("Created")

export function peopleRoutes(app: AdminApp, options: AdminOptions): void {
  const { organizationId, sql } = options
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

function idOf(made: CreatedNamed, what: string): string {
  if (made.kind === "taken") throw new ApiError("conflict", `There is ${what} already.`)
  return made.id
}

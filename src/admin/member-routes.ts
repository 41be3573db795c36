/** Who is a member of a project: users of its organization, each of any number of projects. */
import { createRoute, z } from "@hono/zod-openapi"
import { addMember, removeMember } from "../identity/project-registry.ts"
import { permit } from "./access.ts"
import { type AdminApp, type AdminOptions, actorOf } from "./admin-app.ts"
import { answers, missingThing } from "./answers.ts"
import { permittedProject } from "./project-routes.ts"

const params = z.object({ id: z.string().max(100), user_id: z.string().max(100) })
const membership = z
  .object({ project_id: z.string(), user_id: z.string(), is_member: z.boolean() })
  .openapi("Membership")

/** Members are listed by `GET /admin/v1/users?project_id=…`. */
export function memberRoutes(app: AdminApp, { sql }: AdminOptions): void {
  const add = createRoute({
    method: "put",
    path: "/admin/v1/projects/{id}/members/{user_id}",
    middleware: permit("projects:write"),
    request: { params },
    responses: answers(200, "The user is a member, from now on or already.", membership),
  })
  app.openapi(add, async (context) => {
    const { id, user_id: userId } = context.req.valid("param")
    const project = await permittedProject(sql, context.get("access"), id)
    if (!(await addMember(sql, actorOf(context), project, userId))) missingThing("user", userId, "user_id")()
    return context.json({ project_id: id, user_id: userId, is_member: true }, 200)
  })

  const remove = createRoute({
    method: "delete",
    path: "/admin/v1/projects/{id}/members/{user_id}",
    middleware: permit("projects:write"),
    request: { params },
    responses: answers(200, "The user is no member any more; keys that the user has there stay.", membership),
  })
  app.openapi(remove, async (context) => {
    const { id, user_id: userId } = context.req.valid("param")
    const project = await permittedProject(sql, context.get("access"), id)
    if (!(await removeMember(sql, actorOf(context), project, userId))) missingThing("member", userId, "user_id")()
    return context.json({ project_id: id, user_id: userId, is_member: false }, 200)
  })
}

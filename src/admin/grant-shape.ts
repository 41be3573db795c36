/** How a role and what it is given over are written and shown: `scope` is {} for the installation, else names one thing. */
import { z } from "@hono/zod-openapi"
import { readOrganization } from "../identity/organization-registry.ts"
import { readProject } from "../identity/project-registry.ts"
import { type Grant, ROLES, type Target } from "../identity/role.ts"
import type { Sql } from "../platform/postgres.ts"
import { idInput, missingThing } from "./answers.ts"

export const roleInput = z.enum(ROLES).openapi({
  description:
    "owner: everything; admin: everything, except to make owners; billing: reads everything but the audit log, and sets " +
    "limits and alerts; viewer: reads.",
})

export const grantScope = z
  .strictObject({ organization_id: idInput.optional(), project_id: idInput.optional() })
  .refine((scope) => scope.organization_id === undefined || scope.project_id === undefined, {
    error: "must name one of organization_id and project_id, or be {} for the installation",
  })
  .openapi("GrantScope", { description: "What the role is over: an organization, a project, or {}: the installation." })

/** What the scope names; 404 where there is no such thing. */
export async function targetOf(sql: Sql, scope: z.infer<typeof grantScope>): Promise<Target> {
  const { organization_id: organizationId, project_id: projectId } = scope
  if (projectId !== undefined) {
    const project = (await readProject(sql, projectId)) ?? missingThing("project", projectId, "scope.project_id")()
    return { scope: "project", organizationId: project.organization_id, projectId }
  }
  if (organizationId === undefined) return { scope: "installation" }
  if ((await readOrganization(sql, organizationId)) === null) {
    missingThing("organization", organizationId, "scope.organization_id")()
  }
  return { scope: "organization", organizationId }
}

/** The grant of a role over the target. */
export function grantOver(role: Grant["role"], target: Target): Grant {
  if (target.scope === "installation") return { role, scope: "installation", scopeId: "" }
  const scopeId = target.scope === "project" ? target.projectId : target.organizationId
  return { role, scope: target.scope, scopeId }
}

/** The target that a stored grant names; null where its project is gone. */
export async function targetOfGrant(sql: Sql, { scope, scopeId }: Omit<Grant, "role">): Promise<Target | null> {
  if (scope === "installation") return { scope }
  if (scope === "organization") return { scope, organizationId: scopeId }
  const project = await readProject(sql, scopeId)
  return project === null ? null : { scope, organizationId: project.organization_id, projectId: scopeId }
}

export function shownScope({ scope, scopeId }: Omit<Grant, "role">): z.infer<typeof grantScope> {
  return scope === "installation" ? {} : { [`${scope}_id`]: scopeId }
}

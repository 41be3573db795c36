/**
 * Whoever can log in as a user can do what that user may. So what a user logs in by, address or password, is changed only
 * by those who could give the user all those roles: an admin does not become an owner by way of an owner's password.
 */
import { type Grant, mayGrant } from "../identity/role.ts"
import { grantsInOrganization, grantsOf } from "../identity/role-registry.ts"
import { ApiError } from "../platform/error-table.ts"
import type { Sql } from "../platform/postgres.ts"
import type { Access } from "./access.ts"
import { targetOfGrant } from "./grant-shape.ts"

/** Passes where the caller's roles are at least the user's own; throws 403 else. */
export async function requireRolesOf(sql: Sql, access: Access, userId: string): Promise<void> {
  for (const grant of await grantsOf(sql, userId)) {
    if (await isWithin(sql, access, grant)) continue
    const where = grant.scope === "installation" ? "the installation" : `the ${grant.scope} ${grant.scopeId}`
    const message = `This user is ${grant.role} of ${where}. Only who may give that role may change what the user logs in by.`
    throw new ApiError("not_permitted", message, { param: "id" })
  }
}

/** The users of the organization whose roles are more than the caller's. */
export async function usersBeyond(sql: Sql, access: Access, organizationId: string): Promise<ReadonlySet<string>> {
  const beyond = new Set<string>()
  for (const { userId, grant } of await grantsInOrganization(sql, organizationId)) {
    if (!beyond.has(userId) && !(await isWithin(sql, access, grant))) beyond.add(userId)
  }
  return beyond
}

async function isWithin(sql: Sql, access: Access, grant: Grant): Promise<boolean> {
  const target = await targetOfGrant(sql, grant)
  return target === null || mayGrant(access.principal.grants, grant.role, target)
}

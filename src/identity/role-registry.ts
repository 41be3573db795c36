/** The write path of users' roles. A change ends the user's sessions, so that nobody goes on with an old role. */
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import type { Grant } from "./role.ts"
import { endSessionsOf } from "./session.ts"

/** Gives the user this role over the scope, in place of the one that it had there. */
export async function grantRole(
  sql: Sql,
  actor: Actor,
  user: { readonly id: string; readonly organization_id: string },
  grant: Grant,
): Promise<void> {
  await sql.begin((transaction) => insertGrant(transaction, actor, user, grant))
}

/** The same inside a transaction of the caller's. */
export async function insertGrant(
  transaction: Transaction,
  actor: Actor,
  user: { readonly id: string; readonly organization_id: string },
  grant: Grant,
): Promise<void> {
  const { id, organization_id: organizationId } = user
  const before = await grantsOf(transaction, id)
  await transaction`
    INSERT INTO role_grants (user_id, role, scope, scope_id)
    VALUES (${id}, ${grant.role}, ${grant.scope}, ${grant.scopeId})
    ON CONFLICT (user_id, scope, scope_id) DO UPDATE SET role = excluded.role, source = excluded.source`
  await endSessionsOf(transaction, id)
  await writeAudit(transaction, actor, {
    organizationId,
    action: "role.grant",
    subject: id,
    before: { roles: before },
    after: { roles: await grantsOf(transaction, id) },
  })
}

/** Takes away the user's role over the scope; false where there was none. */
export async function revokeRole(
  sql: Sql,
  actor: Actor,
  user: { readonly id: string; readonly organization_id: string },
  { scope, scopeId }: Pick<Grant, "scope" | "scopeId">,
): Promise<boolean> {
  return sql.begin(async (transaction) => {
    const { id, organization_id: organizationId } = user
    const before = await grantsOf(transaction, id)
    const gone = await transaction`
      DELETE FROM role_grants WHERE user_id = ${id} AND scope = ${scope} AND scope_id = ${scopeId} RETURNING role`
    if (gone.length === 0) return false
    await endSessionsOf(transaction, id)
    await writeAudit(transaction, actor, {
      organizationId,
      action: "role.revoke",
      subject: id,
      before: { roles: before },
      after: { roles: await grantsOf(transaction, id) },
    })
    return true
  })
}

/** The roles that the user has, in a stable order. */
export async function grantsOf(sql: Sql | Transaction, userId: string): Promise<readonly Grant[]> {
  const rows = await sql<{ role: Grant["role"]; scope: Grant["scope"]; scope_id: string }[]>`
    SELECT role, scope, scope_id FROM role_grants WHERE user_id = ${userId} ORDER BY scope, scope_id`
  return rows.map(({ role, scope, scope_id }) => ({ role, scope, scopeId: scope_id }))
}

/** The roles that the users of an organization have, over whatever. */
export async function grantsInOrganization(
  sql: Sql,
  organizationId: string,
): Promise<readonly { readonly userId: string; readonly grant: Grant }[]> {
  const rows = await sql<{ user_id: string; role: Grant["role"]; scope: Grant["scope"]; scope_id: string }[]>`
    SELECT g.user_id, g.role, g.scope, g.scope_id FROM role_grants g JOIN users u ON u.id = g.user_id
    WHERE u.organization_id = ${organizationId}`
  return rows.map(({ user_id: userId, role, scope, scope_id: scopeId }) => ({
    userId,
    grant: { role, scope, scopeId },
  }))
}

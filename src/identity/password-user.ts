/** Who logs in by password, and the write path of passwords. A change ends every session of the user. */
import type { Sql } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { endSessionsOf } from "./session.ts"

export type PasswordUser = {
  readonly id: string
  readonly organization_id: string
  readonly email: string
  readonly password_hash: string
}

/**
 * The enabled person with a password and, in whatever case, this address; null where there is none, or where there are
 * several and `organizationId` is null, so that nobody learns by it which addresses there are.
 */
export async function findPasswordUser(
  sql: Sql,
  { email, organizationId }: { readonly email: string; readonly organizationId: string | null },
): Promise<PasswordUser | null> {
  const rows = await sql<PasswordUser[]>`
    SELECT id, organization_id, email, password_hash FROM users
    WHERE lower(email) = lower(${email}) AND email <> '' AND kind = 'person' AND disabled_at IS NULL
      AND password_hash IS NOT NULL ${organizationId === null ? sql`` : sql`AND organization_id = ${organizationId}`}
    LIMIT 2`
  return rows.length === 1 ? (rows[0] ?? null) : null
}

/** The same of a user that is known; null where that one has no password. */
export async function readPasswordUser(sql: Sql, id: string): Promise<PasswordUser | null> {
  const [row] = await sql<PasswordUser[]>`
    SELECT id, organization_id, email, password_hash FROM users WHERE id = ${id} AND password_hash IS NOT NULL`
  return row ?? null
}

/** Sets what the user's password is kept as, or with null takes it away. */
export async function setPassword(
  sql: Sql,
  actor: Actor,
  user: { readonly id: string; readonly organization_id: string },
  hash: string | null,
): Promise<void> {
  const { id, organization_id: organizationId } = user
  await sql.begin(async (transaction) => {
    const [before] = await transaction<{ has_password: boolean }[]>`
      SELECT password_hash IS NOT NULL AS has_password FROM users WHERE id = ${id} FOR UPDATE`
    await transaction`UPDATE users SET password_hash = ${hash} WHERE id = ${id}`
    await endSessionsOf(transaction, id)
    await writeAudit(transaction, actor, {
      organizationId,
      action: "user.password",
      subject: id,
      before: { has_password: before?.has_password ?? false },
      after: { has_password: hash !== null },
    })
  })
}

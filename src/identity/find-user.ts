/** A user as a call may name one: by id or e-mail address, with the limits that then apply to the call. */
import type { Sql } from "../platform/postgres.ts"
import type { Limit } from "./limit.ts"
import { type LimitRow, limitColumns, limitFrom } from "./limit-row.ts"

export type FoundUser = {
  readonly id: string
  /** The user's own, and no wider ones. */
  readonly limits: readonly Limit[]
}

/** The enabled user of the organization with this id or, in whatever case, this e-mail address; null where there is none. */
export async function findUser(sql: Sql, organizationId: string, text: string): Promise<FoundUser | null> {
  // Users without an e-mail address have the empty one, by which nobody is found.
  const [user] = await sql<{ id: string }[]>`
    SELECT id FROM users
    WHERE organization_id = ${organizationId} AND disabled_at IS NULL
      AND (id = ${text} OR (email <> '' AND lower(email) = lower(${text})))
    ORDER BY id = ${text} DESC LIMIT 1`
  if (user === undefined) return null
  const rows = await sql<LimitRow[]>`
    SELECT ${limitColumns(sql)} FROM limits WHERE scope = 'user' AND subject = ${user.id} ORDER BY created_at, id`
  return { id: user.id, limits: rows.map(limitFrom) }
}

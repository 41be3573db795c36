/** The write path of admin keys: each has one role over one scope. Acts write their audit row in their transaction. */
import { namedId } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import type { Grant, Visibility } from "./role.ts"
import { mintAdminKey, secretDigest } from "./secret.ts"
import { visibleRows } from "./visible-rows.ts"

export type AdminKeyRow = {
  readonly id: string
  readonly name: string
  readonly role: Grant["role"]
  readonly scope: Grant["scope"]
  readonly scope_id: string
  /** '' for the installation. */
  readonly organization_id: string
  readonly last4: string
  readonly expires_at: Date | null
  readonly revoked_at: Date | null
  readonly created_at: Date
}

export type NewAdminKey = Grant & {
  readonly name: string
  readonly expiresAt: Date | null
}

/** The secret is returned here and nowhere else. The scope must exist. */
export async function createAdminKey(
  sql: Sql,
  actor: Actor,
  wanted: NewAdminKey,
): Promise<{ readonly secret: string; readonly row: AdminKeyRow }> {
  return sql.begin(async (transaction) => {
    const id = namedId("adm")
    const secret = mintAdminKey()
    await transaction`
      INSERT INTO admin_keys (id, name, secret_sha256, last4, role, scope, scope_id, expires_at)
      VALUES (${id}, ${wanted.name}, decode(${secretDigest(secret)}, 'hex'), ${secret.slice(-4)}, ${wanted.role},
              ${wanted.scope}, ${wanted.scopeId}, ${wanted.expiresAt})`
    const row = await readAdminKey(transaction, id)
    if (row === null) throw new Error(`The admin key ${id} is not readable in the transaction that wrote it.`)
    await audit(transaction, actor, "admin_key.create", null, row)
    return { secret, row }
  })
}

/** Revokes a key, and with it every session that was opened by it; null where there is none. */
export async function revokeAdminKey(sql: Sql, actor: Actor, id: string): Promise<AdminKeyRow | null> {
  return sql.begin(async (transaction) => {
    const before = await readAdminKey(transaction, id)
    if (before === null) return null
    await transaction`UPDATE admin_keys SET revoked_at = now() WHERE id = ${id} AND revoked_at IS NULL`
    await transaction`DELETE FROM sessions WHERE admin_key_id = ${id}`
    const after = await readAdminKey(transaction, id)
    await audit(transaction, actor, "admin_key.revoke", before, after)
    return after
  })
}

export async function readAdminKey(sql: Sql | Transaction, id: string): Promise<AdminKeyRow | null> {
  const [row] = await sql<AdminKeyRow[]>`SELECT ${columns(sql)} FROM ${joined(sql)} WHERE a.id = ${id}`
  return row ?? null
}

/** A page in order of ids, at most `max`, after the id `after` ('' for the first page). */
export function listAdminKeys(
  sql: Sql,
  { visibility, after, max }: { readonly visibility: Visibility; readonly after: string; readonly max: number },
): Promise<readonly AdminKeyRow[]> {
  const inProjects = (ids: string[]) => sql`p.id = ANY (${ids}::text[])`
  const organizationId = sql`coalesce(p.organization_id, a.scope_id)`
  return sql<AdminKeyRow[]>`
    SELECT ${columns(sql)} FROM ${joined(sql)}
    WHERE a.id > ${after} AND ${visibleRows(sql, visibility, organizationId, inProjects)} ORDER BY a.id LIMIT ${max}`
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  action: string,
  before: AdminKeyRow | null,
  after: AdminKeyRow | null,
): Promise<void> {
  const row = after ?? before
  if (row === null) throw new Error(`${action} is about no admin key.`)
  await writeAudit(transaction, actor, { organizationId: row.organization_id, action, subject: row.id, before, after })
}

function joined(sql: Sql | Transaction) {
  return sql`admin_keys a LEFT JOIN projects p ON a.scope = 'project' AND p.id = a.scope_id`
}

function columns(sql: Sql | Transaction) {
  return sql`
    a.id, a.name, a.role, a.scope, a.scope_id, coalesce(p.organization_id, a.scope_id) AS organization_id, a.last4,
    a.expires_at, a.revoked_at, a.created_at`
}

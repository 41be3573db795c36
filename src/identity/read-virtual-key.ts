/** A virtual key with every limit that applies to its calls, as Postgres has them now. */
import type { Sql } from "../platform/postgres.ts"
import type { Limit } from "./limit.ts"
import { type LimitRow, limitColumns, limitFrom } from "./limit-row.ts"
import type { VirtualKey } from "./virtual-key.ts"

type KeyRow = {
  id: string
  name: string
  organization_id: string
  project_id: string
  user_id: string | null
  allowed_models: string[] | null
  expires_at: Date | null
  revoked_at: Date | null
}

/** The key with this digest of its secret; null where nobody issued it. */
export async function readVirtualKey(sql: Sql, digest: string): Promise<VirtualKey | null> {
  const [row] = await sql<KeyRow[]>`
    SELECT id, name, organization_id, project_id, user_id, allowed_models, expires_at, revoked_at
    FROM virtual_keys WHERE secret_sha256 = decode(${digest}, 'hex')`
  if (row === undefined) return null
  return {
    id: row.id,
    name: row.name,
    organizationId: row.organization_id,
    projectId: row.project_id,
    userId: row.user_id ?? "",
    allowedModels: row.allowed_models,
    expiresAtMs: row.expires_at?.getTime() ?? null,
    revokedAtMs: row.revoked_at?.getTime() ?? null,
    limits: await readLimits(sql, row),
  }
}

async function readLimits(sql: Sql, key: KeyRow): Promise<Limit[]> {
  const rows = await sql<LimitRow[]>`
    SELECT ${limitColumns(sql)} FROM limits
    WHERE (scope, subject) IN (('organization', ${key.organization_id}), ('project', ${key.project_id}),
                               ('user', ${key.user_id ?? ""}), ('key', ${key.id}))
    ORDER BY array_position(ARRAY['organization', 'project', 'user', 'key'], scope), created_at, id`
  return rows.map(limitFrom)
}

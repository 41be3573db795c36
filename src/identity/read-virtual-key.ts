/** A virtual key with every limit that applies to its calls, as Postgres has them now. */
import type { Sql, SqlFragment } from "../platform/postgres.ts"
import { type CallCaps, combineCaps } from "./call-caps.ts"
import { type CapRow, capsFrom } from "./cap-row.ts"
import { countedApart } from "./counted-apart.ts"
import type { Limit } from "./limit.ts"
import { type LimitRow, limitColumns, limitFrom } from "./limit-row.ts"
import type { VirtualKey } from "./virtual-key.ts"

type KeyRow = CapRow & {
  id: string
  name: string
  organization_id: string
  project_id: string
  user_id: string | null
  tags: string[]
  allowed_models: string[] | null
  allowed_endpoints: string[] | null
  ip_allow: string[] | null
  unmetered: "allow" | "deny"
  attribute_users: boolean
  expires_at: Date | null
  revoked_at: Date | null
  replaced_at: Date | null
  disabled: VirtualKey["disabled"]
  project_max_output_tokens: string | null
  project_max_input_tokens: string | null
  project_max_cost_nanos: string | null
  project_cap_policy: CapRow["cap_policy"]
}

/** The key with this digest of its secret, or of the one before its last rotation; null where nobody issued it. */
export async function readVirtualKey(sql: Sql, digest: string): Promise<VirtualKey | null> {
  const given = sql`decode(${digest}, 'hex')`
  return readWhere(
    sql,
    sql`k.secret_sha256 = ${given} OR k.previous_secret_sha256 = ${given}`,
    sql`CASE WHEN k.previous_secret_sha256 = ${given} THEN k.previous_valid_until END`,
  )
}

/** The key with this id, whether or not it still works; null where there is none. */
export async function readVirtualKeyById(sql: Sql, id: string): Promise<VirtualKey | null> {
  return readWhere(sql, sql`k.id = ${id}`, sql`NULL::timestamptz`)
}

/** `replacedAt`: until when the secret that was presented is accepted, where it is not the newest. */
async function readWhere(sql: Sql, condition: SqlFragment, replacedAt: SqlFragment): Promise<VirtualKey | null> {
  const [row] = await sql<KeyRow[]>`
    SELECT k.id, k.name, k.organization_id, k.project_id, k.user_id, k.tags, k.allowed_models, k.allowed_endpoints, k.ip_allow,
           k.unmetered, k.attribute_users, k.max_output_tokens, k.max_input_tokens, k.max_cost_nanos, k.cap_policy,
           k.expires_at, k.revoked_at, ${replacedAt} AS replaced_at,
           CASE WHEN o.disabled_at IS NOT NULL THEN 'organization' WHEN p.disabled_at IS NOT NULL THEN 'project'
                WHEN u.disabled_at IS NOT NULL THEN 'user' END AS disabled,
           p.max_output_tokens AS project_max_output_tokens, p.max_input_tokens AS project_max_input_tokens,
           p.max_cost_nanos AS project_max_cost_nanos, p.cap_policy AS project_cap_policy
    FROM virtual_keys k JOIN projects p ON p.id = k.project_id JOIN organizations o ON o.id = k.organization_id
      LEFT JOIN users u ON u.id = k.user_id
    WHERE ${condition}`
  if (row === undefined) return null
  return {
    id: row.id,
    name: row.name,
    organizationId: row.organization_id,
    projectId: row.project_id,
    userId: row.user_id ?? "",
    tags: row.tags,
    allowedModels: row.allowed_models,
    allowedEndpoints: row.allowed_endpoints,
    ipAllow: row.ip_allow,
    mayUseUnmetered: row.unmetered === "allow",
    mayAttributeUsers: row.attribute_users,
    caps: combineCaps(capsFrom(row), projectCaps(row)),
    expiresAtMs: row.expires_at?.getTime() ?? null,
    revokedAtMs: row.revoked_at?.getTime() ?? null,
    replacedAtMs: row.replaced_at?.getTime() ?? null,
    disabled: row.disabled,
    limits: countedApart(await readLimits(sql, row), {
      id: row.id,
      organizationId: row.organization_id,
      projectId: row.project_id,
      userId: row.user_id ?? "",
    }),
  }
}

function projectCaps(row: KeyRow): CallCaps {
  return capsFrom({
    max_output_tokens: row.project_max_output_tokens,
    max_input_tokens: row.project_max_input_tokens,
    max_cost_nanos: row.project_max_cost_nanos,
    cap_policy: row.project_cap_policy,
  })
}

/** Every limit on one of these, the widest first; '' names none. */
export async function readLimits(
  sql: Sql,
  key: Pick<KeyRow, "id" | "organization_id" | "project_id" | "user_id">,
): Promise<Limit[]> {
  const rows = await sql<LimitRow[]>`
    SELECT ${limitColumns(sql)} FROM limits
    WHERE (scope, subject) IN (('organization', ${key.organization_id}), ('project', ${key.project_id}),
                               ('user', ${key.user_id ?? ""}), ('key', ${key.id}))
    ORDER BY array_position(ARRAY['organization', 'project', 'user', 'key'], scope), created_at, id`
  return rows.map(limitFrom)
}

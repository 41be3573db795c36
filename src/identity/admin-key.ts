/** Who may use the admin API by a key: those in `admin_keys`, and the bootstrap key of the environment while it is set. */
import { timingSafeEqual } from "node:crypto"
import type { Sql } from "../platform/postgres.ts"
import type { Grant } from "./role.ts"
import { isAdminKeyShaped, secretDigest } from "./secret.ts"

export type AdminIdentified =
  /** `id` is '' for the bootstrap key. */
  { readonly kind: "admin"; readonly id: string; readonly grant: Grant } | { readonly kind: "refused" }

const EVERYTHING: Grant = { role: "owner", scope: "installation", scopeId: "" }

/** A function that names the admin behind a presented key. */
export function adminKeys(sql: Sql, bootstrapKey: string | null): (text: string) => Promise<AdminIdentified> {
  const bootstrapDigest = bootstrapKey === null ? null : Buffer.from(secretDigest(bootstrapKey), "hex")
  return async (text) => {
    const digest = secretDigest(text)
    if (bootstrapDigest !== null && timingSafeEqual(bootstrapDigest, Buffer.from(digest, "hex"))) {
      return { kind: "admin", id: "", grant: EVERYTHING }
    }
    if (!isAdminKeyShaped(text)) return { kind: "refused" }
    const [row] = await sql<{ id: string; role: Grant["role"]; scope: Grant["scope"]; scope_id: string }[]>`
      SELECT id, role, scope, scope_id FROM admin_keys
      WHERE secret_sha256 = decode(${digest}, 'hex') AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > now())`
    if (row === undefined) return { kind: "refused" }
    return { kind: "admin", id: row.id, grant: { role: row.role, scope: row.scope, scopeId: row.scope_id } }
  }
}

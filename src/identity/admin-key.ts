/** Who may use the admin API: the keys in `admin_keys`, and the bootstrap key of the environment while it is set. */
import { timingSafeEqual } from "node:crypto"
import type { Sql } from "../platform/postgres.ts"
import { isAdminKeyShaped, secretDigest } from "./secret.ts"

export type AdminIdentified = { readonly kind: "admin"; readonly name: string } | { readonly kind: "refused" }

/** A function that names the admin behind a presented bearer key. */
export function adminKeys(sql: Sql, bootstrapKey: string | null): (text: string) => Promise<AdminIdentified> {
  const bootstrapDigest = bootstrapKey === null ? null : Buffer.from(secretDigest(bootstrapKey), "hex")
  return async (text) => {
    const digest = secretDigest(text)
    if (bootstrapDigest !== null && timingSafeEqual(bootstrapDigest, Buffer.from(digest, "hex"))) {
      return { kind: "admin", name: "environment" }
    }
    if (!isAdminKeyShaped(text)) return { kind: "refused" }
    const [row] = await sql<{ id: string }[]>`
      SELECT id FROM admin_keys WHERE secret_sha256 = decode(${digest}, 'hex') AND revoked_at IS NULL`
    return row === undefined ? { kind: "refused" } : { kind: "admin", name: row.id }
  }
}

/** Who is behind a session, as Postgres has it now: roles, and whether what opened it still holds, are read each time. */
import { timingSafeEqual } from "node:crypto"
import type { Sql } from "../platform/postgres.ts"
import { readVirtualKey } from "./read-virtual-key.ts"
import type { Grant } from "./role.ts"
import { grantsOf } from "./role-registry.ts"
import { secretDigest } from "./secret.ts"
import { environmentMac } from "./session.ts"
import { keyFault, type VirtualKey } from "./virtual-key.ts"

/** 32 bytes in base64url: what has another form needs no query. */
const SECRET_SHAPE = /^[\w-]{43}$/

export type SessionHolder =
  | {
      readonly kind: "user"
      readonly id: string
      readonly name: string
      readonly organizationId: string
      readonly grants: readonly Grant[]
    }
  | { readonly kind: "admin_key"; readonly id: string; readonly name: string; readonly grant: Grant }
  | { readonly kind: "key"; readonly key: VirtualKey }
  | { readonly kind: "environment" }

export type Session = { readonly holder: SessionHolder; readonly expiresAt: Date }

type SessionRow = {
  readonly expires_at: Date
  readonly user_id: string | null
  readonly user_name: string | null
  readonly user_organization_id: string | null
  readonly admin_key_id: string | null
  readonly admin_key_name: string | null
  readonly role: Grant["role"] | null
  readonly scope: Grant["scope"] | null
  readonly scope_id: string | null
  readonly key_digest: string | null
  readonly environment_mac: Buffer | null
}

/** The session of this secret, where it and what opened it still hold; else null. `environmentKey`: the one that is set. */
export async function readSession(
  sql: Sql,
  secret: string,
  { now, environmentKey }: { readonly now: Date; readonly environmentKey: string | null },
): Promise<Session | null> {
  if (!SECRET_SHAPE.test(secret)) return null
  const [row] = await sql<SessionRow[]>`
    SELECT s.expires_at, u.id AS user_id, u.name AS user_name, u.organization_id AS user_organization_id,
           a.id AS admin_key_id, a.name AS admin_key_name, a.role, a.scope, a.scope_id,
           encode(s.key_secret_sha256, 'hex') AS key_digest, s.environment_mac
    FROM sessions s
      LEFT JOIN users u ON u.id = s.user_id AND u.disabled_at IS NULL
      LEFT JOIN admin_keys a ON a.id = s.admin_key_id AND a.revoked_at IS NULL
        AND (a.expires_at IS NULL OR a.expires_at > ${now})
    WHERE s.secret_sha256 = decode(${secretDigest(secret)}, 'hex') AND s.expires_at > ${now}`
  if (row === undefined) return null
  const holder = await holderOf(sql, row, { secret, now, environmentKey })
  return holder === null ? null : { holder, expiresAt: row.expires_at }
}

async function holderOf(
  sql: Sql,
  row: SessionRow,
  { secret, now, environmentKey }: { secret: string; now: Date; environmentKey: string | null },
): Promise<SessionHolder | null> {
  if (row.user_id !== null) {
    const { user_id: id, user_name: name, user_organization_id: organizationId } = row
    return { kind: "user", id, name: name ?? "", organizationId: organizationId ?? "", grants: await grantsOf(sql, id) }
  }
  const { admin_key_id: id, role, scope } = row
  if (id !== null && role !== null && scope !== null) {
    return {
      kind: "admin_key",
      id,
      name: row.admin_key_name ?? "",
      grant: { role, scope, scopeId: row.scope_id ?? "" },
    }
  }
  if (row.key_digest !== null) {
    const key = await readVirtualKey(sql, row.key_digest)
    return key === null || keyFault(key, now.getTime()) !== null ? null : { kind: "key", key }
  }
  if (row.environment_mac === null || environmentKey === null) return null
  return timingSafeEqual(row.environment_mac, environmentMac(secret, environmentKey)) ? { kind: "environment" } : null
}

/**
 * Log-ins of browsers. The secret stands in a cookie and nowhere else; Postgres has its digest, so that a copy of the
 * database opens nothing. A session ends by itself, by log-out, with whatever opened it, and with every change of its
 * user's password or roles.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { writeAudit } from "./audit.ts"
import { secretDigest } from "./secret.ts"

const SECRET_BYTES = 32
const HOUR_MS = 3_600_000

/** Who logged in, as far as the session has to remember it. `secret` is what was presented. */
export type SessionOpener =
  | { readonly kind: "user"; readonly id: string; readonly organizationId: string }
  | { readonly kind: "admin_key"; readonly id: string; readonly organizationId: string }
  | { readonly kind: "key"; readonly id: string; readonly organizationId: string; readonly secret: string }
  | { readonly kind: "environment"; readonly secret: string }

/** Opens a session, writes that down in the audit log, and returns its secret, here and nowhere else. */
export async function openSession(
  sql: Sql,
  opener: SessionOpener,
  { ip, now, hoursMax }: { readonly ip: string; readonly now: Date; readonly hoursMax: number },
): Promise<string> {
  const secret = randomBytes(SECRET_BYTES).toString("base64url")
  const expiresAt = new Date(now.getTime() + hoursMax * HOUR_MS)
  const name = opener.kind === "environment" ? opener.kind : opener.id
  const idOf = (kind: SessionOpener["kind"]) => (opener.kind === kind ? name : null)
  const keyDigest = opener.kind === "key" ? secretDigest(opener.secret) : null
  const mac = opener.kind === "environment" ? environmentMac(secret, opener.secret) : null
  await sql.begin(async (transaction) => {
    await transaction`DELETE FROM sessions WHERE expires_at <= ${now}`
    await transaction`
      INSERT INTO sessions (secret_sha256, user_id, admin_key_id, key_id, key_secret_sha256, environment_mac, ip,
                            created_at, expires_at)
      VALUES (decode(${secretDigest(secret)}, 'hex'), ${idOf("user")}, ${idOf("admin_key")}, ${idOf("key")},
              decode(${keyDigest}, 'hex'), ${mac}, ${ip}, ${now}, ${expiresAt})`
    const organizationId = opener.kind === "environment" ? "" : opener.organizationId
    const entry = { organizationId, action: "session.open", subject: name, before: null, after: { kind: opener.kind } }
    await writeAudit(transaction, { name, ip }, entry)
  })
  return secret
}

/** Ends the session; false where there is none of this secret. */
export async function endSession(sql: Sql, secret: string): Promise<boolean> {
  const gone = await sql`
    DELETE FROM sessions WHERE secret_sha256 = decode(${secretDigest(secret)}, 'hex') RETURNING created_at`
  return gone.length === 1
}

/** Ends every session of the user. */
export async function endSessionsOf(transaction: Transaction, userId: string): Promise<void> {
  await transaction`DELETE FROM sessions WHERE user_id = ${userId}`
}

/** What a page sends beside the cookie to show that it is ours: other sites cannot read it, nor make it from the cookie. */
export function csrfTokenOf(secret: string): string {
  return createHmac("sha256", secret).update("csrf").digest("base64url")
}

export function isCsrfTokenOf(secret: string, token: string): boolean {
  const [wanted, given] = [Buffer.from(csrfTokenOf(secret)), Buffer.from(token)]
  return wanted.length === given.length && timingSafeEqual(wanted, given)
}

/** By what a session of the environment's admin key knows whether that key is still the one that opened it. */
export function environmentMac(secret: string, environmentKey: string): Buffer {
  return createHmac("sha256", secret).update(`environment ${environmentKey}`).digest()
}

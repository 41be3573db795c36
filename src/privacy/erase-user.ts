/**
 * Erases a user. Usage stands behind the user's id, which says nothing once the row that maps it to a person is empty: it
 * stays, and with it every sum. What goes at once are name, address, log-ins, roles, memberships and the names of keys;
 * then, in batches, what the person's calls said of themselves, and every text that names the person.
 */
import { type Actor, writeAudit } from "../identity/audit.ts"
import { raiseDirectoryVersion } from "../identity/directory-version.ts"
import { endSessionsOf } from "../identity/session.ts"
import { readUser, type UserRow } from "../identity/user-registry.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type AuditedPerson, countAudit, eraseAudit } from "./erase-audit.ts"
import type { Counts } from "./erase-customer.ts"
import { countTexts, eraseTexts, Words } from "./erase-texts.ts"
import { countUserRecords, eraseUserRecords } from "./user-records.ts"

export type UserErasure = {
  readonly userId: string
  readonly organizationId: string
  readonly erasedBy: string
  /** What texts may call the person. */
  readonly words: readonly string[]
}

/** What stands in the place of names. */
export const ERASED_NAME = "erased"

/** What is to be changed, by table. */
export async function countUser(sql: Sql, user: UserRow): Promise<Counts> {
  const erasure = {
    userId: user.id,
    organizationId: user.organization_id,
    erasedBy: "",
    words: await wordsOf(sql, user.id),
  }
  const person = await audited(sql, erasure)
  const [row] = await sql<{ [table: string]: number }[]>`
    SELECT (SELECT count(*) FROM virtual_keys WHERE user_id = ${user.id})::float8 AS virtual_keys,
           (SELECT count(*) FROM role_grants WHERE user_id = ${user.id})::float8 AS role_grants,
           (SELECT count(*) FROM project_members WHERE user_id = ${user.id})::float8 AS project_members,
           (SELECT count(*) FROM sessions WHERE user_id = ${user.id})::float8 AS sessions,
           (SELECT count(*) FROM alert_channels WHERE ${names(sql, erasure)})::float8 AS alert_channels`
  const texts = await countTexts(sql, user.organization_id, person.words)
  const usage_records = await countUserRecords(sql, erasure)
  return { users: 1, ...row, usage_records, audit_log: await countAudit(sql, person), ...texts }
}

/** Empties the row that says who the user is, ends log-ins and keys, and remembers what to search for. Null: no such user. */
export function beginUser(sql: Sql, actor: Actor, id: string): Promise<UserErasure | null> {
  return sql.begin(async (transaction): Promise<UserErasure | null> => {
    await raiseDirectoryVersion(transaction)
    const user = await readUser(transaction, id)
    if (user === null) return null
    const organizationId = user.organization_id
    const words = await wordsOf(transaction, id)
    await transaction`
      INSERT INTO erased_users AS e (user_id, organization_id, erased_by, pending_words)
      VALUES (${id}, ${organizationId}, ${actor.name}, ${words}::text[])
      ON CONFLICT (user_id) DO UPDATE SET pending_words = array_cat(coalesce(e.pending_words, '{}'), excluded.pending_words)`
    await transaction`
      UPDATE users SET name = ${ERASED_NAME}, email = '', external_id = NULL, password_hash = NULL, oidc_subject = NULL,
                       disabled_at = coalesce(disabled_at, now())
      WHERE id = ${id}`
    await transaction`
      UPDATE virtual_keys SET name = ${ERASED_NAME}, external_id = NULL, tags = '{}', metadata = '{}', ip_allow = NULL,
                              revoked_at = coalesce(revoked_at, now())
      WHERE user_id = ${id}`
    await transaction`DELETE FROM sessions WHERE key_id IN (SELECT id FROM virtual_keys WHERE user_id = ${id})`
    await transaction`DELETE FROM role_grants WHERE user_id = ${id}`
    await transaction`DELETE FROM project_members WHERE user_id = ${id}`
    await endSessionsOf(transaction, id)
    const action = `${user.kind === "person" ? "user" : user.kind}.erase`
    await writeAudit(transaction, actor, {
      organizationId,
      action,
      subject: id,
      before: null,
      after: await readUser(transaction, id),
    })
    return { userId: id, organizationId, erasedBy: actor.name, words }
  })
}

/** Clears what is left; returns how many rows, by table. */
export async function rewriteUser(sql: Sql, erasure: UserErasure): Promise<Counts> {
  const known = { ...erasure, words: [...new Set([...erasure.words, ...(await earlierWords(sql, erasure.userId))])] }
  const person = await audited(sql, known)
  const { count: channels } = await eraseRecipients(sql, known)
  return {
    users: 1,
    alert_channels: channels,
    ...(await eraseUserRecords(sql, known)),
    ...(await eraseTexts(sql, known.organizationId, person.words)),
    // Last, since it is where earlier names are looked up.
    audit_log: await eraseAudit(sql, person),
  }
}

/** Forgets what was searched for, and writes down what was done. */
export async function finishUser(
  sql: Sql,
  { userId, organizationId, erasedBy }: UserErasure,
  counts: Counts,
): Promise<void> {
  await sql.begin(async (transaction) => {
    const finished = await transaction`
      UPDATE erased_users SET pending_words = NULL WHERE user_id = ${userId} AND pending_words IS NOT NULL RETURNING 1`
    if (finished.length === 0) return
    const entry = { organizationId, action: "user.erased", subject: userId, before: null, after: counts }
    await writeAudit(transaction, { name: erasedBy, ip: "" }, entry)
  })
}

/** Those that were begun and are not done. */
export function pendingUsers(sql: Sql): Promise<readonly UserErasure[]> {
  return sql<UserErasure[]>`
    SELECT user_id AS "userId", organization_id AS "organizationId", erased_by AS "erasedBy", pending_words AS words
    FROM erased_users WHERE pending_words IS NOT NULL ORDER BY erased_at LIMIT 100`
}

/** By what the user is known, and the user's keys as messages name them: their bare names are others' words too. */
async function wordsOf(sql: Sql | Transaction, id: string): Promise<string[]> {
  const [row] = await sql<{ words: (string | null)[] }[]>`
    SELECT ARRAY[u.name, u.email, u.external_id, u.oidc_subject, split_part(u.oidc_subject, ' ', 2)] || ARRAY(
      SELECT 'key ' || k.name FROM virtual_keys k WHERE k.user_id = u.id AND k.name <> ${ERASED_NAME}) AS words
    FROM users u WHERE u.id = ${id}`
  return telling(row?.words ?? [])
}

/** What the user was called before, as far as the audit log knows. */
async function earlierWords(sql: Sql, id: string): Promise<string[]> {
  const [row] = await sql<{ words: (string | null)[] }[]>`
    SELECT ARRAY(SELECT DISTINCT said ->> member FROM audit_log a,
        unnest(ARRAY[a.before, a.after]) said, unnest(ARRAY['name', 'email', 'oidc_subject']) member
      WHERE a.subject = ${id}) AS words`
  return telling(row?.words ?? [])
}

/** Without what says nothing of anybody: numbers would be found in amounts. */
function telling(words: readonly (string | null)[]): string[] {
  const isTelling = (word: string | null): word is string =>
    word !== null && word !== ERASED_NAME && /\p{L}/u.test(word)
  return [...new Set(words.filter(isTelling))]
}

async function audited(
  sql: Sql,
  { userId, organizationId, words }: UserErasure,
): Promise<AuditedPerson & { readonly words: Words }> {
  const keys = await sql<{ id: string }[]>`SELECT id FROM virtual_keys WHERE user_id = ${userId}`
  // Of a single word nobody knows whether it is a name there, or the name of a role or a key.
  const unmistakable = words.filter((word) => /[@\s]/.test(word))
  return {
    organizationId,
    ids: [userId, ...keys.map(({ id }) => id)],
    words: new Words(words, ERASED_NAME),
    auditWords: new Words(unmistakable, ERASED_NAME),
  }
}

function names(sql: Sql, { organizationId, words }: UserErasure) {
  const known = words.map((word) => word.toLowerCase())
  return sql`(organization_id = ${organizationId} OR organization_id IS NULL) AND EXISTS (
    SELECT FROM unnest(recipients) recipient WHERE lower(recipient) = ANY (${known}::text[]))`
}

/** A channel of mail that has nobody else left is switched off. */
function eraseRecipients(sql: Sql, erasure: UserErasure) {
  const known = erasure.words.map((word) => word.toLowerCase())
  return sql`
    UPDATE alert_channels SET
      recipients = ARRAY(SELECT r FROM unnest(recipients) r WHERE lower(r) <> ALL (${known}::text[])),
      disabled_at = CASE WHEN EXISTS (SELECT FROM unnest(recipients) r WHERE lower(r) <> ALL (${known}::text[]))
                      THEN disabled_at ELSE coalesce(disabled_at, now()) END
    WHERE ${names(sql, erasure)}`
}

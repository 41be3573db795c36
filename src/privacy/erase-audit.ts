/**
 * Takes a person out of the audit log: who acted stays as an id, what happened and when stays as it is; names, addresses
 * and whatever a key was called go. The database lets an erasure do this and nothing else.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import type { Words } from "./erase-texts.ts"

/** Members that say who somebody is, of a user and of a key that is a user's. */
const PERSONAL_MEMBERS = new Set(["name", "email", "external_id", "oidc_subject", "tags", "metadata", "ip_allow"])
const ERASED = "erased"
const ROWS_PER_PAGE = 500

export type AuditedPerson = {
  readonly organizationId: string
  /** The user, and the keys that are the user's. */
  readonly ids: readonly string[]
  /** What is searched for in rows about others. */
  readonly auditWords: Words
}

type AuditedRow = { id: string; actor: string; subject: string; ip: string; before: unknown; after: unknown }

/** Returns how many rows were changed. */
export async function eraseAudit(sql: Sql, person: AuditedPerson): Promise<number> {
  let [after, changed] = ["", 0]
  for (;;) {
    const page = await sql.begin((transaction) => erasePage(transaction, person, after))
    changed += page.changed
    if (page.last === null) return changed
    after = page.last
  }
}

/** Rows by the person, about the person, or in which one of the words stands. */
function mentions(sql: Sql | Transaction, { organizationId, ids, auditWords }: AuditedPerson) {
  return sql`(actor = ANY (${[...ids]}::text[]) OR subject = ANY (${[...ids]}::text[])
    OR (organization_id IN (${organizationId}, '') AND EXISTS (SELECT FROM unnest(${[...auditWords.needles]}::text[]) needle
        WHERE position(needle IN lower(coalesce(before::text, '') || ' ' || coalesce(after::text, ''))) > 0)))`
}

export async function countAudit(sql: Sql, person: AuditedPerson): Promise<number> {
  const [row] = await sql<
    { rows: number }[]
  >`SELECT count(*)::float8 AS rows FROM audit_log WHERE ${mentions(sql, person)}`
  return row?.rows ?? 0
}

async function erasePage(transaction: Transaction, person: AuditedPerson, after: string) {
  const rows = await transaction<AuditedRow[]>`
    SELECT id, actor, subject, ip, before, after FROM audit_log
    WHERE id > ${after} AND ${mentions(transaction, person)} ORDER BY id LIMIT ${ROWS_PER_PAGE}`
  await transaction`SELECT set_config('tallygate.erasure', 'on', true)`
  let changed = 0
  for (const row of rows) {
    const isAbout = person.ids.includes(row.subject)
    const cleaned = (value: unknown) => person.auditWords.outOf(isAbout ? withoutMembers(value) : value)
    const now = { before: cleaned(row.before), after: cleaned(row.after) }
    const ip = person.ids.includes(row.actor) ? "" : row.ip
    if (now.before === row.before && now.after === row.after && ip === row.ip) continue
    await transaction`
      UPDATE audit_log SET ip = ${ip}, before = ${jsonText(now.before)}::text::jsonb, after = ${jsonText(now.after)}::text::jsonb
      WHERE id = ${row.id}`
    changed++
  }
  return { changed, last: rows.length < ROWS_PER_PAGE ? null : (rows.at(-1)?.id ?? null) }
}

/** The same value where none of its members says who somebody is. */
function withoutMembers(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).map(([name, member]) => [name, isTold(name, member) ? ERASED : member] as const)
  return entries.every(([name, member]) => member === (value as Record<string, unknown>)[name])
    ? value
    : Object.fromEntries(entries)
}

function isTold(name: string, member: unknown): boolean {
  if (!PERSONAL_MEMBERS.has(name) || member === null || member === "" || member === ERASED) return false
  return typeof member !== "object" || Object.keys(member).length > 0
}

function jsonText(value: unknown): string | null {
  return value === null ? null : JSON.stringify(value)
}

/** The audit log: who changed what, written in the same transaction as the change. Secrets never stand in it. */
import { namedId } from "../platform/ids.ts"
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"
import type { Visibility } from "./role.ts"
import { visibleRows } from "./visible-rows.ts"

/**
 * Who acts: the id of an admin key, user or virtual key; `environment` for the bootstrap key, `first run` for the
 * installation itself, `command line` for its operator.
 */
export type Actor = { readonly name: string; readonly ip: string }

export async function writeAudit(
  transaction: Transaction,
  actor: Actor,
  entry: {
    /** '' for what concerns the installation. */
    readonly organizationId: string
    readonly action: string
    readonly subject: string
    readonly before: object | null
    readonly after: object | null
  },
): Promise<void> {
  // As text: what is sent as jsonb the driver writes as JSON, which would make a JSON string of it.
  await transaction`
    INSERT INTO audit_log (id, organization_id, actor, ip, action, subject, before, after)
    VALUES (${namedId("aud")}, ${entry.organizationId}, ${actor.name}, ${actor.ip}, ${entry.action}, ${entry.subject},
            ${entry.before === null ? null : JSON.stringify(entry.before)}::text::jsonb,
            ${entry.after === null ? null : JSON.stringify(entry.after)}::text::jsonb)`
}

export type AuditRow = {
  readonly id: string
  /** ISO 8601 in UTC with microseconds, as fine as rows are ordered. */
  readonly at: string
  readonly organization_id: string
  readonly actor: string
  readonly ip: string
  readonly action: string
  readonly subject: string
  readonly before: unknown
  readonly after: unknown
}

export type AuditQuestion = {
  readonly visibility: Visibility
  /** Each null: whatever it is. */
  readonly organizationId: string | null
  readonly actor: string | null
  readonly action: string | null
  readonly subject: string | null
  readonly from: Date | null
  readonly until: Date | null
  /** The last row of the page before; null for the first page. */
  readonly after: Pick<AuditRow, "id" | "at"> | null
  readonly max: number
}

/** A page, newest first. What concerns a project stands under its organization. */
export function listAudit(sql: Sql, question: AuditQuestion): Promise<readonly AuditRow[]> {
  const { visibility, organizationId, actor, action, subject, from, until, after, max } = question
  const equal = (column: SqlFragment, value: string | null) => (value === null ? sql`` : sql`AND ${column} = ${value}`)
  return sql<AuditRow[]>`
    SELECT id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, organization_id, actor, ip, action, subject, before, after FROM audit_log
    WHERE ${visibleRows(sql, visibility, sql`organization_id`, null)}
      ${equal(sql`organization_id`, organizationId)} ${equal(sql`actor`, actor)}
      ${equal(sql`action`, action)} ${equal(sql`subject`, subject)}
      ${from === null ? sql`` : sql`AND at >= ${from}`} ${until === null ? sql`` : sql`AND at < ${until}`}
      ${after === null ? sql`` : sql`AND (audit_log.at, id) < (${after.at}::text::timestamptz, ${after.id})`}
    ORDER BY audit_log.at DESC, id DESC LIMIT ${max}`
}

/** Digests as Postgres has them, and the write path: each act is one transaction that also writes its audit row. */
import { type Actor, writeAudit } from "../identity/audit.ts"
import { disabledAt } from "../identity/disabled-at.ts"
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import { namedId } from "../platform/ids.ts"
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"
import type { DigestPeriod } from "./digest-period.ts"

export type DigestRow = {
  readonly id: string
  /** '' for the installation's. */
  readonly organization_id: string
  readonly name: string
  readonly period: DigestPeriod
  /** Five fields of cron. */
  readonly schedule: string
  readonly time_zone: string
  /** Null: those of the organization, or the installation's where it has none. */
  readonly channel_ids: readonly string[] | null
  readonly disabled_at: Date | null
  /** What was due before then is not made up for. */
  readonly due_from: Date
  readonly created_at: Date
}

export type NewDigest = {
  readonly organizationId: string
  readonly name: string
  readonly period: DigestPeriod
  readonly schedule: string
  readonly timeZone: string
  readonly channelIds: readonly string[] | null
}

/** Absent: unchanged. */
export type DigestChanges = {
  readonly [Name in Exclude<keyof NewDigest, "organizationId">]?: NewDigest[Name] | undefined
} & { readonly isDisabled?: boolean | undefined }

export function digestColumns(sql: Sql | Transaction): SqlFragment {
  return sql`
    id, coalesce(organization_id, '') AS organization_id, name, period, schedule, time_zone, channel_ids, disabled_at,
    due_from, created_at`
}

export function createDigest(sql: Sql, actor: Actor, wanted: NewDigest, nowMs: number): Promise<DigestRow> {
  const { organizationId, name, period, schedule, timeZone, channelIds } = wanted
  return sql.begin(async (transaction) => {
    const [row] = await transaction<DigestRow[]>`
      INSERT INTO digests (id, organization_id, name, period, schedule, time_zone, channel_ids, due_from)
      VALUES (${namedId("dig")}, ${organizationId || null}, ${name}, ${period}, ${schedule}, ${timeZone},
              ${channelIds === null ? null : [...channelIds]}::text[], ${new Date(nowMs)})
      RETURNING ${digestColumns(transaction)}`
    if (row === undefined) throw new Error("An inserted digest returned no row.")
    await audit(transaction, actor, "digest.create", null, row)
    return row
  })
}

/** Null where there is no such digest. Another period, schedule or zone holds from now on, and for nothing before. */
export function changeDigest(
  sql: Sql,
  actor: Actor,
  id: string,
  changes: DigestChanges,
  nowMs: number,
): Promise<DigestRow | null> {
  const { name, period, schedule, timeZone, channelIds, isDisabled } = changes
  const isOtherwiseDue = [period, schedule, timeZone].some((given) => given !== undefined) || isDisabled === false
  return sql.begin(async (transaction) => {
    const [before] = await transaction<DigestRow[]>`
      SELECT ${digestColumns(transaction)} FROM digests WHERE id = ${id} FOR UPDATE`
    if (before === undefined) return null
    const channels = channelIds === undefined ? before.channel_ids : channelIds
    const [row] = await transaction<DigestRow[]>`
      UPDATE digests SET
        name = ${name ?? before.name}, period = ${period ?? before.period}, schedule = ${schedule ?? before.schedule},
        time_zone = ${timeZone ?? before.time_zone}, channel_ids = ${channels === null ? null : [...channels]}::text[],
        due_from = ${isOtherwiseDue ? new Date(nowMs) : before.due_from},
        disabled_at = ${disabledAt(transaction, isDisabled)}
      WHERE id = ${id} RETURNING ${digestColumns(transaction)}`
    if (row === undefined) throw new Error(`The digest ${id} went while it was locked.`)
    await audit(transaction, actor, "digest.change", before, row)
    return row
  })
}

/** The digest as it stood, deleted with what is kept of those that were sent; null where there is none. */
export function deleteDigest(sql: Sql, actor: Actor, id: string): Promise<DigestRow | null> {
  return sql.begin(async (transaction) => {
    const [row] = await transaction<
      DigestRow[]
    >`DELETE FROM digests WHERE id = ${id} RETURNING ${digestColumns(transaction)}`
    if (row === undefined) return null
    await audit(transaction, actor, "digest.delete", row, null)
    return row
  })
}

export async function readDigest(sql: Sql | Transaction, id: string): Promise<DigestRow | null> {
  const [row] = await sql<DigestRow[]>`SELECT ${digestColumns(sql)} FROM digests WHERE id = ${id}`
  return row ?? null
}

/** A page in order of ids, at most `max`, after the id `after` ('' for the first page). */
export function listDigests(
  sql: Sql,
  { visibility, after, max }: { visibility: Visibility; after: string; max: number },
): Promise<readonly DigestRow[]> {
  return sql<DigestRow[]>`
    SELECT ${digestColumns(sql)} FROM digests
    WHERE id > ${after} AND ${visibleRows(sql, visibility, sql`organization_id`, null)}
    ORDER BY id LIMIT ${max}`
}

export function enabledDigests(sql: Sql): Promise<readonly DigestRow[]> {
  return sql<DigestRow[]>`SELECT ${digestColumns(sql)} FROM digests WHERE disabled_at IS NULL ORDER BY id`
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  action: string,
  before: DigestRow | null,
  after: DigestRow | null,
): Promise<void> {
  const row = after ?? before
  if (row === null) throw new Error(`${action} is about no digest.`)
  await writeAudit(transaction, actor, { organizationId: row.organization_id, action, subject: row.id, before, after })
}

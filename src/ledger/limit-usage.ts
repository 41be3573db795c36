/** What limits have settled according to the ledger: counters are a cache of it and are filled from here. */
import type { LedgerSnapshot, SettledAmount } from "../admission/limit-store.ts"
import type { Sql } from "../platform/postgres.ts"

/** Windows that were charged within this many days are read, since the longest but quarters and years is a month. */
const RECENT_DAYS = 62
/** Quarters and years, by their ids. */
const LONG_WINDOW = "^\\d{4}(-Q\\d)?(@\\d+)?$"
const LONG_RECENT_DAYS = 400

type UsageRow = { limit_id: string; subject: string; window_id: string; settled: string }

/** Reads what limits have settled in the windows that may still count, of one organization or provider account, or of all. */
export async function readLimitUsage(sql: Sql, organizationId: string | "all"): Promise<SettledAmount[]> {
  const ofOrganization = organizationId === "all" ? sql`` : sql`AND organization_id = ${organizationId}`
  const rows = await sql<UsageRow[]>`
    SELECT limit_id, subject, window_id, settled::text AS settled FROM limit_usage
    WHERE ${countsStill(sql)} ${ofOrganization}
    ORDER BY organization_id, limit_id, subject, window_id`
  return rows.map(settledAmount)
}

/** What an organization has settled and how far each running proxy's journal is part of that, as of one instant. */
export async function readLimitSnapshot(sql: Sql, organizationId: string): Promise<LedgerSnapshot> {
  // One statement is one snapshot: a row is in both halves or in neither.
  const [row] = await sql<{ settled: UsageRow[]; acks: { journal_id: string; last_seq: number }[]; version: number }[]>`
    SELECT (SELECT version::float8 FROM directory_version) AS version,
      (SELECT coalesce(json_agg(json_build_object('limit_id', limit_id, 'subject', subject, 'window_id', window_id,
                                                  'settled', settled::text)), '[]')
       FROM limit_usage WHERE ${countsStill(sql)} AND organization_id = ${organizationId}) AS settled,
      (SELECT coalesce(json_agg(json_build_object('journal_id', a.journal_id, 'last_seq', a.last_seq)), '[]')
       FROM journal_ack a JOIN proxy_instances p USING (journal_id)) AS acks`
  if (row === undefined) throw new Error("an aggregate returned no row")
  return {
    settled: row.settled.map(settledAmount),
    version: row.version,
    acks: new Map(row.acks.map((ack) => [ack.journal_id, ack.last_seq])),
  }
}

/** Of these ended calls those that the ledger does not have by another journal: what it has so, that journal answers for. */
export async function notByOthers<Call extends { readonly id: string }>(
  sql: Sql,
  journalId: string,
  calls: readonly Call[],
): Promise<Call[]> {
  if (calls.length === 0) return []
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM usage_records WHERE id = ANY(${calls.map(({ id }) => id)}::text[]::uuid[])
      AND journal_id IS DISTINCT FROM ${journalId}::text::uuid`
  const byOthers = new Set(rows.map(({ id }) => id))
  return calls.filter(({ id }) => !byOthers.has(id))
}

function countsStill(sql: Sql) {
  return sql`(window_id = 'lifetime' OR updated_at > now() - make_interval(days => ${RECENT_DAYS})
    OR (window_id ~ ${LONG_WINDOW} AND updated_at > now() - make_interval(days => ${LONG_RECENT_DAYS})))`
}

function settledAmount(row: UsageRow): SettledAmount {
  return { limitId: row.limit_id, subject: row.subject, window: row.window_id, settled: BigInt(row.settled) }
}

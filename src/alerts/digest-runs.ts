/**
 * Which digests were sent: one row of the schedule for each digest and period, written in the transaction that writes its
 * messages. Whoever comes second finds the row and writes nothing, so that no period is sent twice, and none is without
 * its messages, whichever process dies when.
 */
import type { Sql } from "../platform/postgres.ts"
import { channelsFor } from "./channel-rows.ts"
import { writeDelivery } from "./deliveries.ts"
import type { MadeDigest } from "./digest-content.ts"
import type { DigestMessage } from "./digest-message.ts"
import type { DigestRow } from "./digest-rows.ts"

export type QueuedDelivery = { readonly id: string; readonly channelId: string }

/** The messages that were queued, one for each channel; null where this digest of this period was sent before. */
export function queueDigest(
  sql: Sql,
  digest: DigestRow,
  { message, csv }: MadeDigest,
  nowMs: number,
): Promise<readonly QueuedDelivery[] | null> {
  return sql.begin(async (transaction): Promise<readonly QueuedDelivery[] | null> => {
    const { id: digestId, organization_id: organizationId } = digest
    // A digest that was deleted meanwhile is not sent either.
    const written = await transaction`
      INSERT INTO digest_runs (digest_id, period_id, occasion, csv, created_at)
      SELECT id, ${message.stretch.id}, ${message.occasion}, ${csv}, ${new Date(nowMs)} FROM digests WHERE id = ${digestId}
      ON CONFLICT DO NOTHING RETURNING 1`
    if (written.length === 0) return null
    const queued: QueuedDelivery[] = []
    for (const channelId of await channelsFor(transaction, digest.channel_ids, organizationId, false)) {
      const wanted = { organizationId, ruleId: "", digestId, userId: "", channelId, message }
      queued.push({ id: await writeDelivery(transaction, wanted, nowMs), channelId })
    }
    return queued
  })
}

/** Whether the schedule has sent this digest of this period. */
export async function wasSent(sql: Sql, digestId: string, periodId: string): Promise<boolean> {
  const rows = await sql`
    SELECT 1 FROM digest_runs WHERE digest_id = ${digestId} AND period_id = ${periodId} AND occasion = ''`
  return rows.length > 0
}

/** The table that belongs to a digest's message; null where it is kept no more. */
export async function readDigestCsv(sql: Sql, { digest, stretch, occasion }: DigestMessage): Promise<string | null> {
  const [row] = await sql<{ csv: string }[]>`
    SELECT csv FROM digest_runs WHERE digest_id = ${digest.id} AND period_id = ${stretch.id} AND occasion = ${occasion}`
  return row?.csv ?? null
}

export type LastRun = { readonly digest_id: string; readonly period_id: string; readonly created_at: Date }

/** Of each digest the last one that the schedule sent, by the digest's id. */
export async function lastRuns(sql: Sql, digestIds: readonly string[]): Promise<ReadonlyMap<string, LastRun>> {
  const rows = await sql<LastRun[]>`
    SELECT DISTINCT ON (digest_id) digest_id, period_id, created_at FROM digest_runs
    WHERE digest_id = ANY (${[...digestIds]}::text[]) AND occasion = '' ORDER BY digest_id, created_at DESC`
  return new Map(rows.map((row) => [row.digest_id, row]))
}

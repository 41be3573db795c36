/** Single usage records: one by its request id, or a page of the newest. */
import type { Sql } from "../platform/postgres.ts"

/** A record as JSON, column by column; money as decimal strings, so that no reader rounds it. */
export type ShownRecord = Readonly<Record<string, unknown>> & { readonly id: string }

export type RecordsQuestion = {
  readonly organizationId: string
  readonly fromMs: number
  readonly toMs: number
  readonly keyId: string | null
  readonly model: string | null
  /** Id of the last record of the page before; null for the first page. */
  readonly after: string | null
  readonly max: number
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i

/** The record with this id; null where there is none (yet: records arrive a fraction of a second after the answer). */
export async function usageRecord(sql: Sql, organizationId: string, id: string): Promise<ShownRecord | null> {
  if (!UUID_V7.test(id)) return null
  // The time is in the id, so the primary key finds the row in its one partition.
  const [row] = await sql<{ record: ShownRecord }[]>`
    SELECT ${shown(sql)} FROM usage_records r
    WHERE organization_id = ${organizationId} AND time = ${new Date(timeOf(id))} AND id = ${id}`
  return row?.record ?? null
}

/** Records of a time range, newest first. */
export async function usageRecords(sql: Sql, question: RecordsQuestion): Promise<ShownRecord[]> {
  const { after } = question
  if (after !== null && !UUID_V7.test(after)) return []
  const rows = await sql<{ record: ShownRecord }[]>`
    SELECT ${shown(sql)} FROM usage_records r
    WHERE organization_id = ${question.organizationId}
      AND time >= ${new Date(question.fromMs)} AND time < ${new Date(question.toMs)}
      ${question.keyId === null ? sql`` : sql`AND key_id = ${question.keyId}`}
      ${question.model === null ? sql`` : sql`AND model_served = ${question.model}`}
      ${after === null ? sql`` : sql`AND (time, id) < (${new Date(timeOf(after))}, ${after}::uuid)`}
    ORDER BY time DESC, id DESC LIMIT ${question.max}`
  return rows.map((row) => row.record)
}

function shown(sql: Sql) {
  return sql`
    to_jsonb(r) - 'journal_id' - 'journal_seq' || jsonb_build_object(
      'cost_usd', trim_scale(r.cost_usd)::text, 'provider_cost_usd', trim_scale(r.provider_cost_usd)::text) AS record`
}

/** The first 48 bits of a UUIDv7 are milliseconds since 1970 (RFC 9562). */
function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

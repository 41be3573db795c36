/** What records of an erased user's calls said of the person in the callers' own words: cleared, in batches; sums stay. */
import { CLEARED_COLUMNS } from "../ledger/erased-columns.ts"
import type { Sql } from "../platform/postgres.ts"

/** `words`: what tags may call the person. */
export type UserRecords = {
  readonly organizationId: string
  readonly userId: string
  readonly words: readonly string[]
}

const RECORDS_PER_BATCH = 1_000
const INSTEAD = "'erased'"
const CLEARED = Object.entries(CLEARED_COLUMNS)

/** Parameters of every statement: $1 the organization, $2 the user, $3 the words. */
const OF_USER = `organization_id = $1 AND user_id = $2 AND (${CLEARED.map(([column, empty]) => `${column} <> ${empty}`).join(" OR ")}
  OR tags <> erased_tags(tags, $3::text[], ${INSTEAD}))`
const CHANGES = [
  ...CLEARED.map(([column, empty]) => `${column} = ${empty}`),
  `tags = erased_tags(tags, $3::text[], ${INSTEAD})`,
].join(", ")
/** SQL of a record as JSON without them. */
const changed = (
  body: string,
) => `(${body}${CLEARED.map(([column]) => ` - '${column}'`).join("")} || jsonb_build_object('tags',
  to_jsonb(erased_tags(ARRAY(SELECT jsonb_array_elements_text(coalesce(${body} -> 'tags', '[]'))), $3::text[], ${INSTEAD}))))`

export async function countUserRecords(sql: Sql, { organizationId, userId, words }: UserRecords): Promise<number> {
  const [row] = await sql.unsafe<{ rows: number }[]>(
    `SELECT count(*)::float8 AS rows FROM usage_records WHERE ${OF_USER}`,
    [organizationId, userId, [...words]],
  )
  return row?.rows ?? 0
}

/** Returns how many rows were changed, by table. */
export async function eraseUserRecords(sql: Sql, records: UserRecords): Promise<Record<string, number>> {
  const values = [records.organizationId, records.userId, [...records.words]]
  const { count: usage_once } = await sql.unsafe(
    `UPDATE usage_once SET body = ${changed("body::jsonb")}::text
     WHERE organization_id = $1 AND body IS NOT NULL AND body::jsonb ->> 'user_id' = $2`,
    values,
  )
  const { count: provider_objects } = await sql.unsafe(
    `UPDATE provider_objects SET booking = jsonb_set(booking, '{record}', ${changed("(booking -> 'record')")})
     WHERE organization_id = $1 AND booking #>> '{record,user_id}' = $2`,
    values,
  )
  return { usage_once, provider_objects, usage_records: await eraseInOrder(sql, values) }
}

/** One pass over the organization's records, in their order. */
async function eraseInOrder(sql: Sql, values: readonly unknown[]): Promise<number> {
  let changedRows = 0
  let after: { readonly time: string; readonly id: string } = {
    time: "-infinity",
    id: "00000000-0000-0000-0000-000000000000",
  }
  for (;;) {
    const [last] = await sql.unsafe<{ time: string; id: string; rows: number }[]>(
      `WITH batch AS (
         SELECT organization_id, time, id FROM usage_records
         WHERE (time, id) > ($4::text::timestamptz, $5::text::uuid) AND ${OF_USER}
         ORDER BY time, id LIMIT ${RECORDS_PER_BATCH} FOR UPDATE),
       changed AS (
         UPDATE usage_records r SET ${CHANGES}
         FROM batch WHERE (r.organization_id, r.time, r.id) = (batch.organization_id, batch.time, batch.id)
         RETURNING r.time, r.id)
       SELECT c.time::text AS time, c.id::text AS id, count(*) OVER ()::float8 AS rows
       FROM changed c ORDER BY c.time DESC, c.id DESC LIMIT 1`,
      [...values, after.time, after.id] as never,
    )
    changedRows += last?.rows ?? 0
    if (last === undefined || last.rows < RECORDS_PER_BATCH) return changedRows
    after = last
  }
}

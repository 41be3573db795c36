/** What must be the same in two databases that hold the same ledger. */
import type { Sql } from "../platform/postgres.ts"

export type LedgerSums = {
  readonly records: number
  /** Decimal string of dollars. */
  readonly costUsd: string
  /** Sum of all that limits have settled, whatever their units. */
  readonly settled: string
  readonly rolledRecords: string
  readonly keys: number
}

/** Each figure from its own table. Reads all records: for a ledger that was just copied, not for one in use. */
export async function readLedgerSums(sql: Sql): Promise<LedgerSums> {
  const [row] = await sql<LedgerSums[]>`
    SELECT r.records, r.cost AS "costUsd",
           (SELECT coalesce(sum(settled), 0)::text FROM limit_usage) AS settled,
           (SELECT coalesce(sum(records), 0)::text FROM usage_rollups) AS "rolledRecords",
           (SELECT count(*)::integer FROM virtual_keys) AS keys
    FROM (SELECT count(*)::float8 AS records, coalesce(sum(cost_usd), 0)::text AS cost FROM usage_records) r`
  if (row === undefined) throw new Error("an aggregate returned no row")
  return row
}

/** An empty ledger for tests: on the run's Postgres server, or on the embedded one. */
import path from "node:path"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"

export const MIGRATIONS = path.join(import.meta.dirname, "../../migrations")

/** Opens the database at this url and makes its tables. */
export async function openLedger(url: string): Promise<Sql> {
  const sql = openPostgres(url, { max: 3, applicationName: "test" })
  await migrate(sql, MIGRATIONS, { codeVersion: "test" })
  return sql
}

export type LedgerTotals = {
  readonly records: number
  readonly rolled: number
  /** Records by the end state they have. */
  readonly endStates: Readonly<Record<string, number>>
  readonly recordCost: string
  readonly rolledCost: string
  readonly settled: string
  /** Elements of all duration histograms added up. */
  readonly timed: number
}

/** What the ledger's tables say, each on its own: they agree where every record was counted exactly once. */
export async function ledgerTotals(sql: Sql): Promise<LedgerTotals> {
  const [row] = await sql<LedgerTotals[]>`SELECT
    (SELECT count(*)::int FROM usage_records) AS records,
    (SELECT coalesce(sum(records), 0)::int FROM usage_rollups) AS rolled,
    (SELECT coalesce(jsonb_object_agg(end_state, n), '{}') FROM
      (SELECT end_state, count(*) AS n FROM usage_records GROUP BY end_state) s) AS "endStates",
    (SELECT coalesce(sum(cost_usd), 0)::text FROM usage_records) AS "recordCost",
    (SELECT coalesce(sum(cost_usd), 0)::text FROM usage_rollups) AS "rolledCost",
    (SELECT coalesce(sum(settled), 0)::text FROM limit_usage) AS settled,
    (SELECT coalesce(sum(n), 0)::int FROM usage_rollups, unnest(duration_histogram) n) AS timed`
  if (row === undefined) throw new Error("an aggregate returned no row")
  return row
}

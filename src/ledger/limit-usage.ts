/** What limits have settled according to the ledger: counters are a cache of it and are seeded from here. */
import type { SettledAmount } from "../admission/limit-store.ts"
import type { Sql } from "../platform/postgres.ts"

/**
 * Reads the counters of one organization or of all. A caller that names the windows (`2026-11`, `2026-11-23`,
 * `lifetime`…) leaves years of past ones in the database; without names every window is read.
 */
export async function readLimitUsage(
  sql: Sql,
  organizationId: string | "all",
  windows?: readonly string[],
): Promise<SettledAmount[]> {
  if (windows?.length === 0) return []
  const ofOrganization = organizationId === "all" ? sql`` : sql`AND organization_id = ${organizationId}`
  const inWindows = windows === undefined ? sql`` : sql`AND window_id IN ${sql([...windows])}`
  const rows = await sql<{ limit_id: string; subject: string; window_id: string; settled: string }[]>`
    SELECT limit_id, subject, window_id, settled::text AS settled FROM limit_usage
    WHERE true ${inWindows} ${ofOrganization}
    ORDER BY organization_id, limit_id, subject, window_id`
  return rows.map((row) => ({
    limitId: row.limit_id,
    subject: row.subject,
    window: row.window_id,
    settled: BigInt(row.settled),
  }))
}

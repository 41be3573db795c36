/**
 * Which ledger a database holds. Counters outside of it (Redis) are a cache of one ledger: where they were filled from
 * another one, an older state of it included, they are wrong and are filled anew.
 */
import { accountCounters } from "../identity/account-limit.ts"
import type { Sql } from "../platform/postgres.ts"

/** The ledger's id, a UUID that every restore and move changes. */
export async function readLedgerId(sql: Sql): Promise<string> {
  const [row] = await sql<{ id: string }[]>`SELECT id::text AS id FROM ledger_identity`
  if (row === undefined) throw new Error("the ledger has no identity: its row in ledger_identity is missing")
  return row.id
}

/** Notes that the rows came from elsewhere just now. */
export async function markRestored(sql: Sql): Promise<void> {
  await sql`UPDATE ledger_identity SET restored_at = now()`
}

/** Under whose names this ledger's limits are counted: organizations, and accounts at providers. */
export async function counterOwners(sql: Sql): Promise<string[]> {
  const owners = await sql<{ id: string }[]>`
    SELECT id FROM organizations UNION SELECT organization_id FROM limit_usage ORDER BY id`
  const accounts = await sql<{ subject: string }[]>`
    SELECT DISTINCT subject FROM limits WHERE organization_id IS NULL ORDER BY subject`
  return [...new Set([...owners.map(({ id }) => id), ...accounts.map(({ subject }) => accountCounters(subject))])]
}

/**
 * Erases again whoever was erased before, in a database that does not know it yet: one that was put back from a backup.
 * Nobody knows the names any more, so every name in the database is held against the list.
 */
import type { Sql } from "../platform/postgres.ts"
import { finishCustomer, rewriteCustomer } from "./erase-customer.ts"
import { beginUser, ERASED_NAME, finishUser, rewriteUser } from "./erase-user.ts"
import { type ErasureList, mergeErasureList, Pseudonyms, readErasureList } from "./erasure-list.ts"

export type Reapplied = { readonly users: number; readonly customers: number }

const VALUES_PER_PAGE = 5_000

/** Where names of end-customers stand; each gives them as `value`, of organization $1. */
const NAMES = [
  "SELECT end_customer AS value FROM usage_records WHERE organization_id = $1",
  ...["limit_usage", "alerts", "alert_subjects"].map(
    (table) => `SELECT split_part(subject, ' ', 2) AS value FROM ${table} WHERE organization_id = $1`,
  ),
  `SELECT split_part(r.subject, ' ', 2) AS value FROM limit_refusals r
   WHERE split_part(r.subject, ' ', 1) = $1 OR split_part(r.subject, ' ', 1) IN (SELECT id FROM projects WHERE organization_id = $1)`,
  `SELECT body::jsonb ->> 'end_customer' AS value FROM usage_once WHERE organization_id = $1 AND body IS NOT NULL`,
  `SELECT booking #>> '{record,end_customer}' AS value FROM provider_objects WHERE organization_id = $1 AND booking IS NOT NULL`,
]

/** Adds the list to the database's own and applies what comes of both. Done twice it changes nothing more. */
export async function reapplyErasures(sql: Sql, list: ErasureList): Promise<Reapplied> {
  await sql.begin((transaction) => mergeErasureList(transaction, list))
  const again = { users: await eraseUsersAgain(sql), customers: await eraseCustomersAgain(sql) }
  await sql`UPDATE erased_customers SET searched_at = now() WHERE searched_at IS NULL`
  return again
}

async function eraseUsersAgain(sql: Sql): Promise<number> {
  const users = await sql<{ id: string; erased_by: string }[]>`
    SELECT u.id, e.erased_by FROM erased_users e JOIN users u ON u.id = e.user_id
    WHERE u.name <> ${ERASED_NAME} OR u.email <> '' OR u.oidc_subject IS NOT NULL OR u.external_id IS NOT NULL`
  for (const { id, erased_by: name } of users) {
    const erasure = await beginUser(sql, { name, ip: "" }, id)
    if (erasure !== null) await finishUser(sql, erasure, await rewriteUser(sql, erasure))
  }
  return users.length
}

async function eraseCustomersAgain(sql: Sql): Promise<number> {
  const list = await readErasureList(sql)
  const rows = await sql<{ pseudonym: string }[]>`SELECT pseudonym FROM erased_customers WHERE searched_at IS NULL`
  const unsearched = new Set(rows.map(({ pseudonym }) => pseudonym))
  const pseudonyms = new Pseudonyms({
    ...list,
    customers: list.customers.filter((one) => unsearched.has(one.pseudonym)),
  })
  let erased = 0
  for (const organizationId of pseudonyms.organizationIds) {
    for (const names of NAMES) {
      for await (const named of valuesOf(sql, names, organizationId)) {
        // Counters' names escape blanks.
        for (const value of new Set([named, named.replaceAll("%20", " ").replaceAll("%25", "%")])) {
          const pseudonym = pseudonyms.of(organizationId, value)
          if (pseudonym === null) continue
          erased += await eraseAgain(sql, { organizationId, value, pseudonym })
        }
      }
    }
  }
  return erased
}

async function eraseAgain(
  sql: Sql,
  one: { readonly organizationId: string; readonly value: string; readonly pseudonym: string },
): Promise<number> {
  const { organizationId, value, pseudonym } = one
  const [row] = await sql<{ erased_by: string }[]>`
    UPDATE erased_customers SET pending_value = ${value}
    WHERE organization_id = ${organizationId} AND pseudonym = ${pseudonym} RETURNING erased_by`
  if (row === undefined) return 0
  const erasure = { ...one, erasedBy: row.erased_by }
  await finishCustomer(sql, erasure, await rewriteCustomer(sql, erasure))
  return 1
}

/** Different values, in order. */
async function* valuesOf(sql: Sql, names: string, organizationId: string): AsyncGenerator<string> {
  let after = ""
  for (;;) {
    const page = await sql.unsafe<{ value: string }[]>(
      `SELECT DISTINCT value FROM (${names}) n WHERE value > $2 ORDER BY value LIMIT ${VALUES_PER_PAGE}`,
      [organizationId, after],
    )
    for (const { value } of page) yield value
    const last = page.at(-1)
    if (page.length < VALUES_PER_PAGE || last === undefined) return
    after = last.value
  }
}

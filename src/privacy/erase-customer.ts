/**
 * Erases an end-customer: first the pseudonym is agreed on, from when on nothing comes in under the old name, then every
 * row that has it is given the new one, in batches. It can be broken off at any moment and begun again, by whom ever: the
 * name stands with its pseudonym until the last row is done.
 */
import { type Actor, writeAudit } from "../identity/audit.ts"
import { customerSubject, NOBODY } from "../identity/counted-apart.ts"
import { raiseDirectoryVersion } from "../identity/directory-version.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { CUSTOMER_PLACES, type Place } from "./customer-places.ts"
import { countTexts, eraseTexts, Words } from "./erase-texts.ts"
import { type ErasureKey, hmacOf, newErasureKey, newPseudonym, readErasureKeys } from "./erasure-list.ts"

export type Counts = Readonly<Record<string, number>>

export type Customer = { readonly organizationId: string; readonly value: string }
export type CustomerErasure = Customer & { readonly pseudonym: string; readonly erasedBy: string }

/** Calls that run while counters are renamed may charge the old name; a call that runs longer than this is rare. */
const COUNTERS_AGAIN = "2 minutes"

/** What stands under the value, by table. */
export async function countCustomer(sql: Sql, { organizationId, value }: Customer): Promise<Counts> {
  const counts: Record<string, number> = {}
  for (const { name, table, where } of CUSTOMER_PLACES) {
    const [row] = await sql.unsafe<{ rows: number }[]>(`SELECT count(*)::float8 AS rows FROM ${table} WHERE ${where}`, [
      organizationId,
      value,
    ])
    counts[name] = row?.rows ?? 0
  }
  const texts = await countTexts(sql, organizationId, wordsOf(value, ""))
  for (const [table, rows] of Object.entries(texts)) counts[table] = Math.max(rows, counts[table] ?? 0)
  return counts
}

/** Whether the value is the id of something here, by which it is counted, and therefore nobody's name. */
export async function isOwnId(sql: Sql, value: string): Promise<boolean> {
  if (value === NOBODY) return true
  const [row] = await sql<{ is: boolean }[]>`
    SELECT EXISTS (SELECT FROM users WHERE id = ${value}) OR EXISTS (SELECT FROM virtual_keys WHERE id = ${value})
      OR EXISTS (SELECT FROM projects WHERE id = ${value}) OR EXISTS (SELECT FROM organizations WHERE id = ${value})
      OR EXISTS (SELECT FROM erased_customers WHERE pseudonym = ${value}) AS is`
  return row?.is ?? false
}

/** Agrees on the pseudonym: the one that is known, or a new one. All records that came in before are visible afterwards. */
export function beginCustomer(sql: Sql, actor: Actor, { organizationId, value }: Customer): Promise<CustomerErasure> {
  return sql.begin(async (transaction) => {
    await raiseDirectoryVersion(transaction)
    // Waits for every ingest under way, and keeps later ones waiting until the pseudonym is there.
    await transaction`LOCK TABLE erased_customers IN ACCESS EXCLUSIVE MODE`
    const keys = await keysOf(transaction)
    const known = await pseudonymOf(transaction, keys, organizationId, value)
    const pseudonym = known ?? newPseudonym()
    const newest = keys.at(-1)
    if (newest === undefined) throw new Error("there is no key for the list of the erased")
    await transaction`
      INSERT INTO erased_customers AS e (organization_id, key_id, value_hmac, pseudonym, pending_value, erased_by, counters_due)
      VALUES (${organizationId}, ${newest.id}::text::uuid, decode(${hmacOf(newest, value)}, 'hex'), ${pseudonym}, ${value},
              ${actor.name}, now() + ${COUNTERS_AGAIN}::text::interval)
      ON CONFLICT (organization_id, key_id, value_hmac) DO UPDATE
      SET pending_value = excluded.pending_value, counters_due = excluded.counters_due`
    const after = { is_new: known === null }
    const entry = { organizationId, action: "end_customer.erase", subject: pseudonym, before: null, after }
    await writeAudit(transaction, actor, entry)
    return { organizationId, value, pseudonym, erasedBy: actor.name }
  })
}

/** Rewrites what is there; returns how many rows, by table. */
export async function rewriteCustomer(sql: Sql, erasure: CustomerErasure): Promise<Counts> {
  const { organizationId, value, pseudonym } = erasure
  const counts: Record<string, number> = {}
  for (const place of CUSTOMER_PLACES) counts[place.name] = await rewritePlace(sql, place, erasure)
  const texts = await eraseTexts(sql, organizationId, wordsOf(value, pseudonym))
  for (const [table, rows] of Object.entries(texts)) counts[table] = Math.max(rows, counts[table] ?? 0)
  return counts
}

/** Forgets the name, and writes down what was done. */
export async function finishCustomer(
  sql: Sql,
  { organizationId, pseudonym, erasedBy }: CustomerErasure,
  counts: Counts,
) {
  await sql.begin(async (transaction) => {
    const finished = await transaction`
      UPDATE erased_customers SET pending_value = NULL
      WHERE organization_id = ${organizationId} AND pseudonym = ${pseudonym} AND pending_value IS NOT NULL RETURNING 1`
    if (finished.length === 0) return
    const entry = { organizationId, action: "end_customer.erased", subject: pseudonym, before: null, after: counts }
    await writeAudit(transaction, { name: erasedBy, ip: "" }, entry)
  })
}

/** Those that were begun and are not done. */
export function pendingCustomers(sql: Sql): Promise<readonly CustomerErasure[]> {
  return sql<CustomerErasure[]>`
    SELECT organization_id AS "organizationId", pending_value AS value, pseudonym, erased_by AS "erasedBy"
    FROM erased_customers WHERE pending_value IS NOT NULL ORDER BY erased_at LIMIT 100`
}

async function rewritePlace(sql: Sql, { rewrite }: Place, { organizationId, value, pseudonym }: CustomerErasure) {
  const values = [organizationId, value, pseudonym]
  let changed = 0
  for (;;) {
    const count = await sql.begin(async (transaction) => {
      let rows = 0
      for (const statement of rewrite) rows = (await transaction.unsafe(statement, values)).count
      return rows
    })
    changed += count
    if (count === 0) return changed
  }
}

/** Oldest first; one is made where there is none. */
async function keysOf(transaction: Transaction): Promise<readonly ErasureKey[]> {
  const keys = await readErasureKeys(transaction)
  if (keys.length > 0) return keys
  const { id, inner, outer } = newErasureKey()
  await transaction`
    INSERT INTO erasure_keys (id, inner_key, outer_key)
    VALUES (${id}::text::uuid, decode(${inner}, 'hex'), decode(${outer}, 'hex'))`
  return [{ id, inner, outer }]
}

async function pseudonymOf(
  transaction: Transaction,
  keys: readonly ErasureKey[],
  organizationId: string,
  value: string,
): Promise<string | null> {
  for (const key of keys) {
    const [row] = await transaction<{ pseudonym: string }[]>`
      SELECT pseudonym FROM erased_customers WHERE organization_id = ${organizationId}
        AND key_id = ${key.id}::text::uuid AND value_hmac = decode(${hmacOf(key, value)}, 'hex')`
    if (row !== undefined) return row.pseudonym
  }
  return null
}

function wordsOf(value: string, pseudonym: string): Words {
  return new Words([value, customerSubject(value)], pseudonym)
}

/**
 * Who has been erased: users by their ids, end-customers by an HMAC of what they were called, each with the pseudonym that
 * stands in its place. Late records, later calls and restored backups are held against it. Whoever has the list can test
 * a guess against it, and learn no name from it.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto"
import { raiseDirectoryVersion } from "../identity/directory-version.ts"
import { randomBase62 } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"

/** The two keys of HMAC-SHA-256, hex: Postgres makes the same of them. */
export type ErasureKey = { readonly id: string; readonly inner: string; readonly outer: string }

export type ErasedCustomer = {
  readonly organizationId: string
  readonly keyId: string
  /** Hex. */
  readonly hmac: string
  readonly pseudonym: string
  /** ISO 8601. */
  readonly erasedAt: string
  readonly erasedBy: string
}

export type ErasedUser = Pick<ErasedCustomer, "organizationId" | "erasedAt" | "erasedBy"> & { readonly userId: string }

export type ErasureList = {
  readonly keys: readonly ErasureKey[]
  readonly customers: readonly ErasedCustomer[]
  readonly users: readonly ErasedUser[]
}

export const NOBODY_ERASED: ErasureList = { keys: [], customers: [], users: [] }

const BLOCK_BYTES = 64
const ROWS_PER_PAGE = 5_000

export function newErasureKey(): ErasureKey {
  const secret = Buffer.concat([randomBytes(32), Buffer.alloc(BLOCK_BYTES - 32)])
  const padded = (pad: number) => Buffer.from(secret.map((byte) => byte ^ pad)).toString("hex")
  return { id: randomUUID(), inner: padded(0x36), outer: padded(0x5c) }
}

/** Says nothing of whose place it takes. */
export function newPseudonym(): string {
  return `erased-${randomBase62(16)}`
}

/** HMAC-SHA-256 of the value, hex. */
export function hmacOf({ inner, outer }: ErasureKey, value: string): string {
  const digest = (key: string, data: string | Buffer) =>
    createHash("sha256").update(Buffer.from(key, "hex")).update(data).digest()
  return digest(outer, digest(inner, value)).toString("hex")
}

/** Oldest first. */
export function readErasureKeys(sql: Sql | Transaction): Promise<readonly ErasureKey[]> {
  return sql<ErasureKey[]>`
    SELECT id::text AS id, encode(inner_key, 'hex') AS inner, encode(outer_key, 'hex') AS outer
    FROM erasure_keys ORDER BY created_at, id`
}

/** Reads the list, a page after the other. */
export async function readErasureList(sql: Sql): Promise<ErasureList> {
  const keys = await readErasureKeys(sql)
  const customers: ErasedCustomer[] = []
  for (;;) {
    const last = customers.at(-1)
    const page = await sql<ErasedCustomer[]>`
      SELECT organization_id AS "organizationId", key_id::text AS "keyId", encode(value_hmac, 'hex') AS hmac, pseudonym,
             ${instant(sql)} AS "erasedAt", erased_by AS "erasedBy"
      FROM erased_customers
      ${
        last === undefined
          ? sql``
          : sql`WHERE (organization_id, key_id, value_hmac) >
                (${last.organizationId}, ${last.keyId}::text::uuid, decode(${last.hmac}, 'hex'))`
      }
      ORDER BY erased_customers.organization_id, key_id, value_hmac LIMIT ${ROWS_PER_PAGE}`
    customers.push(...page)
    if (page.length < ROWS_PER_PAGE) break
  }
  const users: ErasedUser[] = []
  for (;;) {
    const page = await sql<ErasedUser[]>`
      SELECT user_id AS "userId", organization_id AS "organizationId", ${instant(sql)} AS "erasedAt",
             erased_by AS "erasedBy"
      FROM erased_users WHERE user_id > ${users.at(-1)?.userId ?? ""} ORDER BY user_id LIMIT ${ROWS_PER_PAGE}`
    users.push(...page)
    if (page.length < ROWS_PER_PAGE) return { keys, customers, users }
  }
}

function instant(sql: Sql) {
  return sql`to_char(erased_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
}

/** Adds what the database's list lacks. Whoever is new to it is still to be erased. */
export async function mergeErasureList(transaction: Transaction, { keys, customers, users }: ErasureList) {
  if (customers.length + users.length > 0) await raiseDirectoryVersion(transaction)
  const column = <Row>(rows: readonly Row[], of: (row: Row) => string) => rows.map(of)
  await transaction`
    INSERT INTO erasure_keys (id, inner_key, outer_key)
    SELECT id::uuid, decode(inner_key, 'hex'), decode(outer_key, 'hex')
    FROM unnest(${column(keys, ({ id }) => id)}::text[], ${column(keys, ({ inner }) => inner)}::text[],
                ${column(keys, ({ outer }) => outer)}::text[]) AS k (id, inner_key, outer_key)
    ON CONFLICT DO NOTHING`
  await transaction`LOCK TABLE erased_customers IN ACCESS EXCLUSIVE MODE`
  await transaction`
    INSERT INTO erased_customers (organization_id, key_id, value_hmac, pseudonym, erased_at, erased_by, searched_at)
    SELECT organization_id, key_id::uuid, decode(hmac, 'hex'), pseudonym, erased_at::timestamptz, erased_by, NULL
    FROM unnest(${column(customers, (row) => row.organizationId)}::text[], ${column(customers, (row) => row.keyId)}::text[],
                ${column(customers, (row) => row.hmac)}::text[], ${column(customers, (row) => row.pseudonym)}::text[],
                ${column(customers, (row) => row.erasedAt)}::text[], ${column(customers, (row) => row.erasedBy)}::text[])
      AS c (organization_id, key_id, hmac, pseudonym, erased_at, erased_by)
    ON CONFLICT DO NOTHING`
  await transaction`
    INSERT INTO erased_users (user_id, organization_id, erased_at, erased_by)
    SELECT user_id, organization_id, erased_at::timestamptz, erased_by
    FROM unnest(${column(users, (row) => row.userId)}::text[], ${column(users, (row) => row.organizationId)}::text[],
                ${column(users, (row) => row.erasedAt)}::text[], ${column(users, (row) => row.erasedBy)}::text[])
      AS u (user_id, organization_id, erased_at, erased_by)
    ON CONFLICT DO NOTHING`
}

/** The list by organization, for many questions. */
export class Pseudonyms {
  readonly #keys: readonly ErasureKey[]
  readonly #byOrganization = new Map<string, Map<string, string>>()

  constructor({ keys, customers }: Pick<ErasureList, "keys" | "customers">) {
    this.#keys = keys
    for (const { organizationId, keyId, hmac, pseudonym } of customers) {
      const known = this.#byOrganization.get(organizationId) ?? new Map<string, string>()
      known.set(`${keyId} ${hmac}`, pseudonym)
      this.#byOrganization.set(organizationId, known)
    }
  }

  get organizationIds(): readonly string[] {
    return [...this.#byOrganization.keys()]
  }

  /** What stands in the value's place; null where nobody of that name was erased. */
  of(organizationId: string, value: string): string | null {
    const known = this.#byOrganization.get(organizationId)
    if (known === undefined || value === "") return null
    for (const key of this.#keys) {
      const pseudonym = known.get(`${key.id} ${hmacOf(key, value)}`)
      if (pseudonym !== undefined) return pseudonym
    }
    return null
  }
}

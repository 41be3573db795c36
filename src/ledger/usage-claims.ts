/**
 * What was reported once, by the keys that reporters give their records (`usage_once`). A claim is committed before its
 * record goes anywhere, and holds the record itself: whoever sends it again, to whichever process and after whatever
 * crash, books that very record, and the ledger and the counters take it once by its id.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"

/** A record about to be booked under its reporter's key. */
export type Claim = {
  readonly organizationId: string
  /** Whose keys these are. */
  readonly source: string
  readonly key: string
  readonly recordId: string
  /** ISO 8601 in UTC. */
  readonly recordTime: string
  readonly fingerprint: Buffer
  /** The record as the journal takes it. */
  readonly body: string
}

/** What a claim is known by. */
export type ClaimName = Pick<Claim, "organizationId" | "source" | "key">

export type Claimed =
  | { readonly kind: "claimed" }
  /** Booked before; where it is not done, whoever began it may be gone: it is to be booked again, under its id. */
  | { readonly kind: "known"; readonly recordId: string; readonly body: string | null; readonly isDone: boolean }
  /** The key stands for other content. */
  | { readonly kind: "conflict"; readonly recordId: string }

type OnceRow = {
  organization_id: string
  source: string
  key: string
  record_id: string
  fingerprint: Buffer
  body: string | null
  is_done: boolean
}

/** Reports older than this are refused, so that what is forgotten is not booked a second time. */
const REMEMBERED_DAYS = 60
/** Rows that one turn forgets, or finds in the ledger. */
const ROWS_PER_TURN = 5_000

/** What became of each claim, in their order. The same key twice among them is the first one's. Rejects where Postgres does. */
export async function claim(sql: Sql | Transaction, claims: readonly Claim[]): Promise<Claimed[]> {
  if (claims.length === 0) return []
  // In the order of the key, so that two batches of the same records do not wait for one another in a circle.
  const columns = columnsOf(claims)
  const claimed = await sql<{ record_id: string }[]>`
    INSERT INTO usage_once (organization_id, source, key, record_id, record_time, fingerprint, body)
    SELECT c.organization_id, c.source, c.key, c.record_id::uuid, c.record_time::timestamptz, decode(c.fingerprint, 'hex'), c.body
    FROM unnest(${columns.organizations}::text[], ${columns.sources}::text[], ${columns.keys}::text[],
      ${columns.ids}::text[], ${columns.times}::text[], ${columns.fingerprints}::text[], ${columns.bodies}::text[])
      WITH ORDINALITY AS c (organization_id, source, key, record_id, record_time, fingerprint, body, place)
    ORDER BY c.organization_id, c.source, c.key, c.place
    ON CONFLICT DO NOTHING RETURNING record_id`
  const own = new Set(claimed.map(({ record_id: id }) => id))
  const others = claims.filter(({ recordId }) => !own.has(recordId))
  const known = await readOnce(sql, others)
  return claims.map((one) => {
    if (own.has(one.recordId)) return { kind: "claimed" }
    const row = known.get(nameOf(one))
    if (row === undefined) throw new Error(`the claim of a record was forgotten while it was looked at: ${one.source}`)
    return knownAs(row, one)
  })
}

/** Tells that these are in a journal and charged. */
export async function finishClaims(sql: Sql, claims: readonly ClaimName[]): Promise<void> {
  await sql`
    UPDATE usage_once o SET is_written = true
    FROM unnest(${claims.map(({ organizationId }) => organizationId)}::text[], ${claims.map(({ source }) => source)}::text[],
      ${claims.map(({ key }) => key)}::text[]) AS c (organization_id, source, key)
    WHERE (o.organization_id, o.source, o.key) = (c.organization_id, c.source, c.key) AND NOT o.is_written`
}

/** Forgets claims of long ago, and the bodies of those whose records are in the ledger; to be called now and then. */
export async function tidyClaims(sql: Sql): Promise<void> {
  await sql`
    DELETE FROM usage_once WHERE (organization_id, source, key) IN (
      SELECT organization_id, source, key FROM usage_once
      WHERE claimed_at < now() - make_interval(days => ${REMEMBERED_DAYS}) ORDER BY claimed_at LIMIT ${ROWS_PER_TURN})`
  // Not before it is sure that no process is about to journal it: what is in the ledger is in it for good.
  await sql`
    UPDATE usage_once SET body = NULL WHERE (organization_id, source, key) IN (
      SELECT o.organization_id, o.source, o.key FROM usage_once o
      WHERE o.body IS NOT NULL AND o.claimed_at < now() - interval '10 minutes' AND EXISTS (
        SELECT FROM usage_records r
        WHERE r.organization_id = o.organization_id AND r.time = o.record_time AND r.id = o.record_id)
      ORDER BY o.claimed_at LIMIT ${ROWS_PER_TURN})`
}

/** What an earlier claim under this key has come to; null where there is none. */
export async function findClaim(
  sql: Sql | Transaction,
  one: Claim,
): Promise<Exclude<Claimed, { kind: "claimed" }> | null> {
  const row = (await readOnce(sql, [one])).get(nameOf(one))
  return row === undefined ? null : knownAs(row, one)
}

function knownAs(row: OnceRow, { fingerprint }: Claim): Exclude<Claimed, { kind: "claimed" }> {
  if (!row.fingerprint.equals(fingerprint)) return { kind: "conflict", recordId: row.record_id }
  return { kind: "known", recordId: row.record_id, body: row.body, isDone: row.is_done }
}

async function readOnce(sql: Sql | Transaction, claims: readonly Claim[]): Promise<Map<string, OnceRow>> {
  if (claims.length === 0) return new Map()
  const { organizations, sources, keys } = columnsOf(claims)
  const rows = await sql<OnceRow[]>`
    SELECT o.organization_id, o.source, o.key, o.record_id, o.fingerprint, o.body,
      o.body IS NULL OR o.is_written OR EXISTS (
        SELECT FROM usage_records r
        WHERE r.organization_id = o.organization_id AND r.time = o.record_time AND r.id = o.record_id) AS is_done
    FROM usage_once o
    WHERE (o.organization_id, o.source, o.key) IN (
      SELECT * FROM unnest(${organizations}::text[], ${sources}::text[], ${keys}::text[]))`
  return new Map(rows.map((row) => [nameOf({ ...row, organizationId: row.organization_id }), row]))
}

function columnsOf(claims: readonly Claim[]) {
  return {
    organizations: claims.map(({ organizationId }) => organizationId),
    sources: claims.map(({ source }) => source),
    keys: claims.map(({ key }) => key),
    ids: claims.map(({ recordId }) => recordId),
    times: claims.map(({ recordTime }) => recordTime),
    fingerprints: claims.map(({ fingerprint }) => fingerprint.toString("hex")),
    bodies: claims.map(({ body }) => body),
  }
}

/** Sources and organizations have no line end. */
function nameOf({ organizationId, source, key }: ClaimName): string {
  return `${organizationId}\n${source}\n${key}`
}

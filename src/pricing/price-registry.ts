/**
 * The write path of prices that are set by API. Each act is one transaction that also writes its audit row and raises
 * the directory's version, by which running proxies learn of it. A price is never changed: another takes its place from
 * its own beginning on, and one that was wrong is ended, which uncovers what stood before.
 */
import { type Actor, writeAudit } from "../identity/audit.ts"
import { raisePricesVersion } from "../identity/directory-version.ts"
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import { namedId } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import type { StoredPrice } from "./stored-prices.ts"

/** As price files write it: every figure is text. */
export type PriceText = {
  readonly aliases?: readonly string[] | undefined
  readonly prefixes?: readonly string[] | undefined
  readonly rates?: object | undefined
  readonly units?: object | undefined
  readonly fees?: Readonly<Record<string, string>> | undefined
  readonly regions?: Readonly<Record<string, string>> | undefined
}

export type PriceRowStored = {
  readonly id: string
  /** Null: of the installation. */
  readonly organization_id: string | null
  readonly provider: string
  readonly model: string
  readonly price: PriceText
  readonly source: string
  readonly note: string
  readonly effective_from: Date
  readonly ended_at: Date | null
  readonly created_by: string
  readonly created_at: Date
}

/** `price` has been read by `readPeriod` before. */
export type NewPrice = {
  readonly organizationId: string | null
  readonly provider: string
  readonly model: string
  readonly price: PriceText
  readonly source: string
  readonly note: string
  readonly effectiveFrom: Date
}

export function setPrice(sql: Sql, actor: Actor, wanted: NewPrice): Promise<PriceRowStored> {
  return sql.begin(async (transaction) => {
    await raisePricesVersion(transaction)
    const [row] = await insertAll(transaction, actor, [wanted])
    if (row === undefined) throw new Error("An inserted price returned no row.")
    await audit(transaction, actor, "price.set", null, row)
    return row
  })
}

/**
 * Sets the prices of a catalog, all of them or none, and returns their ids in the order of `wanted`. One audit row tells
 * of them: a catalog has thousands, and others wait while they are written. `organizationId`: whose all of them are.
 */
export function importPrices(
  sql: Sql,
  actor: Actor,
  organizationId: string | null,
  wanted: readonly Omit<NewPrice, "organizationId">[],
): Promise<string[]> {
  return sql.begin(async (transaction): Promise<string[]> => {
    await raisePricesVersion(transaction)
    const rows = await insertAll(
      transaction,
      actor,
      wanted.map((price) => ({ ...price, organizationId })),
    )
    const ids = rows.map(({ id }) => id)
    const [first] = rows
    if (first === undefined) return ids
    const after = { source: first.source, effective_from: first.effective_from, price_ids: ids }
    await writeAudit(transaction, actor, {
      organizationId: organizationId ?? "",
      ...{ action: "price.import", subject: first.id, before: null, after },
    })
    return ids
  }) as Promise<string[]>
}

/** In the order of `wanted`. */
async function insertAll(
  transaction: Transaction,
  actor: Actor,
  wanted: readonly NewPrice[],
): Promise<PriceRowStored[]> {
  const records = wanted.map(({ organizationId, effectiveFrom, ...price }) => {
    return { id: namedId("prc"), organization_id: organizationId, effective_from: effectiveFrom, ...price }
  })
  // As text: what is sent as json the driver writes as JSON, which would make a JSON string of it.
  const rows = await transaction<PriceRowStored[]>`
    INSERT INTO prices (id, organization_id, provider, model, price, source, note, effective_from, created_by, created_at)
    SELECT r.id, r.organization_id, r.provider, r.model, r.price, r.source, r.note, r.effective_from, ${actor.name},
           clock_timestamp()
    FROM json_to_recordset(${JSON.stringify(records)}::text::json)
      AS r (id text, organization_id text, provider text, model text, price json, source text, note text, effective_from timestamptz)
    RETURNING *`
  const byId = new Map(rows.map((row) => [row.id, row]))
  return records.flatMap(({ id }) => byId.get(id) ?? [])
}

export type EndedPrice =
  | { readonly kind: "ended"; readonly row: PriceRowStored }
  | { readonly kind: "missing" }
  /** It has an end already, which is not later than the one asked for. */
  | { readonly kind: "ended_before"; readonly at: Date }

/** Ends a price: calls that arrive from then on are priced by what stood before it. */
export function endPrice(sql: Sql, actor: Actor, id: string, at: Date): Promise<EndedPrice> {
  return sql.begin(async (transaction): Promise<EndedPrice> => {
    await raisePricesVersion(transaction)
    const before = await readPrice(transaction, id)
    if (before === null) return { kind: "missing" }
    if (before.ended_at !== null && before.ended_at <= at) return { kind: "ended_before", at: before.ended_at }
    const [after] = await transaction<PriceRowStored[]>`UPDATE prices SET ended_at = ${at} WHERE id = ${id} RETURNING *`
    if (after === undefined) throw new Error(`The price ${id} went while its end held the directory's lock.`)
    await audit(transaction, actor, "price.end", before, after)
    return { kind: "ended", row: after }
  })
}

export async function readPrice(sql: Sql | Transaction, id: string): Promise<PriceRowStored | null> {
  const [row] = await sql<PriceRowStored[]>`SELECT * FROM prices WHERE id = ${id}`
  return row ?? null
}

export type PricesQuestion = {
  readonly visibility: Visibility
  /** Null: whosever; '': the installation's. */
  readonly organizationId: string | null
  readonly provider: string | null
  readonly model: string | null
  /** Those alone that have not ended then; null: ended ones as well. */
  readonly standingAt: Date | null
  readonly after: string
  readonly max: number
}

/** A page of prices in order of their ids, at most `max`, after the id `after` ('' for the first page). */
export function listPrices(sql: Sql, question: PricesQuestion): Promise<readonly PriceRowStored[]> {
  const { visibility, organizationId, provider, model, standingAt, after, max } = question
  const of = organizationId === "" ? sql`AND organization_id IS NULL` : sql`AND organization_id = ${organizationId}`
  return sql<PriceRowStored[]>`
    SELECT * FROM prices
    WHERE id > ${after} AND ${visibleRows(sql, visibility, sql`organization_id`, null)}
      ${organizationId === null ? sql`` : of}
      ${provider === null ? sql`` : sql`AND provider = ${provider}`} ${model === null ? sql`` : sql`AND model = ${model}`}
      ${standingAt === null ? sql`` : sql`AND (ended_at IS NULL OR ended_at > ${standingAt})`}
    ORDER BY id LIMIT ${max}`
}

/** Every price there is or was, the newest first: by beginning, then by when it was made. */
export async function readStoredPrices(sql: Sql): Promise<StoredPrice[]> {
  const rows = await sql<PriceRowStored[]>`SELECT * FROM prices ORDER BY effective_from DESC, created_at DESC, id DESC`
  return rows.map((row) => ({
    id: row.id,
    organizationId: row.organization_id ?? "",
    provider: row.provider,
    model: row.model,
    aliases: row.price.aliases ?? [],
    prefixes: row.price.prefixes ?? [],
    price: row.price,
    source: row.source,
    fromMs: row.effective_from.getTime(),
    untilMs: row.ended_at?.getTime() ?? null,
    createdMs: row.created_at.getTime(),
  }))
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  action: string,
  before: PriceRowStored | null,
  after: PriceRowStored,
): Promise<void> {
  const { id: subject, organization_id: organizationId } = after
  await writeAudit(transaction, actor, { organizationId: organizationId ?? "", action, subject, before, after })
}

/**
 * What every correction of a record is made of: the entry beside it, at its time and under its names, charged on the
 * limits that the record was charged on; and what was corrected of a record before.
 */
import type { Charge } from "../admission/limit-store.ts"
import { accountHoldId, type CallActual, type DurableCharge, recordCharges } from "../admission/limits.ts"
import { countedCharges } from "../admission/report-charges.ts"
import type { Limit } from "../identity/limit.ts"
import { readLimitsById } from "../identity/limit-registry.ts"
import { totalTokens, type Usage } from "../metering/usage.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { formatUsd, parseUsd } from "../pricing/money.ts"
import { USAGE_COLUMN_NAMES, usageOf } from "./priced-record.ts"
import type { UsageRecord } from "./usage-record.ts"

/** An entry's id, with what it charges: each part is an act of its own, under its own id. */
export type ChargedEntry = {
  readonly id: string
  readonly parts: readonly { readonly id: string; readonly charges: readonly Charge[] }[]
}

/** What an entry says beside the names of the record that it corrects. */
export type EntryContent = {
  readonly id: string
  readonly delta: Usage
  readonly price: {
    /** Pico-dollars; null: not known. */
    readonly costPicos: bigint | null
    /** Before markup and discount; null where neither applies. */
    readonly basePicos: bigint | null
    /** Nano-dollars that money limits are charged. */
    readonly chargedNanos: bigint
    readonly source: UsageRecord["cost_source"]
    readonly row: string
  }
  readonly metadata: Record<string, string>
  /** The corrector's own name for the entry; '' where there is none. */
  readonly key: string
}

/**
 * Marks an entry that gives a cost to a record without one, by what that record pins: the rollup then counts the record
 * as unpriced no more.
 */
export function firstPriceOf({ price_row: pin }: UsageRecord): { readonly was_unpriced_as: string } {
  return { was_unpriced_as: pin }
}

/** The entry that corrects the record, with its charges on those of `limits` that the record was charged on. */
export function entryRecord(original: UsageRecord, content: EntryContent, limits: readonly Limit[]): UsageRecord {
  const { id, delta, price, metadata, key } = content
  const { costPicos, basePicos, chargedNanos } = price
  const record: UsageRecord = {
    ...original,
    id,
    kind: "adjustment",
    adjusts_id: original.id,
    metadata,
    client_request_id: key,
    attempts: [],
    usage_raw: null,
    usage_mismatch: false,
    price_state: costPicos === null ? "unpriced" : "priced",
    cost_usd: costPicos === null ? null : formatUsd(costPicos),
    cost_source: price.source,
    price_row: price.row,
    base_cost_usd: basePicos === null ? null : formatUsd(basePicos),
    provider_cost_usd: null,
    book_cost_usd: null,
    charges: [],
    duration_ms: 0,
    ttft_ms: null,
    upstream_ms: null,
    overhead_us: 0,
    request_bytes: 0,
    response_bytes: 0,
  }
  for (const [member, name] of USAGE_COLUMN_NAMES) record[name] = delta[member]
  const actual = { requests: 0n, tokens: BigInt(totalTokens(delta)), costNanos: chargedNanos }
  return { ...record, charges: chargesLike(original.charges, limits, actual) }
}

/** The same limits in the same windows as the record, as far as the limits are still there. */
function chargesLike(charges: readonly DurableCharge[], limits: readonly Limit[], actual: CallActual): DurableCharge[] {
  return charges.flatMap(({ limit_id, subject, window }) => {
    const limit = limits.find((one) => one.id === limit_id && one.subject === subject)
    return limit === undefined ? [] : recordCharges([{ limit, window, resetsAtMs: null, amount: 0n }], actual)
  })
}

/** The limits that the records were charged on, each as it counted them, once. */
export async function limitsCharged(
  sql: Sql | Transaction,
  records: readonly Pick<UsageRecord, "charges">[],
): Promise<Limit[]> {
  const charged = new Map<string, DurableCharge>()
  for (const { charges } of records) for (const one of charges) charged.set(`${one.limit_id} ${one.subject}`, one)
  const found = await readLimitsById(sql, [...new Set([...charged.values()].map(({ limit_id }) => limit_id))])
  return [...charged.values()].flatMap(({ limit_id, subject }) => {
    const limit = found.get(limit_id)
    return limit === undefined ? [] : [{ ...limit, subject }]
  })
}

/** What a record with its entries has charged money limits, in nano-dollars: each of them the same. */
export function chargedUsd(entries: readonly Partial<UsageRecord>[], limits: readonly Limit[]): bigint {
  const all = entries.flatMap(({ charges = [] }) => charges)
  const isUsd = ({ limit_id }: DurableCharge) => limits.some(({ id, kind }) => id === limit_id && kind === "usd")
  const first = all.find(isUsd)
  const own = all.filter(({ limit_id, subject }) => limit_id === first?.limit_id && subject === first.subject)
  return own.reduce((sum, { amount }) => sum + BigInt(amount), 0n)
}

/** The entry's charges that a limit store still counts, by whose counters they are. */
export function chargedEntry(
  { id, charges, time, organization_id }: Pick<UsageRecord, "id" | "charges" | "time" | "organization_id">,
  limits: readonly Limit[],
  nowMs: number,
): ChargedEntry {
  const counted = countedCharges(charges, limits, Date.parse(time), nowMs)
  const parts = [...Map.groupBy(counted, ({ limit }) => limit.organizationId)].map(([counters, some]) => {
    return { id: counters === organization_id ? id : accountHoldId(id), charges: some }
  })
  return { id, parts }
}

/** Whose keys corrections of this record are claimed under. */
export function correctionSource(recordId: string): string {
  return `adjust:${recordId}`
}

/**
 * Locks a row for each of the records until the transaction ends: two corrections at once could take more than there is.
 * In the order of the ids, so that two batches do not wait for one another in a circle.
 */
export async function takeTurns(
  transaction: Transaction,
  records: readonly Pick<UsageRecord, "organization_id" | "id" | "time">[],
): Promise<void> {
  await transaction`
    INSERT INTO usage_once AS o (organization_id, source, key, record_id, record_time, fingerprint)
    SELECT r.organization_id, 'adjusted', r.id, r.id::uuid, r.time::timestamptz, ''
    FROM unnest(${records.map((one) => one.organization_id)}::text[], ${records.map(({ id }) => id)}::text[],
      ${records.map(({ time }) => time)}::text[]) AS r (organization_id, id, time)
    ORDER BY r.organization_id, r.id
    ON CONFLICT (organization_id, source, key) DO UPDATE SET claimed_at = now()`
}

/** An entry of a record, as far as later corrections need it. */
export type FormerEntry = {
  readonly record: Partial<UsageRecord> & Pick<UsageRecord, "id">
  /** The claim whose record may not stand in a journal yet, since whoever made it is gone; null: it does. */
  readonly unwritten: { readonly key: string; readonly body: string } | null
}

type EntryRow = {
  id: string
  adjusts_id: string
  record: FormerEntry["record"]
  key: string | null
  body: string | null
}

/** What was corrected of these records before, by their ids, be it in the ledger yet or not. Records of one organization. */
export async function readEntries(
  sql: Sql | Transaction,
  records: readonly Pick<UsageRecord, "organization_id" | "id" | "time">[],
): Promise<ReadonlyMap<string, readonly FormerEntry[]>> {
  const [first] = records
  if (first === undefined) return new Map()
  const ids = records.map(({ id }) => id)
  const rows = await sql<EntryRow[]>`
    SELECT r.id, r.adjusts_id, NULL AS key, NULL AS body,
      to_jsonb(r) || jsonb_build_object('cost_usd', r.cost_usd::text, 'base_cost_usd', r.base_cost_usd::text) AS record
    FROM unnest(${ids}::text[], ${records.map(({ time }) => time)}::text[]) AS o (id, time)
    JOIN usage_records r ON r.organization_id = ${first.organization_id} AND r.time = o.time::timestamptz
      AND r.adjusts_id = o.id::uuid
    UNION ALL
    SELECT record_id, split_part(source, ':', 2)::uuid, key, CASE WHEN is_written THEN NULL ELSE body END, body::jsonb
    FROM usage_once
    WHERE organization_id = ${first.organization_id} AND source = ANY(${ids.map(correctionSource)}::text[])
      AND body IS NOT NULL`
  const byRecord = new Map<string, Map<string, FormerEntry>>()
  for (const { id, adjusts_id: recordId, record, key, body } of rows) {
    const entries = byRecord.get(recordId) ?? new Map<string, FormerEntry>()
    byRecord.set(recordId, entries)
    // What is in the ledger is in it, whatever its claim says.
    if (key === null || !entries.has(id)) {
      entries.set(id, { record, unwritten: key === null || body === null ? null : { key, body } })
    }
  }
  return new Map([...byRecord].map(([recordId, entries]) => [recordId, [...entries.values()]]))
}

/** The sum of two usages of one unit. */
export function addedUsage(one: Usage, other: Usage): Usage {
  // Units are counted in millionths; what floats leave beyond them is nothing.
  const counts = USAGE_COLUMN_NAMES.map(
    ([member]) => [member, Math.round((one[member] + other[member]) * 1e6) / 1e6] as const,
  )
  return { ...one, ...Object.fromEntries(counts), unitType: one.unitType || other.unitType }
}

/** A record with its entries: what was used, and what it costs in pico-dollars; null where no part has a price. */
export function sumOf(entries: readonly Partial<UsageRecord>[]): { usage: Usage; costPicos: bigint | null } {
  const usage = entries.map(usageOf).reduce(addedUsage)
  const known = entries.flatMap(({ cost_usd: cost }) => (cost == null ? [] : [picosOf(cost)]))
  return { usage, costPicos: known.length === 0 ? null : known.reduce((sum, cost) => sum + cost, 0n) }
}

/** Whether the price book gave the entry its cost; else it has none, or somebody named it. */
export function isByBook({ cost_usd: cost, cost_source: source }: Partial<UsageRecord>): boolean {
  return cost != null && (source === "book" || source === "override")
}

export function picosOf(usd: string): bigint {
  const parsed = parseUsd(usd)
  if (parsed.kind === "invalid") throw new Error(`a record's cost cannot be read: ${usd}`)
  return parsed.picos
}

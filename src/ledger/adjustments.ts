/**
 * Corrections. A record is never changed: an entry of kind `adjustment` beside it says by how much it was wrong, at the
 * record's own time and under the same names, so that every sum in which the record stands is corrected, in the windows
 * that it was counted in. A record and its adjustments together are never below nothing.
 */
import { createHash } from "node:crypto"
import type { Charge } from "../admission/limit-store.ts"
import { accountHoldId, type CallActual, type DurableCharge, recordCharges } from "../admission/limits.ts"
import { countedCharges } from "../admission/report-charges.ts"
import { type Actor, writeAudit } from "../identity/audit.ts"
import type { Limit } from "../identity/limit.ts"
import { readLimitsById } from "../identity/limit-registry.ts"
import { totalTokens, type Usage, usageFault } from "../metering/usage.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { formatUsd, nanosRoundedUp, parseUsd } from "../pricing/money.ts"
import { type Prices, priceServed } from "./priced-record.ts"
import { recordText } from "./record-text.ts"
import { type Claim, type Claimed, claim, findClaim } from "./usage-claims.ts"
import type { UsageRecord } from "./usage-record.ts"

/** By how much a record was wrong; what is 0 stays. */
export type Correction = {
  readonly original: UsageRecord
  readonly delta: Usage
  /** Pico-dollars; null: what the price book makes of the difference. */
  readonly costPicos: bigint | null
  readonly reason: string
  /** The caller's own key for this correction; null: a repetition is another one. */
  readonly key: string | null
}

/** What there is to write and charge, each part under its id; nothing where it was done before. */
export type Adjusted =
  | {
      readonly kind: "adjusted"
      readonly id: string
      readonly isDuplicate: boolean
      readonly record: UsageRecord | null
      readonly body: string | null
      readonly parts: readonly { readonly id: string; readonly charges: readonly Charge[] }[]
    }
  | { readonly kind: "conflict"; readonly id: string }
  | { readonly kind: "refused"; readonly param: string; readonly message: string }

export type AdjustParts = {
  readonly prices: Prices
  readonly id: string
  readonly nowMs: number
  readonly actor: Actor
}

const COUNTS = {
  inputUncachedTokens: "input_uncached_tokens",
  cacheReadTokens: "cache_read_tokens",
  cacheWrite5mTokens: "cache_write_5m_tokens",
  cacheWrite1hTokens: "cache_write_1h_tokens",
  outputTokens: "output_tokens",
  reasoningTokens: "reasoning_tokens",
  audioInputTokens: "audio_input_tokens",
  imageInputTokens: "image_input_tokens",
  audioOutputTokens: "audio_output_tokens",
  imageOutputTokens: "image_output_tokens",
  webSearches: "web_searches",
  units: "units",
} as const satisfies Partial<Record<keyof Usage, keyof UsageRecord>>
const COUNT_NAMES = Object.entries(COUNTS) as [keyof typeof COUNTS, (typeof COUNTS)[keyof typeof COUNTS]][]

/** Claims the correction and audits it, in one transaction; whoever corrects the same record waits for its end. */
export function adjust(sql: Sql, correction: Correction, parts: AdjustParts): Promise<Adjusted> {
  return sql.begin(async (transaction): Promise<Adjusted> => {
    const { original, key } = correction
    const { id, actor, nowMs } = parts
    const source = `adjust:${original.id}`
    const claimOf = (body: string): Claim => ({
      organizationId: original.organization_id,
      source,
      key: key ?? id,
      recordId: id,
      recordTime: original.time,
      fingerprint: fingerprintOf(correction),
      body,
    })
    await takeTurn(transaction, original)
    const known = await findClaim(transaction, claimOf(""))
    const limits = await limitsCharged(transaction, original)
    if (known !== null) return again(known, original, limits, nowMs)
    const entry = entryOf(correction, parts, await readSoFar(transaction, original, source), limits)
    if (entry.kind === "refused") return entry
    const { record } = entry
    const body = recordText(record)
    await claim(transaction, [claimOf(body)])
    await writeAudit(transaction, actor, {
      organizationId: original.organization_id,
      action: "usage.adjust",
      subject: original.id,
      before: null,
      after: { adjustment_id: id, reason: correction.reason, cost_usd: record.cost_usd, ...deltasOf(correction) },
    })
    return { kind: "adjusted", id, isDuplicate: false, record, body, parts: partsOf(id, record, limits, nowMs) }
  }) as Promise<Adjusted>
}

/** Locks a row of the record's own until the transaction ends: two corrections at once could take more than there is. */
async function takeTurn(transaction: Transaction, { organization_id, id, time }: UsageRecord): Promise<void> {
  await transaction`
    INSERT INTO usage_once AS o (organization_id, source, key, record_id, record_time, fingerprint)
    VALUES (${organization_id}, 'adjusted', ${id}, ${id}, ${time}::text::timestamptz, '')
    ON CONFLICT (organization_id, source, key) DO UPDATE SET claimed_at = now()`
}

function again(
  known: Exclude<Claimed, { kind: "claimed" }>,
  original: UsageRecord,
  limits: readonly Limit[],
  nowMs: number,
): Adjusted {
  if (known.kind === "conflict") return { kind: "conflict", id: known.recordId }
  const { recordId: id, body, isDone } = known
  const record = body === null ? null : ({ ...original, charges: [], ...JSON.parse(body) } as UsageRecord)
  const parts = record === null ? [] : partsOf(id, record, limits, nowMs)
  return { kind: "adjusted", id, isDuplicate: true, record, body: isDone ? null : body, parts }
}

type SoFar = { readonly usage: Usage; readonly costPicos: bigint | null }

/** The record with all that was corrected of it before, be it in the ledger yet or not. */
async function readSoFar(transaction: Transaction, original: UsageRecord, source: string): Promise<SoFar> {
  const rows = await transaction<{ id: string; record: Partial<UsageRecord> }[]>`
    SELECT id, jsonb_set(to_jsonb(r), '{cost_usd}', coalesce(to_jsonb(r.cost_usd::text), 'null')) AS record FROM usage_records r
    WHERE organization_id = ${original.organization_id} AND time = ${original.time}::text::timestamptz
      AND adjusts_id = ${original.id}
    UNION ALL
    SELECT record_id, body::jsonb FROM usage_once
    WHERE organization_id = ${original.organization_id} AND source = ${source} AND body IS NOT NULL`
  const entries = [original, ...new Map(rows.map(({ id, record }) => [id, record])).values()]
  const usage = entries.map(usageOf).reduce(added)
  const costs = entries.map(({ cost_usd: cost }) => (cost == null ? null : picosOf(cost)))
  const known = costs.filter((cost) => cost !== null)
  return { usage, costPicos: known.length === 0 ? null : known.reduce((sum, cost) => sum + cost, 0n) }
}

type Entry =
  | { readonly kind: "entry"; readonly record: UsageRecord }
  | { readonly kind: "refused"; readonly param: string; readonly message: string }

function entryOf(correction: Correction, { prices, id }: AdjustParts, soFar: SoFar, limits: readonly Limit[]): Entry {
  const { original, delta, reason, key } = correction
  const after = added(soFar.usage, delta)
  for (const [member, name] of COUNT_NAMES) {
    if (after[member] < 0)
      return refused(name, `Of this record ${soFar.usage[member]} are left; it cannot have fewer than none.`)
  }
  const fault = usageFault(after)
  if (fault !== null)
    return refused(fault.part, `${fault.part} would be more than ${fault.whole}, of which they are part.`)
  const cost = costOf(correction, prices, soFar.usage, after)
  if (cost.kind === "refused") return cost
  if ((soFar.costPicos ?? 0n) + (cost.picos ?? 0n) < 0n) {
    const left = formatUsd(soFar.costPicos ?? 0n)
    return refused("cost_usd", `Of this record's cost ${left} dollars are left; it cannot cost less than nothing.`)
  }
  const record: UsageRecord = {
    ...original,
    id,
    kind: "adjustment",
    adjusts_id: original.id,
    metadata: { reason },
    client_request_id: key ?? "",
    attempts: [],
    usage_raw: null,
    usage_mismatch: false,
    price_state: cost.picos === null ? "unpriced" : "priced",
    cost_usd: cost.picos === null ? null : formatUsd(cost.picos),
    cost_source: cost.source,
    price_row: cost.pin,
    base_cost_usd: cost.basePicos === null ? null : formatUsd(cost.basePicos),
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
  for (const [member, name] of COUNT_NAMES) record[name] = delta[member]
  const actual = { requests: 0n, tokens: BigInt(totalTokens(delta)), costNanos: nanosRoundedUp(cost.chargedPicos) }
  return { kind: "entry", record: { ...record, charges: chargesLike(original.charges, limits, actual) } }
}

type Cost =
  | {
      readonly kind: "cost"
      /** Null while nobody knows. */
      readonly picos: bigint | null
      /** Before markup and discount; null where neither applies. */
      readonly basePicos: bigint | null
      /** What limits are charged, be it by a ceiling. */
      readonly chargedPicos: bigint
      readonly source: UsageRecord["cost_source"]
      readonly pin: string
    }
  | Extract<Entry, { kind: "refused" }>

function costOf({ original, costPicos }: Correction, prices: Prices, before: Usage, after: Usage): Cost {
  const same = { kind: "cost", basePicos: null, pin: original.price_row } as const
  if (costPicos !== null) return { ...same, picos: costPicos, chargedPicos: costPicos, source: "reported" }
  if (original.cost_source === "reported") {
    const message = "This record's cost was reported. Say in cost_usd how much it changes, `0` where it does not."
    return refused("cost_usd", message)
  }
  const served = { model: original.model_served, tier: original.tier_served || original.tier_requested }
  const atMs = Date.parse(original.time)
  const priced = (usage: Usage) => priceServed(prices, original, served, usage, atMs)
  const [was, is] = [priced(before), priced(after)]
  if (original.price_state === "unpriced") {
    const isCharged = original.cost_source === "ceiling" && was.kind === "unpriced" && is.kind === "unpriced"
    const chargedPicos = isCharged ? (is.ceiling?.costPicos ?? 0n) - (was.ceiling?.costPicos ?? 0n) : 0n
    return { ...same, picos: null, chargedPicos, source: original.cost_source }
  }
  if (was.kind === "priced" && is.kind === "priced") {
    const picos = is.costPicos - was.costPicos
    const isUnderTerms = is.baseCostPicos !== null || was.baseCostPicos !== null
    const basePicos = (is.baseCostPicos ?? is.costPicos) - (was.baseCostPicos ?? was.costPicos)
    const { source, pin } = is
    return { ...same, picos, basePicos: isUnderTerms ? basePicos : null, chargedPicos: picos, source, pin }
  }
  return refused("cost_usd", "The price book has no price for this. Say in cost_usd how much the cost changes.")
}

/** The same limits in the same windows as the record, as far as the limits are still there. */
function chargesLike(charges: readonly DurableCharge[], limits: readonly Limit[], actual: CallActual): DurableCharge[] {
  return charges.flatMap(({ limit_id, subject, window }) => {
    const limit = limits.find((one) => one.id === limit_id && one.subject === subject)
    return limit === undefined ? [] : recordCharges([{ limit, window, resetsAtMs: null, amount: 0n }], actual)
  })
}

/** The limits that the record was charged on, each as it counted the record. */
async function limitsCharged(transaction: Transaction, { charges }: UsageRecord): Promise<Limit[]> {
  const found = await readLimitsById(
    transaction,
    charges.map(({ limit_id }) => limit_id),
  )
  return charges.flatMap(({ limit_id, subject }) => {
    const limit = found.get(limit_id)
    return limit === undefined ? [] : [{ ...limit, subject }]
  })
}

/** By whose counters they are: each is an act of its own. */
function partsOf(id: string, { charges, time, organization_id }: UsageRecord, limits: readonly Limit[], nowMs: number) {
  const counted = countedCharges(charges, limits, Date.parse(time), nowMs)
  return [...Map.groupBy(counted, ({ limit }) => limit.organizationId)].map(([counters, some]) => {
    return { id: counters === organization_id ? id : accountHoldId(id), charges: some }
  })
}

function fingerprintOf(correction: Correction): Buffer {
  const { costPicos, reason, original } = correction
  const content = [original.id, Object.entries(deltasOf(correction)).sort(), costPicos?.toString() ?? null, reason]
  return createHash("sha256").update(JSON.stringify(content)).digest()
}

function deltasOf({ delta }: Correction): Record<string, number> {
  return Object.fromEntries(
    COUNT_NAMES.flatMap(([member, name]) => (delta[member] === 0 ? [] : [[name, delta[member]]])),
  )
}

function usageOf(record: Partial<UsageRecord>): Usage {
  const counts = COUNT_NAMES.map(([member, name]) => [member, Number(record[name] ?? 0)] as const)
  return { ...(Object.fromEntries(counts) as Omit<Usage, "unitType">), unitType: record.unit_type ?? "" }
}

function added(one: Usage, other: Usage): Usage {
  // Units are counted in millionths; what floats leave beyond them is nothing.
  const sum = (member: keyof typeof COUNTS) => Math.round((one[member] + other[member]) * 1e6) / 1e6
  const counts = COUNT_NAMES.map(([member]) => [member, sum(member)] as const)
  return { ...(Object.fromEntries(counts) as Omit<Usage, "unitType">), unitType: one.unitType || other.unitType }
}

function picosOf(usd: string): bigint {
  const parsed = parseUsd(usd)
  if (parsed.kind === "invalid") throw new Error(`a record's cost cannot be read: ${usd}`)
  return parsed.picos
}

function refused(param: string, message: string): Extract<Entry, { kind: "refused" }> {
  return { kind: "refused", param, message }
}

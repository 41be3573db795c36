/**
 * Corrections. A record is never changed: an entry of kind `adjustment` beside it says by how much it was wrong, at the
 * record's own time and under the same names, so that every sum in which the record stands is corrected, in the windows
 * that it was counted in. A record and its adjustments together are never below nothing.
 */
import { createHash } from "node:crypto"
import { type Actor, writeAudit } from "../identity/audit.ts"
import type { Limit } from "../identity/limit.ts"
import { type Usage, usageFault } from "../metering/usage.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { formatUsd, nanosRoundedUp } from "../pricing/money.ts"
import {
  addedUsage,
  type ChargedEntry,
  chargedEntry,
  chargedUsd,
  correctionSource,
  entryRecord,
  firstPriceOf,
  isByBook,
  limitsCharged,
  readEntries,
  sumOf,
  takeTurns,
} from "./correction-entry.ts"
import { type Prices, priceAsRecorded, USAGE_COLUMN_NAMES } from "./priced-record.ts"
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
  | (ChargedEntry & {
      readonly kind: "adjusted"
      readonly isDuplicate: boolean
      readonly record: UsageRecord | null
      readonly body: string | null
    })
  | { readonly kind: "conflict"; readonly id: string }
  | { readonly kind: "refused"; readonly param: string; readonly message: string }

export type AdjustParts = {
  readonly prices: Prices
  readonly id: string
  readonly nowMs: number
  readonly actor: Actor
}

/** Claims the correction and audits it, in one transaction; whoever corrects the same record waits for its end. */
export function adjust(sql: Sql, correction: Correction, parts: AdjustParts): Promise<Adjusted> {
  return sql.begin(async (transaction): Promise<Adjusted> => {
    const { original, key } = correction
    const { id, actor, nowMs } = parts
    const source = correctionSource(original.id)
    const claimOf = (body: string): Claim => ({
      organizationId: original.organization_id,
      source,
      key: key ?? id,
      recordId: id,
      recordTime: original.time,
      fingerprint: fingerprintOf(correction),
      body,
    })
    await takeTurns(transaction, [original])
    const known = await findClaim(transaction, claimOf(""))
    const limits = await limitsCharged(transaction, [original])
    if (known !== null) return again(known, original, limits, nowMs)
    const entry = entryOf(correction, parts, await readSoFar(transaction, original), limits)
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
    return { kind: "adjusted", isDuplicate: false, record, body, ...chargedEntry(record, limits, nowMs) }
  }) as Promise<Adjusted>
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
  const charged = record === null ? { id, parts: [] } : chargedEntry(record, limits, nowMs)
  return { kind: "adjusted", isDuplicate: true, record, body: isDone ? null : body, ...charged }
}

type SoFar = ReturnType<typeof sumOf> & {
  readonly entries: readonly Partial<UsageRecord>[]
  readonly hasBookPrice: boolean
}

/** The record with all that was corrected of it before, be it in the ledger yet or not. */
async function readSoFar(transaction: Transaction, original: UsageRecord): Promise<SoFar> {
  const before = (await readEntries(transaction, [original])).get(original.id) ?? []
  const entries = [original, ...before.map(({ record }) => record)]
  return { ...sumOf(entries), entries, hasBookPrice: entries.some(isByBook) }
}

type Entry =
  | { readonly kind: "entry"; readonly record: UsageRecord }
  | { readonly kind: "refused"; readonly param: string; readonly message: string }

function entryOf(correction: Correction, { prices, id }: AdjustParts, soFar: SoFar, limits: readonly Limit[]): Entry {
  const { original, delta, reason, key } = correction
  const after = addedUsage(soFar.usage, delta)
  for (const [member, name] of USAGE_COLUMN_NAMES) {
    if (after[member] < 0)
      return refused(name, `Of this record ${soFar.usage[member]} are left; it cannot have fewer than none.`)
  }
  const fault = usageFault(after)
  if (fault !== null)
    return refused(fault.part, `${fault.part} would be more than ${fault.whole}, of which they are part.`)
  const cost = costOf(correction, prices, soFar, after)
  if (cost.kind === "refused") return cost
  if ((soFar.costPicos ?? 0n) + (cost.picos ?? 0n) < 0n) {
    const left = formatUsd(soFar.costPicos ?? 0n)
    return refused("cost_usd", `Of this record's cost ${left} dollars are left; it cannot cost less than nothing.`)
  }
  const isFirstPrice = original.price_state === "unpriced" && soFar.costPicos === null && cost.picos !== null
  const { picos: costPicos, basePicos, source, pin: row } = cost
  const chargedNanos = nanosRoundedUp(cost.chargedPicos) - (isFirstPrice ? chargedUsd(soFar.entries, limits) : 0n)
  const price = { costPicos, basePicos, chargedNanos, source, row }
  const metadata = { reason, ...(isFirstPrice ? firstPriceOf(original) : {}) }
  return {
    kind: "entry",
    record: entryRecord(original, { id, delta, price, metadata, key: key ?? "" }, limits),
  }
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

function costOf({ original, costPicos }: Correction, prices: Prices, soFar: SoFar, after: Usage): Cost {
  const same = { kind: "cost", basePicos: null, pin: original.price_row } as const
  if (costPicos !== null) return { ...same, picos: costPicos, chargedPicos: costPicos, source: "reported" }
  if (original.cost_source === "reported") {
    const message = "This record's cost was reported. Say in cost_usd how much it changes, `0` where it does not."
    return refused("cost_usd", message)
  }
  const [was, is] = [priceAsRecorded(prices, original, soFar.usage), priceAsRecorded(prices, original, after)]
  // Until somebody re-prices the record, which prices its corrections with it.
  if (original.price_state === "unpriced" && !soFar.hasBookPrice) {
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

function fingerprintOf(correction: Correction): Buffer {
  const { costPicos, reason, original } = correction
  const content = [original.id, Object.entries(deltasOf(correction)).sort(), costPicos?.toString() ?? null, reason]
  return createHash("sha256").update(JSON.stringify(content)).digest()
}

function deltasOf({ delta }: Correction): Record<string, number> {
  return Object.fromEntries(
    USAGE_COLUMN_NAMES.flatMap(([member, name]) => (delta[member] === 0 ? [] : [[name, delta[member]]])),
  )
}

function refused(param: string, message: string): Extract<Entry, { kind: "refused" }> {
  return { kind: "refused", param, message }
}

/**
 * Books usage that is reported. The claim of the reporter's key is committed first, with the record; then the record goes
 * to the journal, and its charges to the counters, both under the record's id. A crash anywhere in between leaves a claim
 * by which the repetition does the rest, and neither the ledger nor a counter takes an id twice. Nothing is refused for
 * want of room: the usage has happened.
 */
import type { Admission } from "../admission/admit.ts"
import type { Charge } from "../admission/limit-store.ts"
import { type DurableCharge, recordCharges } from "../admission/limits.ts"
import { limitsOn } from "../admission/limits-on.ts"
import { budgetCharges, countedCharges, standingsToRead } from "../admission/report-charges.ts"
import type { Actor } from "../identity/audit.ts"
import type { Limit } from "../identity/limit.ts"
import type { Reporter } from "../identity/reporter.ts"
import type { BoundedPostgres } from "../platform/bounded-postgres.ts"
import { ApiError } from "../platform/error-table.ts"
import { isDataError, type Sql } from "../platform/postgres.ts"
import { type Adjusted, adjust, type Correction } from "./adjustments.ts"
import type { ChargedEntry } from "./correction-entry.ts"
import { eraseSaid } from "./erased-columns.ts"
import { type Journal, JournalUnavailable } from "./journal.ts"
import type { Prices } from "./priced-record.ts"
import { recordText } from "./record-text.ts"
import { fingerprintOf, type ReportedUsage, reportRecord } from "./reported-usage.ts"
import { saidOfRecord } from "./said-of-record.ts"
import { type Claim, type Claimed, type ClaimName, claim, finishClaims } from "./usage-claims.ts"
import type { UsageRecord } from "./usage-record.ts"

export type Report = {
  readonly reporter: Reporter
  readonly said: ReportedUsage
  /** The reporter's own key for this record; null: a repetition is another record. */
  readonly key: string | null
  /** Whose keys these are; no other source's mean the same. */
  readonly source: string
}

/** A limit with more used than its cap, in the window of now. Amounts are in the unit of the cap. */
export type OverLimit = {
  readonly limit: Limit
  readonly window: string
  readonly used: bigint
  readonly resetsAtMs: number | null
}

export type Booked =
  | {
      readonly kind: "booked"
      readonly id: string
      readonly isDuplicate: boolean
      /** As it was priced when it was first told; null where only the ledger knows it any more. */
      readonly record: Pick<UsageRecord, "time" | "cost_usd" | "cost_source" | "price_state" | "book_cost_usd"> | null
      /** Null where the limits cannot be read at the moment. */
      readonly overLimit: readonly OverLimit[] | null
    }
  | { readonly kind: "conflict"; readonly id: string }
  | { readonly kind: "refused"; readonly param: string; readonly message: string }

export type ReportBookOptions = {
  readonly postgres: BoundedPostgres
  readonly journal: Pick<Journal, "isFull" | "start" | "end">
  readonly admission: Pick<Admission, "charge" | "counters">
  /** The prices of the moment. */
  readonly prices: () => Prices
  readonly mintId: (nowMs: number) => string
  readonly nowMs: () => number
  /** A value that its key may bring into being, or what stands for those that it may not. */
  readonly fold: (ownerId: string, kind: "tool" | "operation" | "tag", value: string, nowMs: number) => string
  /** What end-customers who were erased are called. */
  readonly nameOf: (organizationId: string, endCustomer: string) => string
  /** Told of each record that is booked for the first time. */
  readonly onBooked: (record: UsageRecord) => void
}

type Entry = { readonly report: Report; readonly record: UsageRecord; readonly limits: readonly Limit[] }
/** A record's text, and what it charges, part by part among whose counters. */
export type ToWrite = ChargedEntry & { readonly body: string }
type Placed = { readonly entry: Entry; readonly claimed: Claimed }

/** How long the claims of one batch may take. */
const CLAIM_MS_MAX = 5_000

export class ReportBook {
  readonly #options: ReportBookOptions

  constructor(options: ReportBookOptions) {
    this.#options = options
  }

  /**
   * Books each report, or says what is against it; in their order. @throws ApiError 503 where a store is away: sent again
   * under the same keys, nothing is booked twice.
   */
  async book(reports: readonly Report[]): Promise<Booked[]> {
    const nowMs = this.#options.nowMs()
    const made = reports.map((report) => this.#entry(report, nowMs))
    const entries = made.filter((one) => one.kind === "entry").map(({ entry }) => entry)
    const placed = await this.#claim(entries)
    await this.#writePlaced(placed, nowMs)
    const over = await this.#overLimits(placed, nowMs)
    const rest = placed.map((one, index) => told(one, over?.[index] ?? null))
    return made.map((one) => (one.kind === "refused" ? one : (rest.shift() ?? missing())))
  }

  /** Corrects a record by an entry of its own. @throws ApiError 503 as `book` does */
  async adjust(correction: Correction, actor: Actor): Promise<Adjusted> {
    const { mintId, nowMs, prices } = this.#options
    const parts = { prices: prices(), id: mintId(nowMs()), nowMs: nowMs(), actor }
    const adjusted = await this.run((sql) => adjust(sql, correction, parts))
    if (adjusted.kind === "adjusted" && adjusted.body !== null)
      await this.#write([{ ...adjusted, body: adjusted.body }])
    return adjusted
  }

  /** Writes and charges records of these claims, and notes that this is done. @throws ApiError 503 as `book` does */
  async enter(records: readonly ToWrite[], claims: readonly ClaimName[]): Promise<void> {
    await this.#write(records)
    await this.#finish(claims)
  }

  /** Writes and charges records that are claimed. Idempotent by their ids. @throws ApiError 503 */
  async #write(records: readonly ToWrite[]): Promise<void> {
    const written = await Promise.allSettled(records.map((one) => this.#writeOne(one)))
    const failed = written.find((result) => result.status === "rejected")
    if (failed === undefined) return
    if (failed.reason instanceof JournalUnavailable) throw unavailable("usage_store_full", failed.reason)
    throw failed.reason
  }

  /** Runs what needs the ledger's tables. @throws ApiError 503 where they are away */
  async run<T>(act: (sql: Sql) => Promise<T>): Promise<T> {
    if (this.#options.journal.isFull()) throw unavailable("usage_store_full")
    try {
      return await this.#options.postgres.run(act, CLAIM_MS_MAX)
    } catch (error) {
      if (error instanceof ApiError || isDataError(error)) throw error
      throw unavailable("usage_store_unavailable", error)
    }
  }

  /** Where this cannot be told, a repetition writes the record once more, under its id. */
  async #finish(claims: readonly ClaimName[]): Promise<void> {
    if (claims.length === 0) return
    const { postgres } = this.#options
    await postgres.run((sql) => finishClaims(sql, claims), CLAIM_MS_MAX).catch(() => undefined)
  }

  /**
   * The start stands for the record until its end is written: both say the same. The end is written in the tick in which
   * the counters are charged: where they are being filled and refuse it, its journal row is what charges it.
   */
  async #writeOne({ id, body, parts }: ToWrite): Promise<void> {
    const { journal, admission } = this.#options
    await journal.start(id, body)
    const charging = Promise.all(parts.map(({ id: partId, charges }) => admission.charge(partId, charges)))
    journal.end(id, body)
    await charging
  }

  #entry(report: Report, nowMs: number) {
    const { reporter, key } = report
    const { prices, mintId, nameOf } = this.#options
    // The fingerprint stays that of what was said, so that a repetition is one.
    const said = { ...report.said, endCustomer: nameOf(reporter.organizationId, report.said.endCustomer) }
    const id = mintId(nowMs)
    const timeMs = said.timeMs ?? nowMs
    const made = reportRecord(prices(), { id, timeMs, clientRequestId: key ?? "" }, reporter, said)
    if (made.kind === "refused") return made
    const { record, actual } = made
    // Limits go by what was said, also where the record folds it.
    const limits = limitsOn(reporter.limits, saidOfRecord(record))
    this.#fold(record, reporter, nowMs)
    if (said.endCustomer !== report.said.endCustomer) eraseSaid(record, report.said.endCustomer)
    record.charges = recordCharges(budgetCharges(limits, actual, timeMs), actual)
    return { kind: "entry", entry: { report, record, limits } } as const
  }

  #fold(record: UsageRecord, { keyId, projectId, tags }: Reporter, nowMs: number): void {
    const { fold } = this.#options
    const ownerId = keyId || projectId
    record.tool = fold(ownerId, "tool", record.tool, nowMs)
    record.operation = fold(ownerId, "operation", record.operation, nowMs)
    record.tags = [...new Set(record.tags.map((tag) => (tags.includes(tag) ? tag : fold(ownerId, "tag", tag, nowMs))))]
  }

  async #claim(entries: readonly Entry[]): Promise<Placed[]> {
    const claims = entries.flatMap(({ report, record }): Claim[] => {
      const { reporter, said, key, source } = report
      if (key === null) return []
      const fingerprint = fingerprintOf(reporter, said)
      const { id: recordId, time: recordTime } = record
      const { organizationId } = reporter
      return [{ organizationId, source, key, recordId, recordTime, fingerprint, body: recordText(record) }]
    })
    const claimed = await this.run((sql) => claim(sql, claims))
    return entries.map((entry) => {
      return { entry, claimed: entry.report.key === null ? { kind: "claimed" } : (claimed.shift() ?? missing()) }
    })
  }

  async #writePlaced(placed: readonly Placed[], nowMs: number): Promise<void> {
    const byId = new Map<string, ToWrite>()
    for (const { entry, claimed } of placed) {
      const { record, limits } = entry
      if (claimed.kind === "claimed") {
        const charges = countedCharges(record.charges, limits, Date.parse(record.time), nowMs)
        byId.set(record.id, { id: record.id, body: recordText(record), parts: [{ id: record.id, charges }] })
      } else if (claimed.kind === "known" && claimed.body !== null && !claimed.isDone && !byId.has(claimed.recordId)) {
        byId.set(claimed.recordId, againOf(claimed.recordId, claimed.body, limits, nowMs))
      }
    }
    await this.enter(
      [...byId.values()],
      placed.flatMap(({ entry: { report }, claimed }) => {
        if (report.key === null || claimed.kind === "conflict" || (claimed.kind === "known" && claimed.isDone))
          return []
        return [{ organizationId: report.reporter.organizationId, source: report.source, key: report.key }]
      }),
    )
    for (const { entry, claimed } of placed) if (claimed.kind === "claimed") this.#options.onBooked(entry.record)
  }

  /** For each the limits that are passed now, of those that its charges still count on. */
  async #overLimits(placed: readonly Placed[], nowMs: number): Promise<OverLimit[][] | null> {
    const reads = placed.map(({ entry: { record, limits } }) => {
      const atMs = Date.parse(record.time)
      const charges = countedCharges(record.charges, limits, atMs, nowMs)
      // A shadow limit says nothing to callers.
      return standingsToRead(charges, atMs, nowMs).filter(({ limit }) => limit.enforcement !== "shadow")
    })
    const byCounter = new Map(reads.flat().map((charge) => [counterOf(charge), charge]))
    const all = [...byCounter.values()]
    const byPlace = Map.groupBy(all, ({ limit }) => limit.organizationId)
    const used = new Map<string, bigint>()
    for (const charges of byPlace.values()) {
      const counters = await this.#options.admission.counters(charges)
      if (counters === null) return null
      for (const [index, charge] of charges.entries()) used.set(counterOf(charge), counters[index]?.settled ?? 0n)
    }
    return reads.map((charges) =>
      charges.flatMap((charge) => {
        const { limit, window, resetsAtMs } = charge
        const spent = used.get(counterOf(charge)) ?? 0n
        return spent > limit.cap ? [{ limit, window, used: spent, resetsAtMs }] : []
      }),
    )
  }
}

/** What a claim left to do: its own record, with the limits that it was charged on as far as they are there. */
function againOf(id: string, body: string, limits: readonly Limit[], nowMs: number): ToWrite {
  const { time, charges = [] } = JSON.parse(body) as { time: string; charges?: readonly DurableCharge[] }
  return { id, body, parts: [{ id, charges: countedCharges(charges, limits, Date.parse(time), nowMs) }] }
}

function told({ entry, claimed }: Placed, overLimit: readonly OverLimit[] | null): Booked {
  if (claimed.kind === "conflict") return { kind: "conflict", id: claimed.recordId }
  if (claimed.kind === "claimed") {
    return { kind: "booked", id: entry.record.id, isDuplicate: false, record: entry.record, overLimit }
  }
  const record = claimed.body === null ? null : (JSON.parse(claimed.body) as UsageRecord)
  return { kind: "booked", id: claimed.recordId, isDuplicate: true, record, overLimit }
}

function counterOf({ limit, window }: Charge): string {
  return `${limit.id} ${limit.subject} ${window}`
}

function unavailable(code: "usage_store_unavailable" | "usage_store_full", cause?: unknown): ApiError {
  const message =
    "Usage cannot be written down at the moment. Send it again; a record with an idempotency_key is not booked twice."
  const headers = [["retry-after", "5"]] as const
  return new ApiError(code, message, { headers, ...(cause === undefined ? {} : { cause }) })
}

function missing(): never {
  throw new Error("a report has no outcome")
}

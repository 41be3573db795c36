/**
 * Prices calls again by the book of the present, as of when they came: after a price was added, or was found to be wrong.
 * Records stay as they are; where the cost differs, an entry beside the record says by how much. What an entry brings is
 * worked out while the record is locked, from all that was corrected of it before, so that a run that is repeated, or cut
 * short and begun again, or that runs beside another one, books nothing twice.
 *
 * Costs that somebody named stay: a reported cost, and corrections in dollars, are no work of the price book.
 */
import { createHash } from "node:crypto"
import { type Actor, writeAudit } from "../identity/audit.ts"
import type { Limit } from "../identity/limit.ts"
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import { ZERO_USAGE } from "../metering/usage.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { formatUsd, nanosRoundedUp } from "../pricing/money.ts"
import {
  chargedEntry,
  chargedUsd,
  correctionSource,
  entryRecord,
  type FormerEntry,
  firstPriceOf,
  limitsCharged,
  readEntries,
  takeTurns,
} from "./correction-entry.ts"
import type { Prices } from "./priced-record.ts"
import { recordText } from "./record-text.ts"
import type { ReportBook, ToWrite } from "./report-book.ts"
import { type Change, decideReprice } from "./reprice-decision.ts"
import { type Repriced, RepriceSums } from "./reprice-sums.ts"
import { type ClaimName, claim } from "./usage-claims.ts"
import type { UsageRecord } from "./usage-record.ts"

/** Which records; lists that are empty leave none out. */
export type RepriceQuestion = {
  /** Epoch milliseconds; `toMs` is not part of the span. */
  readonly fromMs: number
  readonly toMs: number
  readonly visibility: Visibility
  readonly organizationIds: readonly string[]
  readonly providers: readonly string[]
  /** As they were served. */
  readonly models: readonly string[]
  /** Nothing is booked: only what would be is told. */
  readonly isDryRun: boolean
}

export type RepricerOptions = {
  readonly sql: Sql
  readonly book: Pick<ReportBook, "run" | "enter">
  readonly prices: () => Prices
  readonly mintId: (nowMs: number) => string
  readonly nowMs: () => number
  readonly pageRows?: number
}

/** A page is judged in one go, while calls of the process wait: some tens of milliseconds. */
const PAGE_ROWS = 1_000
/** Records that are locked and booked in one transaction: well within the time that it has. */
const BOOKED_AT_ONCE = 500

type Place = { readonly time: string; readonly id: string }
/** `after`: null for the first page. */
type PageQuestion = { readonly organizationId: string; readonly after: Place | null; readonly pageRows: number }

export class Repricer {
  readonly #options: RepricerOptions

  constructor(options: RepricerOptions) {
    this.#options = options
  }

  /**
   * Goes through the span, organization by organization and page by page. `isWanted` is asked before each page: a run
   * whose asker has left stops, and what it booked stays. @throws ApiError 503 where a store is away: run it again
   */
  async run(question: RepriceQuestion, actor: Actor, isWanted: () => boolean = () => true): Promise<Repriced> {
    const { sql, pageRows = PAGE_ROWS } = this.#options
    const sums = new RepriceSums()
    for (const organizationId of await organizationsOf(sql, question)) {
      let after: Place | null = null
      do {
        if (!isWanted()) return sums.result("stopped")
        const page: UsageRecord[] = await readPage(sql, question, { organizationId, after, pageRows })
        await this.#takePage(page, question, actor, sums)
        after = page.length < pageRows ? null : (page.at(-1) ?? null)
      } while (after !== null)
    }
    return sums.result("finished")
  }

  async #takePage(page: readonly UsageRecord[], question: RepriceQuestion, actor: Actor, sums: RepriceSums) {
    const { sql, prices } = this.#options
    const former = await readEntries(sql, page)
    const decided = page.map((record) => decideReprice(prices(), record, former.get(record.id) ?? []))
    sums.looked(decided)
    const changes = decided.filter((one) => one.kind === "change")
    if (question.isDryRun) {
      const limits = await limitsCharged(
        sql,
        changes.map(({ original }) => original),
      )
      for (const change of changes) sums.changed(change, this.#entryOf(change, limits), limits)
      return
    }
    const left = page.filter((record) => former.get(record.id)?.some(({ unwritten }) => unwritten !== null))
    const records = [...new Set([...changes.map(({ original }) => original), ...left])]
    for (let first = 0; first < records.length; first += BOOKED_AT_ONCE) {
      await this.#bookSome(records.slice(first, first + BOOKED_AT_ONCE), question, actor, sums)
    }
  }

  async #bookSome(records: readonly UsageRecord[], question: RepriceQuestion, actor: Actor, sums: RepriceSums) {
    const { book, nowMs } = this.#options
    const { entries, limits, unfinished } = await book.run((sql) => this.#claimSome(sql, records, question, actor))
    const booked = entries.map(({ entry, body }): ToWrite => ({ ...chargedEntry(entry, limits, nowMs()), body }))
    const own = entries.map(({ entry }) => nameOf(entry, keyOf(entry.id)))
    await book.enter(
      [...booked, ...unfinished.map(({ toWrite }) => toWrite)],
      [...own, ...unfinished.map(({ name }) => name)],
    )
    for (const { change, entry } of entries) sums.changed(change, entry, limits)
  }

  /** Decides again, with the records locked, and claims what there is to book. */
  #claimSome(sql: Sql, records: readonly UsageRecord[], question: RepriceQuestion, actor: Actor): Promise<Claimed> {
    const { prices } = this.#options
    return sql.begin(async (transaction): Promise<Claimed> => {
      await takeTurns(transaction, records)
      const former = await readEntries(transaction, records)
      const limits = await limitsCharged(transaction, records)
      const changes = records.flatMap((record) => {
        const decided = decideReprice(prices(), record, former.get(record.id) ?? [])
        return decided.kind === "change" ? [decided] : []
      })
      const entries = changes.map((change) => {
        const entry = this.#entryOf(change, limits)
        return { change, entry, body: recordText(entry) }
      })
      await claim(
        transaction,
        entries.map(({ entry, body }) => ({
          ...nameOf(entry, keyOf(entry.id)),
          recordId: entry.id,
          recordTime: entry.time,
          fingerprint: createHash("sha256").update(body).digest(),
          body,
        })),
      )
      if (changes.length > 0) await auditSome(transaction, changes, question, actor)
      const unfinished = records.flatMap((record) =>
        (former.get(record.id) ?? []).flatMap((entry) => unfinishedOf(record, entry, limits, this.#options.nowMs())),
      )
      return { entries, limits, unfinished }
    }) as Promise<Claimed>
  }

  #entryOf(change: Change, limits: readonly Limit[]): UsageRecord {
    const { original, entries, differencePicos, baseDifferencePicos, source, pin, isFirstPrice } = change
    const { mintId, nowMs } = this.#options
    const before = original.price_state === "unpriced" ? "" : `, before by ${original.price_row}`
    // Limits were charged by a ceiling, maybe, while the record had no price.
    const charged = isFirstPrice ? chargedUsd([original, ...entries], limits) : 0n
    const price = {
      costPicos: differencePicos,
      basePicos: baseDifferencePicos,
      chargedNanos: nanosRoundedUp(differencePicos) - charged,
      source,
      row: pin,
    }
    const metadata = {
      source: "reprice",
      reason: `Priced again by ${pin}${before}.`,
      ...(isFirstPrice ? firstPriceOf(original) : {}),
    }
    return entryRecord(original, { id: mintId(nowMs()), delta: ZERO_USAGE, price, metadata, key: "" }, limits)
  }
}

type Claimed = {
  readonly entries: readonly { readonly change: Change; readonly entry: UsageRecord; readonly body: string }[]
  readonly limits: readonly Limit[]
  /** Entries that were claimed before and may never have been written. */
  readonly unfinished: readonly { readonly name: ClaimName; readonly toWrite: ToWrite }[]
}

function unfinishedOf(record: UsageRecord, { unwritten }: FormerEntry, limits: readonly Limit[], nowMs: number) {
  if (unwritten === null) return []
  const { key, body } = unwritten
  const entry = { ...record, charges: [], ...JSON.parse(body) } as UsageRecord
  return [{ name: nameOf(entry, key), toWrite: { ...chargedEntry(entry, limits, nowMs), body } }]
}

function nameOf({ organization_id: organizationId, adjusts_id: id }: UsageRecord, key: string): ClaimName {
  return { organizationId, source: correctionSource(id ?? ""), key }
}

function keyOf(entryId: string): string {
  return `reprice:${entryId}`
}

async function auditSome(
  transaction: Transaction,
  changes: readonly Change[],
  { fromMs, toMs, providers, models }: RepriceQuestion,
  actor: Actor,
): Promise<void> {
  const [first] = changes
  const difference = changes.reduce((sum, { differencePicos }) => sum + differencePicos, 0n)
  await writeAudit(transaction, actor, {
    organizationId: first?.original.organization_id ?? "",
    action: "prices.reprice",
    subject: first?.original.organization_id ?? "",
    before: null,
    after: {
      from: new Date(fromMs).toISOString(),
      until: new Date(toMs).toISOString(),
      providers,
      models,
      records: changes.length,
      difference_usd: formatUsd(difference),
    },
  })
}

/** Those with any usage in the span, as far as they are asked for. */
async function organizationsOf(sql: Sql, { fromMs, toMs, organizationIds }: RepriceQuestion): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT o.id FROM organizations o
    WHERE (${organizationIds.length === 0} OR o.id = ANY(${[...organizationIds]}::text[])) AND EXISTS (
      SELECT FROM usage_records r
      WHERE r.organization_id = o.id AND r.time >= ${new Date(fromMs)} AND r.time < ${new Date(toMs)})
    ORDER BY o.id`
  return rows.map(({ id }) => id)
}

/** The next records that the price book prices, in the order of their time; without what no correction needs. */
async function readPage(
  sql: Sql,
  { fromMs, toMs, visibility, providers, models }: RepriceQuestion,
  { organizationId, after, pageRows }: PageQuestion,
): Promise<UsageRecord[]> {
  const behind =
    after === null
      ? sql``
      : sql`AND r.time >= ${after.time}::text::timestamptz
          AND (r.time, r.id) > (${after.time}::text::timestamptz, ${after.id}::text::uuid)`
  const ofProjects = (ids: string[]) => sql`r.project_id = ANY (${ids}::text[])`
  const rows = await sql<{ record: UsageRecord }[]>`
    SELECT to_jsonb(r) - 'journal_id' - 'journal_seq' - 'ingested_at' || jsonb_build_object(
      'cost_usd', r.cost_usd::text, 'base_cost_usd', r.base_cost_usd::text,
      'time', to_char(r.time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS record
    FROM (
      SELECT * FROM usage_records r
      WHERE r.organization_id = ${organizationId} AND r.time >= ${new Date(fromMs)} AND r.time < ${new Date(toMs)} ${behind}
        AND r.kind <> 'adjustment' AND r.price_state <> 'free' AND r.usage_source <> 'unmetered'
        AND r.cost_source <> 'reported' AND ${visibleRows(sql, visibility, sql`r.organization_id`, ofProjects)}
        ${providers.length === 0 ? sql`` : sql`AND r.provider = ANY(${[...providers]}::text[])`}
        ${models.length === 0 ? sql`` : sql`AND r.model_served = ANY(${[...models]}::text[])`}
      ORDER BY r.time, r.id LIMIT ${pageRows}) r
    ORDER BY r.time, r.id`
  return rows.map(({ record }) => record)
}

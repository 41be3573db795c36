/** Reports are booked once, whatever happens on the way, in the windows of their own time, at the price of a call. */
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { earlierWindows, windowAt } from "../../src/admission/window.ts"
import type { Limit } from "../../src/identity/limit.ts"
import type { Reporter } from "../../src/identity/reporter.ts"
import { readLimitUsage } from "../../src/ledger/limit-usage.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import { priceRecord, putUsage } from "../../src/ledger/priced-record.ts"
import type { Report } from "../../src/ledger/report-book.ts"
import { type ReportedUsage, reportRecord } from "../../src/ledger/reported-usage.ts"
import { tidyClaims } from "../../src/ledger/usage-claims.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { limitOf } from "../contract/limit-store.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { HeldJournal, reportParts, shippedPrices } from "../support/report-parts.ts"
import { openLedger } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

const NOW_MS = Date.UTC(2026, 10, 10, 12)
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

let url: string
let sql: Sql
let counter = 0

beforeAll(async () => {
  url = await createDatabase(inject("postgresUrl"))
  sql = await openLedger(url)
  await ensurePartitions(sql, NOW_MS - 60 * DAY_MS, NOW_MS + DAY_MS)
})
afterAll(() => sql?.end())

function saidOf(changes: Partial<ReportedUsage> = {}): ReportedUsage {
  return {
    provider: "openai",
    model: "gpt-4o-mini",
    tier: "",
    tool: "",
    operation: "",
    usage: { ...ZERO_USAGE, inputUncachedTokens: 100, outputTokens: 10 },
    costPicos: null,
    endCustomer: "",
    conversation: "",
    tags: [],
    metadata: {},
    durationMs: 0,
    timeMs: null,
    outcome: "ok",
    error: "",
    ...changes,
  }
}

function reporterOf(limits: readonly Partial<Limit>[]): Reporter {
  const id = `n${counter++}`
  const own = limits.map((limit, index) => {
    return limitOf({ id: `lim_${id}_${index}`, organizationId: `org_${id}`, subject: `key_${id}`, ...limit })
  })
  return { organizationId: `org_${id}`, projectId: `proj_${id}`, userId: "", keyId: `key_${id}`, tags: [], limits: own }
}

const reportOf = (reporter: Reporter, key: string | null, changes: Partial<ReportedUsage> = {}): Report => {
  return { reporter, said: saidOf(changes), key, source: `key:${reporter.keyId}` }
}

/** What the ledger has settled of a reporter's limits, by `<place of the limit> <window>`. */
async function settled(reporter: Reporter): Promise<Record<string, bigint>> {
  const rows = await readLimitUsage(sql, reporter.organizationId)
  const placeOf = new Map(reporter.limits.map(({ id }, index) => [id, index]))
  return Object.fromEntries(rows.map((row) => [`${placeOf.get(row.limitId)} ${row.window}`, row.settled]))
}

class Killed extends Error {}

/** A journal whose process dies: before a row is written, or right after. */
class DyingJournal extends HeldJournal {
  dies: "never" | "before" | "after" = "never"

  override async start(id: string, body: string): Promise<void> {
    if (this.dies === "before") throw new Killed()
    await super.start(id, body)
    if (this.dies === "after") throw new Killed()
  }
}

const LIMITS = [
  { kind: "tokens", window: "day", cap: 10n ** 9n },
  { kind: "usd", window: "month", cap: 10n ** 12n },
  { kind: "requests", window: "rolling", anchorDay: 7, cap: 10n ** 6n },
  { kind: "tokens", window: "lifetime", cap: 10n ** 9n },
  { kind: "requests", window: "minute", cap: 1n },
] as const satisfies readonly Partial<Limit>[]

const contents = fc.array(
  fc.record({
    tokens: fc.integer({ min: 1, max: 5_000 }),
    backMs: fc.constantFrom(0, HOUR_MS, 2 * DAY_MS, 8 * DAY_MS, 34 * DAY_MS, -4 * 60_000),
    isTimed: fc.boolean(),
  }),
  { minLength: 1, maxLength: 8 },
)
const step = fc.record({
  process: fc.nat(1),
  records: fc.array(fc.nat(7), { minLength: 1, maxLength: 6 }),
  dies: fc.constantFrom("never", "never", "before", "after"),
  ships: fc.boolean(),
  isAlone: fc.boolean(),
})

test("is ended in the journal while its counters have not answered: where they are filled anew, that row charges it", async () => {
  const held = new HeldJournal()
  const ended: string[] = []
  const end = (id: string) => void ended.push(id)
  const journal = { isFull: () => false, start: (id: string, body: string) => held.start(id, body), end }
  let isEndedAtCharge: boolean | undefined
  const charge = async (id: string) => {
    // Past the tick in which it was asked.
    await new Promise((resolve) => setImmediate(resolve))
    isEndedAtCharge = ended.includes(id)
  }
  const one = reporterOf(LIMITS)
  const { process, close } = reportParts(url)
  const book = process(journal, undefined, { charge, counters: async () => null })
  const [booked] = await book.book([reportOf(one, "k1")])
  expect([booked?.kind, isEndedAtCharge]).toEqual(["booked", true])
  await close()
})

test("any interleaving of batches, repetitions and deaths of two processes books each record once, and charges it once", async () => {
  await fc.assert(
    fc.asyncProperty(contents, fc.array(step, { minLength: 1, maxLength: 10 }), async (said, steps) => {
      const store = new MemoryLimitStore(() => NOW_MS)
      const parts = reportParts(url, { store, nowMs: () => NOW_MS })
      const reporter = reporterOf(LIMITS)
      const report = (index: number) => {
        const { tokens, backMs, isTimed } = said[index % said.length] ?? { tokens: 1, backMs: 0, isTimed: false }
        const usage = { ...ZERO_USAGE, inputUncachedTokens: tokens }
        return reportOf(reporter, `k${index % said.length}`, { usage, timeMs: isTimed ? NOW_MS - backMs : null })
      }
      const journals: DyingJournal[] = [new DyingJournal(), new DyingJournal()]
      const all = [...journals]
      let firstTimes = 0
      let isCut = false
      const take = async ({ process, records, dies, ships }: (typeof steps)[number]) => {
        const journal = journals[process] as DyingJournal
        journal.dies = dies
        const book = parts.process(journal, () => void firstTimes++)
        await book.book(records.map(report)).catch((error: unknown) => {
          if (!(error instanceof Killed)) throw error
        })
        if (dies !== "never") {
          isCut ||= dies === "after"
          // The next process of this place has a journal of its own; the one before is adopted some time.
          journals[process] = new DyingJournal()
          all.push(journals[process] as DyingJournal)
        }
        if (ships) await journal.ship(sql)
      }
      try {
        const running: Promise<void>[] = []
        for (const one of steps) {
          running.push(take(one))
          if (one.isAlone) await Promise.all(running.splice(0))
        }
        await Promise.all(running)
        // Callers repeat until they are answered, each wherever it likes.
        for (const place of [0, 1]) {
          const answers = await parts.process(new HeldJournalOf(all)).book(said.map((_, index) => report(index)))
          expect(answers.every((answer) => answer.kind === "booked" && (place === 0 || answer.isDuplicate))).toBe(true)
        }
        for (const journal of all) await journal.ship(sql)
        // What a process that died with records under way has charged nobody knows: its counters are filled anew.
        if (isCut) store.seed(await readLimitUsage(sql, reporter.organizationId))
        expect(firstTimes).toBeLessThanOrEqual(said.length)

        const rows = await sql<{ records: number; rolled: number; tokens: number; nanos: string }[]>`
          SELECT (SELECT count(*)::int FROM usage_records WHERE organization_id = ${reporter.organizationId}) AS records,
            (SELECT sum(records)::int FROM usage_rollups WHERE organization_id = ${reporter.organizationId}) AS rolled,
            (SELECT sum(input_uncached_tokens)::int FROM usage_records WHERE organization_id = ${reporter.organizationId}) AS tokens,
            (SELECT sum(charged_nanos)::text FROM usage_rollups WHERE organization_id = ${reporter.organizationId}) AS nanos`
        const tokens = said.reduce((sum, one) => sum + one.tokens, 0)
        const nanos = said.reduce((sum, one) => sum + BigInt(one.tokens) * 150n, 0n)
        expect(rows).toEqual([{ records: said.length, rolled: said.length, tokens, nanos: nanos.toString() }])

        const expected: Record<string, bigint> = {}
        for (const { tokens: count, backMs, isTimed } of said) {
          reporter.limits.slice(0, 4).forEach((limit, place) => {
            const { id } = windowAt(limit.window, limit.timeZone, limit.anchorDay, isTimed ? NOW_MS - backMs : NOW_MS)
            const amount = limit.kind === "requests" ? 1n : limit.kind === "usd" ? BigInt(count) * 150n : BigInt(count)
            expected[`${place} ${id}`] = (expected[`${place} ${id}`] ?? 0n) + amount
          })
        }
        expect(await settled(reporter)).toEqual(expected)

        const now = reporter.limits.slice(0, 4).map((limit) => {
          const { id, endsAtMs } = windowAt(limit.window, limit.timeZone, limit.anchorDay, NOW_MS)
          return { limit, window: id, resetsAtMs: endsAtMs, amount: 0n }
        })
        const counted = (await store.read(now)).map((state) => state.settled)
        const inLedger = now.map(({ window }, place) =>
          [window, ...earlierWindows(window)].reduce((sum, id) => sum + (expected[`${place} ${id}`] ?? 0n), 0n),
        )
        expect(counted).toEqual(inLedger)
      } finally {
        await parts.close()
      }
    }),
    { numRuns: 25 },
  )
})

/** The journal of a process that lives on; it stands among the others that are shipped in the end. */
class HeldJournalOf extends DyingJournal {
  constructor(all: DyingJournal[]) {
    super()
    all.push(this)
  }
}

describe("the windows of a report", () => {
  test.each([
    ["Europe/Berlin", "2026-10-24T21:59:59.999Z", "2026-10-24"],
    ["Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25"],
    ["Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25"],
    ["Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25"],
    ["Europe/Berlin", "2026-10-25T22:59:59.999Z", "2026-10-25"],
    ["Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26"],
    ["America/New_York", "2026-11-01T03:59:59Z", "2026-10-31"],
    ["America/New_York", "2026-11-01T04:00:00Z", "2026-11-01"],
    ["America/New_York", "2026-11-02T04:59:59Z", "2026-11-01"],
    ["America/New_York", "2026-11-02T05:00:00Z", "2026-11-02"],
    ["Australia/Lord_Howe", "2026-10-07T13:00:00Z", "2026-10-08"],
  ])("in %s at %s are those of %s, also where a day has 23 or 25 hours", async (timeZone, time, day) => {
    const parts = reportParts(url, { nowMs: () => NOW_MS })
    const reporter = reporterOf([
      { kind: "requests", window: "day", timeZone, cap: 5n },
      { kind: "requests", window: "month", timeZone, cap: 5n },
    ])
    const journal = new HeldJournal()
    await parts.process(journal).book([reportOf(reporter, "k", { timeMs: Date.parse(time) })])
    await journal.ship(sql)
    expect(await settled(reporter)).toEqual({ [`0 ${day}`]: 1n, [`1 ${day.slice(0, 7)}`]: 1n })
    await parts.close()
  })

  test("that are over are charged in the ledger alone; of a rolling one its earlier days still count", async () => {
    const store = new MemoryLimitStore(() => NOW_MS)
    const parts = reportParts(url, { store, nowMs: () => NOW_MS })
    const reporter = reporterOf([
      { kind: "requests", window: "day", cap: 0n },
      { kind: "requests", window: "rolling", anchorDay: 7, cap: 1n },
      { kind: "requests", window: "rolling", anchorDay: 2, cap: 0n, enforcement: "soft" },
      { kind: "requests", window: "lifetime", cap: 0n, enforcement: "shadow" },
    ])
    const book = parts.process(new HeldJournal())
    const timeMs = NOW_MS - 3 * DAY_MS
    const [first] = await book.book([reportOf(reporter, "a", { timeMs })])
    expect(first).toMatchObject({ overLimit: [] })
    const [second] = await book.book([reportOf(reporter, "b", { timeMs })])
    expect(second).toMatchObject({
      overLimit: [{ limit: { id: reporter.limits[1]?.id }, used: 2n, window: "2026-11-10~7" }],
    })
    const [ahead] = await book.book([reportOf(reporter, "c", { timeMs: Date.UTC(2026, 10, 11) })])
    expect(ahead).toMatchObject({ overLimit: [{ window: "2026-11-11", used: 1n }, { used: 3n }, { used: 1n }] })
    await parts.close()
  })
})

test("a report costs what a call of the same usage costs, for every model and tier that is listed", () => {
  const prices = shippedPrices()
  const usage = {
    ...ZERO_USAGE,
    inputUncachedTokens: 70_001,
    cacheReadTokens: 30_003,
    cacheWrite5mTokens: 1_007,
    outputTokens: 9_011,
    reasoningTokens: 500,
    audioInputTokens: 11,
  }
  let priced = 0
  for (const provider of prices.priceBook.providers()) {
    for (const model of prices.priceBook.models(provider)) {
      const rows = prices.priceBook.tiers({ provider, model, atMs: NOW_MS })
      for (const row of rows.kind === "found" ? rows.rows : []) {
        const [unitType = ""] = row.units.keys()
        const used = Object.keys(row.sheets[0].rates).length === 0 ? { ...ZERO_USAGE, units: 7, unitType } : usage
        const changes = {
          provider,
          model_served: model,
          model_routed: model,
          tier_served: row.tier,
          time: new Date(NOW_MS).toISOString(),
        }
        const call = sampleRecord(changes)
        putUsage(call, used, { source: "provider", estimator: "", raw: null, isMismatch: false })
        const costNanos = priceRecord(prices, call, used, NOW_MS)
        const ids = { id: call.id, timeMs: NOW_MS, clientRequestId: "" }
        const made = reportRecord(prices, ids, reporterOf([]), saidOf({ provider, model, tier: row.tier, usage: used }))
        const { cost_usd, cost_source, price_row, price_state } = call
        expect(made).toMatchObject({ record: { cost_usd, cost_source, price_row, price_state }, actual: { costNanos } })
        if (price_state === "priced") priced += 1
      }
    }
  }
  expect(priced).toBeGreaterThan(100)
})

test("claims are forgotten after two months, their texts as soon as the ledger has the record, and then repeated in vain", async () => {
  const parts = reportParts(url, { nowMs: () => NOW_MS })
  const reporter = reporterOf([])
  const journal = new HeldJournal()
  const book = parts.process(journal)
  const reports = ["shipped", "unshipped", "old"].map((key) => reportOf(reporter, key))
  await book.book(reports.slice(0, 1))
  await journal.ship(sql)
  await book.book(reports.slice(1))
  await sql`UPDATE usage_once SET claimed_at = now() - interval '1 hour' WHERE organization_id = ${reporter.organizationId}`
  await sql`UPDATE usage_once SET claimed_at = now() - interval '61 days' WHERE organization_id = ${reporter.organizationId} AND key = 'old'`
  await tidyClaims(sql)
  const left = await sql`
    SELECT key, body IS NULL AS is_done FROM usage_once WHERE organization_id = ${reporter.organizationId} ORDER BY key`
  expect(left).toEqual([
    { key: "shipped", is_done: true },
    { key: "unshipped", is_done: false },
  ])
  expect(await book.book(reports.slice(0, 1))).toMatchObject([{ isDuplicate: true, record: null }])
  await parts.close()
})

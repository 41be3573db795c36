/** Calls are priced again by entries beside them: once, whatever is repeated, cut short or run at the same time. */
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { readLimitsById } from "../../src/identity/limit-registry.ts"
import { ingest } from "../../src/ledger/ingest.ts"
import { readLimitUsage } from "../../src/ledger/limit-usage.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import { type Prices, priceRecord, usageOf } from "../../src/ledger/priced-record.ts"
import type { RepriceQuestion } from "../../src/ledger/reprice.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { formatUsd, nanosRoundedUp } from "../../src/pricing/money.ts"
import { loadPriceBook } from "../../src/pricing/price-book.ts"
import type { PriceTerms } from "../../src/pricing/price-terms.ts"
import { StoredPrices } from "../../src/pricing/stored-prices.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { HeldJournal, reportParts } from "../support/report-parts.ts"
import { openLedger } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

const NOW_MS = Date.UTC(2026, 10, 10, 12)
const ACTOR = { name: "test", ip: "" }
const mintId = uuidv7Mint()
const journalId = mintId(NOW_MS)

let url: string
let sql: Sql
let org: string
let counter = 0
let seq = 0

beforeAll(async () => {
  url = await createDatabase(inject("postgresUrl"))
  sql = await openLedger(url)
  await ensurePartitions(sql, Date.UTC(2026, 9, 1), NOW_MS)
})
afterAll(() => sql?.end())
beforeEach(async () => {
  org = `org_${counter++}`
  await sql`INSERT INTO organizations (id, name) VALUES (${org}, ${org})`
  await sql`
    INSERT INTO limits (id, organization_id, scope, subject, kind, "window", cap)
    VALUES (${`lim_${org}`}, ${org}, 'organization', ${org}, 'usd', 'month', 1000000000000)`
})

/** A book in which the models named cost so many dollars for a million tokens, of input as of output. */
function pricesOf(models: Readonly<Record<string, string>>, terms: readonly PriceTerms[] = []): Prices {
  const listed = Object.entries(models).map(
    ([name, usd]) =>
      `  ${name}: { rates: { standard: { input: "${usd}", output: "${usd}" } }, source: s, checked: 2026-01-01 }`,
  )
  const text = listed.length === 0 ? "provider: acme\nmodels: {}\n" : `provider: acme\nmodels:\n${listed.join("\n")}\n`
  const loaded = loadPriceBook([{ name: "acme.yaml", text }])
  if (loaded.kind === "invalid") throw new Error(JSON.stringify(loaded.problems))
  return { router: { providers: new Map() }, priceBook: loaded.book, storedPrices: new StoredPrices([], terms) }
}

/** A call of a thousand tokens as it was booked at the prices of its day, and in the ledger. */
async function called(prices: Prices, changes: Partial<UsageRecord> = {}): Promise<UsageRecord> {
  const model = changes.model_served ?? "m"
  const record = sampleRecord({
    ...{ organization_id: org, provider: "acme", model_served: model, model_routed: model, tier_served: "" },
    ...{ input_uncached_tokens: 1_000, cache_read_tokens: 0, output_tokens: 0, reasoning_tokens: 0 },
    ...{ time: new Date(NOW_MS - 3_600_000 * (1 + (seq % 50))).toISOString(), ...changes },
  })
  const nanos =
    changes.cost_source === "reported" ? 0n : priceRecord(prices, record, usageOf(record), Date.parse(record.time))
  record.charges = [{ limit_id: `lim_${org}`, subject: org, window: "2026-11", amount: nanos.toString() }]
  await ingest(sql, journalId, [{ seq: ++seq, body: JSON.stringify(record) }])
  return record
}

function stage(prices: Prices, store = new MemoryLimitStore(() => NOW_MS), pageRows?: number) {
  const parts = reportParts(url, { nowMs: () => NOW_MS, store, prices })
  const journal = new HeldJournal()
  const book = parts.process(journal)
  const repricer = parts.repricer(sql, book, pageRows)
  const run = (changes: Partial<RepriceQuestion> = {}) => repricer.run({ ...question(), ...changes }, ACTOR)
  return {
    run,
    book,
    journal,
    counters: parts.admission.counters.bind(parts.admission),
    close: parts.close,
    ship: () => journal.ship(sql),
  }
}

function question(): RepriceQuestion {
  return {
    ...{ fromMs: Date.UTC(2026, 10, 1), toMs: NOW_MS, visibility: { kind: "all" }, organizationIds: [org] },
    ...{ providers: [], models: [], isDryRun: false },
  }
}

async function ledger() {
  const [row] = await sql<{ entries: number; usd: string; rolled: string; unpriced: number }[]>`
    SELECT count(*) FILTER (WHERE kind = 'adjustment')::int AS entries, trim_scale(coalesce(sum(cost_usd), 0))::text AS usd,
      (SELECT trim_scale(coalesce(sum(cost_usd), 0))::text FROM usage_rollups WHERE organization_id = ${org}) AS rolled,
      (SELECT coalesce(sum(unpriced_records), 0)::int FROM usage_rollups WHERE organization_id = ${org}) AS unpriced
    FROM usage_records WHERE organization_id = ${org}`
  const usage = await readLimitUsage(sql, org)
  return { ...row, used: usage.find(({ window }) => window === "2026-11")?.settled ?? 0n }
}

describe("a run", () => {
  test("books the difference beside each record that costs another sum now, and the next one books nothing", async () => {
    const old = pricesOf({ m: "1", n: "5" })
    for (const model of ["m", "m", "n"]) await called(old, { model_served: model })
    const { run, ship, close } = stage(pricesOf({ m: "3", n: "5" }))
    const dry = await run({ isDryRun: true })
    expect(await ledger()).toMatchObject({ entries: 0, usd: "0.007", used: 7_000_000n })
    const done = await run()
    expect(done).toMatchObject({
      end: "finished",
      lookedAt: 3,
      records: 2,
      firstPriced: 0,
      differencePicos: 4_000_000_000n,
    })
    expect(done.organizations).toEqual([
      { organizationId: org, records: 2, firstPriced: 0, differencePicos: 4_000_000_000n },
    ])
    expect(done.limits).toEqual([
      expect.objectContaining({ window: "2026-11", records: 2, differenceNanos: 4_000_000n }),
    ])
    expect({ ...dry, limits: [] }).toEqual({ ...done, limits: [] })
    // Nothing is in the ledger yet: what is on its way counts as booked.
    expect((await run()).records).toBe(0)
    await ship()
    expect(await ledger()).toMatchObject({ entries: 2, usd: "0.011", rolled: "0.011", used: 11_000_000n })
    expect((await run()).records).toBe(0)
    const [entry] = await sql`
      SELECT metadata, price_row, cost_source, input_uncached_tokens::int FROM usage_records
      WHERE organization_id = ${org} AND kind = 'adjustment' LIMIT 1`
    expect(entry).toMatchObject({
      metadata: {
        source: "reprice",
        reason: expect.stringMatching(/^Priced again by acme\/m@2026-01-01\/standard, before by/),
      },
      ...{ price_row: "acme/m@2026-01-01/standard", cost_source: "book", input_uncached_tokens: 0 },
    })
    const audit = await sql`SELECT after FROM audit_log WHERE organization_id = ${org} AND action = 'prices.reprice'`
    expect(audit).toEqual([{ after: expect.objectContaining({ records: 2, difference_usd: "0.004" }) }])
    await close()
  })

  test("changes what is counted at the moment as well, so that the next call is decided by it", async () => {
    await called(pricesOf({ m: "1" }))
    const { run, counters, close } = stage(pricesOf({ m: "3" }))
    await run()
    const limit = (await readLimitsById(sql, [`lim_${org}`])).get(`lim_${org}`)
    if (limit === undefined) throw new Error("the limit is gone")
    const [counter] = (await counters([{ limit, window: "2026-11", resetsAtMs: null, amount: 0n }])) ?? []
    expect(counter?.settled).toBe(2_000_000n)
    await close()
  })

  test("goes through a span page by page, also where many calls came in the same millisecond", async () => {
    const old = pricesOf({ m: "1" })
    const at = new Date(NOW_MS - 3_600_000).toISOString()
    for (let index = 0; index < 7; index++) await called(old, index < 5 ? { time: at } : {})
    const { run, ship, close } = stage(pricesOf({ m: "2" }), undefined, 2)
    expect(await run()).toMatchObject({ lookedAt: 7, records: 7, end: "finished" })
    await ship()
    expect(await ledger()).toMatchObject({ entries: 7, usd: "0.014" })
    await close()
  })

  test("lowers what limits count when a price falls, down to nothing for a price of 0", async () => {
    await called(pricesOf({ m: "2" }))
    const { run, ship, close } = stage(pricesOf({ m: "0" }))
    expect(await run()).toMatchObject({ records: 1, differencePicos: -2_000_000_000n })
    await ship()
    expect(await ledger()).toMatchObject({ usd: "0", rolled: "0", used: 0n })
    await close()
  })

  test("gives records that had no price their first one, and takes them out of what is unpriced", async () => {
    await called(pricesOf({}), { model_served: "new" })
    await called(pricesOf({}), { model_served: "unknown" })
    expect(await ledger()).toMatchObject({ usd: "0", unpriced: 2 })
    const { run, ship, close } = stage(pricesOf({ new: "4" }))
    expect(await run()).toMatchObject({ lookedAt: 2, records: 1, firstPriced: 1, stillUnpriced: 1 })
    await ship()
    expect(await ledger()).toMatchObject({ entries: 1, usd: "0.004", rolled: "0.004", unpriced: 1, used: 4_000_000n })
    await close()
  })

  test("takes back what a ceiling charged, and charges the price in its place", async () => {
    const ceiling = { inputPicos: 50_000_000_000_000n, outputPicos: 50_000_000_000_000n }
    const terms: PriceTerms = {
      ...{ id: "trm_c", organizationId: org, provider: "", markupPpm: 0n, discountPpm: 0n, ceiling },
      ...{ fromMs: 0, untilMs: null },
    }
    const record = await called(pricesOf({}, [terms]), { model_served: "new" })
    expect(record).toMatchObject({ cost_usd: null, cost_source: "ceiling" })
    expect(await ledger()).toMatchObject({ used: 50_000_000n, unpriced: 1 })
    const { run, ship, close } = stage(pricesOf({ new: "4" }, [terms]))
    expect((await run()).limits).toEqual([expect.objectContaining({ differenceNanos: -46_000_000n })])
    await ship()
    expect(await ledger()).toMatchObject({ usd: "0.004", unpriced: 0, used: 4_000_000n })
    await close()
  })

  test("leaves alone what somebody named the cost of: reports, corrections in dollars, and a first cost by hand", async () => {
    const old = pricesOf({ m: "1" })
    await called(old, { cost_source: "reported", cost_usd: "9", price_row: "" })
    const credited = await called(old)
    const byHand = await called(old, { model_served: "unknown" })
    const { run, ship, book, close } = stage(pricesOf({ m: "3", unknown: "8" }))
    const correct = (original: UsageRecord, costPicos: bigint) =>
      book.adjust({ original, delta: ZERO_USAGE, costPicos, reason: "by hand", key: null }, ACTOR)
    await correct(credited, -400_000_000n)
    await correct(byHand, 7_000_000_000n)
    await ship()
    expect(await ledger()).toMatchObject({ usd: "9.0076", unpriced: 0 })
    expect(await run()).toMatchObject({ lookedAt: 2, records: 1, differencePicos: 2_000_000_000n })
    await ship()
    expect(await ledger()).toMatchObject({ usd: "9.0096", rolled: "9.0096" })
    await close()
  })

  test("never takes a record below nothing, and comes to rest there", async () => {
    const record = await called(pricesOf({ m: "10" }))
    const { run, ship, book, close } = stage(pricesOf({ m: "1" }))
    await book.adjust(
      { original: record, delta: ZERO_USAGE, costPicos: -9_500_000_000n, reason: "r", key: null },
      ACTOR,
    )
    expect((await run()).differencePicos).toBe(-500_000_000n)
    expect((await run()).records).toBe(0)
    await ship()
    expect(await ledger()).toMatchObject({ usd: "0" })
    await close()
  })

  test("prices what corrections of tokens left, and corrections after it go by the new price", async () => {
    const record = await called(pricesOf({}), { model_served: "new" })
    const { run, ship, book, close } = stage(pricesOf({ new: "4" }))
    const fewer = (count: number) =>
      book.adjust(
        {
          original: record,
          delta: { ...ZERO_USAGE, inputUncachedTokens: -count },
          costPicos: null,
          reason: "r",
          key: null,
        },
        ACTOR,
      )
    expect(await fewer(400)).toMatchObject({ record: { cost_usd: null } })
    expect((await run()).differencePicos).toBe(2_400_000_000n)
    expect(await fewer(100)).toMatchObject({ record: { cost_usd: "-0.0004" } })
    expect((await run()).records).toBe(0)
    await ship()
    expect(await ledger()).toMatchObject({ usd: "0.002", unpriced: 0 })
    await close()
  })

  test("keeps to its span, its providers and models, and to what its asker may touch", async () => {
    const old = pricesOf({ m: "1", n: "1" })
    await called(old, { time: "2026-10-31T23:59:59.999Z" })
    await called(old, { model_served: "n", project_id: "proj_b" })
    const { run, close } = stage(pricesOf({ m: "2", n: "2" }))
    const dry = { isDryRun: true } as const
    const within = (projectIds: string[]) => ({ kind: "within", organizationIds: [], projectIds }) as const
    expect((await run(dry)).lookedAt).toBe(1)
    expect((await run({ ...dry, models: ["m"] })).lookedAt).toBe(0)
    expect((await run({ ...dry, providers: ["other"] })).lookedAt).toBe(0)
    expect((await run({ ...dry, visibility: within(["proj_a"]) })).lookedAt).toBe(0)
    expect((await run({ ...dry, visibility: within(["proj_b"]) })).lookedAt).toBe(1)
    await close()
  })
})

describe("two runs and broken ones", () => {
  test("two processes at once book each difference once", async () => {
    const old = pricesOf({ m: "1" })
    for (let index = 0; index < 30; index++) await called(old)
    const next = pricesOf({ m: "2" })
    const store = new MemoryLimitStore(() => NOW_MS)
    const processes = [stage(next, store), stage(next, store), stage(next, store)]
    const done = await Promise.all(processes.map(({ run }) => run()))
    expect(done.reduce((sum, { records }) => sum + records, 0)).toBe(30)
    for (const { ship, close } of processes) {
      await ship()
      await close()
    }
    expect(await ledger()).toMatchObject({ entries: 30, usd: "0.06", rolled: "0.06", used: 60_000_000n })
  })

  test("one that dies between its claims and its journal is finished by the next, with nothing twice", async () => {
    const old = pricesOf({ m: "1" })
    for (let index = 0; index < 5; index++) await called(old)
    const next = pricesOf({ m: "2" })
    const first = stage(next)
    let writes = 0
    first.journal.start = async () => {
      if (++writes > 2) throw new Error("killed")
    }
    await expect(first.run()).rejects.toThrow("killed")
    await first.close()
    const second = stage(next)
    expect((await second.run()).records).toBe(0)
    await second.ship()
    expect(await ledger()).toMatchObject({ entries: 5, usd: "0.01", rolled: "0.01", used: 10_000_000n })
    await second.close()
  })

  test("one whose asker has left stops between two pages", async () => {
    await called(pricesOf({ m: "1" }))
    const parts = reportParts(url, { nowMs: () => NOW_MS, prices: pricesOf({ m: "2" }) })
    const repricer = parts.repricer(sql, parts.process(new HeldJournal()))
    expect(await repricer.run(question(), ACTOR, () => false)).toMatchObject({ end: "stopped", lookedAt: 0 })
    await parts.close()
  })
})

test("limits count a re-priced call as one that was priced so at once, rounded up entry by entry", async () => {
  const record = await called(pricesOf({ m: "0.0000001" }))
  expect(record.cost_usd).toBe("0.0000000001")
  const { run, ship, close } = stage(pricesOf({ m: "0.0000015" }))
  const { differencePicos } = await run()
  await ship()
  expect([formatUsd(differencePicos), nanosRoundedUp(differencePicos)]).toEqual(["0.0000000014", 2n])
  expect((await ledger()).used).toBe(3n)
  await close()
})

import { pino } from "pino"
import { Temporal } from "temporal-polyfill"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { ingest } from "../../src/ledger/ingest.ts"
import { foldDay } from "../../src/ledger/usage-day.ts"
import { UsageDayJob } from "../../src/ledger/usage-day-job.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { openPostgres, type Sql, type Transaction } from "../../src/platform/postgres.ts"
import { usageQuestion } from "../../src/reporting/question.ts"
import { usageReport } from "../../src/reporting/usage-report.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { addOrganization, bring, openUsageDatabase } from "./usage-database.ts"

const log = pino({ level: "silent" })
let sql: Sql
let url: string
let organization = ""
let count = 0

beforeAll(async () => {
  ;({ sql, url } = await openUsageDatabase([]))
})
beforeEach(() => {
  organization = `org_${++count}`
})
// Without buckets, so that the next test's job leaves this one's organization alone.
afterEach(() => sql`TRUNCATE usage_day_dirty, usage_rollups`)
afterAll(() => sql?.end())

const at = (time: string, changes: Partial<UsageRecord> = {}) =>
  sampleRecord({ time: new Date(time).toISOString(), organization_id: organization, ...changes })
const foldDue = (now: string) => new UsageDayJob({ sql, clock: { nowMs: () => Date.parse(now) }, log }).foldDue()

async function calls(asked: Record<string, unknown>, now = "2027-02-01T00:00:00Z"): Promise<(string | undefined)[]> {
  const question = usageQuestion.parse({ organization, ...asked })
  const report = await usageReport({ sql, findSheet: () => undefined }, question, { kind: "all" }, Date.parse(now))
  if (report.kind === "refused") throw new Error(report.reason)
  return report.series?.map(({ records }) => records) ?? [report.totals.records]
}

/** In the organization's own zone, where no other is named. */
const foldedCalls = async (zone: string | null = null) =>
  Number(
    (
      await sql<{ n: string }[]>`
      SELECT coalesce(sum(records), 0)::text AS n FROM usage_day JOIN organizations o ON o.id = organization_id
      WHERE o.id = ${organization} AND usage_day.time_zone = coalesce(${zone}, o.time_zone)`
    )[0]?.n,
  )

const foldedZoneNames = async () => {
  const rows = await sql<{ zone: string }[]>`
    SELECT time_zone AS zone FROM usage_day_fold WHERE organization_id = ${organization}
    UNION SELECT time_zone FROM usage_day WHERE organization_id = ${organization} ORDER BY 1`
  return rows.map(({ zone }) => zone)
}

describe.each([
  ["Europe/Berlin", "2026-03-29"],
  ["Europe/Berlin", "2026-10-25"],
  ["America/New_York", "2026-03-08"],
  ["America/New_York", "2026-11-01"],
  ["Asia/Kathmandu", "2026-12-31"],
  ["Australia/Lord_Howe", "2026-04-05"],
  ["Australia/Lord_Howe", "2026-10-04"],
  ["Pacific/Chatham", "2026-09-27"],
])("in %s around %s", (zone, date) => {
  test("a fold holds the day's first and last moment and neither neighbour's", async () => {
    await addOrganization(sql, organization, zone)
    const start = Temporal.PlainDate.from(date).toZonedDateTime(zone)
    const end = Temporal.PlainDate.from(date).add({ days: 1 }).toZonedDateTime(zone)
    const moments = [
      start.epochMilliseconds - 1,
      start.epochMilliseconds,
      end.epochMilliseconds - 1,
      end.epochMilliseconds,
    ]
    await bring(
      sql,
      moments.map((ms) => at(new Date(ms).toISOString())),
    )
    const unfolded = await calls({ from: date, until: date, bucket: "day" })
    expect(await foldDue(start.add({ days: 3 }).toInstant().toString())).toBeGreaterThanOrEqual(3)
    expect([await foldedCalls(), await foldedCalls("UTC")]).toEqual([4, 4])
    expect(await calls({ from: date, until: date, bucket: "day" })).toEqual(["2"])
    expect(unfolded).toEqual(["2"])
    const [fold] = await sql`
      SELECT ends_at - starts_at = ${`${(end.epochMilliseconds - start.epochMilliseconds) / 60_000} minutes`}::interval AS ok
      FROM usage_day_fold WHERE organization_id = ${organization} AND time_zone = ${zone} AND day = ${date}`
    expect(fold?.ok).toBe(true)
  })
})

describe("a day that is folded", () => {
  test("is read from the rollup again as soon as a late record comes, until it is folded anew", async () => {
    await addOrganization(sql, organization, "Europe/Berlin")
    await bring(sql, [at("2026-11-10T10:00:00Z"), at("2026-11-11T10:00:00Z")])
    await foldDue("2026-11-13T10:00:00Z")
    expect(await calls({ from: "2026-11-10", until: "2026-11-12" })).toEqual(["2"])
    await bring(sql, [at("2026-11-10T12:00:00Z", { key_id: "key_late" })])
    expect(await foldedCalls()).toBe(2)
    expect(await calls({ from: "2026-11-10", until: "2026-11-12" })).toEqual(["3"])
    // In Berlin's days and in those of UTC.
    expect(await foldDue("2026-11-13T10:01:00Z")).toBe(2)
    expect([await foldedCalls(), await foldedCalls("UTC")]).toEqual([3, 3])
    expect(await calls({ from: "2026-11-10", until: "2026-11-12" })).toEqual(["3"])
    expect(await foldDue("2026-11-13T10:02:00Z")).toBe(0)
  })

  test("really is what is read", async () => {
    await addOrganization(sql, organization, "Asia/Kathmandu")
    await bring(sql, [at("2026-11-10T10:00:00Z")])
    await foldDue("2026-11-13T10:00:00Z")
    await sql`UPDATE usage_day SET records = 77 WHERE organization_id = ${organization}`
    expect(await calls({ from: "2026-11-01", until: "2026-11-12", bucket: "month" })).toEqual(["77"])
    // A month of New York holds this day as a whole, a day of New York does not.
    const elsewhere = { from: "2026-11-01", until: "2026-11-30", time_zone: "America/New_York" }
    expect(await calls({ ...elsewhere, bucket: "month" })).toEqual(["77"])
    expect((await calls({ ...elsewhere, bucket: "day" })).filter((records) => records !== "0")).toEqual(["1"])
  })

  test("and the running day together are current", async () => {
    await addOrganization(sql, organization, "Europe/Berlin")
    await bring(sql, [at("2026-11-10T10:00:00Z")])
    await foldDue("2026-11-11T10:00:00Z")
    await bring(sql, [at("2026-11-11T09:59:00Z")])
    expect(await calls({ range: "7d", bucket: "day" }, "2026-11-11T10:00:00Z")).toEqual([
      "0",
      "0",
      "0",
      "0",
      "0",
      "1",
      "1",
    ])
  })

  test("is folded anew when the organization moves to another zone, and no answer is wrong meanwhile", async () => {
    await addOrganization(sql, organization, "Europe/Berlin")
    const hours = Array.from({ length: 72 }, (_, hour) => at(new Date(Date.UTC(2026, 10, 10, hour)).toISOString()))
    await bring(sql, hours)
    await foldDue("2026-11-14T10:00:00Z")
    await sql`UPDATE organizations SET time_zone = 'America/New_York' WHERE id = ${organization}`
    const expected = ["5", "24", "24", "19"]
    const asked = { from: "2026-11-09", until: "2026-11-12", bucket: "day" }
    expect(await calls(asked)).toEqual(expected)
    const day = { date: "2026-11-10", startsAtMs: Date.UTC(2026, 10, 10, 5), endsAtMs: Date.UTC(2026, 10, 11, 5) }
    await foldDay(sql, organization, "America/New_York", day)
    expect(await calls(asked)).toEqual(expected)
    await foldDue("2026-11-14T10:00:00Z")
    expect(await calls(asked)).toEqual(expected)
    expect(await foldedCalls()).toBe(72)
    expect(await foldedZoneNames()).toEqual(["America/New_York", "UTC"])
    await sql`UPDATE organizations SET time_zone = 'UTC' WHERE id = ${organization}`
    await foldDue("2026-11-14T10:00:00Z")
    expect(await foldedZoneNames()).toEqual(["UTC"])
    expect(await calls(asked)).toEqual(["0", "24", "24", "24"])
    expect(await foldDue("2026-11-14T10:01:00Z")).toBe(0)
  })

  test("a day is folded once where two processes look at the same moment", async () => {
    await addOrganization(sql, organization, "UTC")
    await bring(sql, [at("2026-11-10T10:00:00Z"), at("2026-11-11T10:00:00Z"), at("2026-11-12T10:00:00Z")])
    await Promise.all(Array.from({ length: 4 }, () => foldDue("2026-11-14T10:00:00Z")))
    await foldDue("2026-11-14T10:00:00Z")
    expect(await foldedCalls()).toBe(3)
    const folds = await sql`SELECT day FROM usage_day_fold WHERE organization_id = ${organization}`
    expect(folds).toHaveLength(4)
  })
})

describe("a day that is folded in UTC", () => {
  test("is what is read where organizations of several zones are asked together", async () => {
    const [one, other] = [`${organization}_one`, `${organization}_other`]
    await addOrganization(sql, one, "Europe/Berlin")
    await addOrganization(sql, other, "America/New_York")
    const hours = Array.from({ length: 48 }, (_, hour) => new Date(Date.UTC(2026, 10, 10, hour)).toISOString())
    await bring(
      sql,
      [one, other].flatMap((id) => hours.map((time) => at(time, { organization_id: id }))),
    )
    await foldDue("2026-11-14T10:00:00Z")
    const asked = { organization: [one, other], from: "2026-11-09", until: "2026-11-12", bucket: "day" }
    expect(await calls(asked)).toEqual(["0", "48", "48", "0"])
    await sql`UPDATE usage_day SET records = 7 WHERE organization_id = ${one} AND time_zone = 'UTC'`
    expect(await calls(asked)).toEqual(["0", "31", "31", "0"])
    expect(await calls({ ...asked, time_zone: "Europe/Berlin" })).toEqual(["0", "46", "48", "2"])
  })

  test("is stale once a fold in the organization's zone has taken its marks, and is folded anew by itself", async () => {
    await addOrganization(sql, organization, "Europe/Berlin")
    await bring(sql, [at("2026-11-10T10:00:00Z"), at("2026-11-11T10:00:00Z")])
    await foldDue("2026-11-13T10:00:00Z")
    await bring(sql, [at("2026-11-10T23:30:00Z", { key_id: "key_late" })])
    // As where the process ends between the two. In Berlin the record belongs to the eleventh.
    const day = { date: "2026-11-11", startsAtMs: Date.UTC(2026, 10, 10, 23), endsAtMs: Date.UTC(2026, 10, 11, 23) }
    await foldDay(sql, organization, "Europe/Berlin", day)
    expect(await sql`SELECT 1 FROM usage_day_dirty WHERE bucket < '2026-11-12'`).toHaveLength(0)
    expect([await foldedCalls(), await foldedCalls("UTC")]).toEqual([3, 2])
    const asked = { from: "2026-11-10", until: "2026-11-11", bucket: "day" }
    expect(await calls({ ...asked, time_zone: "UTC" })).toEqual(["2", "1"])
    expect(await calls(asked)).toEqual(["1", "2"])
    expect(await foldDue("2026-11-13T10:01:00Z")).toBe(1)
    expect(await foldedCalls("UTC")).toBe(3)
    expect(await calls({ ...asked, time_zone: "UTC" })).toEqual(["2", "1"])
    expect(await foldDue("2026-11-13T10:02:00Z")).toBe(0)
  })

  test("is there once where UTC is the organization's own zone", async () => {
    await addOrganization(sql, organization, "UTC")
    await bring(sql, [at("2026-11-10T10:00:00Z")])
    await foldDue("2026-11-11T10:00:00Z")
    expect(await foldedZoneNames()).toEqual(["UTC"])
    expect(await calls({ from: "2026-11-10", until: "2026-11-10" })).toEqual(["1"])
  })
})

describe("records on their way while their day is folded", () => {
  test("are in the fold, or mark the day again", async () => {
    await addOrganization(sql, organization, "UTC")
    await bring(sql, [at("2026-11-10T10:00:00Z")])
    const other = openPostgres(url, { max: 2, applicationName: "other" })
    const day = { date: "2026-11-10", startsAtMs: Date.UTC(2026, 10, 10), endsAtMs: Date.UTC(2026, 10, 11) }
    let folding: Promise<boolean> | undefined
    try {
      // The mark of the bucket is there already; the second record commits only after the fold has begun.
      await other.begin(async (transaction) => {
        const body = JSON.stringify(at("2026-11-10T10:01:00Z"))
        await ingest(transaction as unknown as Sql, "019a0000-0000-7000-8000-00000000000b", [{ seq: 1, body }])
        folding = foldDay(sql, organization, "UTC", day)
        await new Promise((resolve) => setTimeout(resolve, 100))
        expect(await other`SELECT 1 FROM usage_day_fold WHERE organization_id = ${organization}`).toHaveLength(0)
      })
      expect(await folding).toBe(true)
      expect(await foldedCalls()).toBe(2)
      // And the other way round: a fold that has not committed holds up the record, which then marks the day again.
      await bring(sql, [at("2026-11-10T11:00:00Z", { tool: "third" })])
      let bringing: Promise<void> | undefined
      await other.begin(async (transaction) => {
        await foldDay(joining(transaction), organization, "UTC", day)
        bringing = bring(sql, [at("2026-11-10T11:05:00Z", { tool: "fourth" })])
        await new Promise((resolve) => setTimeout(resolve, 100))
      })
      await bringing
      expect(await calls({ from: "2026-11-10", until: "2026-11-10" })).toEqual(["4"])
      expect(await foldedCalls()).toBe(3)
      await foldDay(sql, organization, "UTC", day)
      expect(await foldedCalls()).toBe(4)
    } finally {
      await other.end()
    }
  })
})

describe("the job", () => {
  test("leaves out a day whose sums no column can hold, folds the others, and says so", async () => {
    await addOrganization(sql, organization, "UTC")
    const huge = Array.from({ length: 2 }, () =>
      at("2026-11-10T10:00:00Z", { input_uncached_tokens: 9_000_000_000_000_000_000 }),
    )
    await bring(sql, [...huge, at("2026-11-11T10:00:00Z")])
    await expect(foldDue("2026-11-13T10:00:00Z")).rejects.toThrow(/out of range/)
    const folds = await sql`SELECT day::text FROM usage_day_fold WHERE organization_id = ${organization}`
    expect(folds).toEqual([{ day: "2026-11-11" }, { day: "2026-11-12" }])
    expect(await calls({ from: "2026-11-10", until: "2026-11-12", bucket: "day" })).toEqual(["2", "1", "0"])
  })

  test("started and stopped, it has folded what was due", async () => {
    await addOrganization(sql, organization, "UTC")
    await bring(sql, [at("2026-11-10T10:00:00Z")])
    const job = new UsageDayJob({ sql, clock: { nowMs: () => Date.parse("2026-11-13T10:00:00Z") }, log })
    job.start()
    await expect.poll(foldedCalls).toBe(1)
    await job.stop()
  })
})

/** A transaction in place of a pool: what begins a transaction on it is part of it. */
function joining(transaction: Transaction): Sql {
  const get = (target: Transaction, name: string | symbol) =>
    name === "begin" ? (act: (joined: Transaction) => unknown) => act(target) : Reflect.get(target, name)
  return new Proxy(transaction, { get }) as unknown as Sql
}

/**
 * Random questions over random records: what the query layer says is what a plain walk over the records says, in any
 * zone, with days folded, in one zone or in two, days that are not, and records that came late.
 */
import fc from "fast-check"
import { pino } from "pino"
import { afterAll, beforeAll, expect, test } from "vitest"
import { foldDay } from "../../src/ledger/usage-day.ts"
import { UsageDayJob } from "../../src/ledger/usage-day-job.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { cutRange } from "../../src/reporting/buckets.ts"
import { type UsageQuestion, usageQuestion } from "../../src/reporting/question.ts"
import { usageReport } from "../../src/reporting/usage-report.ts"
import { labelOf, naiveSums, picos, valuesOf } from "./naive-report.ts"
import { bring, openUsageDatabase, randomFrom, randomRecord } from "./usage-database.ts"

const ORGANIZATIONS = [
  { id: "org_a", timeZone: "Europe/Berlin" },
  { id: "org_b", timeZone: "America/New_York" },
  { id: "org_c", timeZone: "Australia/Lord_Howe" },
]
const ZONES = ["UTC", "Asia/Kathmandu", "Pacific/Chatham", ...ORGANIZATIONS.map(({ timeZone }) => timeZone)]
/** The clocks of Lord Howe, Berlin and New York change within it, each on another day. */
const FROM_MS = Date.UTC(2026, 8, 25)
const NOW_MS = Date.UTC(2026, 10, 5, 9, 20)
const DAY_MS = 24 * 3_600_000
const RUNS = 100

let sql: Sql
let records: UsageRecord[]

beforeAll(async () => {
  ;({ sql } = await openUsageDatabase(ORGANIZATIONS))
  const random = randomFrom(20_261_105)
  const some = (count: number) =>
    Array.from({ length: count }, () => randomRecord(random, ORGANIZATIONS, FROM_MS, NOW_MS))
  const [early, late] = [some(1_200), some(60)]
  await bring(sql, early)
  await new UsageDayJob({ sql, clock: { nowMs: () => NOW_MS }, log: pino({ level: "silent" }) }).foldDue()
  await bring(sql, late)
  // Some days are folded anew in one of their two zones, and are stale in the other.
  for (let day = 0; day < 10; day++) {
    const startsAtMs = FROM_MS + day * 2 * DAY_MS
    const date = new Date(startsAtMs).toISOString().slice(0, 10)
    for (const { id } of ORGANIZATIONS) {
      await foldDay(sql, id, "UTC", { date, startsAtMs, endsAtMs: startsAtMs + DAY_MS })
    }
  }
  expect(await sql`SELECT 1 FROM usage_day_fold WHERE is_stale LIMIT 1`).toHaveLength(1)
  records = [...early, ...late]
})
afterAll(() => sql?.end())

const values = (dimension: string) =>
  fc.subarray([...new Set(records.flatMap((one) => valuesOf(one, dimension)))], { minLength: 1 })
const DIMENSIONS = [
  "organization",
  "project",
  "user",
  "key",
  "model",
  "tool",
  "outcome",
  "tier",
  "stream",
  "usage_source",
]
const FILTERS = [
  "organization",
  "project",
  "key",
  "model",
  "tool",
  "outcome",
  "tier",
  "usage_source",
  "end_customer",
  "tag",
]

/** A question, and which records it means. */
function questions(): fc.Arbitrary<Record<string, unknown>> {
  const quarters = Math.floor((NOW_MS - FROM_MS) / 900_000)
  const filter = fc
    .subarray(FILTERS, { maxLength: 2 })
    .chain((names) => fc.record(Object.fromEntries(names.map((name) => [name, values(name)]))))
  return fc
    .record({
      filter,
      span: fc.tuple(fc.integer({ min: 0, max: quarters }), fc.integer({ min: 1, max: 28 * 96 })),
      time_zone: fc.constantFrom(...ZONES),
      bucket: fc.constantFrom(undefined, "hour", "day", "week", "month"),
      group_by: fc.subarray(DIMENSIONS, { maxLength: 2 }),
      top: fc.integer({ min: 1, max: 12 }),
      order_by: fc.constantFrom("cost", "records", "tokens"),
    })
    .map(({ filter: filters, span: [at, length], ...question }) => ({
      ...filters,
      ...question,
      from: new Date(FROM_MS + at * 900_000).toISOString(),
      until: new Date(FROM_MS + (at + length) * 900_000).toISOString(),
    }))
}

function meant(question: UsageQuestion, fromMs: number, toMs: number): UsageRecord[] {
  return records.filter((record) => {
    const timeMs = Date.parse(record.time)
    if (timeMs < fromMs || timeMs >= toMs) return false
    return FILTERS.every((name) => {
      const wanted = question[name as "model"]
      return wanted === undefined || valuesOf(record, name).some((value) => wanted.includes(value))
    })
  })
}

test("the layer says what a walk over the records says", async () => {
  await fc.assert(
    fc.asyncProperty(questions(), async (asked) => {
      const question = usageQuestion.parse(asked)
      const report = await usageReport({ sql, findSheet: () => undefined }, question, { kind: "all" }, NOW_MS)
      if (report.kind === "refused") throw new Error(report.reason)
      const found = meant(question, report.fromMs, report.toMs)
      const same = (sums: typeof report.totals | undefined, of: readonly UsageRecord[]) => {
        const naive = naiveSums(of)
        expect({
          records: BigInt(sums?.records ?? -1),
          tokens: BigInt(sums?.tokens ?? -1),
          picos: picos(sums?.cost_usd ?? "-1"),
          unpriced: BigInt(sums?.unpriced_records ?? -1),
          durations: BigInt(sums?.duration_ms ?? -1),
        }).toEqual(naive)
      }
      same(report.totals, found)
      const keyOf = (record: UsageRecord) => question.group_by.map((name) => valuesOf(record, name)[0])
      const { bucket, buckets, timeZone } = report
      const labels = new Map(found.map((one) => [one, bucket && labelOf(Date.parse(one.time), bucket, timeZone)]))
      const bucketOf = (index: number) => (record: UsageRecord) => labels.get(record) === buckets?.[index]?.label
      for (const { key, sums, series } of report.groups) {
        const own = found.filter((record) => String(keyOf(record)) === String(Object.values(key)))
        same(sums, own)
        series?.forEach((bucketSums, index) => {
          if (index % 17 === 0 || bucketSums.records !== "0") same(bucketSums, own.filter(bucketOf(index)))
        })
      }
      const named = new Set(report.groups.map(({ key }) => String(Object.values(key))))
      if (question.group_by.length > 0) {
        const rest = found.filter((record) => !named.has(String(keyOf(record))))
        expect(report.other === null).toBe(rest.length === 0)
        if (report.other !== null) same(report.other.sums, rest)
      }
      report.series?.forEach((sums, index) => {
        if (index % 17 === 0 || sums.records !== "0") same(sums, found.filter(bucketOf(index)))
      })
      const range = { kind: "range", fromMs: report.fromMs, toMs: report.toMs } as const
      if (report.bucket !== null) expect(report.buckets).toEqual(cutRange(range, report.bucket, report.timeZone))
    }),
    { numRuns: RUNS, seed: 5, endOnFailure: false },
  )
})

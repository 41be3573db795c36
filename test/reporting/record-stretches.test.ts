/** Pages of records that an index does not find: whatever is skipped on the way, each page is what a walk over all says. */
import fc from "fast-check"
import { pino } from "pino"
import { afterAll, beforeAll, expect, test } from "vitest"
import { UsageDayJob } from "../../src/ledger/usage-day-job.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { recordsQuestion } from "../../src/reporting/question.ts"
import { isScattered, stretchesOf } from "../../src/reporting/record-stretches.ts"
import type { Scope } from "../../src/reporting/scope.ts"
import { inSnapshot } from "../../src/reporting/snapshot.ts"
import { usageRecords } from "../../src/reporting/usage-records.ts"
import { valuesOf } from "./naive-report.ts"
import { bring, openUsageDatabase, randomFrom, randomRecord } from "./usage-database.ts"

const ORGANIZATIONS = [
  { id: "org_a", timeZone: "Europe/Berlin" },
  { id: "org_b", timeZone: "America/New_York" },
  { id: "org_c", timeZone: "UTC" },
]
const FROM_MS = Date.UTC(2026, 6, 1)
const NOW_MS = Date.UTC(2026, 10, 5, 9, 20)
const ALL: Scope = { kind: "all" }
const FILTERS = ["model", "provider", "endpoint", "tool", "operation", "outcome", "user", "project", "tier"]
const RUNS = 60

let sql: Sql
let records: UsageRecord[]

beforeAll(async () => {
  ;({ sql } = await openUsageDatabase(ORGANIZATIONS))
  const random = randomFrom(13)
  const some = (count: number) =>
    Array.from({ length: count }, () => randomRecord(random, ORGANIZATIONS, FROM_MS, NOW_MS))
  // A model of which there are few, more of them on one day, and several in one millisecond.
  const rare = some(60).map((record, index) => {
    const model_served = "rare"
    if (index % 3 > 0) return { ...record, model_served }
    const time = new Date(Date.UTC(2026, 8, 9, 10, Math.floor(index / 9) * 7)).toISOString()
    return { ...record, model_served, time }
  })
  const [early, late] = [some(1_500), some(60)]
  await bring(sql, [...early, ...rare])
  await new UsageDayJob({ sql, clock: { nowMs: () => NOW_MS }, log: pino({ level: "silent" }) }).foldDue()
  await bring(sql, late)
  records = [...early, ...rare, ...late]
})
afterAll(() => sql?.end())

async function pageOf(asked: Record<string, unknown>, scope: Scope = ALL) {
  const question = recordsQuestion.parse(asked)
  const page = await usageRecords(sql, question, scope, NOW_MS)
  if (page.kind === "refused") throw new Error(page.reason)
  return page
}

/** Page by page. */
async function idsOf(asked: Record<string, unknown>, scope: Scope = ALL): Promise<string[]> {
  const ids: string[] = []
  for (let after: string | undefined; ; ) {
    const page = await pageOf({ ...asked, ...(after === undefined ? {} : { after }) }, scope)
    ids.push(...page.records.map(({ id }) => id))
    if (page.next === null) return ids
    after = page.next
  }
}

function expected(asked: Record<string, unknown>, matches: (record: UsageRecord) => boolean): string[] {
  const order = asked.order === "oldest" ? 1 : -1
  const place = (record: UsageRecord) => `${record.time} ${record.id}`
  const found = records.filter(matches).sort((one, two) => (place(one) < place(two) ? -order : order))
  return found.map(({ id }) => id)
}

test("every page is what a walk over all records says, whatever the filter, the range and the order", async () => {
  const value = (name: string) =>
    fc.subarray([...new Set(records.flatMap((record) => valuesOf(record, name)))], { minLength: 1, maxLength: 2 })
  const questions = fc.record({
    filter: fc
      .subarray(FILTERS, { minLength: 1, maxLength: 2 })
      .chain((names) => fc.record(Object.fromEntries(names.map((name) => [name, value(name)])))),
    from: fc.integer({ min: FROM_MS, max: NOW_MS }),
    length: fc.oneof(fc.integer({ min: 1, max: 40 * 60_000 }), fc.integer({ min: 1, max: NOW_MS - FROM_MS })),
    order: fc.constantFrom("newest", "oldest"),
    limit: fc.integer({ min: 20, max: 400 }),
  })
  await fc.assert(
    fc.asyncProperty(questions, async ({ filter, from, length, order, limit }) => {
      const range = { from: new Date(from).toISOString(), until: new Date(from + length).toISOString() }
      const asked = { ...filter, ...range, order, limit }
      expect(isScattered(recordsQuestion.parse(asked), ALL)).toBe(true)
      const matches = (record: UsageRecord) => {
        const timeMs = Date.parse(record.time)
        if (timeMs < from || timeMs >= from + length) return false
        return Object.entries(filter).every(([name, wanted]) =>
          valuesOf(record, name).some((one) => (wanted as string[]).includes(one)),
        )
      }
      expect(await idsOf(asked)).toEqual(expected(asked, matches))
    }),
    { numRuns: RUNS, seed: 13, endOnFailure: false },
  )
})

test.each(["newest", "oldest"])(
  "pages of three of a rare model, %s first, through quarters that hold several",
  async (order) => {
    const asked = { range: "all", model: "rare", order, limit: 3 }
    expect(await idsOf(asked)).toEqual(expected(asked, (record) => record.model_served === "rare"))
  },
)

test("a scope of single projects, users or keys is looked up the same way", async () => {
  const scope: Scope = { kind: "within", organizationIds: [], projectIds: ["org_a_p1"], keyIds: ["org_b_k0"] }
  const asked = { range: "all", limit: 50 }
  expect(isScattered(recordsQuestion.parse(asked), scope)).toBe(true)
  const isVisible = (record: UsageRecord) => record.project_id === "org_a_p1" || record.key_id === "org_b_k0"
  expect(await idsOf(asked, scope)).toEqual(expected(asked, isVisible))
})

test.each([{}, { organization: "org_a" }, { key: "org_a_k1", outcome: "ok" }, { tag: "a", outcome: "ok" }])(
  "%j is left to the records' own indexes",
  (asked) => {
    expect(isScattered(recordsQuestion.parse(asked), ALL)).toBe(false)
  },
)

test("quarters that hold none are not read", async () => {
  const organizationIds = ORGANIZATIONS.map(({ id }) => id)
  const range = { kind: "range", fromMs: FROM_MS + 1, toMs: NOW_MS + 1 } as const
  const lookUp = (model: string, max: number) => {
    const question = { filter: recordsQuestion.parse({ model }), scope: ALL, organizationIds, range, max }
    return inSnapshot(sql, (transaction) => stretchesOf(transaction, question))
  }
  // The two ends of the range, of each organization.
  const ends = 2 * organizationIds.length
  const none = await lookUp("nobody's", 100)
  expect(none).toMatchObject({ isAll: true })
  expect(none.stretches).toHaveLength(ends)
  const all = await lookUp("rare", 100)
  expect(all).toMatchObject({ isAll: true })
  expect(all.stretches.length).toBeLessThanOrEqual(ends + 60)
  expect(all.stretches.every(({ fromMs, toMs }) => toMs - fromMs === 15 * 60_000)).toBe(true)
  const five = await lookUp("rare", 5)
  expect(five).toMatchObject({ isAll: false })
  expect(five.stretches.length).toBeLessThanOrEqual(ends + 5)
})

test("records that were deleted, and are in the rollup still, leave no page short", async () => {
  const newest = expected({}, (record) => record.model_served === "rare")
  const gone = newest.slice(0, 20)
  await sql`CREATE TABLE gone AS SELECT * FROM usage_records WHERE id = ANY (${gone}::uuid[])`
  await sql`DELETE FROM usage_records WHERE id = ANY (${gone}::uuid[])`
  try {
    const page = await pageOf({ range: "all", model: "rare", limit: 10 })
    expect(page.records.map(({ id }) => id)).toEqual(newest.slice(20, 30))
  } finally {
    await sql`INSERT INTO usage_records SELECT * FROM gone`
    await sql`DROP TABLE gone`
  }
})

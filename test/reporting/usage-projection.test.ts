/** Projections out of a real ledger: whose usage they are of, which budgets they show, and what is too early. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { windowAt } from "../../src/admission/window.ts"
import { accountCounters } from "../../src/identity/account-limit.ts"
import type { Limit } from "../../src/identity/limit.ts"
import { createLimit, type NewLimit } from "../../src/identity/limit-registry.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import type { BudgetProjection } from "../../src/reporting/budget-projection.ts"
import { projectionQuestion, usageProjection } from "../../src/reporting/usage-projection.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { bring, openUsageDatabase } from "./usage-database.ts"

const ACTOR = { name: "t", ip: "" }
const DAY_MS = 24 * 3_600_000
const USD = 10n ** 12n
/** Noon of the 11th in Berlin: twenty days are left, and half of today. */
const NOW_MS = Date.parse("2026-11-11T11:00:00Z")
const ZONE = "Europe/Berlin"
let sql: Sql
let made = 0

beforeAll(async () => {
  ;({ sql } = await openUsageDatabase([
    { id: "acme", timeZone: ZONE },
    { id: "other", timeZone: "UTC" },
  ]))
  await bring(sql, [
    // Five dollars each night and each afternoon for 20 whole days, and last night.
    ...Array.from({ length: 20 }, (_, day) => [used(day + 1, 6), used(day + 1, 15)]).flat(),
    used(0, 6),
    // Only two days old.
    ...[1, 2].map((day) => used(day, 6, { key_id: "acme_k1", project_id: "acme_p1", cost_usd: "3" })),
    ...[1, 2, 3].map((day) => used(day, 6, { organization_id: "other", project_id: "other_p0", key_id: "other_k0" })),
  ])
})
afterAll(() => sql?.end())

/** A call so many days ago, at an hour of the day in Berlin. */
function used(daysAgo: number, hour: number, changes: Partial<UsageRecord> = {}): UsageRecord {
  const { startsAtMs } = windowAt("day", ZONE, 1, NOW_MS - daysAgo * DAY_MS)
  const time = new Date((startsAtMs ?? 0) + hour * 3_600_000).toISOString()
  return sampleRecord({
    ...{ time, organization_id: "acme", project_id: "acme_p0", key_id: "acme_k0", user_id: "acme_u0", cost_usd: "5" },
    ...{ tool: "crawler", tags: ["nightly"], charges: [], provider: "openai", provider_account: "main" },
    ...changes,
  })
}

type Wanted = Pick<Limit, "scope" | "subject"> & Partial<Pick<Limit, "each" | "filter" | "organizationId">>

/** A limit with what its counters have settled in these windows. */
async function limit(of: Wanted, wanted: NewLimit, settled: Record<string, Record<string, bigint>>): Promise<string> {
  const subject = { organizationId: "acme", ...of }
  const created = await createLimit(sql, ACTOR, subject, wanted)
  if (created.kind !== "created") throw new Error(created.kind)
  const { id } = created.row
  const counters = of.scope === "provider_account" ? accountCounters(of.subject) : subject.organizationId
  for (const [counter, windows] of Object.entries(settled)) {
    for (const [window, amount] of Object.entries(windows)) {
      await sql`
        INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
        VALUES (${counters}, ${id}, ${counter}, ${window}, ${amount.toString()})`
    }
  }
  made++
  return id
}

const ask = (question: object = {}, visible: readonly string[] | null = null, nowMs = NOW_MS) =>
  usageProjection(
    sql,
    projectionQuestion.parse(question),
    visible === null ? { kind: "all" } : { kind: "within", organizationIds: [], projectIds: visible },
    nowMs,
  )
const budgetsOf = async (id: string, question: object = {}, visible: readonly string[] | null = null) =>
  (await ask(question, visible)).budgets.filter((budget) => budget.limit.id === id)
const budgetOf = async (id: string): Promise<BudgetProjection> => {
  const [budget, ...more] = await budgetsOf(id)
  if (budget === undefined || more.length > 0) throw new Error("not one")
  return budget
}

test("equal days go on to the end of the period, in the organization's own zone", async () => {
  const found = await ask({ organization: "acme", key: "acme_k0" })
  expect(found.timeZone).toBe(ZONE)
  expect(new Date(found.fromMs).toISOString()).toBe("2026-10-31T23:00:00.000Z")
  expect(new Date(found.toMs).toISOString()).toBe("2026-11-30T23:00:00.000Z")
  expect(found.daysSeen).toBe(20)
  expect(found.dailyAverage).toBe(10n * USD)
  // Ten whole days and last night; then this afternoon and nineteen days.
  expect(found.spent).toBe(105n * USD)
  expect(found.projection).toEqual({ projected: 300n * USD, low: 300n * USD, high: 300n * USD })
  const week = await ask({ organization: "acme", key: "acme_k0", period: "week" })
  expect(week.projection?.projected).toBe(70n * USD)
  const year = await ask({ organization: "acme", key: "acme_k0", period: "year" })
  expect(year.spent).toBe(205n * USD)
  expect(year.projection?.projected).toBe(205n * USD + 5n * USD + 50n * 10n * USD)
})

test("fewer than three whole days say nothing, and neither does usage that is not visible", async () => {
  const early = await ask({ key: "acme_k1" })
  expect([early.spent, early.daysSeen, early.dailyAverage, early.projection]).toEqual([6n * USD, 2, null, null])
  expect((await ask({ organization: "other" })).projection).not.toBeNull()
  const hidden = await ask({ organization: "other" }, ["acme_p0"])
  expect([hidden.spent, hidden.daysSeen, hidden.projection]).toEqual([0n, 0, null])
  expect((await ask({ model: "none-such" })).projection).toBeNull()
  for (const name of ["range", "from", "until", "tag", "conversation", "end_customer", "unpriced", "whatever"]) {
    expect(projectionQuestion.safeParse({ [name]: "1" }).success).toBe(false)
  }
})

test("a budget is projected from what it counts, on top of what the ledger has settled", async () => {
  const of = { scope: "project", subject: "acme_p0" } as const
  const month = { kind: "usd", window: "month", timeZone: ZONE } as const
  const settled = { acme_p0: { "2026-11": 110_000_000_000n } }
  const budget = await budgetOf(await limit(of, { ...month, cap: 200_000_000_000n }, settled))
  expect(budget).toMatchObject({ state: "warning", daysSeen: 20, used: 110_000_000_000n, subjectName: "project 0" })
  expect(budget.projection?.projected).toBe(305_000_000_000n)
  // Five dollars in the rest of today, eight days of ten, and half of the ninth.
  expect(new Date(budget.reachedAtMs ?? 0).toISOString()).toBe("2026-11-20T11:00:00.000Z")
  const large = await budgetOf(await limit(of, { ...month, cap: 400_000_000_000n }, settled))
  expect(large).toMatchObject({ state: "ok", reachedAtMs: null })
  const small = await budgetOf(await limit(of, { ...month, cap: 100_000_000_000n }, settled))
  expect(small).toMatchObject({ state: "exceeded", reachedAtMs: null })
  const early = await budgetOf(await limit({ scope: "key", subject: "acme_k1" }, { ...month, cap: 10n ** 12n }, {}))
  expect(early).toMatchObject({ state: "too_early", daysSeen: 2, projection: null, reachedAtMs: null, used: 0n })
})

test("windows without an end say when their cap is reached, and not what they will have used", async () => {
  const of = { scope: "organization", subject: "acme" } as const
  const lifetime = { kind: "usd", window: "lifetime", cap: 400_000_000_000n } as const
  const life = await budgetOf(await limit(of, lifetime, { acme: { lifetime: 211_000_000_000n } }))
  expect(life).toMatchObject({ state: "warning", projection: null })
  expect(life.reachedAtMs).toBeGreaterThan(NOW_MS + 10 * DAY_MS)
  const id = windowAt("rolling", ZONE, 2, NOW_MS).id
  const rolling = { kind: "usd", window: "rolling", anchorDay: 2, timeZone: ZONE, cap: 21_000_000_000n } as const
  const windows = { [id]: 5_000_000_000n, [id.replace("11-11", "11-10")]: 10_000_000_000n }
  const rolled = await budgetOf(await limit(of, rolling, { acme: windows }))
  expect(rolled).toMatchObject({ used: 15_000_000_000n, projection: null })
})

test("tokens, tools, tags, provider accounts and whom a limit counts apart are told apart", async () => {
  const month = { kind: "usd", window: "month", timeZone: ZONE, cap: 10n ** 12n } as const
  const of = { scope: "organization", subject: "acme" } as const
  const projected = (budget: BudgetProjection) => budget.projection?.projected
  const tokens = await budgetOf(await limit(of, { ...month, kind: "tokens" }, {}))
  expect(tokens.counter.kind).toBe("tokens")
  const tool = await limit({ ...of, filter: { by: "tool", value: "crawler" } }, month, {})
  expect((await budgetOf(tool)).daysSeen).toBe(20)
  const none = await limit({ ...of, filter: { by: "tool", value: "other" } }, month, {})
  expect((await budgetOf(none)).state).toBe("too_early")
  const tag = await limit({ ...of, filter: { by: "tag", value: "nightly" } }, month, {})
  expect((await budgetOf(tag)).daysSeen).toBe(20)

  const each = await limit({ ...of, each: "key" }, month, {
    "acme acme_k0": { "2026-11": 7n },
    "acme acme_k2": { "2026-11": 3n, "2026-10": 900n },
  })
  const rows = await budgetsOf(each)
  expect(rows.map(({ counter, countedName, used: amount }) => [counter.counted, countedName, amount])).toEqual([
    ["acme_k0", "key 0", 7n],
    ["acme_k2", "key 2", 3n],
  ])
  expect(rows.map(projected)).toEqual([195_000_000_007n, undefined])
  expect((await budgetsOf(each, { key: "acme_k2" })).map(({ counter }) => counter.counted)).toEqual(["acme_k2"])

  const account = { organizationId: "", scope: "provider_account", subject: "openai/main" } as const
  const shared = await budgetOf(await limit(account, month, { "openai/main": { "2026-11": 1n } }))
  // With the five dollars a day of the other organization and the three of the second key.
  expect(shared).toMatchObject({ daysSeen: 20, used: 1n, subjectName: null })
  expect(shared.counter.subject).toBe("openai/main")
})

test("budgets are those that the caller sees and asks for, the most used first", async () => {
  const all = await ask()
  expect(all.budgets.length + all.more).toBe(made + 1)
  const shares = all.budgets.map(({ used: amount, cap }) => Number(amount) / Number(cap))
  expect(shares.toSorted((one, other) => other - one)).toEqual(shares)
  const scopes = async (question: object, visible: readonly string[] | null = null) => [
    ...new Set((await ask(question, visible)).budgets.map(({ limit: { scope } }) => scope)),
  ]
  expect((await scopes({ project: "acme_p0" })).sort()).toEqual(["project"])
  expect((await scopes({ project: "acme_p1" })).sort()).toEqual(["key"])
  expect(await scopes({}, ["acme_p1"])).toEqual(["key"])
  expect(await scopes({ organization: "other" })).toEqual([])
})

import { pino } from "pino"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { UsageDayJob } from "../../src/ledger/usage-day-job.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { usageQuestion } from "../../src/reporting/question.ts"
import type { Refused } from "../../src/reporting/refused.ts"
import type { Scope } from "../../src/reporting/scope.ts"
import { type UsageReport, usageReport } from "../../src/reporting/usage-report.ts"
import { bring, openUsageDatabase, randomFrom, randomRecord } from "./usage-database.ts"

const ORGANIZATIONS = [
  { id: "org_a", timeZone: "Europe/Berlin" },
  { id: "org_b", timeZone: "Europe/Berlin" },
  { id: "org_c", timeZone: "Asia/Kathmandu" },
]
const FROM_MS = Date.UTC(2026, 9, 10)
const NOW_MS = Date.UTC(2026, 10, 12, 15, 7, 3)
const ALL: Scope = { kind: "all" }
/** The clocks of Berlin are set back within it, and it ends in a running day. */
const RANGE = { from: "2026-10-14T22:00:00Z", until: "2026-11-12T15:15:00Z" }

let sql: Sql

beforeAll(async () => {
  ;({ sql } = await openUsageDatabase(ORGANIZATIONS))
  const random = randomFrom(7)
  const records = Array.from({ length: 2_000 }, () => randomRecord(random, ORGANIZATIONS, FROM_MS, NOW_MS))
  await bring(sql, records)
  await new UsageDayJob({ sql, clock: { nowMs: () => NOW_MS }, log: pino({ level: "silent" }) }).foldDue()
})
afterAll(() => sql?.end())

async function answer(asked: Record<string, unknown>, scope: Scope = ALL): Promise<UsageReport | Refused> {
  return usageReport({ sql, findSheet: () => undefined }, usageQuestion.parse(asked), scope, NOW_MS)
}

async function ask(asked: Record<string, unknown>, scope: Scope = ALL): Promise<UsageReport> {
  const report = await answer({ ...RANGE, ...asked }, scope)
  if (report.kind === "refused") throw new Error(`${report.param}: ${report.reason}`)
  return report
}

type Plain = { readonly name: string; readonly calls: string; readonly tokens: string; readonly cost: string }

/** Sums over the records themselves, written without a look at the query layer. */
function plain(name: string, where = "true", from: string = "usage_records r"): Promise<Plain[]> {
  return sql.unsafe<Plain[]>(
    `SELECT ${name} AS name, count(*) FILTER (WHERE r.kind IN ('call', 'report'))::text AS calls,
       sum(r.input_uncached_tokens + r.cache_read_tokens + r.cache_write_5m_tokens + r.cache_write_1h_tokens
         + r.output_tokens)::text AS tokens, trim_scale(coalesce(sum(r.cost_usd), 0))::text AS cost
     FROM ${from}
     WHERE r.time >= '${RANGE.from}' AND r.time < '${RANGE.until}' AND ${where} GROUP BY 1 ORDER BY 1`,
  )
}

function shown(report: UsageReport): Plain[] {
  return report.groups
    .map(({ key, sums }) => ({
      name: Object.values(key).join("|"),
      calls: sums.records,
      tokens: sums.tokens,
      cost: sums.cost_usd,
    }))
    .sort((one, two) => (one.name < two.name ? -1 : 1))
}

describe("by one dimension", () => {
  test.each([
    ["organization", "r.organization_id"],
    ["project", "r.project_id"],
    ["user", "r.user_id"],
    ["key", "r.key_id"],
    ["provider", "r.provider"],
    ["provider_account", "r.provider_account"],
    ["model", "substr(r.model_served, 1, 120)"],
    ["endpoint", "r.endpoint"],
    ["tool", "r.tool"],
    ["operation", "r.operation"],
    ["tier", "r.tier_served"],
    ["outcome", "r.outcome"],
    ["stream", "CASE WHEN r.stream THEN 'true' ELSE 'false' END"],
    ["usage_source", "r.usage_source"],
    ["price_row", "r.price_row"],
    ["conversation", "r.conversation"],
    ["end_customer", "r.end_customer"],
  ])("%s says what the records say", async (dimension, column) => {
    const report = await ask({ group_by: dimension })
    const [total] = await plain("''")
    expect(shown(report)).toEqual(await plain(column))
    expect(report.groups.length).toBeGreaterThan(1)
    expect(report.totals).toMatchObject({ records: total?.calls, tokens: total?.tokens, cost_usd: total?.cost })
    expect(report.other).toBeNull()
  })

  test("a tag's groups overlap, and the report says so; its totals do not", async () => {
    const report = await ask({ group_by: "tag", bucket: "week" })
    const [total] = await plain("''")
    const each = "usage_records r LEFT JOIN LATERAL (SELECT DISTINCT t FROM unnest(r.tags) t) g ON true"
    expect(shown(report)).toEqual(await plain("coalesce(g.t, '')", "true", each))
    expect(report.groupsOverlap).toBe(true)
    expect(report.totals.records).toBe(total?.calls)
    expect(report.series?.reduce((sum, { records }) => sum + Number(records), 0)).toBe(Number(total?.calls))
  })

  test("two dimensions make one group for each pair", async () => {
    const report = await ask({ group_by: ["project", "model"] })
    expect(shown(report)).toEqual(await plain("r.project_id || '|' || substr(r.model_served, 1, 120)"))
  })
})

describe("filtered", () => {
  test.each([
    [{ organization: "org_c" }, "r.organization_id = 'org_c'"],
    [{ project: "org_a_p0,org_b_p1" }, "r.project_id IN ('org_a_p0', 'org_b_p1')"],
    [{ user: "(none)" }, "r.user_id = ''"],
    [{ user: ["(none)", "org_a_u1"] }, "r.user_id IN ('', 'org_a_u1')"],
    [{ key: "org_a_k2" }, "r.key_id = 'org_a_k2'"],
    [{ provider: "anthropic" }, "r.provider = 'anthropic'"],
    [{ provider_account: "spare" }, "r.provider_account = 'spare'"],
    [{ model: `m${"x".repeat(130)}` }, "r.model_served LIKE 'mxxx%'"],
    [{ endpoint: "responses" }, "r.endpoint = 'responses'"],
    [{ tool: ["code,review"] }, "r.tool = 'code,review'"],
    [{ operation: 'sum"marise\\' }, `r.operation = 'sum"marise\\'`],
    [{ outcome: "error,aborted" }, "r.outcome <> 'ok'"],
    [{ tier: "flex" }, "r.tier_served = 'flex'"],
    [{ stream: "true" }, "r.stream"],
    [{ stream: false }, "NOT r.stream"],
    [{ estimated: "true" }, "r.usage_source = 'estimated'"],
    [{ estimated: "false" }, "r.usage_source <> 'estimated'"],
    [{ conversation: "talk-1" }, "r.conversation = 'talk-1'"],
    [{ end_customer: "customer-2" }, "r.end_customer = 'customer-2'"],
    [{ tag: "b,c" }, "('b' = ANY (r.tags) OR 'c' = ANY (r.tags))"],
    [{ unpriced: "true" }, "r.price_state = 'unpriced'"],
    [{ unpriced: "false" }, "r.price_state = 'priced'"],
    [{ model: "nobody's" }, "false"],
    [{ model: "gpt-4o", outcome: "ok", stream: "true" }, "r.model_served = 'gpt-4o' AND r.outcome = 'ok' AND r.stream"],
  ])("%j leaves exactly the records that match", async (filter, where) => {
    const report = await ask({ ...filter, group_by: "organization" })
    expect(shown(report)).toEqual(await plain("r.organization_id", where))
  })

  test.each([
    [{ kind: "within", organizationIds: ["org_b"], projectIds: [] }, "r.organization_id = 'org_b'"],
    [{ kind: "within", organizationIds: [], projectIds: ["org_a_p1"] }, "r.project_id = 'org_a_p1'"],
    [{ kind: "within", organizationIds: [], projectIds: [], userIds: ["org_c_u0"] }, "r.user_id = 'org_c_u0'"],
    [{ kind: "within", organizationIds: [], projectIds: [], keyIds: ["org_a_k0"] }, "r.key_id = 'org_a_k0'"],
    [
      { kind: "within", organizationIds: ["org_c"], projectIds: ["org_a_p1"] },
      "(r.organization_id = 'org_c' OR r.project_id = 'org_a_p1')",
    ],
    [{ kind: "within", organizationIds: [], projectIds: [] }, "false"],
  ] satisfies [Scope, string][])("a scope of %j shows nothing else, whatever is asked", async (scope, where) => {
    for (const filter of [{}, { organization: "org_a,org_b,org_c" }, { tag: "a,b,c", group_by: "end_customer" }]) {
      const report = await ask({ group_by: "key", ...filter }, scope)
      const column = filter.group_by === undefined ? "r.key_id" : "r.end_customer"
      expect(shown(report)).toEqual(
        await plain(column, filter.tag === undefined ? where : `${where} AND r.tags <> '{}'`),
      )
    }
  })
})

describe("over time", () => {
  const ZONES = ["Europe/Berlin", "UTC", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"]

  test.each(ZONES.flatMap((zone) => ["day", "week", "month"].map((bucket) => [bucket, zone])))(
    "each %s of %s says what the records say",
    async (bucket, zone) => {
      const report = await ask({ bucket, time_zone: zone, top: 3, group_by: "model" })
      const format = { day: "YYYY-MM-DD", week: 'IYYY-"W"IW', month: "YYYY-MM" }[bucket]
      const expected = await plain(`to_char(r.time AT TIME ZONE '${zone}', '${format}')`)
      const found = report.buckets?.map(({ label }, index) => {
        const sums = report.series?.[index]
        return { name: label, calls: sums?.records, tokens: sums?.tokens, cost: sums?.cost_usd }
      })
      expect(found).toEqual(expected)
      const series = [...report.groups, ...(report.other === null ? [] : [report.other])].map((group) => group.series)
      expect(series.length).toBe(4)
      report.series?.forEach((bucketSums, index) => {
        const parts = series.reduce((sum, one) => sum + BigInt(one?.[index]?.tokens ?? 0), 0n)
        expect(parts.toString()).toBe(bucketSums.tokens)
      })
    },
  )

  test("each hour says what the records say, across the hour that Berlin has twice", async () => {
    const report = await ask({ bucket: "hour", from: "2026-10-24", until: "2026-10-26", time_zone: "Europe/Berlin" })
    const rows = await sql<{ at: Date; calls: string }[]>`
      SELECT date_trunc('hour', time) AS at, count(*)::text AS calls FROM usage_records
      WHERE kind <> 'adjustment' AND time >= '2026-10-23T22:00Z' AND time < '2026-10-26T23:00Z' GROUP BY 1`
    const calls = new Map(rows.map(({ at, calls: count }) => [at.getTime(), count]))
    expect(report.buckets).toHaveLength(73)
    expect(report.buckets?.map(({ label }) => label).filter((label) => label.includes("25T02"))).toEqual([
      "2026-10-25T02:00+02:00",
      "2026-10-25T02:00+01:00",
    ])
    expect(report.series?.map(({ records }) => records)).toEqual(
      report.buckets?.map(({ fromMs }) => calls.get(fromMs) ?? "0"),
    )
  })

  test("buckets without calls are there, with zeros", async () => {
    const report = await ask({ from: "2026-09-01", until: "2026-10-11", bucket: "day", organization: "org_a" })
    expect(report.buckets).toHaveLength(41)
    expect(report.series?.[0]).toMatchObject({ records: "0", cost_usd: "0", tokens: "0" })
    expect(Number(report.totals.records)).toBeGreaterThan(0)
  })

  test("what is asked for in one piece and in many pieces is the same", async () => {
    const whole = await ask({ group_by: "model", latency: true })
    // Every other day is not folded, so that days and rollup alternate.
    await sql`
      INSERT INTO usage_day_dirty SELECT organization_id, starts_at FROM usage_day_fold
      WHERE extract(day FROM day)::int % 2 = 0`
    const pieced = await ask({ group_by: "model", latency: true })
    await sql`DELETE FROM usage_day_dirty WHERE bucket < '2026-11-11'`
    expect({ ...pieced, asOfMs: 0 }).toEqual({ ...whole, asOfMs: 0 })
  })
})

describe("the largest groups", () => {
  test.each([
    ["cost", (one: Plain, two: Plain) => Number(two.cost) - Number(one.cost)],
    ["records", (one: Plain, two: Plain) => Number(two.calls) - Number(one.calls)],
    ["tokens", (one: Plain, two: Plain) => Number(two.tokens) - Number(one.tokens)],
  ] as const)("by %s come first, and the rest is one group that completes the total", async (order, compare) => {
    const report = await ask({ group_by: "key", top: 3, order_by: order })
    const expected = (await plain("r.key_id")).sort(compare)
    expect(report.groups.map(({ key }) => key.key)).toEqual(expected.slice(0, 3).map(({ name }) => name))
    expect(report.other?.groups).toBe(expected.length - 3)
    const parts = [...report.groups.map(({ sums }) => sums), report.other?.sums]
    expect(parts.reduce((sum, of) => sum + BigInt(of?.records ?? 0), 0n).toString()).toBe(report.totals.records)
  })
})

describe("against an earlier range", () => {
  test("each group stands beside what it was, and what is not there now is among the others", async () => {
    const now = { from: "2026-11-05", until: "2026-11-08", time_zone: "Europe/Berlin" }
    const report = await ask({ ...now, group_by: "key", top: 2, compare: "previous", bucket: "day" })
    const before = await ask({ ...now, from: "2026-11-01", until: "2026-11-04", group_by: "key", bucket: "day" })
    expect([report.previous?.fromMs, report.previous?.toMs]).toEqual([before.fromMs, before.toMs])
    expect(report.previous?.totals).toEqual(before.totals)
    expect(report.previous?.series).toEqual(before.series)
    for (const { key, previous } of report.groups) {
      expect(previous).toEqual(before.groups.find((group) => group.key.key === key.key)?.sums)
    }
    const parts = [...report.groups.map(({ previous }) => previous), report.other?.previous]
    expect(parts.reduce((sum, of) => sum + BigInt(of?.records ?? 0), 0n).toString()).toBe(before.totals.records)
  })
})

describe("percentiles", () => {
  test("stand within the bin of the exact value", async () => {
    const bounds = [0, 10, 20, 50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000, 15_000, 20_000]
    bounds.push(30_000, 60_000, 120_000, 300_000, 600_000, Number.POSITIVE_INFINITY)
    const binOf = (ms: number) => bounds.findIndex((bound) => bound > ms)
    for (const asked of [{}, { end_customer: "customer-1" }, { bucket: "hour", from: "2026-11-12" }]) {
      const report = await ask({ ...asked, latency: true })
      const where = asked.end_customer === undefined ? "true" : "end_customer = 'customer-1'"
      const [exact] = await sql.unsafe<{ p50: number; p95: number; p99: number }[]>(
        `SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms)::int AS p50,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms)::int AS p95,
           percentile_disc(0.99) WITHIN GROUP (ORDER BY duration_ms)::int AS p99
         FROM usage_records WHERE time >= to_timestamp(${report.fromMs / 1000})
           AND time < to_timestamp(${report.toMs / 1000}) AND ${where}`,
      )
      const found = report.totals.latency?.duration
      for (const percent of ["p50", "p95", "p99"] as const) {
        const [lower = 0, upper = 0] = [bounds[binOf(exact?.[percent] ?? 0) - 1], bounds[binOf(exact?.[percent] ?? 0)]]
        expect(found?.[percent]).toBeGreaterThanOrEqual(lower)
        expect(found?.[percent]).toBeLessThanOrEqual(upper)
      }
    }
  })

  test("of nothing are null, not zero", async () => {
    const report = await ask({ latency: true, model: "nobody's" })
    expect(report.totals.latency).toEqual({ duration: null, ttft: null })
  })
})

describe("what does not go together is refused with its reason", () => {
  test.each([
    [{ tag: "a", range: "90d" }, "tag", "31 days"],
    [{ group_by: "end_customer", range: "90d" }, "end_customer", "31 days"],
    [{ unpriced: "true", range: "this_quarter" }, "unpriced", "31 days"],
    [{ group_by: "model,model" }, "group_by", "different"],
    [{ group_by: "token_class,model" }, "group_by", "alone"],
    [{ group_by: "token_class", latency: "true" }, "latency", "several classes"],
    [{ group_by: "token_class", order_by: "records" }, "order_by", "no calls"],
    [{ range: "7d", from: "2026-11-01" }, "range", "either"],
    [{ from: "2026-11-02", until: "2026-11-01" }, "from", "before"],
    [{ from: "1999-01-01", until: "2001-01-01" }, "from", "2020 to 2100"],
    [{ from: "2026-01-01", until: "2026-06-01", bucket: "hour" }, "bucket", "1100"],
    [{ range: "30d", bucket: "day", group_by: "key", top: "5000" }, "top", "50000"],
  ])("%j", async (asked, param, reason) => {
    const refusal = await answer(asked)
    expect(refusal).toMatchObject({ kind: "refused", param, reason: expect.stringContaining(reason) })
  })

  test.each([
    { range: "fortnight" },
    { time_zone: "+05:37" },
    { time_zone: "Mars/Olympus" },
    { bucket: "minute" },
    { group_by: "colour" },
    { group_by: "model,key,user" },
    { top: 0 },
    { stream: "perhaps" },
    { from: "yesterday" },
    { unknown: 1 },
  ])("%j is no question", (asked) => {
    expect(usageQuestion.safeParse(asked).success).toBe(false)
  })

  test("empty texts mean the same as nothing", () => {
    const asked = {
      range: "",
      from: "",
      until: "",
      time_zone: "",
      model: "",
      stream: "",
      bucket: "",
      top: "",
      compare: "",
    }
    expect(usageQuestion.parse(asked)).toEqual(usageQuestion.parse({}))
  })
})

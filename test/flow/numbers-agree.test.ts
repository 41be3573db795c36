/** One seeded data set, asked in every way there is, against SQL over the records that was written for this test alone. */
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { runUsage } from "../../src/cli/usage.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { seedUsage } from "../seed/seed.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { ADMIN_KEY, startTestApp, type TestApp } from "../support/test-app.ts"

const DAYS = 20
type Row = Record<string, string>
type Answer = { data: Row[]; totals: Row }

let app: TestApp
let sql: Sql
let from: string
let until: string

beforeAll(async () => {
  const databaseUrl = await createDatabase(inject("postgresUrl"))
  sql = openPostgres(databaseUrl, { max: 4, applicationName: "test" })
  const nowMs = Date.now()
  await seedUsage(sql, { records: 3_000, days: DAYS, nowMs, seed: 7, tell: () => undefined })
  app = await startTestApp("sandbox: true", { databaseUrl })
  until = new Date(Math.floor(nowMs / 3_600_000) * 3_600_000).toISOString()
  from = new Date(Date.parse(until) - DAYS * 86_400_000).toISOString()
})
afterAll(async () => {
  await app?.close()
  await sql?.end()
})

/** What the records say by one column, in the words of every answer below. */
async function bySql(column: "project_id" | "model_served"): Promise<Map<string, string>> {
  const rows = await sql<Row[]>`
    SELECT ${sql(column)} AS name, count(*)::text AS records,
           sum(input_uncached_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens + output_tokens)::text
             AS tokens,
           trim_scale(coalesce(sum(cost_usd), 0))::text AS cost
    FROM usage_records WHERE time >= ${from}::text::timestamptz AND time < ${until}::text::timestamptz GROUP BY 1`
  return new Map(
    rows.map(({ name = "", records, tokens, cost }) => [name, `${records} calls, ${tokens} tokens, $${cost}`]),
  )
}

function byRows(rows: readonly Row[], name: string): Map<string, string> {
  const said = (row: Row) => `${row.records} calls, ${row.tokens} tokens, $${row.cost_usd}`
  return new Map(rows.map((row) => [row[name] ?? "", said(row)]))
}

async function ask(route: string): Promise<Response> {
  const response = await fetch(`${app.url}${route}`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return response
}

const range = () => `from=${from}&until=${until}&top=1000`

test.each([
  ["project", "project_id"],
  ["model", "model_served"],
] as const)(
  "by %s, API, series, export, view, command line and SQL say the same of every group",
  async (group, column) => {
    const truth = await bySql(column)
    expect(truth.size).toBeGreaterThan(5)

    const summary = (await (await ask(`/admin/v1/usage/summary?${range()}&group_by=${group}`)).json()) as Answer
    expect(byRows(summary.data, group)).toEqual(truth)

    const series = (await (
      await ask(`/admin/v1/usage/series?${range()}&group_by=${group}&bucket=day`)
    ).json()) as Answer
    expect(byRows(series.data, group)).toEqual(truth)

    const exported = await ask(`/admin/v1/usage/export?${range()}&group_by=${group}&format=ndjson`)
    const lines = (await exported.text())
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Row)
    const texts = lines.map((row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, String(value)])),
    )
    expect(byRows(texts, group === "project" ? "project_id" : group)).toEqual(truth)

    const view = await sql<Row[]>`
    SELECT ${sql(group === "project" ? "project_id" : "model")} AS name, sum(records)::text AS records,
           sum(input_uncached_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
               + output_tokens)::text AS tokens,
           trim_scale(sum(cost_usd))::text AS cost_usd
    FROM usage_summary WHERE time >= ${from}::text::timestamptz AND time < ${until}::text::timestamptz GROUP BY 1`
    expect(byRows(view, "name")).toEqual(truth)

    let printed = ""
    const out = {
      stdout: { write: (text: string) => (printed += text) },
      stderr: { write: (text: string) => (printed += text) },
    }
    const env = { TALLYGATE_URL: app.url, TALLYGATE_ADMIN_KEY: ADMIN_KEY }
    expect(await runUsage(["--by", group, "--since", from, "--until", until, "--json"], env, ".", out)).toBe(0)
    expect(byRows((JSON.parse(printed) as Answer).data, group)).toEqual(truth)
  },
)

test("the totals of all ways are one number: sums, OpenAI's costs, and the records one by one", async () => {
  const { totals } = (await (await ask(`/admin/v1/usage/summary?${range()}`)).json()) as Answer
  const records = await ask(`/admin/v1/usage/export?from=${from}&until=${until}&view=records&format=ndjson`)
  const lines = (await records.text())
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row)
  expect(String(lines.length)).toBe(totals.records)
  const picos = (usd: unknown) => {
    const [whole = "0", fraction = ""] = String(usd ?? "0").split(".")
    return BigInt(whole + fraction.padEnd(12, "0"))
  }
  expect(lines.reduce((sum, { cost_usd: cost }) => sum + picos(cost), 0n)).toBe(picos(totals.cost_usd))

  const days = await sql<{ cost: string }[]>`
    SELECT trim_scale(sum(cost_usd))::text AS cost FROM usage_records WHERE time >= date_trunc('day', now(), 'UTC')`
  const today = Math.floor(Date.now() / 86_400_000) * 86_400
  const costs = (await (await ask(`/v1/organization/costs?start_time=${today}`)).json()) as {
    data: { results: { amount: { value: number } }[] }[]
  }
  const told = costs.data.flatMap(({ results }) => results).reduce((sum, { amount }) => sum + amount.value, 0)
  expect(told).toBeCloseTo(Number(days[0]?.cost ?? 0), 9)
})

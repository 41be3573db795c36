/** How a projection is answered: amounts as text, what a budget says of itself, and what is refused. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { windowAt } from "../../src/admission/window.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { bring } from "../reporting/usage-database.ts"
import { openAiConfig, startTestApp, type TestApp } from "../support/test-app.ts"

type Budget = Record<string, unknown>
type Answer = Budget & { budgets: Budget[]; error?: { message: string; param: string | null } }

let app: TestApp
let sql: Sql

beforeAll(async () => {
  app = await startTestApp(openAiConfig("http://127.0.0.1:9"))
  sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
})
afterAll(async () => {
  await sql?.end()
  await app?.close()
})

const ask = async (query = ""): Promise<Answer> =>
  (await app.admin("GET", `/admin/v1/usage/projection?${query}`)).body as unknown as Answer

test("nothing used is too early, and a budget on it has used nothing", async () => {
  const { id } = await app.createKey({ name: "crawler", limits: [{ kind: "tokens", window: "month", cap: 1000 }] })
  const answer = await ask(`key=${id}`)
  expect(answer).toMatchObject({ period: "month", state: "too_early", days_seen: 0, spent: "0", projected: null })
  expect(answer.budgets).toMatchObject([
    {
      ...{ scope: "key", subject: id, subject_name: "crawler", each: null, counted: null, tool: null, tag: null },
      ...{ kind: "tokens", window: "month", days: null, time_zone: "UTC", enforcement: "hard", cap: "1000" },
      ...{ used: "0", percent: 0, state: "too_early", days_seen: 0, projected_end: null, low: null, high: null },
      ...{ exhausted_at: null, days_to_exhaustion: null },
    },
  ])
})

test("what was used is projected in dollars, and a budget that is used up says so", async () => {
  const { id } = await app.createKey({ limits: [{ kind: "usd", window: "lifetime", cap: "0.00" }] })
  const [{ organization_id = "", project_id = "" } = {}] = await sql<{ organization_id: string; project_id: string }[]>`
    SELECT organization_id, project_id FROM virtual_keys WHERE id = ${id}`
  const today = windowAt("day", "UTC", 1, Date.now()).startsAtMs ?? 0
  const of = { organization_id, project_id, key_id: id, cost_usd: "2.5", charges: [] }
  await bring(
    sql,
    [1, 2, 3, 4].map((day) => sampleRecord({ ...of, time: new Date(today - day * 86_400_000).toISOString() })),
  )
  const answer = await ask(`key=${id}&period=year&time_zone=UTC`)
  // Calls at midnight leave nothing for later in the day.
  expect(answer).toMatchObject({ period: "year", state: "projected", days_seen: 4, daily_average: "2.5" })
  expect(answer.low).toBe(answer.projected)
  const { cap, percent, state, days_to_exhaustion, exhausted_at, resets_at } = answer.budgets[0] ?? {}
  expect([cap, percent, state, days_to_exhaustion, exhausted_at, resets_at]).toEqual([
    ...["0", null, "exceeded", 0, null, null],
  ])
})

test("a range or what single records alone know is refused by its name", async () => {
  for (const query of ["range=7d", "tag=a", "period=day", "time_zone=%2B01:00"]) {
    const { error } = await ask(query)
    expect(error?.message).toContain(query.split("=")[0])
  }
})

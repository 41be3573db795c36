/** A new limit starts from what the ledger has for its window, in process and in Redis, while calls run. */
import { setTimeout as pause } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { pricedConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

type Standing = { id: string; kind: string; settled: string; held: string | null; seeded: string | null }
type Installation = { readonly apps: readonly [TestApp, TestApp]; readonly sql: Sql }

let upstream: FakeUpstream
let redis: RealRedis
const installations = {} as Record<"process" | "redis", Installation>
let made = 0

beforeAll(async () => {
  upstream = await startFakeUpstream()
  redis = await startRealRedis()
  const alone = await startTestApp(pricedConfig(upstream.baseUrl))
  const first = await startTestApp(pricedConfig(upstream.baseUrl), { redisUrl: redis.url })
  const { databaseUrl } = first
  const second = await startTestApp(pricedConfig(upstream.baseUrl), { redisUrl: redis.url, databaseUrl })
  const open = (url: string) => openPostgres(url, { max: 1, applicationName: "test" })
  installations.process = { apps: [alone, alone], sql: open(alone.databaseUrl) }
  installations.redis = { apps: [first, second], sql: open(databaseUrl) }
})
afterAll(async () => {
  for (const { apps, sql } of Object.values(installations)) {
    await sql.end()
    for (const app of new Set(apps)) await app.close()
  }
  await redis?.stop()
  await upstream?.stop()
})

type Said = { user?: string; tool?: string; stream?: boolean; model?: string }

async function call(app: TestApp, key: string, { user, tool, stream, model = "mock-p60-o40" }: Said = {}) {
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      ...(tool === undefined ? {} : { "x-tallygate-tool": tool }),
    },
    body: JSON.stringify({ model, max_tokens: 200, user, stream, messages: [{ role: "user", content: "hi" }] }),
  })
  const text = await response.text()
  return { status: response.status, text }
}

async function limit(app: TestApp, wanted: object): Promise<string> {
  const { status, body } = await app.admin("POST", "/admin/v1/limits", wanted)
  if (status !== 201) throw new Error(`making a limit answered ${status}: ${JSON.stringify(body)}`)
  return body.id
}

/** One proxy after the other. */
const app = (apps: readonly [TestApp, TestApp], at: number) => (at % 2 === 0 ? apps[0] : apps[1])

const project = async (app: TestApp) =>
  (await app.admin("POST", "/admin/v1/projects", { name: `project ${++made}` })).body.id

async function standing(app: TestApp, id: string): Promise<Standing> {
  return (await app.admin("GET", `/admin/v1/limits/${id}`)).body as unknown as Standing
}

/** What the ledger has settled under a limit, once `records` of its key are there. */
async function inLedger(sql: Sql, keyId: string, records: number, id: string): Promise<string> {
  await until(async () => {
    const [row] = await sql<
      { count: number }[]
    >`SELECT count(*)::int AS count FROM usage_records WHERE key_id = ${keyId}`
    return (row?.count ?? 0) >= records ? true : undefined
  }, 30_000)
  const [row] = await sql<{ settled: string }[]>`
    SELECT coalesce(sum(settled), 0)::text AS settled FROM limit_usage WHERE limit_id = ${id}`
  return row?.settled ?? ""
}

describe.each(["process", "redis"] as const)("a new limit, counted in %s", (where) => {
  const here = () => installations[where]

  test("refuses by what was used before it was made, and admits exactly what is left", async () => {
    const { apps, sql } = here()
    const project_id = await project(apps[0])
    const { id: keyId, key } = await apps[0].createKey({ project_id })
    for (let at = 0; at < 6; at++) expect((await call(app(apps, at), key)).status).toBe(200)
    // A limit on so young a key starts at once where the ledger has nothing of it yet.
    await until(async () => {
      const records = await sql`SELECT 1 FROM usage_records WHERE key_id = ${keyId}`
      return records.length === 6 ? true : undefined
    }, 30_000)
    // 100 tokens each.
    const tokens = await limit(apps[0], { scope: { project_id }, kind: "tokens", window: "month", cap: 1_000 })
    const requests = await limit(apps[0], { scope: { key_id: keyId }, kind: "requests", window: "day", cap: 8 })
    // A limit is in force in the other proxy within a second.
    await pause(1_500)
    const statuses = []
    for (let at = 0; at < 4; at++) statuses.push((await call(app(apps, at), key)).status)
    expect(statuses).toEqual([200, 200, 429, 429])
    expect(await inLedger(sql, keyId, 8, tokens)).toBe("800")
    expect(await inLedger(sql, keyId, 8, requests)).toBe("8")
    await until(async () => ((await standing(apps[1], tokens)).settled === "800" ? true : undefined), 30_000)
    expect(await standing(apps[1], tokens)).toMatchObject({ settled: "800", held: "0", seeded: "exact" })
    expect(await standing(apps[1], requests)).toMatchObject({ settled: "8", seeded: "as_recorded" })
  })

  test("counts calls that run when it is made once, whoever of the proxies ends them, and all that follow", async () => {
    const { apps, sql } = here()
    const project_id = await project(apps[0])
    const { id: keyId, key } = await apps[0].createKey({ project_id })
    expect((await call(apps[0], key)).status).toBe(200)
    let isOver = false
    let calls = 1
    const callers = Array.from({ length: 6 }, async (_, at) => {
      for (let turn = 0; !isOver; turn++) {
        // Some end at once, some run for a second and longer.
        const isLong = (at + turn) % 3 === 0
        const answer = await call(app(apps, at), key, isLong ? { stream: true, model: "mock-p60-o40-c20-d50" } : {})
        expect(answer.status).toBe(200)
        calls++
      }
    })
    await new Promise((resolve) => setTimeout(resolve, 300))
    const tokens = await limit(apps[0], { scope: { project_id }, kind: "tokens", window: "month", cap: 100_000_000 })
    const money = await limit(apps[1], { scope: { project_id, each: "key" }, kind: "usd", window: "day", cap: "1000" })
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    isOver = true
    await Promise.all(callers)
    await inLedger(sql, keyId, calls, tokens)
    const [truth] = await sql<{ tokens: string; nanos: string }[]>`
      SELECT sum(input_uncached_tokens + output_tokens)::text AS tokens, sum(ceil(cost_usd * 1000000000))::text AS nanos
      FROM usage_records WHERE key_id = ${keyId}`
    expect(await inLedger(sql, keyId, calls, tokens)).toBe(truth?.tokens)
    expect(await inLedger(sql, keyId, calls, money)).toBe(truth?.nanos)
    await until(async () => ((await standing(apps[0], tokens)).held === "0" ? true : undefined), 30_000)
    expect((await standing(apps[0], tokens)).settled).toBe(truth?.tokens)
    expect((await standing(apps[1], tokens)).settled).toBe(truth?.tokens)
  })

  test("counts apart, and by tool, model and endpoint, what the records say", async () => {
    const { apps } = here()
    const project_id = await project(apps[0])
    const { key } = await apps[0].createKey({ project_id })
    for (const said of [{ user: "Ada L." }, { user: "Bob", tool: "crawler" }, { tool: "crawler" }, {}]) {
      expect((await call(apps[0], key, said)).status).toBe(200)
    }
    const of = { kind: "requests", window: "lifetime" }
    await limit(apps[0], { ...of, scope: { project_id, each: "end_customer" }, cap: 2 })
    await limit(apps[0], { ...of, scope: { project_id, tool: "crawler" }, cap: 3 })
    await limit(apps[0], { ...of, scope: { project_id, model: "mock-p60*" }, cap: 7 })
    await limit(apps[0], { ...of, scope: { project_id, endpoint: "responses" }, cap: 0 })
    const statuses = []
    for (const said of [
      {},
      { user: "Ada L." },
      { user: "Ada L." },
      { user: "Cy", tool: "crawler" },
      { tool: "crawler", user: "Di" },
      { user: "Ed" },
      { user: "Flo" },
    ]) {
      statuses.push((await call(apps[1], key, said)).status)
    }
    // Nobody has two already, Ada had one, two were the crawler's; seven calls went to the model with Ed's.
    expect(statuses).toEqual([429, 200, 429, 200, 429, 200, 429])
  })

  test("for a subject that used nothing does not keep anybody waiting", async () => {
    const { apps, sql } = here()
    const { id: keyId, key } = await apps[0].createKey()
    const id = await limit(apps[0], { scope: { key_id: keyId }, kind: "requests", window: "day", cap: 1 })
    const [row] = await sql<{ nothing: boolean }[]>`SELECT seeded_version < 0 AS nothing FROM limits WHERE id = ${id}`
    expect(row?.nothing).toBe(true)
    expect((await call(apps[0], key)).status).toBe(200)
    expect((await call(apps[1], key)).status).toBe(429)
  })
})

test("a budget in another time zone goes on with what its new window has used", async () => {
  const { apps } = installations.redis
  const project_id = await project(apps[0])
  const { key } = await apps[0].createKey({ project_id })
  const put = (change: object) => apps[0].admin("PATCH", `/admin/v1/projects/${project_id}/budget`, change)
  await put({ window: "month", tokens: 400, time_zone: "UTC" })
  expect((await call(apps[0], key)).status).toBe(200)
  await put({ window: "month", tokens: 400, time_zone: "Asia/Kathmandu" })
  // 100 are used, 100 each; the call holds 200 and its bytes at the most.
  expect((await call(apps[1], key)).status).toBe(200)
  expect((await call(apps[0], key)).status).toBe(429)
})

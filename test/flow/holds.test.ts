/** What running calls hold, and where limits stand at the moment, seen through any proxy of an installation. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { pricedConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

type Charge = { limit_id: string; kind: string; window: string; amount: string; subject: string }
type Hold = { id: string; key_id: string; owner: string; age_seconds: number; lease_until: string; charges: Charge[] }
type Holds = { status: number; data: Hold[]; total: number }
type Standing = {
  id: string
  cap: string
  settled: string | null
  held: string | null
  remaining: string | null
  resets_at: string | null
  stated_bound: { at_most: string | null; reasons: string[] }
}

let upstream: FakeUpstream
let redis: RealRedis
let serving: TestApp
let other: TestApp
let alone: TestApp

beforeAll(async () => {
  upstream = await startFakeUpstream()
  redis = await startRealRedis()
  serving = await startTestApp(pricedConfig(upstream.baseUrl), { redisUrl: redis.url })
  other = await startTestApp(pricedConfig(upstream.baseUrl), {
    redisUrl: redis.url,
    databaseUrl: serving.databaseUrl,
  })
  alone = await startTestApp(pricedConfig(upstream.baseUrl))
})
afterAll(async () => {
  for (const app of [other, serving, alone]) await app?.close()
  await redis?.stop()
  await upstream?.stop()
})

async function holds(app: TestApp, query = ""): Promise<Holds> {
  const { status, body } = await app.admin("GET", `/admin/v1/holds?${query}`)
  return { status, ...(body as unknown as { data: Hold[]; total: number }) }
}

/** A call that streams until it is cut. */
async function running(app: TestApp, key: string): Promise<() => Promise<void>> {
  const cut = new AbortController()
  const response = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "mock-p10-c2000-d50", stream: true, max_tokens: 500, messages: [] }),
    signal: cut.signal,
  })
  expect(response.status).toBe(200)
  return async () => cut.abort()
}

async function ownLimits(app: TestApp, key: string): Promise<Standing[]> {
  const answer = await fetch(`${app.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } })
  return ((await answer.json()) as { limits: Standing[] }).limits
}

const limits = [
  { kind: "tokens", window: "month", cap: 10_000 },
  { kind: "requests", window: "hour", cap: 50, on_store_failure: "deny" },
  { kind: "concurrency", window: "none", cap: 5 },
]

describe.each([
  ["counted in Redis, asked of a proxy that serves no call", () => [serving, other] as const],
  ["counted in process", () => [alone, alone] as const],
])("holds %s", (_, apps) => {
  test("are listed with key, owner, age, lease and charges, found by key and limit, and gone with their call", async () => {
    const [app, asked] = apps()
    const key = await app.createKey({ limits })
    const ids = (await ownLimits(asked, key.key)).map(({ id }) => id)
    const end = await running(app, key.key)
    const { data, total } = await until(async () => {
      const found = await holds(asked, `key_id=${key.id}`)
      return found.total === 1 ? found : undefined
    }, 30_000)
    expect(total).toBe(1)
    expect(data[0]).toMatchObject({
      key_id: key.id,
      owner: expect.stringMatching(/\S/),
      age_seconds: expect.any(Number),
    })
    expect(Date.parse(data[0]?.lease_until ?? "")).toBeGreaterThan(Date.now())
    expect(data[0]?.charges.map(({ limit_id, kind }) => [limit_id, kind])).toEqual([
      [ids[0], "tokens"],
      [ids[1], "requests"],
      [ids[2], "concurrency"],
    ])
    const byLimit = await holds(asked, `limit_id=${ids[0]}`)
    expect(byLimit.data.map(({ id }) => id)).toEqual([data[0]?.id])
    expect((await holds(asked, "limit_id=lim_none")).total).toBe(0)
    expect((await holds(asked, "organization_id=org_none")).status).toBe(404)
    await end()
    await until(async () => ((await holds(asked, `key_id=${key.id}`)).total === 0 ? true : undefined), 30_000)
  })

  test("are what limits show as held, beside what is settled and remains", async () => {
    const [app, asked] = apps()
    const key = await app.createKey({ limits })
    const end = await running(app, key.key)
    const held = (await holds(asked, `key_id=${key.id}`)).data[0]?.charges[0]?.amount ?? "0"
    expect(Number(held)).toBeGreaterThan(500)
    const [tokens, rate, slots] = await ownLimits(asked, key.key)
    expect(tokens).toMatchObject({ cap: "10000", settled: "0", held, remaining: String(10_000 - Number(held)) })
    expect(tokens?.resets_at).not.toBeNull()
    expect(rate).toMatchObject({ settled: "1", held: "0", remaining: "49" })
    expect(Date.parse(rate?.resets_at ?? "") - Date.now()).toBeLessThanOrEqual(72_000)
    expect(slots).toMatchObject({ held: "1", remaining: "4", resets_at: null })
    const shown = (await asked.admin("GET", `/admin/v1/limits/${tokens?.id}`)).body as unknown as Standing
    expect(shown).toMatchObject({ held, settled: "0", stated_bound: tokens?.stated_bound })
    const listed = (await asked.admin("GET", `/admin/v1/limits?key_id=${key.id}`)).body.data as unknown as Standing[]
    expect(listed.find(({ id }) => id === tokens?.id)).toMatchObject({ held })
    await end()
    await until(async () => ((await ownLimits(asked, key.key))[0]?.held === "0" ? true : undefined), 30_000)
    expect(Number((await ownLimits(asked, key.key))[0]?.settled)).toBeGreaterThan(0)
  })
})

test("the stated bound is 0 in process, and says in Redis what `local` and `allow` may add", async () => {
  const wanted = ["deny", "local", "allow"].map((policy) => {
    return { kind: "tokens", window: "month", cap: 700, on_store_failure: policy }
  })
  const bounds = async (app: TestApp) => {
    const { key } = await app.createKey({ limits: wanted })
    return (await ownLimits(app, key)).map(({ stated_bound: bound }) => bound)
  }
  expect(await bounds(alone)).toEqual(Array(3).fill({ at_most: "0", reasons: [] }))
  expect(await bounds(serving)).toEqual([
    { at_most: "0", reasons: [] },
    { at_most: "700", reasons: ["store_failure"] },
    { at_most: null, reasons: ["store_failure"] },
  ])
})

test("while Redis is away holds cannot be listed, which the answer says, and limits are shown by the ledger", async () => {
  const key = await serving.createKey({ limits })
  process.kill(redis.pid, "SIGSTOP")
  try {
    const refused = await serving.admin("GET", "/admin/v1/holds")
    expect([refused.status, refused.body.error.code]).toEqual([503, "quota_store_unavailable"])
    expect((await ownLimits(serving, key.key))[0]).toMatchObject({ settled: "0", held: null, remaining: "10000" })
  } finally {
    process.kill(redis.pid, "SIGCONT")
  }
  await until(async () => ((await ownLimits(serving, key.key))[0]?.held === "0" ? true : undefined), 30_000)
})

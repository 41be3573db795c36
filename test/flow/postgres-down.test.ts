import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { openCuttableLink } from "../ledger/cuttable-link.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { callsInLedger, settledInLedger, settledInRedis } from "../support/limit-sums.ts"
import { figure } from "../support/metrics-page.ts"
import { type RealPostgres, startRealPostgres } from "../support/real-postgres.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { type SteadyLoad, startLoad } from "../support/steady-load.ts"
import { run } from "../support/tallygate-process.ts"
import { linesLogged, pricedConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

/** Each call uses so much. */
const TOKENS = 100
/** By the price of `mock`: 60 tokens in, 40 out. */
const CALL_NANOS = 33_000n
const CALL_MS_MAX = 2_000
const LINES_MAX = 12
const MODEL = "mock-p60-o40-d5"

let upstream: FakeUpstream
let postgres: RealPostgres
let redis: RealRedis
let client: RedisClient

beforeAll(async () => {
  upstream = await startFakeUpstream()
  ;[postgres, redis] = await Promise.all([startRealPostgres(), startRealRedis()])
  client = openRedis(redis.url, { connectionName: "test" })
  await client.connect()
})
afterAll(async () => {
  client?.disconnect()
  await redis?.stop()
  await postgres?.stop()
  await upstream?.stop()
})

type Key = { readonly id: string; readonly key: string }

function createKey(app: TestApp): Promise<Key> {
  const limits = [
    { kind: "tokens", window: "month", cap: 100_000_000 },
    { kind: "usd", window: "month", cap: "100000" },
  ]
  return app.createKey({ limits })
}

function untilCalls(load: SteadyLoad, count: number, afterMs: number): Promise<true> {
  return until(async () => {
    return load.outcomes.filter(({ beganMs }) => beganMs >= afterMs).length >= count ? true : undefined
  }, 20_000)
}

/** Every account agrees with what the callers got, and that with the provider's. */
async function expectAccountsToAgree(app: TestApp, { id }: Key, calls: number, isInRedis: boolean): Promise<void> {
  const sums = { calls, tokens: BigInt(calls * TOKENS) }
  const charged = { tokens: sums.tokens, usdNanos: BigInt(calls) * CALL_NANOS }
  const read = async () => ({
    ...(await callsInLedger(app.databaseUrl, id)),
    ledger: await settledInLedger(app.databaseUrl, id),
    ...(isInRedis ? { counters: await settledInRedis(client, id) } : {}),
  })
  const due = {
    records: sums,
    rollups: sums,
    ledger: charged,
    ...(isInRedis ? { counters: { ...charged, held: 0n } } : {}),
  }
  await expect.poll(read, { timeout: 15_000, interval: 100 }).toEqual(due)
  const { promptTokens, completionTokens } = upstream.served()
  expect(promptTokens + completionTokens).toBe(calls * TOKENS)
}

describe.each([
  ["in Redis", true],
  ["in process", false],
])("limits counted %s", (_, isInRedis) => {
  let app: TestApp

  beforeAll(async () => {
    const databaseUrl = await postgres.createDatabase(isInRedis ? "with_redis" : "without_redis")
    const stores = { databaseUrl, ...(isInRedis ? { redisUrl: redis.url } : {}) }
    app = await startTestApp(pricedConfig(upstream.baseUrl), stores)
  })
  afterAll(() => app?.close())

  test.each<[what: string, breakIt: () => Promise<void> | void, mendIt: () => Promise<void> | void]>([
    ["hangs", () => postgres.pause(), () => postgres.resume()],
    ["is killed", () => postgres.kill(), () => postgres.restart()],
  ])(
    "while Postgres %s no call fails or waits, and every record arrives afterwards, once",
    async (_what, breakIt, mendIt) => {
      upstream.reset()
      const key = await createKey(app)
      const linesBefore = app.logged.length
      const load = startLoad({ urls: [app.url], keys: [key], callers: 4, model: MODEL })
      await untilCalls(load, 20, 0)

      const brokenMs = performance.now()
      await breakIt()
      await until(async () => linesLogged(app, linesBefore).find((line) => line.startsWith("directory unreachable")))
      await untilCalls(load, 200, performance.now())
      expect(await figure(app.url, "tallygate_journal_backlog_rows")).toBeGreaterThanOrEqual(200)
      const ready = await fetch(`${app.url}/readyz`)
      expect([ready.status, await ready.json()]).toMatchObject([200, { status: "ready", journal: "writable" }])
      await mendIt()
      const mendedMs = performance.now()
      await untilCalls(load, 20, mendedMs)
      await load.stop()
      expect(load.outcomes.filter(({ status }) => status !== 200)).toEqual([])
      await expectAccountsToAgree(app, key, load.outcomes.length, isInRedis)
      await until(async () => linesLogged(app, linesBefore).find((line) => line === "directory reachable again"))

      const during = load.outcomes.filter(({ beganMs }) => beganMs >= brokenMs && beganMs <= mendedMs)
      expect(during.filter(({ tookMs }) => tookMs >= CALL_MS_MAX)).toEqual([])
      const lines = linesLogged(app, linesBefore)
      expect(lines.length, lines.join("\n")).toBeLessThanOrEqual(LINES_MAX)
    },
    60_000,
  )
})

test("connections cut in the middle of batches, and answers lost after the commit, add nothing twice", async () => {
  upstream.reset()
  const link = await openCuttableLink(await postgres.createDatabase("cut"))
  const app = await startTestApp(pricedConfig(upstream.baseUrl), { databaseUrl: link.url, redisUrl: redis.url })
  try {
    const key = await createKey(app)
    const load = startLoad({ urls: [app.url], keys: [key], callers: 4, model: MODEL })
    for (let round = 0; round < 5; round++) {
      // Only the shipper's batches say which key a call had.
      await link.loseAnswerTo(key.id)
      await untilCalls(load, 20, performance.now())
      link.cut()
      await untilCalls(load, 10, performance.now())
      link.mend()
    }
    await load.stop()
    expect(load.outcomes.filter(({ status }) => status !== 200)).toEqual([])
    await expectAccountsToAgree(app, key, load.outcomes.length, true)
  } finally {
    await app.close()
    await link.close()
  }
}, 60_000)

test("a stop while Postgres hangs comes to its end, and the next start brings every record, once", async () => {
  upstream.reset()
  const config = pricedConfig(upstream.baseUrl)
  const stores = { databaseUrl: await postgres.createDatabase("stopped"), redisUrl: redis.url }
  const app = await startTestApp(config, stores)
  const key = await createKey(app)
  const load = startLoad({ urls: [app.url], keys: [key], callers: 4, model: MODEL })
  await untilCalls(load, 20, 0)
  postgres.pause()
  try {
    await untilCalls(load, 50, performance.now())
    await load.stop()
    await app.app.close()
  } finally {
    postgres.resume()
  }
  expect(app.logged.join("")).toContain("records are kept for the next start")
  const next = await startTestApp(config, { ...stores, dataDir: app.dataDir })
  await expectAccountsToAgree(next, key, load.outcomes.length, true)
  await next.close()
  await app.close()
}, 60_000)

test("a start while Postgres hangs says so and ends with 1", async () => {
  const DATABASE_URL = `${await postgres.createDatabase("asleep")}?connect_timeout=2`
  const TALLYGATE_DATA = await mkdtemp(path.join(tmpdir(), "tallygate-asleep-"))
  postgres.pause()
  try {
    const command = [process.execPath, "src/main.ts", "serve"]
    const { code, output } = await run(command, { env: { DATABASE_URL, TALLYGATE_DATA, PORT: "0" } })
    expect([code, output]).toEqual([1, expect.stringContaining("Postgres does not answer. Check DATABASE_URL")])
  } finally {
    postgres.resume()
    await rm(TALLYGATE_DATA, { recursive: true })
  }
}, 60_000)

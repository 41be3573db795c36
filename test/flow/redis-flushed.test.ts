import { afterAll, beforeAll, expect, test } from "vitest"
import { openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { settledInLedger, settledInRedis } from "../support/limit-sums.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { pricedConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

let upstream: FakeUpstream
let redis: RealRedis
let client: RedisClient
let proxies: TestApp[]

beforeAll(async () => {
  upstream = await startFakeUpstream()
  redis = await startRealRedis()
  client = openRedis(redis.url, { connectionName: "test" })
  await client.connect()
  const first = await startTestApp(pricedConfig(upstream.baseUrl), { redisUrl: redis.url })
  const { databaseUrl } = first
  const second = await startTestApp(pricedConfig(upstream.baseUrl), { redisUrl: redis.url, databaseUrl })
  proxies = [first, second]
})
afterAll(async () => {
  for (const proxy of proxies ?? []) await proxy.close()
  client?.disconnect()
  await redis?.stop()
  await upstream?.stop()
})

async function call(proxy: TestApp | undefined, key: string, model: string) {
  const response = await fetch(`${proxy?.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, max_tokens: 200, messages: [{ role: "user", content: "hi" }] }),
  })
  await response.text()
  return response.status
}

test("FLUSHALL in the middle of traffic: counters come back from ledger and journals, whole and once, and the cap holds", async () => {
  const [first] = proxies
  const { key, id } = (await first?.createKey({
    limits: [
      // Denied while Redis does not answer in time: a local share may pass the cap by its stated bound.
      { kind: "tokens", window: "month", cap: 60_000, on_store_failure: "deny" },
      { kind: "usd", window: "month", cap: "1000", on_store_failure: "deny" },
      { kind: "concurrency", window: "none", cap: 1_000, on_store_failure: "deny" },
    ],
  })) ?? { key: "", id: "" }
  // The very first call finds no counters either, and waits the moment that filling them takes.
  expect(await call(first, key, "mock-p10-o10")).toBe(200)
  const statuses: number[] = []
  let isOver = false
  const callers = Array.from({ length: 8 }, async (_, index) => {
    while (!isOver) statuses.push(await call(proxies[index % 2], key, "mock-p60-o40-d5"))
  })
  for (let flush = 0; flush < 3; flush++) {
    await new Promise((resolve) => setTimeout(resolve, 700))
    await client.flushall()
  }
  await until(async () => (statuses.filter((status) => status === 429).length > 50 ? true : undefined), 40_000)
  isOver = true
  await Promise.all(callers)
  expect(statuses.filter((status) => ![200, 429, 503].includes(status))).toEqual([])

  const used = upstream.served().promptTokens + upstream.served().completionTokens
  const ledger = await until(async () => {
    const sums = await settledInLedger(first?.databaseUrl ?? "", id)
    return sums.tokens === BigInt(used) ? sums : undefined
  })
  const counted = await until(async () => {
    const sums = await settledInRedis(client, id)
    return sums.held === 0n && sums.tokens === ledger.tokens ? sums : undefined
  })
  expect(counted).toMatchObject({ tokens: ledger.tokens, usdNanos: ledger.usdNanos, held: 0n })
  expect(ledger.tokens).toBeLessThanOrEqual(60_000n)
  // What is left is less than what one call holds.
  expect(ledger.tokens).toBeGreaterThan(60_000n - 1_000n)
}, 90_000)

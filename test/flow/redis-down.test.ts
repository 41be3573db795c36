import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type BreakableRedis, startBreakableRedis } from "../support/breakable-redis.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { callsInLedger, settledInLedger, settledInRedis } from "../support/limit-sums.ts"
import { figure } from "../support/metrics-page.ts"
import { type CallOutcome, type SteadyLoad, startLoad } from "../support/steady-load.ts"
import { linesLogged, pricedConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

/** Each call uses so much, and holds at most so much: its body and `max_tokens`. */
const TOKENS = 100
const HELD_TOKENS_MAX = 350
/** By the price of `mock`: 60 tokens in, 40 out. */
const CALL_NANOS = 33_000n
/** Small enough to be used up within an outage. */
const LOCAL_CAP = 20_000
/** For each key and proxy. */
const CALLERS = 2
const UNDER_WAY_MAX = 2 * CALLERS
const LINES_MAX = 10
const CALL_MS_MAX = 2_000
/** What opens the breaker; what is under way then, on three keys, of each caller the act of a call and of the one before; a renewal and a sweep. */
const FAILURES_MAX = 5 + 3 * CALLERS * 2 + 2
const STORE_UP = 'tallygate_store_up{store="limits"}'
const FAILURES = "tallygate_limit_store_failures_total"
/** What becomes of a key's limits while the store is away; `free` has none. */
const POLICIES = ["deny", "local", "allow", "free"] as const
type Policy = (typeof POLICIES)[number]
type Keys = Readonly<Record<Policy, { readonly id: string; readonly key: string }>>

let upstream: FakeUpstream
let redis: BreakableRedis
let proxies: readonly [TestApp, TestApp]

beforeAll(async () => {
  upstream = await startFakeUpstream()
  redis = await startBreakableRedis()
  const config = pricedConfig(upstream.baseUrl, "admission: { proxies_max: 2 }")
  const first = await startTestApp(config, { redisUrl: redis.url })
  proxies = [first, await startTestApp(config, { redisUrl: redis.url, databaseUrl: first.databaseUrl })]
})
afterAll(async () => {
  for (const proxy of proxies ?? []) await proxy.close()
  await redis?.stop()
  await upstream?.stop()
})

async function createKey(policy: Policy) {
  if (policy === "free") return proxies[0].createKey()
  const budget = { window: "month", on_store_failure: policy }
  return proxies[0].createKey({
    limits: [
      { ...budget, kind: "tokens", cap: policy === "local" ? LOCAL_CAP : 100_000_000 },
      { ...budget, kind: "usd", cap: "100000" },
      { ...budget, kind: "concurrency", cap: 1_000, window: "none" },
    ],
  })
}

async function createKeys(): Promise<Keys> {
  const [deny, local, allow, free] = [
    await createKey("deny"),
    await createKey("local"),
    await createKey("allow"),
    await createKey("free"),
  ]
  return { deny, local, allow, free }
}

function figures(series: string): Promise<number[]> {
  return Promise.all(proxies.map(({ url }) => figure(url, series)))
}

/** The moment at which both proxies know it. */
async function untilStore(isUp: 0 | 1): Promise<number> {
  await until(async () => ((await figures(STORE_UP)).every((up) => up === isUp) ? true : undefined), 15_000)
  return performance.now()
}

function readiness(): Promise<unknown[]> {
  return Promise.all(
    proxies.map(async ({ url }) => {
      const response = await fetch(`${url}/readyz`)
      return [response.status, await response.json()]
    }),
  )
}

/** Waits until so many calls of a key that began after a moment have ended like this. */
function untilEnded(
  load: SteadyLoad,
  { id }: { id: string },
  what: { count: number; afterMs: number; like: (call: CallOutcome) => boolean },
): Promise<CallOutcome[]> {
  return until(async () => {
    const { count, afterMs, like } = what
    const found = load.outcomes.filter((call) => call.keyId === id && call.beganMs >= afterMs && like(call))
    return found.length >= count ? found : undefined
  }, 20_000)
}

const isAnswered = ({ status }: CallOutcome) => status === 200
const isRefusedAway = ({ code }: CallOutcome) => code === "quota_store_unavailable"
const isOverCap = ({ code }: CallOutcome) => code === "insufficient_quota"

/** Every account of every key agrees with what its callers got, and all of them with the provider's. */
async function expectAccountsToAgree(keys: Keys, load: SteadyLoad): Promise<void> {
  const { databaseUrl } = proxies[0]
  for (const policy of POLICIES) {
    const { id } = keys[policy]
    const calls = load.outcomes.filter((call) => call.keyId === id && isAnswered(call)).length
    const sums = { calls, tokens: BigInt(calls * TOKENS) }
    const charged =
      policy === "free" ? { tokens: 0n, usdNanos: 0n } : { tokens: sums.tokens, usdNanos: BigInt(calls) * CALL_NANOS }
    const read = async () => ({
      ...(await callsInLedger(databaseUrl, id)),
      ledger: await settledInLedger(databaseUrl, id),
      counters: await redis.ask((client) => settledInRedis(client, id)),
    })
    const due = { records: sums, rollups: sums, ledger: charged, counters: { ...charged, held: 0n } }
    await expect.poll(read, { timeout: 10_000, interval: 100, message: policy }).toEqual(due)
  }
  const answered = load.outcomes.filter(isAnswered).length
  const { promptTokens, completionTokens } = upstream.served()
  expect(promptTokens + completionTokens).toBe(answered * TOKENS)
}

describe.each<[what: string, breakIt: () => Promise<void> | void, mendIt: () => Promise<void> | void]>([
  ["is killed, and comes back with its append-only file", () => redis.kill(), () => redis.start()],
  ["is killed, and comes back empty", () => redis.kill(), () => redis.startEmpty()],
  ["hangs", () => redis.pause(), () => redis.resume()],
  ["becomes a read-only replica", () => redis.makeReadOnly(), () => redis.makeWritable()],
  ["runs out of memory", () => redis.fillMemory(), () => redis.freeMemory()],
  ["loads its data", () => redis.load(), () => redis.finishLoading()],
])("Redis %s", (_, breakIt, mendIt) => {
  test("only the first calls wait, each limit does as its policy says, few lines tell of it, and all accounts agree afterwards", async () => {
    upstream.reset()
    const keys = await createKeys()
    const linesBefore = proxies.map(({ logged }) => logged.length)
    const load = startLoad({
      urls: proxies.map(({ url }) => url),
      keys: Object.values(keys),
      callers: CALLERS,
      model: "mock-p60-o40-d5",
    })
    const all = (policy: Policy, afterMs: number, like: typeof isAnswered, count = 10) =>
      untilEnded(load, keys[policy], { count, afterMs, like })
    for (const policy of POLICIES) await all(policy, 0, isAnswered)
    expect(await figures(STORE_UP)).toEqual([1, 1])
    const failuresBefore = await figures(FAILURES)

    const brokenMs = performance.now()
    await breakIt()
    const awayMs = await untilStore(0)
    const failures = await figures(FAILURES)
    const refusedByPolicy = await all("deny", awayMs, isRefusedAway)
    const refusedByShare = await all("local", awayMs, isRefusedAway)
    for (const policy of ["allow", "free"] as const) await all(policy, awayMs, isAnswered)
    const ready = { status: "ready", journal: "writable" }
    expect(await readiness()).toMatchObject(Array(2).fill([200, { ...ready, limits: "away" }]))
    expect(await figures(FAILURES)).toEqual(failures)
    const mendedMs = performance.now()

    await mendIt()
    const backMs = await untilStore(1)
    expect(await readiness()).toMatchObject(Array(2).fill([200, { ...ready, limits: "redis" }]))
    for (const policy of ["deny", "allow", "free"] as const) await all(policy, backMs, isAnswered)
    await all("local", backMs, isOverCap, 1)
    await load.stop()
    await expectAccountsToAgree(keys, load)

    for (const [at, count] of failures.entries()) {
      expect(count - (failuresBefore[at] ?? 0)).toBeLessThanOrEqual(FAILURES_MAX)
    }
    const during = load.outcomes.filter(({ beganMs }) => beganMs >= brokenMs && beganMs <= mendedMs)
    expect(during.filter(({ tookMs }) => tookMs >= CALL_MS_MAX)).toEqual([])
    for (const { status, retryAfter, message } of refusedByPolicy) {
      expect({ status, retryAfter }).toEqual({ status: 503, retryAfter: expect.stringMatching(/^[1-9]\d*$/) })
      expect(message).toMatch(new RegExp(`of key ${keys.deny.id} \\(limit lim_\\w+\\) lets no call pass`))
    }
    for (const { message } of refusedByShare) expect(message).toContain("this proxy's share of the monthly token limit")
    const calls = (policy: Policy) => load.outcomes.filter(({ keyId }) => keyId === keys[policy].id)
    const isDenied = (call: CallOutcome) => isAnswered(call) || isRefusedAway(call)
    expect(calls("deny").filter((call) => !isDenied(call))).toEqual([])
    expect(calls("local").filter((call) => !isDenied(call) && !isOverCap(call))).toEqual([])
    for (const policy of ["allow", "free"] as const)
      expect(calls(policy).filter((call) => !isAnswered(call))).toEqual([])
    const spent = calls("local").filter(isAnswered).length * TOKENS
    // A proxy that is back first may take what the other one has spent and not told yet: that one's share, half of what was left.
    expect(spent).toBeLessThanOrEqual(LOCAL_CAP + LOCAL_CAP / 2 + 2 * UNDER_WAY_MAX * TOKENS)
    expect(spent).toBeGreaterThan(LOCAL_CAP - UNDER_WAY_MAX * HELD_TOKENS_MAX)
    proxies.forEach((proxy, at) => {
      const lines = linesLogged(proxy, linesBefore[at] ?? 0)
      expect(lines).toContain("limit store is back")
      expect(lines.length, lines.join("\n")).toBeLessThanOrEqual(LINES_MAX)
    })
  }, 60_000)
})

test("a Redis that answers but takes nothing is not taken for one that is back, however long calls run", async () => {
  const key = await createKey("local")
  const linesBefore = proxies.map(({ logged }) => logged.length)
  const urls = proxies.map(({ url }) => url)
  const before = startLoad({ urls, keys: [key], callers: 1, model: "mock-p60-o40-d5" })
  await untilEnded(before, key, { count: 4, afterMs: 0, like: isAnswered })
  await before.stop()
  await redis.makeReadOnly()
  // Calls begin all the time and none ends, so that nothing is to be told to Redis.
  const calls = Array.from({ length: 15 }, async (_, at) => {
    await new Promise((resolve) => setTimeout(resolve, 100 * at))
    const call = startLoad({ urls, keys: [key], callers: 1, model: "mock-p60-o40-d2000" })
    await call.stop()
    return call.outcomes
  })
  const outcomes = (await Promise.all(calls)).flat()
  expect(outcomes.filter((call) => !isAnswered(call))).toEqual([])
  await redis.makeWritable()
  await untilStore(1)
  proxies.forEach((proxy, at) => {
    const lines = ["limit store is away: calls are decided without it, limit by limit", "limit store is back"]
    const ofTheStore = linesLogged(proxy, linesBefore[at] ?? 0).filter((line) => line.startsWith("limit store"))
    expect(ofTheStore).toEqual(lines)
  })
}, 60_000)

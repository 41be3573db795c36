import { setTimeout as wait } from "node:timers/promises"
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest"
import { CallStorm, callOnce } from "../support/call-storm.ts"
import { expectEachCallOnce, expectOneAccount } from "../support/key-audit.ts"
import { openFleet, type ProxyFleet } from "../support/proxy-fleet.ts"
import { until } from "../support/test-app.ts"

const LEASE_MS = 2_000

let fleet: ProxyFleet
let key: { id: string; key: string }

beforeAll(async () => {
  fleet = await openFleet(3, { prices: { input: "3", output: "15" }, leaseMs: LEASE_MS })
  await fleet.start(0)
  await fleet.start(1)
}, 120_000)
afterAll(() => fleet?.close())
beforeEach(async () => {
  fleet.upstream.reset()
  key = await fleet.createKey(0, [
    { kind: "usd", window: "month", cap: "1000000" },
    { kind: "tokens", window: "month", cap: 1_000_000_000 },
  ])
})

function storm(callers: number): CallStorm {
  const running = new CallStorm({ callers, keys: [key.key], urlOf: (caller) => fleet.url(caller % 2) })
  onTestFinished(async () => void (await running.stop()))
  return running
}

/** As if the counters had been filled long ago: only then may adopted calls be charged one by one. */
async function ageCounters(): Promise<void> {
  for (const state of await fleet.redis.keys("tg:{*}:e")) {
    await until(async () => ((await fleet.redis.hget(state, "state")) === "open" ? true : undefined))
    const loadedMs = Number(await fleet.redis.hget(state, "loaded_ms"))
    await fleet.redis.hset(state, "loaded_ms", String(loadedMs - 3_600_000))
  }
}

test("two proxies of one data directory are killed by turns, again and again: each call is recorded once and charged once", async () => {
  const running = storm(16)
  for (let round = 0; round < 8; round++) {
    await wait(200 + Math.random() * 600)
    if (round % 2 === 1) await ageCounters()
    await fleet.kill(round % 2)
    await fleet.start(round % 2)
  }
  const ends = await running.stop()
  // A call that meets counters which are being filled may be asked to come again.
  expect(ends.filter((end) => end.kind === "refused" && end.status !== 503)).toEqual([])
  await expectOneAccount(fleet, key.id)
  const { exact, interrupted } = await expectEachCallOnce(fleet, [key.id], ends, fleet.url(0), fleet.url(1))
  expect(interrupted).toBeGreaterThan(0)
  expect(exact).toBeGreaterThan(interrupted)
}, 120_000)

test("a proxy that is killed while it adopts leaves all of it to the next one", async () => {
  const running = storm(16)
  await wait(1_000)
  await Promise.all([fleet.kill(0), fleet.kill(1)])
  // Somewhere between its first step and its first calls.
  for (let attempt = 0; attempt < 4; attempt++) await fleet.startInVain(0, 500 + Math.random() * 1_500)
  await Promise.all([fleet.start(0), fleet.start(1)])
  const ends = await running.stop()
  await expectOneAccount(fleet, key.id)
  await expectEachCallOnce(fleet, [key.id], ends, fleet.url(0), fleet.url(1))
}, 60_000)

test("two proxies that start at the same moment adopt what two others left, each call once", async () => {
  const running = storm(16)
  await wait(1_000)
  await Promise.all([fleet.kill(0), fleet.kill(1)])
  await Promise.all([fleet.start(0), fleet.start(1)])
  await wait(300)
  const ends = await running.stop()
  await expectOneAccount(fleet, key.id)
  await expectEachCallOnce(fleet, [key.id], ends, fleet.url(0), fleet.url(1))
}, 60_000)

test("two proxies are killed by turns while usage is reported, and repeated until it is answered: each record once", async () => {
  const [callers, perBatch] = [4, 10]
  const usage = { provider: "mock", model: "mock-1", input_tokens: 100, output_tokens: 10 }
  const post = (place: number, route: string, body: object) =>
    fetch(`${fleet.url(place)}${route}`, {
      method: "POST",
      headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    })
  // By the process that is killed first; ended by the other.
  const { hold_id } = (await (await post(0, "/v1/usage/hold", usage)).json()) as { hold_id: string }
  let isOver = false
  const answered = new Map<string, string>()
  const told = async (place: number, records: readonly { idempotency_key: string }[]): Promise<boolean> => {
    // A connection that is cut, or a proxy that is not there: sent again.
    const response = await post(place, "/v1/usage", { records }).catch(() => null)
    const text = await response?.text().catch(() => "")
    if (response?.status !== 200 || text === undefined || text === "") return false
    const { data } = JSON.parse(text) as { data: { id: string; error?: object }[] }
    data.forEach(({ id: recordId, error }, index) => {
      expect(error).toBeUndefined()
      const name = records[index]?.idempotency_key ?? ""
      // Whoever answers, and however often: the record of a key is the same one.
      expect(answered.get(name) ?? recordId).toBe(recordId)
      answered.set(name, recordId)
    })
    return true
  }
  const reporter = async (name: number) => {
    for (let batch = 0; !isOver; batch++) {
      const records = Array.from({ length: perBatch }, (_, index) => ({
        ...usage,
        input_tokens: 100 + index,
        idempotency_key: `${name}-${batch}-${index}`,
      }))
      let place = (name + batch) % 2
      while (!(await told(place, records))) {
        await wait(20)
        place = 1 - place
      }
      if (batch % 3 === 0) await Promise.all([told(0, records), told(1, records)])
    }
  }
  const reporters = Array.from({ length: callers }, (_, name) => reporter(name))
  for (let round = 0; round < 2; round++) {
    await wait(500)
    await fleet.kill(round)
    await fleet.start(round)
  }
  isOver = true
  await Promise.all(reporters)
  const last = await post(1, "/v1/usage", { ...usage, hold_id, idempotency_key: "held" })
  const held = (await last.json()) as { id: string }
  expect(held).toMatchObject({ hold: "released" })
  answered.set("held", held.id)
  await expectOneAccount(fleet, key.id, 60_000)
  const rows = await fleet.sql<{ id: string }[]>`SELECT id FROM usage_records WHERE key_id = ${key.id}`
  expect(new Set(rows.map((row) => row.id))).toEqual(new Set(answered.values()))
  expect(rows).toHaveLength(answered.size)
  expect(answered.size).toBeGreaterThan(callers * perBatch)
}, 120_000)

test("a proxy that drains beside its successor loses nothing to it, and ends clean", async () => {
  const draining = fleet.running(0)
  const model = "mock-p50-o40-c40-d60"
  const streams = Array.from({ length: 12 }, () => callOnce(fleet.url(0), key.key, { model, isStream: true }))
  await until(async () => (fleet.upstream.served().streamsStarted === 12 ? true : undefined))
  const others = storm(4)
  draining.process.kill("SIGTERM")
  const successor = await fleet.start(2)
  const ends = await Promise.all(streams)
  expect(ends.map(({ kind }) => kind)).toEqual(ends.map(() => "whole"))
  expect(await draining.exited).toBe(0)
  expect(successor.output()).not.toContain("records of an earlier process shipped")
  const otherEnds = await others.stop()
  await expectOneAccount(fleet, key.id)
  // The one that drains is not there for new calls; no call that it took is cut.
  await expectEachCallOnce(fleet, [key.id], [...ends, ...otherEnds])
}, 60_000)

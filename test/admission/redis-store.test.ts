import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { SettledAmount } from "../../src/admission/limit-store.ts"
import { bucketOf } from "../../src/admission/redis-batch.ts"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { RedisClient } from "../../src/platform/redis.ts"
import { chargeOf, describeLimitStore, limitOf } from "../contract/limit-store.ts"
import { describeLimitStoreModel } from "../contract/limit-store-model.ts"
import { describeSeededLimits } from "../contract/seeded-limits.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { movedScripts, redisClock } from "../support/redis-clock.ts"

const START_MS = Date.UTC(2026, 10, 23, 12)

const scripts = movedScripts()
const budget = limitOf()

let server: ConnectedRedis
let client: RedisClient
beforeAll(async () => {
  server = await startConnectedRedis()
  client = server.client
})
afterAll(async () => {
  await server.stop()
})

/** Fills `org_1` as recovery does with a single proxy. */
async function fill(acts: RedisRecoveryActs, rows: readonly SettledAmount[], badEpoch = ""): Promise<string> {
  const { epoch } = await acts.begin("org_1", badEpoch)
  await acts.load("org_1", epoch, { settled: rows, acks: new Map() }, START_MS)
  await acts.open("org_1", epoch)
  return epoch
}

/** An empty store, open for `org_1`, with a clock of the test. */
async function openStore(startMs: number) {
  await client.flushall()
  const clock = await redisClock(client, startMs)
  const store = new RedisLimitStore({ client, scripts, onRecovering: () => undefined })
  const acts = new RedisRecoveryActs({ client, proxy: "proxy_1", scripts })
  return { store, clock, acts, epoch: await fill(acts, []) }
}

describeLimitStore("the Redis store", async () => {
  const { store, clock, acts, epoch } = await openStore(START_MS)
  return {
    store,
    clock,
    async seed(rows) {
      store.adopt("org_1", await fill(acts, rows, epoch))
    },
  }
})

describeLimitStoreModel("the Redis store", 150, async (startMs) => {
  const { store, clock } = await openStore(startMs)
  return { store, setClock: (nowMs) => clock.set(nowMs) }
})

describeSeededLimits("the Redis store", async () => {
  await client.flushall()
  return client
})

describe("the acts of one tick", () => {
  const scriptCalls = async () =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info("commandstats"))?.[1] ?? 0)

  it("leave as one script call an organization, at most 32 acts in each", async () => {
    const { store } = await openStore(START_MS)
    await store.read([chargeOf(budget, 0n)])
    const before = await scriptCalls()
    const ids = Array.from({ length: 40 }, (_, index) => `call_${index}`)
    const replies = await Promise.all(ids.map((id) => store.reserve(id, "proxy_1", 60_000, [chargeOf(budget, 1n)])))
    expect(replies.every(({ kind }) => kind === "held")).toBe(true)
    expect((await scriptCalls()) - before).toBe(2)
  })

  it("are answered each by itself: one that cannot be carried out does not spoil the others", async () => {
    const { store } = await openStore(START_MS)
    await store.reserve("a", "proxy_1", 60_000, [chargeOf(budget, 10n)])
    const [denied, wrong, negative, nameless, held, released] = await Promise.allSettled([
      store.reserve("b", "proxy_1", 60_000, [chargeOf(budget, 91n)]),
      store.settle("a", [chargeOf(limitOf({ id: "lim_other" }), 1n)]),
      store.reserve("c", "proxy_1", 60_000, [chargeOf(budget, -1n)]),
      store.reserve("no\tname", "proxy_1", 60_000, [chargeOf(budget, 1n)]),
      store.reserve("d", "proxy_1", 60_000, [chargeOf(budget, 90n)]),
      store.release("org_1", "a"),
    ])
    expect(denied).toMatchObject({ value: { kind: "denied" } })
    for (const fault of [wrong, negative, nameless]) expect(fault?.status).toBe("rejected")
    expect(held).toMatchObject({ value: { kind: "held" } })
    expect(released).toMatchObject({ value: true })
    expect(await store.read([chargeOf(budget, 0n)])).toEqual([{ settled: 0n, held: 90n, emptyInMs: null }])
  })

  it("fail alone where Redis fails at what one of them alone touches", async () => {
    const { store } = await openStore(START_MS)
    await client.set("tg:{org_1}:w:2026-11-23", "not a hash")
    const day = chargeOf(limitOf({ id: "lim_day", window: "day" }), 5n, "2026-11-23", START_MS + 3_600_000)
    const [spoilt, held] = await Promise.allSettled([
      store.reserve("a", "proxy_1", 60_000, [day]),
      store.reserve("b", "proxy_1", 60_000, [chargeOf(budget, 90n)]),
    ])
    expect(spoilt).toMatchObject({ status: "rejected", reason: { message: expect.stringContaining("WRONGTYPE") } })
    expect(held).toMatchObject({ value: { kind: "held" } })
  })

  it("all fail when Redis fails, and none of them is sent again", async () => {
    const { store } = await openStore(START_MS)
    await store.reserve("a", "proxy_1", 60_000, [chargeOf(budget, 10n)])
    await client.set("tg:{org_1}:l", "not a hash")
    const acts = [store.settle("a", [chargeOf(budget, 1n)]), store.reserve("b", "p", 1, [chargeOf(budget, 1n)])]
    for (const act of await Promise.allSettled(acts)) expect(act.status).toBe("rejected")
  })
})

describe("what is kept in Redis", () => {
  it("stands under the organization's hash tag, and goes when it says nothing more", async () => {
    await client.flushall()
    const store = new RedisLimitStore({ client, onRecovering: () => undefined })
    await fill(new RedisRecoveryActs({ client, proxy: "proxy_1" }), [])
    const endsAtMs = Date.now() + 3_600_000
    const day = chargeOf(limitOf({ id: "lim_day", window: "day" }), 5n, "2026-11-23", endsAtMs)
    const id = uuidv7Mint()(Date.now())
    await store.reserve(id, "proxy_1", 60_000, [day, chargeOf(budget, 5n)])
    await store.settle(id, [day, chargeOf(budget, 5n)])
    const keys = (await client.keys("*")).sort()
    expect(keys.every((key) => key.startsWith("tg:{org_1}:"))).toBe(true)
    const kept = await client.pttl("tg:{org_1}:w:2026-11-23")
    expect(kept).toBeGreaterThan(3_500_000 + 2 * 86_400_000)
    expect(kept).toBeLessThanOrEqual(3_600_000 + 2 * 86_400_000)
    expect(await client.pttl("tg:{org_1}:w:lifetime")).toBe(-1)
    const bucket = keys.find((key) => key.startsWith("tg:{org_1}:d:")) ?? ""
    expect(bucket).toContain(bucketOf(id))
    expect(await client.ttl(bucket)).toBeGreaterThan(1_790)
    expect(await client.ttl(bucket)).toBeLessThanOrEqual(1_800)
  })

  it("keeps a window that two zones end at different times for the later one", async () => {
    await client.flushall()
    const store = new RedisLimitStore({ client, onRecovering: () => undefined })
    await fill(new RedisRecoveryActs({ client, proxy: "proxy_1" }), [])
    const inMs = (id: string, ms: number) => chargeOf(limitOf({ id, window: "day" }), 5n, "2026-11-23", Date.now() + ms)
    await store.reserve("a", "proxy_1", 60_000, [inMs("first", 7_200_000)])
    await store.reserve("b", "proxy_1", 60_000, [inMs("second", 3_600_000), inMs("third", 10_800_000)])
    expect(await client.pttl("tg:{org_1}:w:2026-11-23")).toBeGreaterThan(10_700_000 + 2 * 86_400_000)
  })

  it("lists a hold with its limits to a process that did not make it", async () => {
    const { store } = await openStore(START_MS)
    const limit = limitOf({
      scope: "project",
      subject: "proj_1",
      kind: "usd",
      window: "month",
      timeZone: "Asia/Kolkata",
    })
    const charge = chargeOf(
      { ...limit, anchorDay: 15, onStoreFailure: "deny" },
      7n,
      "2026-11@15",
      START_MS + 86_400_000,
    )
    await store.reserve("a", "proxy_1", 60_000, [charge])
    const other = new RedisLimitStore({ client, scripts, onRecovering: () => undefined })
    await other.read([charge])
    expect((await other.holds(1))[0]?.charges).toEqual([charge])
  })

  it("takes nothing while Redis is out of memory, not even the settle of what charges nothing, and counts on after it", async () => {
    await client.flushall()
    await fill(new RedisRecoveryActs({ client, proxy: "proxy_1" }), [])
    const store = new RedisLimitStore({ client, onRecovering: () => undefined })
    const nothing = [chargeOf(budget, 0n)]
    const held = [chargeOf(budget, 10n)]
    await store.reserve("held", "proxy_1", 60_000, held)
    await store.reserve("held_nothing", "proxy_1", 60_000, nothing)
    await client.call("CONFIG", "SET", "maxmemory", "1")
    try {
      await expect(store.reserve("new", "proxy_1", 60_000, held)).rejects.toThrow("OOM")
      await expect(store.settle("held", held)).rejects.toThrow("OOM")
      await expect(store.settle("held_nothing", nothing)).rejects.toThrow("OOM")
      await expect(store.settle("never_held", nothing)).rejects.toThrow("OOM")
    } finally {
      await client.call("CONFIG", "SET", "maxmemory", "0")
    }
    expect((await store.holds(9)).map(({ id }) => id)).toEqual(["held", "held_nothing"])
    expect(await store.settle("held", held)).toBe("settled")
    expect(await store.settle("held_nothing", nothing)).toBe("settled")
    expect(await store.settle("never_held", nothing)).toBe("unknown")
    expect(await store.read(nothing)).toMatchObject([{ settled: 10n, held: 0n }])
  })
})

it("compares amounts of any size exactly", async () => {
  const { store } = await openStore(START_MS)
  const near = fc.bigInt(-3n, 3n)
  const base = fc.constantFrom(0n, 10n ** 9n, 2n ** 53n, 3n * 2n ** 52n, 10n ** 17n)
  let serial = 0
  await fc.assert(
    fc.asyncProperty(base, near, base, near, near, async (settledBase, offset, heldBase, heldOffset, capOffset) => {
      const positive = (amount: bigint) => (amount < 0n ? -amount : amount)
      const [settled, amount] = [positive(settledBase + offset), positive(heldBase + heldOffset)]
      serial += 1
      const limit = limitOf({ id: `lim_${serial}`, kind: "usd", cap: positive(settled + amount + capOffset) })
      await store.settle(`before_${serial}`, [chargeOf(limit, settled)])
      const reply = await store.reserve(`call_${serial}`, "proxy_1", 60_000, [chargeOf(limit, amount)])
      expect(reply.kind).toBe(settled + amount <= limit.cap ? "held" : "denied")
      const held = reply.kind === "held" ? amount : 0n
      expect(await store.read([chargeOf(limit, 0n)])).toEqual([{ settled, held, emptyInMs: null }])
    }),
    { numRuns: 500 },
  )
})

describe("while counters are filled", () => {
  it("no lease ends: what it holds may be asserted, or settled by its owner, until calls are admitted again", async () => {
    const { store, clock, acts, epoch: before } = await openStore(START_MS)
    const { epoch } = await acts.begin("org_1", before)
    await acts.load("org_1", epoch, { settled: [], acks: new Map() }, START_MS)
    store.adopt("org_1", epoch)
    await store.assertHolds("org_1", "proxy_2", 1_000, [{ id: "a", charges: [chargeOf(budget, 10n)] }])
    await clock.advance(2_000)
    expect(await store.sweep()).toBe(0)
    await acts.open("org_1", epoch)
    expect(await store.read([chargeOf(budget, 0n)])).toEqual([{ settled: 0n, held: 10n, emptyInMs: null }])
    expect(await store.sweep()).toBe(1)
  })

  it("nothing that was meant for an earlier beginning is loaded, and no answer to it counts", async () => {
    const { store, acts, epoch: first } = await openStore(START_MS)
    const { epoch: second } = await acts.begin("org_1", first)
    const stale = [{ window: "lifetime", limitId: budget.id, subject: budget.subject, settled: 99n }]
    expect(await acts.load("org_1", first, { settled: stale, acks: new Map() }, START_MS)).toBe(false)
    expect(await acts.load("org_1", second, { settled: [], acks: new Map() }, START_MS)).toBe(true)
    expect(await acts.answered("org_1", first)).toBe(false)
    expect(await acts.open("org_1", first)).toBe(false)
    expect((await acts.begin("org_1")).answeredBy).toEqual(new Set())
    expect(await acts.open("org_1", second)).toBe(true)
    store.adopt("org_1", second)
    expect(await store.read([chargeOf(budget, 0n)])).toEqual([{ settled: 0n, held: 0n, emptyInMs: null }])
  })
})

describe("the Redis store in rare moments", () => {
  const day = (amount: bigint) => chargeOf(limitOf({ id: "lim_day" }), amount, "2026-11-23", Date.now() + 3_600_000)
  const totals = async (store: RedisLimitStore, charge = chargeOf(budget, 0n)) => (await store.read([charge]))[0]

  it("survives a clock that is set back: a rate drains on from there and loses nothing", async () => {
    const { store, clock } = await openStore(START_MS)
    const rate = limitOf({ id: "lim_rate", window: "minute", cap: 60n })
    await store.reserve("a", "proxy_1", 60_000, [chargeOf(rate, 60n)])
    await clock.advance(-3_600_000)
    expect(await store.read([chargeOf(rate, 0n)])).toEqual([{ settled: 60n, held: 0n, emptyInMs: 60_000 }])
    await clock.advance(30_000)
    expect(await store.read([chargeOf(rate, 0n)])).toEqual([{ settled: 30n, held: 0n, emptyInMs: 30_000 }])
  })

  it("lets a window end in which nothing but an unknown hold was ever charged", async () => {
    const { store } = await openStore(START_MS)
    await store.settle("stranger", [day(5n)])
    expect(await client.pttl("tg:{org_1}:w:2026-11-23")).toBeGreaterThan(0)
  })

  it("keeps a day for as long as a rolling window adds it, and lists its hold as it was made", async () => {
    const { store } = await openStore(START_MS)
    const limit = limitOf({ window: "rolling", anchorDay: 7, enforcement: "soft" })
    const charge = chargeOf(limit, 5n, "2026-11-23~7", Date.now() + 3_600_000)
    await store.reserve("a", "proxy_1", 60_000, [charge])
    expect(await client.pttl("tg:{org_1}:w:2026-11-23~7")).toBeGreaterThan(8 * 86_400_000)
    expect((await store.holds(1))[0]?.charges).toEqual([charge])
  })

  it("keeps what the ledger says of a quarter or a year for as long as it may last", async () => {
    await client.flushall()
    const seeded = (window: string) => ({ limitId: "lim_1", subject: "key_1", window, settled: 7n })
    const windows = ["2026-11", "2026-Q4@15", "2026"]
    const acts = new RedisRecoveryActs({ client, proxy: "proxy_1" })
    const { epoch } = await acts.begin("org_1", "")
    await acts.load("org_1", epoch, { settled: windows.map(seeded), acks: new Map() }, Date.now())
    const lastsMs = await Promise.all(windows.map((window) => client.pttl(`tg:{org_1}:w:${window}`)))
    expect(lastsMs.map((ms) => Math.ceil(ms / 86_400_000))).toEqual([32, 93, 367])
  })

  it("holds nothing less than nothing where a counter went before its hold", async () => {
    const { store } = await openStore(START_MS)
    await store.reserve("a", "proxy_1", 60_000, [day(5n)])
    await client.del("tg:{org_1}:w:2026-11-23")
    expect(await store.release("org_1", "a")).toBe(true)
    expect(await totals(store, day(0n))).toMatchObject({ settled: 0n, held: 0n })
  })

  it("keeps nothing of a hold that is over but its id", async () => {
    const { store } = await openStore(START_MS)
    await store.reserve("a", "proxy_1", 60_000, [chargeOf(budget, 5n)])
    await store.settle("a", [chargeOf(budget, 5n)])
    expect([await client.exists("tg:{org_1}:l"), await client.exists("tg:{org_1}:x")]).toEqual([0, 0])
  })

  it("does not expire a hold that is renewed while a sweep looks", async () => {
    const { store, clock } = await openStore(START_MS)
    await store.reserve("a", "proxy_1", 60_000, [chargeOf(budget, 5n)])
    await clock.advance(60_000)
    const swept = store.sweep()
    expect(await store.renew("org_1", ["a"], 60_000)).toEqual([])
    expect(await swept).toBe(0)
    expect(await totals(store)).toMatchObject({ settled: 0n, held: 5n })
  })

  it("sweeps thousands of due leases, a bounded number in each script", async () => {
    const { store, clock } = await openStore(START_MS)
    const many = limitOf({ id: "lim_many", cap: 10_000n })
    const ids = Array.from({ length: 1_000 }, (_, index) => `call_${index}`)
    await Promise.all(ids.map((id) => store.reserve(id, "proxy_1", 60_000, [chargeOf(many, 1n)])))
    await clock.advance(60_000)
    expect(await store.sweep()).toBe(1_000)
    expect(await totals(store, chargeOf(many, 0n))).toMatchObject({ settled: 1_000n, held: 0n })
  })

  it("lists holds of one tick in the order in which they were asked for", async () => {
    const { store } = await openStore(START_MS)
    const ids = Array.from({ length: 30 }, (_, index) => `call_${(index * 7_919) % 1_000}`)
    const charges = [chargeOf(budget, 1n), day(1n), chargeOf(limitOf({ id: "lim_long_enough_for_a_table" }), 1n)]
    await Promise.all(ids.map((id) => store.reserve(id, "proxy_1", 60_000, charges)))
    expect((await store.holds(100)).map(({ id }) => id)).toEqual(ids)
  })

  it("holds running calls again, whatever the cap says by now: they are under way", async () => {
    const { store, epoch } = await openStore(START_MS)
    store.adopt("org_1", epoch)
    const running = ["a", "b"].map((id) => ({ id, charges: [chargeOf(budget, 80n)] }))
    await store.assertHolds("org_1", "proxy_1", 60_000, running)
    expect(await totals(store)).toMatchObject({ settled: 0n, held: 160n })
    expect(await store.reserve("c", "proxy_1", 60_000, [chargeOf(budget, 1n)])).toMatchObject({ kind: "denied" })
  })

  it("charges what a journal asserts once, in the place of what its hold holds or its expiry charged", async () => {
    const { store, clock } = await openStore(START_MS)
    await store.read([chargeOf(budget, 0n)])
    store.adopt("org_1", (await client.hget("tg:{org_1}:e", "epoch")) ?? "")
    const slots = limitOf({ id: "lim_slots", kind: "concurrency", window: "none" })
    const row = (id: string, amount: string) => ({
      id,
      charges: [{ limit_id: budget.id, subject: budget.subject, window: "lifetime", amount }],
    })
    await store.reserve("swept", "proxy_1", 60_000, [chargeOf(budget, 10n), day(10n)])
    await clock.advance(60_000)
    await store.sweep()
    await store.reserve("live", "proxy_1", 60_000, [chargeOf(budget, 20n), chargeOf(slots, 1n)])
    expect(await totals(store)).toMatchObject({ settled: 10n, held: 20n })
    for (let time = 0; time < 2; time += 1) {
      await store.assertSettled("org_1", [row("swept", "1"), row("live", "2"), row("stranger", "4")], Date.now())
      expect(await totals(store)).toMatchObject({ settled: 7n, held: 0n })
    }
    expect(await totals(store, day(0n))).toMatchObject({ settled: 0n })
    expect(await totals(store, chargeOf(slots, 0n))).toMatchObject({ held: 0n })
    expect(await store.holds(10)).toEqual([])
  })
})

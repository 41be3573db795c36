import { setTimeout as wait } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"
import { startBreakableRedis } from "../support/breakable-redis.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { FakeLedger, TestProxy, type TestProxyOptions } from "../support/recovering-proxy.ts"
import { movedScripts, redisClock } from "../support/redis-clock.ts"

const budget = limitOf({ id: "lim_tokens", cap: 10n ** 15n })
const slots = limitOf({ id: "lim_slots", kind: "concurrency", window: "none", cap: 1_000n })
const LIMITS = [budget, slots]
const WAIT_MS_MAX = 15_000

let server: ConnectedRedis
let client: RedisClient
let ledger: FakeLedger
let proxies: TestProxy[]

beforeAll(async () => {
  server = await startConnectedRedis()
  client = server.client
})
afterAll(async () => {
  await server.stop()
})
beforeEach(async () => {
  await client.flushall()
  ledger = new FakeLedger()
  proxies = []
})
afterEach(() => {
  for (const { recovery, admission } of proxies) {
    recovery.stop()
    admission.stop()
  }
})

function proxyOf(name: string, options: Partial<TestProxyOptions> = {}, isPolling = true): TestProxy {
  const proxy = new TestProxy({ name, client, ledger, ...options })
  if (isPolling) proxy.recovery.start()
  proxies.push(proxy)
  return proxy
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + WAIT_MS_MAX
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${WAIT_MS_MAX} ms: ${what}`)
    await wait(5)
  }
}

const stateOf = () => client.hget("tg:{org_1}:e", "state")
const isOpen = async () => (await stateOf()) === "open"
const counted = async (proxy: TestProxy) => (await proxy.store.read([chargeOf(budget, 0n)]))[0]
const running = async (proxy: TestProxy) => (await proxy.store.read([chargeOf(slots, 0n)]))[0]?.held

async function admitted(proxy: TestProxy, cost: bigint) {
  for (let attempt = 0; attempt < 2_000; attempt += 1) {
    const hold = await proxy.begin(LIMITS, cost)
    if (hold !== undefined) return hold
    await wait(5)
  }
  throw new Error("no call was admitted")
}

describe("an organization that the store does not know", () => {
  it("admits nothing before its counters are read from the ledger, then counts on from there", async () => {
    const before = proxyOf("a", {}, false)
    before.rows.push({
      seq: 1,
      id: "old",
      charges: [{ limit_id: budget.id, subject: budget.subject, window: "lifetime", amount: "70" }],
    })
    before.ship()
    const proxy = proxyOf("b")
    ledger.proxies.delete("a")
    expect(await proxy.store.reserve("x", "b", 60_000, [chargeOf(budget, 5n)])).toEqual({ kind: "recovering" })
    await until("open", isOpen)
    expect(await counted(proxy)).toMatchObject({ settled: 70n, held: 0n })
    const hold = await admitted(proxy, 5n)
    expect(await counted(proxy)).toMatchObject({ settled: 70n, held: 5n })
    expect(await proxy.end(hold, 3n)).toBe("settled")
    expect(await counted(proxy)).toMatchObject({ settled: 73n, held: 0n })
  })

  it("opens for a process that comes later without asking the ledger again", async () => {
    await admitted(proxyOf("a"), 5n)
    const late = proxyOf("b")
    expect(await late.begin(LIMITS, 5n)).toBeDefined()
    expect(ledger.snapshots).toBe(1)
  })
})

describe("a flushed store", () => {
  it("is filled again with what was used, what runs and what no snapshot has, each counted once", async () => {
    const proxy = proxyOf("a")
    const shipped = await admitted(proxy, 100n)
    const unshipped = await admitted(proxy, 100n)
    const runs = await admitted(proxy, 100n)
    await proxy.end(shipped, 10n)
    proxy.ship()
    await proxy.end(unshipped, 20n)
    await client.flushall()
    await proxy.admission.renewAll()
    await until("open again", isOpen)
    expect(await counted(proxy)).toMatchObject({ settled: 30n, held: 100n })
    expect(await running(proxy)).toBe(1n)
    expect(await proxy.end(runs, 40n)).toBe("settled")
    expect(await counted(proxy)).toMatchObject({ settled: 70n, held: 0n })
  })

  it("holds again what had expired while its call runs on, since no ledger has it", async () => {
    const proxy = proxyOf("a", { leaseMs: 50 })
    const runs = await admitted(proxy, 100n)
    await wait(60)
    expect(await proxy.admission.sweep()).toBe(1)
    expect(await proxy.admission.renewAll()).toBe(1)
    expect(await counted(proxy)).toMatchObject({ settled: 100n, held: 0n })
    await client.flushall()
    await proxy.admission.renewAll()
    await until("open again", isOpen)
    expect(await counted(proxy)).toMatchObject({ settled: 0n, held: 100n })
    await proxy.end(runs, 40n)
    expect(await counted(proxy)).toMatchObject({ settled: 40n, held: 0n })
  })

  it("charges a call that ends while it is being filled, whoever answers first", async () => {
    const [one, two] = [proxyOf("a"), proxyOf("b")]
    const [early, late] = [await admitted(one, 100n), await admitted(two, 100n)]
    await client.flushall()
    const { promise, resolve: goOn } = Promise.withResolvers<void>()
    ledger.beforeSnapshot = () => promise
    // Refused under the old epoch: its journal row charges it.
    expect(await one.end(early, 30n)).toBe("recovering")
    await until("the snapshot is being read", async () => (await stateOf()) === "recovering")
    await wait(50)
    goOn()
    await until("open", isOpen)
    expect(await two.end(late, 50n)).toBe("settled")
    expect(await counted(one)).toMatchObject({ settled: 80n, held: 0n })
  })

  it("learns from idle proxies what they have not shipped", async () => {
    const [busy, idle] = [proxyOf("a"), proxyOf("b")]
    await idle.end(await admitted(idle, 100n), 60n)
    await admitted(busy, 5n)
    await client.flushall()
    await busy.begin(LIMITS, 5n)
    await until("open", isOpen)
    expect(await counted(busy)).toMatchObject({ settled: 60n, held: 5n })
  })

  it("opens after one lease without a proxy that is silent, which adds what it knows when it is back", async () => {
    const [here, away] = [proxyOf("a", { leaseMs: 1_000 }), proxyOf("b", { leaseMs: 1_000 })]
    await away.end(await admitted(away, 100n), 60n)
    away.recovery.stop()
    await client.flushall()
    await here.begin(LIMITS, 5n)
    await until("open", isOpen)
    expect(await counted(here)).toMatchObject({ settled: 0n, held: 0n })
    const back = proxyOf("b", { leaseMs: 1_000 })
    // The same process, whose recovery was only held up: its rows and its live calls.
    back.rows.push(...away.rows)
    back.store.adopt("org_1", "an epoch that has passed")
    back.recovery.want("org_1")
    await until("it has answered", () => back.changes.some(({ kind }) => kind === "answered"))
    expect(await counted(here)).toMatchObject({ settled: 60n, held: 0n })
  })

  it("waits for a silent proxy by a clock of its own too, since Redis's may be set forward", async () => {
    const options = { leaseMs: 30_000, scripts: movedScripts() }
    const clock = await redisClock(client, Date.now())
    const [here, away] = [proxyOf("a", options), proxyOf("b", options)]
    await admitted(away, 100n)
    away.recovery.stop()
    await client.flushall()
    await clock.set(Date.now())
    await here.begin(LIMITS, 5n)
    await until("it has answered", () => here.changes.filter(({ kind }) => kind === "answered").length === 2)
    await clock.advance(60_000)
    await wait(200)
    expect(await stateOf()).toBe("recovering")
  })

  it("has another proxy coordinate when the one that began is gone", async () => {
    const gone = proxyOf("a", { coordinatorLeaseMs: 200 }, false)
    await gone.acts.begin("org_1")
    ledger.proxies.delete("a")
    const next = proxyOf("b")
    expect(await next.begin(LIMITS, 1n)).toBeUndefined()
    await until("open", isOpen)
    await until("the other one has opened it", () => next.changes.some(({ kind }) => kind === "open"))
  })

  it("has another proxy open it when the one that loaded the counters is gone", async () => {
    const gone = proxyOf("a", { coordinatorLeaseMs: 100 }, false)
    const { epoch } = await gone.acts.begin("org_1")
    expect(await gone.acts.open("org_1", epoch)).toBe(false)
    await gone.acts.load("org_1", epoch, { settled: [], acks: new Map() }, Date.now())
    ledger.proxies.delete("a")
    proxyOf("b").recovery.want("org_1")
    await until("open", isOpen)
    expect([ledger.snapshots, await client.hget("tg:{org_1}:e", "epoch")]).toEqual([0, epoch])
    await until("it is off the list", async () => (await client.hlen("tg:recovering")) === 0)
  })

  it("lets nobody load the counters but the one that coordinates, and that one once", async () => {
    const [first, second] = [proxyOf("a", {}, false), proxyOf("b", {}, false)]
    const { epoch } = await first.acts.begin("org_1")
    const snapshot = { settled: [], acks: new Map() }
    expect((await second.acts.begin("org_1")).isCoordinator).toBe(false)
    expect(await second.acts.answered("org_1", epoch)).toBe(false)
    expect(await second.acts.load("org_1", epoch, snapshot, Date.now())).toBe(false)
    expect(await first.acts.load("org_1", epoch, snapshot, Date.now())).toBe(true)
    expect(await first.acts.load("org_1", epoch, snapshot, Date.now())).toBe(false)
  })

  it("stays on the list of those that recover when an older recovery is taken off", async () => {
    const proxy = proxyOf("a", {}, false)
    const { epoch } = await proxy.acts.begin("org_1")
    await proxy.acts.retract("org_1", "an older epoch")
    expect(await proxy.acts.recovering()).toEqual(new Map([["org_1", epoch]]))
    await client.hset("tg:{org_1}:e", "state", "open", "loaded_ms", "1")
    proxy.recovery.want("org_1", epoch)
    await until("it is off the list", async () => (await client.hlen("tg:recovering")) === 0)
  })

  it("begins again when a journal has already forgotten what the snapshot lacks", async () => {
    const proxy = proxyOf("a")
    await proxy.end(await admitted(proxy, 100n), 60n)
    await client.flushall()
    ledger.beforeSnapshot = async () => {
      if (ledger.snapshots !== 1) return
      // Shipped and pruned between the snapshot and the question.
      setImmediate(() => {
        proxy.ship()
        proxy.pruned = 1
      })
    }
    await proxy.begin(LIMITS, 5n)
    await until("open", isOpen)
    expect(ledger.snapshots).toBe(3)
    expect(await counted(proxy)).toMatchObject({ settled: 60n, held: 0n })
  })

  it("goes on trying while the ledger is away, and says so once", async () => {
    const proxy = proxyOf("a")
    let failures = 0
    ledger.beforeSnapshot = async () => {
      failures += 1
      if (failures <= 2) throw new Error("the ledger is away")
    }
    await proxy.begin(LIMITS, 5n)
    await until("open", isOpen)
    await until("it says so", () => proxy.changes.some(({ kind }) => kind === "open"))
    expect(proxy.changes.map(({ kind }) => kind)).toEqual(["recovering", "failing", "answered", "open"])
  })
})

describe("epochs", () => {
  it("refuse an act that was sent before the counters were filled anew, since its journal row is counted", async () => {
    const [fast, slow] = [proxyOf("a"), proxyOf("b", {}, false)]
    ledger.proxies.delete("b")
    const hold = await admitted(fast, 100n)
    await slow.begin(LIMITS, 1n)
    const epoch = slow.store.epochOf("org_1")
    await fast.end(hold, 40n)
    fast.ship()
    await fast.acts.anew("org_1")
    fast.recovery.want("org_1")
    await until("open under another epoch", async () => (await isOpen()) && fast.store.epochOf("org_1") !== epoch)
    slow.recovery.stop()
    expect(await slow.store.settle(hold.id, hold.charges)).toBe("recovering")
    expect(await counted(fast)).toMatchObject({ settled: 40n })
  })

  describe("that are taken up while acts wait for the end of the tick", () => {
    let proxy: TestProxy
    let next: string
    /** The counters have been filled under another epoch, which the proxy does not know yet. */
    beforeEach(async () => {
      proxy = proxyOf("a", {}, false)
      await admitted(proxy, 100n)
      const { epoch } = await proxy.acts.begin("org_1", proxy.store.epochOf("org_1"))
      await proxy.acts.load("org_1", epoch, { settled: [], acks: new Map() }, Date.now())
      await proxy.acts.open("org_1", epoch)
      next = epoch
    })

    it("refuse the settles among them", async () => {
      const settled = proxy.store.settle("x", [chargeOf(budget, 5n)])
      proxy.store.adopt("org_1", next)
      expect(await settled).toBe("recovering")
      expect(await counted(proxy)).toMatchObject({ settled: 0n })
    })

    it("ask again for the reservations among them, so that no call believes it holds what was dropped", async () => {
      const reserved = proxy.store.reserve("x", "a", 60_000, [chargeOf(budget, 5n)])
      proxy.store.adopt("org_1", next)
      expect(await reserved).toMatchObject({ kind: "held", counters: [{ held: 5n }] })
    })

    it("have live holds asserted before a renewal can miss them", async () => {
      const holds = proxy.admission.liveHolds("org_1")
      proxy.store.adopt("org_1", next)
      const asserted = proxy.store.assertHolds("org_1", "a", 60_000, holds)
      const lost = proxy.store.renew("org_1", [holds[0]?.id ?? ""], 60_000)
      await asserted
      expect(await lost).toEqual([])
    })
  })

  it("change when the server is another one, or the same one started again, in the very act that meets it", async () => {
    const redis = await startBreakableRedis()
    const own = openRedis(redis.url, { connectionName: "test", commandTimeoutMs: 5_000 })
    await own.connect()
    const [proxy, idle] = [proxyOf("a", { client: own }), proxyOf("b", { client: own })]
    const standing = () => own.hmget("tg:{org_1}:e", "state", "epoch")
    await proxy.end(await admitted(proxy, 100n), 60n)
    const runs = await admitted(proxy, 5n)
    await admitted(idle, 9n)
    // The append-only file is a second behind.
    await own.hset("tg:{org_1}:w:lifetime", "lim_tokens|key_1:s", "7", "lim_tokens|key_1:h", "0")
    await own.del("tg:{org_1}:l", "tg:{org_1}:x")
    await redis.kill()
    await redis.start()
    await until("connected", async () => (await own.ping().catch(() => "")) === "PONG")
    expect(await own.hget("tg:{org_1}:w:lifetime", "lim_tokens|key_1:s")).toBe("7")
    const [, before] = await standing()
    const first = [
      idle.store.reserve("x", "b", 60_000, [chargeOf(budget, 1n)]),
      proxy.store.renew("org_1", [runs.id], 60_000),
      proxy.store.sweep(),
    ]
    expect(await Promise.all(first)).toEqual([{ kind: "recovering" }, [], 0])
    // What the old data says of itself is that it is open.
    await until("open", async () => {
      const [state, epoch] = await standing()
      return state === "open" && epoch !== before
    })
    expect(await counted(proxy)).toMatchObject({ settled: 60n, held: 14n })
    expect(await proxy.end(runs, 5n)).toBe("settled")
    own.disconnect()
    await redis.stop()
  })
})

it("counts every call once, however often the store is flushed under three proxies with traffic", async () => {
  const three = ["a", "b", "c"].map((name) => proxyOf(name))
  let isOver = false
  const failures: unknown[] = []
  const worker = async (proxy: TestProxy) => {
    while (!isOver) {
      const hold = await proxy.begin(LIMITS, 1_000n)
      if (hold === undefined) {
        await wait(2)
        continue
      }
      await wait(Math.random() * 25)
      await proxy.end(hold, BigInt(1 + Math.floor(Math.random() * 1_000)))
    }
  }
  const work = three.flatMap((proxy) => Array.from({ length: 8 }, () => worker(proxy).catch((e) => failures.push(e))))
  const shipping = setInterval(() => three[Math.floor(Math.random() * 3)]?.ship(Math.ceil(Math.random() * 40)), 7)
  const renewing = setInterval(() => {
    for (const { admission } of three) admission.renewAll().catch((error) => failures.push(error))
  }, 100)
  for (let flush = 0; flush < 12; flush += 1) {
    await wait(100 + Math.random() * 250)
    if (flush % 3 === 2) {
      const proxy = three[flush % 2]
      await proxy?.acts.anew("org_1")
    } else await client.flushall()
  }
  isOver = true
  await Promise.all(work)
  clearInterval(shipping)
  clearInterval(renewing)
  for (const { admission } of three) await admission.renewAll()
  await until("open", isOpen)
  // One whose epoch is an older one notices by its next act.
  for (const { store } of three) await store.sweep()
  await until("all agree", () => new Set(three.map(({ store }) => store.epochOf("org_1"))).size === 1)
  await until("open", isOpen)
  expect(failures).toEqual([])
  const used = three.reduce((sum, proxy) => sum + proxy.used(), 0n)
  expect(three.every(({ rows }) => rows.length > 100)).toBe(true)
  const [proxy] = three as [TestProxy, TestProxy, TestProxy]
  expect(await counted(proxy)).toEqual({ settled: used, held: 0n, emptyInMs: null })
  expect(await running(proxy)).toBe(0n)
  expect(await proxy.store.holds(10)).toEqual([])
})

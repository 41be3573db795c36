import { setTimeout as wait } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest"
import { AdoptedCalls } from "../../src/admission/adopted-calls.ts"
import type { ChargedCall } from "../../src/admission/limits.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { RedisClient } from "../../src/platform/redis.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { FakeLedger, TestProxy } from "../support/recovering-proxy.ts"
import { until } from "../support/test-app.ts"

const budget = limitOf({ id: "lim_tokens", cap: 10n ** 15n })
const LEASE_MS = 60_000
const STATE = "tg:{org_1}:e"

let server: ConnectedRedis
let client: RedisClient
let ledger: FakeLedger
/** Lives and adopts; the dead one has gone without a word. */
let proxy: TestProxy
let dead: TestProxy
let adopted: AdoptedCalls
let faults: unknown[]

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
  faults = []
  proxy = new TestProxy({ name: "a", client, ledger })
  proxy.recovery.start()
  dead = new TestProxy({ name: "dead", client, ledger })
  ledger.proxies.delete("dead")
  adopted = adoptedBy(proxy)
  await until(async () => proxy.begin([budget], 0n))
  await opened()
  // What was counted in the last minute may be in a snapshot of this age or not; this one is older.
  await client.hset(STATE, "loaded_ms", String(Date.now() - 3_600_000))
})
afterEach(() => {
  adopted.stop()
  for (const { recovery, admission } of [proxy, dead]) {
    recovery.stop()
    admission.stop()
  }
})

function adoptedBy(adopter: TestProxy): AdoptedCalls {
  return new AdoptedCalls({
    store: adopter.store,
    acts: adopter.acts,
    want: (organizationId) => adopter.recovery.want(organizationId),
    nowMs: Date.now,
    onFault: (error) => faults.push(error),
    retryMs: 20,
  })
}

const opened = () => until(async () => ((await client.hget(STATE, "state")) === "open" ? true : undefined))
const epoch = () => client.hget(STATE, "epoch")
const counted = async () => (await proxy.store.read([chargeOf(budget, 0n)]))[0]

/** A call of the dead process: it holds 100. */
async function hold(id: string): Promise<void> {
  expect(await dead.store.reserve(id, "dead", LEASE_MS, [chargeOf(budget, 100n)])).toMatchObject({ kind: "held" })
}

/** Its record, as the ledger has it now. */
function recorded(id: string, used: bigint): ChargedCall {
  const charges = [{ limit_id: budget.id, subject: budget.subject, window: "lifetime", amount: used.toString() }]
  ledger.ship("journal_of_dead", [{ seq: 1, id, charges }])
  return { id, organizationId: "org_1", charges }
}

const cut = { kind: "cut", organizationIds: ["org_1"] } as const
const ended = (calls: readonly ChargedCall[]) => ({ kind: "ended", calls, writtenAtMs: Date.now() }) as const

it("charges calls that had ended one by one: held, settled before, or never seen", async () => {
  await hold("held")
  await hold("settled")
  await dead.store.settle("settled", [chargeOf(budget, 20n)])
  const before = await epoch()
  const calls = [recorded("held", 10n), recorded("settled", 20n), recorded("unseen", 30n)]
  await adopted.count(ended(calls))
  await adopted.count(ended(calls))
  expect(await counted()).toMatchObject({ settled: 60n, held: 0n })
  expect(await epoch()).toBe(before)
})

it("fills counters anew where a call is so old that the store may have forgotten that it was settled", async () => {
  const before = await epoch()
  const old = uuidv7Mint()(Date.now() - 11 * 60_000)
  await adopted.count(ended([recorded(old, 30n)]))
  await until(async () => ((await epoch()) === before ? undefined : true))
  await opened()
  expect(await counted()).toMatchObject({ settled: 30n, held: 0n })
})

it("fills counters anew where their snapshot is so young that it may have those calls", async () => {
  await client.hset(STATE, "loaded_ms", String(Date.now() - 1_000))
  await adopted.count(ended([recorded("unseen", 30n)]))
  await opened()
  expect(await counted()).toMatchObject({ settled: 30n, held: 0n })
})

it("takes the ledger's word for a call that was settled while its end was not written down", async () => {
  await hold("cut")
  await dead.store.settle("cut", [chargeOf(budget, 20n)])
  recorded("cut", 75n)
  await adopted.count(cut)
  await opened()
  expect(await counted()).toMatchObject({ settled: 75n, held: 0n })
})

it("lets go of a hold whose call was never written down, and so never forwarded", async () => {
  await hold("unwritten")
  await adopted.count(cut)
  await opened()
  expect(await counted()).toMatchObject({ settled: 0n, held: 0n })
})

it.each(["is being read", "was just loaded"])(
  "counts what came into the ledger after a snapshot that %s",
  async (moment) => {
    const { promise, resolve: goOn } = Promise.withResolvers<void>()
    if (moment === "is being read") {
      const snapshot = ledger.snapshot.bind(ledger)
      ledger.snapshot = async () => {
        const early = await snapshot()
        await promise
        return early
      }
    } else {
      // It waits for a proxy that does not answer.
      ledger.proxies.add("late")
    }
    await proxy.acts.anew("org_1")
    proxy.recovery.want("org_1")
    await until(async () => ((await client.hget(STATE, "coordinator")) === "a" ? true : undefined))
    if (moment === "was just loaded") {
      await until(async () => ((await client.hget(STATE, "loaded_ms")) === null ? undefined : true))
    }
    recorded("cut", 75n)
    await adopted.count(cut)
    ledger.proxies.delete("late")
    goOn()
    await opened()
    expect(await counted()).toMatchObject({ settled: 75n, held: 0n })
  },
)

it("has the counters filled by another proxy where this one does not yet take part", async () => {
  const starting = new TestProxy({ name: "starting", client, ledger })
  ledger.proxies.delete("starting")
  recorded("cut", 75n)
  const adopting = new AdoptedCalls({
    store: starting.store,
    acts: starting.acts,
    want: () => undefined,
    nowMs: Date.now,
    onFault: (error) => faults.push(error),
  })
  await adopting.count(cut)
  await until(async () => ((await counted())?.settled === 75n ? true : undefined))
  await opened()
})

it("tries again while Redis is away, and says that it is counted only then", async () => {
  let isAway = true
  const acts = {
    begin: proxy.acts.begin.bind(proxy.acts),
    anew: async (organizationId: string) => {
      if (isAway) throw new Error("Redis is away")
      await proxy.acts.anew(organizationId)
    },
  }
  const { store, recovery } = proxy
  const onFault = (error: unknown) => faults.push(error)
  const retrying = new AdoptedCalls({
    store,
    acts,
    want: (organizationId) => recovery.want(organizationId),
    nowMs: Date.now,
    onFault,
    retryMs: 5,
  })
  recorded("cut", 75n)
  let isCounted = false
  const counting = retrying.count(cut).then(() => {
    isCounted = true
  })
  await until(async () => (faults.length >= 3 ? true : undefined))
  expect(isCounted).toBe(false)
  isAway = false
  await counting
  await opened()
  expect(await counted()).toMatchObject({ settled: 75n })
})

it("is silent after a stop: nothing is called counted that is not", async () => {
  const acts = { begin: proxy.acts.begin.bind(proxy.acts), anew: () => Promise.reject(new Error("Redis is away")) }
  const stopped = new AdoptedCalls({
    store: proxy.store,
    acts,
    want: () => undefined,
    nowMs: Date.now,
    onFault: (error) => faults.push(error),
    retryMs: 5,
  })
  let isCounted = false
  void stopped.count(cut).then(() => {
    isCounted = true
  })
  await until(async () => (faults.length > 0 ? true : undefined))
  stopped.stop()
  const seen = faults.length
  await wait(50)
  expect([isCounted, faults.length - seen]).toEqual([false, 0])
})

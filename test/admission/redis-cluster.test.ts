/** A Redis Cluster of three masters keeps the same promises as a single server, and a failover that loses writes is noticed. */
import { setTimeout as wait } from "node:timers/promises"
import { Cluster } from "ioredis"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import { connectRedis } from "../../src/platform/redis.ts"
import { COUNTERS, describeAccountLimits } from "../contract/account-limits.ts"
import { chargeOf, describeLimitStore, limitOf } from "../contract/limit-store.ts"
import { describeLimitStoreModel } from "../contract/limit-store-model.ts"
import { describeSeededLimits } from "../contract/seeded-limits.ts"
import { FakeLedger, TestProxy } from "../support/recovering-proxy.ts"
import { movedScripts, redisClock } from "../support/redis-clock.ts"
import { type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts"

const START_MS = Date.UTC(2026, 10, 23, 12)
const WAIT_MS_MAX = 30_000
/** By their hash tags on the first, the second and the third master. */
const SPREAD = ["org_2", "org_3", "org_1"]
const scripts = movedScripts()

let nodes: RedisCluster
let client: Cluster
beforeAll(async () => {
  nodes = await startRedisCluster({ hasReplicas: true })
  const found = await connectRedis(nodes.url, { connectionName: "test", commandTimeoutMs: 5_000 })
  if (!(found instanceof Cluster)) throw new Error("no Redis Cluster was found")
  client = found
})
afterAll(async () => {
  client?.disconnect()
  await nodes?.stop()
})

const flush = () => Promise.all(client.nodes("master").map((node) => node.flushall()))

async function openStore(startMs: number, counters: readonly string[] = ["org_1"]) {
  await flush()
  const clock = await redisClock(client, startMs)
  const acts = new RedisRecoveryActs({ client, proxy: "proxy_1", scripts })
  const fill = async (organizationId: string, settled: Parameters<typeof acts.load>[2]["settled"], badEpoch = "") => {
    const { epoch } = await acts.begin(organizationId, badEpoch)
    await acts.load(organizationId, epoch, { settled, acks: new Map() }, startMs)
    await acts.open(organizationId, epoch)
    return epoch
  }
  const epochs = await Promise.all(counters.map((organizationId) => fill(organizationId, [])))
  const store = new RedisLimitStore({ client, scripts, onRecovering: () => undefined })
  return { store, clock, fill, epoch: epochs[0] ?? "" }
}

describeLimitStore("the store on a Redis Cluster", async () => {
  const { store, clock, fill, epoch } = await openStore(START_MS)
  return { store, clock, seed: async (rows) => store.adopt("org_1", await fill("org_1", rows, epoch)) }
})

describeLimitStoreModel("the store on a Redis Cluster", 40, async (startMs) => {
  const { store, clock } = await openStore(startMs)
  return { store, setClock: clock.set }
})

describeAccountLimits("the store on a Redis Cluster", () => openStore(START_MS, COUNTERS))

describeSeededLimits("the store on a Redis Cluster", async () => {
  await flush()
  return client
})

describe("organizations on three masters", () => {
  const budgetOf = (organizationId: string) => limitOf({ id: `lim_${organizationId}`, organizationId })
  const proxies: TestProxy[] = []
  afterEach(() => {
    for (const { recovery, admission } of proxies.splice(0)) {
      recovery.stop()
      admission.stop()
    }
  })

  async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + WAIT_MS_MAX
    while (!(await isSo())) {
      if (performance.now() > deadlineMs) throw new Error(`not within ${WAIT_MS_MAX} ms: ${what}`)
      await wait(10)
    }
  }

  /** Tried again while the counters are being filled, or the node is not there. */
  async function admitted(proxy: TestProxy, organizationId: string, cost: bigint) {
    const deadlineMs = performance.now() + WAIT_MS_MAX
    while (performance.now() < deadlineMs) {
      const hold = await proxy.begin([budgetOf(organizationId)], cost).catch(() => undefined)
      if (hold !== undefined) return hold
      await wait(10)
    }
    throw new Error(`no call of ${organizationId} was admitted`)
  }

  const counted = async ({ store }: TestProxy, organizationId: string) =>
    (await store.read([chargeOf(budgetOf(organizationId), 0n)]))[0]

  it("are held, renewed, listed, swept and filled anew, each on its own", async () => {
    await flush()
    const ledger = new FakeLedger()
    const proxy = new TestProxy({ name: "a", client, ledger })
    proxies.push(proxy)
    proxy.recovery.start()
    const owners = await Promise.all(
      SPREAD.map((organizationId) => client.cluster("KEYSLOT", `tg:{${organizationId}}:e`)),
    )
    expect(owners.map((slot) => Math.floor((3 * slot) / 16_384))).toEqual([0, 1, 2])
    for (const organizationId of SPREAD) await proxy.end(await admitted(proxy, organizationId, 10n), 4n)
    proxy.ship()
    for (const organizationId of SPREAD) await admitted(proxy, organizationId, 10n)
    for (const organizationId of SPREAD)
      await proxy.store.reserve(`due_${organizationId}`, "a", 1, [chargeOf(budgetOf(organizationId), 3n)])
    expect(await proxy.admission.renewAll()).toBe(0)
    expect(await proxy.store.holds(10)).toHaveLength(6)
    await wait(5)
    expect(await proxy.store.sweep()).toBe(3)
    for (const organizationId of SPREAD)
      expect(await counted(proxy, organizationId)).toMatchObject({ settled: 7n, held: 10n })
    await client
      .nodes("master")
      .find(({ options }) => options.port === nodes.masters[1]?.port)
      ?.flushall()
    await proxy.admission.renewAll()
    await until("open again", async () => (await client.hget(`tg:{${SPREAD[1]}}:e`, "state")) === "open")
    // The swept hold was never written down; the others stand untouched.
    for (const [at, settled] of [7n, 4n, 7n].entries()) {
      expect(await counted(proxy, SPREAD[at] ?? "")).toMatchObject({ settled, held: 10n })
    }
  })

  it("whose replica is promoted without the last writes admit nothing before they are filled anew, and count them once", {
    timeout: 60_000,
  }, async () => {
    await flush()
    const ledger = new FakeLedger()
    const [busy, other] = [new TestProxy({ name: "a", client, ledger }), new TestProxy({ name: "b", client, ledger })]
    proxies.push(busy, other)
    for (const { recovery } of proxies) recovery.start()
    const [organizationId = "", untouched = ""] = SPREAD
    await busy.end(await admitted(busy, organizationId, 20n), 15n)
    await admitted(other, organizationId, 5n)
    await busy.end(await admitted(busy, untouched, 10n), 9n)
    const master = client.nodes("master").find(({ options }) => options.port === nodes.masters[0]?.port)
    if (master === undefined) throw new Error("the first master is not known")
    await master.wait(1, 5_000)
    // From here on the replica gets nothing.
    await master.call("ACL", "SETUSER", "default", "-psync", "-sync")
    await master.call("CLIENT", "KILL", "TYPE", "replica")
    await busy.end(await admitted(busy, organizationId, 40n), 30n)
    const runs = await admitted(busy, organizationId, 35n)
    expect(await counted(busy, organizationId)).toMatchObject({ settled: 45n, held: 40n })
    const epoch = busy.store.epochOf(organizationId)
    await nodes.masters[0]?.kill()
    // 45 are used and 40 held of 100: the replica, which knows of 20, would let this one pass.
    const refused = () => other.begin([budgetOf(organizationId)], 16n)
    const replies: unknown[] = []
    await until("filled anew", async () => {
      replies.push(await refused().catch(() => "away"))
      const [now, state] = await client.hmget(`tg:{${organizationId}}:e`, "epoch", "state").catch(() => [])
      return state === "open" && now !== epoch
    })
    expect(replies.filter((reply) => reply !== undefined && reply !== "away")).toEqual([])
    expect(await counted(busy, organizationId)).toMatchObject({ settled: 45n, held: 40n })
    expect(await busy.end(runs, 35n)).toBe("settled")
    expect(await counted(other, untouched)).toMatchObject({ settled: 9n, held: 0n })
    expect(await client.hget(`tg:{${untouched}}:e`, "epoch")).toBe(busy.store.epochOf(untouched))
  })
})

import { afterAll, beforeAll } from "vitest"
import type { SettledAmount } from "../../src/admission/limit-store.ts"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import { openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { describeLimitStore } from "../contract/limit-store.ts"
import { describeLimitStoreModel } from "../contract/limit-store-model.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { movedScripts, redisClock } from "../support/redis-clock.ts"

const START_MS = Date.UTC(2026, 10, 23, 12)

const scripts = movedScripts()

let server: RealRedis
let client: RedisClient
beforeAll(async () => {
  server = await startRealRedis()
  client = openRedis(server.url, { connectionName: "test", commandTimeoutMs: 5_000 })
  await client.connect()
})
afterAll(async () => {
  client.disconnect()
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

describeLimitStoreModel("the Redis store", 300, async (startMs) => {
  const { store, clock } = await openStore(startMs)
  return { store, setClock: (nowMs) => clock.set(nowMs) }
})

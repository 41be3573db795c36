/**
 * The simulated server is worth what it has in common with a real one: it keeps the limit store's contract, and after
 * each of thousands of random acts it has answered the same and holds the same keys, to the last member.
 */
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import type { RedisClient } from "../../src/platform/redis.ts"
import { chargeOf, describeLimitStore, limitOf } from "../contract/limit-store.ts"
import { describeLimitStoreModel } from "../contract/limit-store-model.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { movedScripts, redisClock } from "../support/redis-clock.ts"
import { translateLua } from "./lua.ts"
import { redisCommands } from "./redis-commands.ts"
import { RedisServer } from "./redis-server.ts"

const START_MS = Date.UTC(2026, 10, 23, 12)

async function fill(acts: RedisRecoveryActs, rows: Parameters<typeof acts.load>[2]["settled"] = [], badEpoch = "") {
  const { epoch } = await acts.begin("org_1", badEpoch)
  await acts.load("org_1", epoch, { settled: rows, acks: new Map() }, START_MS)
  await acts.open("org_1", epoch)
  return epoch
}

async function simulatedStore(startMs: number) {
  let nowUs = startMs * 1_000
  // Each look at the clock is a microsecond later, as on a real server.
  const server = new RedisServer(() => (nowUs += 1))
  const client = redisCommands(async (...words) => server.run(...words))
  const setClock = (ms: number) => {
    nowUs = ms * 1_000
  }
  const acts = new RedisRecoveryActs({ client, proxy: "proxy_1" })
  const epoch = await fill(acts)
  return { store: new RedisLimitStore({ client, onRecovering: () => undefined }), acts, epoch, setClock }
}

describeLimitStore("the simulated Redis", async () => {
  const { store, acts, epoch, setClock } = await simulatedStore(START_MS)
  let nowMs = START_MS
  const advance = (ms: number) => {
    nowMs += ms
    setClock(nowMs)
  }
  return {
    store,
    clock: { nowMs: () => nowMs, advance },
    seed: async (rows) => store.adopt("org_1", await fill(acts, rows, epoch)),
  }
})

describeLimitStoreModel("the simulated Redis", 100, async (startMs) => simulatedStore(startMs))

describe("the simulated Redis beside a real one", () => {
  let real: ConnectedRedis
  beforeAll(async () => {
    real = await startConnectedRedis()
  })
  afterAll(() => real.stop())

  /** All keys with what they hold and when they end, in the form of `RedisData.dump`. */
  async function dumpOf(client: ConnectedRedis["client"]) {
    const all: Record<string, unknown> = {}
    for (const key of (await client.keys("*")).sort()) {
      const type = await client.type(key)
      const flat = type === "hash" ? await client.hgetall(key) : null
      const scored = type === "zset" ? await client.zrange(key, "0", "-1", "WITHSCORES") : []
      const pairs = scored.flatMap((member, at) =>
        at % 2 === 0 ? [[member, String(scored[at + 1] === "inf" ? Number.POSITIVE_INFINITY : scored[at + 1])]] : [],
      )
      const members = type === "string" ? await client.get(key) : (flat === null ? pairs : Object.entries(flat)).sort()
      const endsAtMs = Number(await client.call("PEXPIRETIME", key))
      all[key] = { members, endsAtMs: endsAtMs < 0 ? null : endsAtMs }
    }
    return all
  }

  const limits = [
    limitOf({ id: "tokens", cap: 100n }),
    limitOf({ id: "usd", kind: "usd", window: "day", cap: 9_007_199_254_740_995n }),
    limitOf({ id: "rate", window: "minute", cap: 60n }),
    limitOf({ id: "slots", kind: "concurrency", window: "none", cap: 3n }),
    limitOf({ id: "days", window: "rolling", anchorDay: 3, cap: 90n }),
    limitOf({ id: "soft", cap: 30n, enforcement: "soft" }),
  ]
  const windows = ["lifetime", "2026-11-23", "rate", "now", "2026-11-23~3", "lifetime"]
  const names = fc.constantFrom("a", "b", "c", "d", "e")
  const amounts = fc.array(fc.oneof(fc.bigInt(0n, 40n), fc.constant(2n ** 53n)), { minLength: 6, maxLength: 6 })
  const steps = fc.oneof(
    fc.tuple(fc.constantFrom("reserve", "reserve", "extend", "settle", "assert", "charge"), names, amounts),
    fc.tuple(fc.constantFrom("release", "renew"), names, fc.constant([])),
    fc.tuple(fc.constantFrom("sweep", "flush", "fill", "read"), fc.constant(""), fc.constant([])),
    fc.tuple(fc.constant("pass"), fc.constant(""), fc.array(fc.bigInt(1n, 90_000n), { minLength: 1, maxLength: 1 })),
  )

  /** The ends of windows, which neither server's own clock may pass: the scripts go by a clock that both read from a key. */
  const endsAtMs = Date.now() + 86_400_000
  const chargesOf = (some: readonly bigint[]) =>
    limits.map((limit, at) =>
      chargeOf(
        limit,
        some[at] ?? 0n,
        windows[at],
        limit.window === "day" || limit.window === "rolling" ? endsAtMs : null,
      ),
    )

  class Side {
    readonly client: RedisClient
    readonly store: RedisLimitStore
    readonly acts: RedisRecoveryActs
    constructor(client: RedisClient) {
      const scripts = movedScripts()
      this.client = client
      this.store = new RedisLimitStore({ client, scripts, onRecovering: () => undefined })
      this.acts = new RedisRecoveryActs({ client, proxy: "p", scripts })
    }

    async act(name: string, id: string, some: readonly bigint[]): Promise<unknown> {
      const { store } = this
      const charges = chargesOf(some)
      if (name === "reserve") return store.reserve(id, "p", 60_000, charges)
      if (name === "extend") return store.extend(id, charges.slice(0, 3))
      if (name === "settle") return store.settle(id, charges)
      if (name === "release") return store.release("org_1", id)
      if (name === "renew") return store.renew("org_1", [id, "a"], 60_000)
      if (name === "sweep") return store.sweep()
      if (name === "read") return store.read(charges)
      if (name === "assert") return store.assertHolds("org_1", "p", 60_000, [{ id, charges }])
      const row = { limit_id: "tokens", subject: "key_1", window: "lifetime", amount: String(some[0] ?? 0n) }
      return store.assertSettled("org_1", [{ id, charges: [row] }], endsAtMs)
    }
  }

  it("answers every act alike and holds the same keys after each, whatever acts there were", async () => {
    let acts = 0
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { maxLength: 40, size: "max" }), async (some) => {
        await real.client.flushall()
        const server = new RedisServer(() => Date.now() * 1_000)
        const sides = [
          new Side(real.client),
          new Side(redisCommands(async (...words) => server.run(...words))),
        ] as const
        let nowMs = START_MS
        const setClock = () => Promise.all(sides.map(({ client }) => redisClock(client, nowMs)))
        const fillBoth = async (epoch: string) => {
          for (const { client, store, acts } of sides) {
            const known = await acts.begin("org_1")
            // The same epoch on both sides, which is else random.
            await client.hset("tg:{org_1}:e", "epoch", epoch)
            await client.hset("tg:recovering", "org_1", epoch)
            const settled = [{ limitId: "tokens", subject: "key_1", window: "lifetime", settled: 7n }]
            await acts.load("org_1", epoch, { settled, acks: new Map([["j", 1]]) }, endsAtMs)
            await acts.answered("org_1", epoch)
            await acts.open("org_1", epoch)
            expect(known.state).toBe("recovering")
            store.adopt("org_1", epoch)
          }
        }
        await setClock()
        await fillBoth("epoch_0")
        for (const [at, [name, id, values]] of some.entries()) {
          acts += 1
          if (name === "pass") {
            nowMs += Number(values[0])
            await setClock()
          } else if (name === "flush") {
            await real.client.flushall()
            server.flush()
            await setClock()
          } else if (name === "fill") {
            for (const { acts } of sides) await acts.anew("org_1")
            await fillBoth(`epoch_${at + 1}`)
          } else {
            const replies = await Promise.allSettled(sides.map((side) => side.act(name, id, values)))
            const [told, simulated] = replies.map((reply) =>
              reply.status === "rejected" ? String(reply.reason) : reply.value,
            )
            expect(simulated).toEqual(told)
          }
          const [kept, simulated] = [await dumpOf(real.client), server.data.dump(Date.now())]
          for (const dump of [kept, simulated]) forgetNames(dump)
          expect(simulated).toEqual(kept)
        }
      }),
      { numRuns: 40 },
    )
    expect(acts).toBeGreaterThan(400)
  })

  /** What is random, or goes by the server's own clock: the epoch that nobody is told, its server, and how long ids are kept. */
  function forgetNames(dump: Record<string, unknown>): void {
    for (const [key, value] of Object.entries(dump)) {
      const { members, endsAtMs } = value as { members: [string, string][]; endsAtMs: number | null }
      if (key.endsWith(":us")) delete dump[key]
      if (key === "tg:recovering" || key === "tg:{org_1}:e") {
        dump[key] = members.filter(([name]) => !["epoch", "server", "org_1", "until"].includes(name))
      }
      if (key.includes(":d:")) dump[key] = { members, isEnding: endsAtMs !== null }
    }
  }
})

it("refuses Lua that it does not speak, rather than guess", () => {
  const texts = ["x = 1", "return foo()", "repeat until true", "return ('a'):len()", "return 2 ^ 3", "return ..."]
  for (const text of texts) expect(() => translateLua(text)).toThrow()
})

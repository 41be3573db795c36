/** Rates against an oracle that knows no bucket: what may pass is what no stretch of time has too much of. */
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { LimitStore } from "../../src/admission/limit-store.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import { type LimitWindow, ratePeriodMs } from "../../src/identity/limit.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { movedScripts, redisClock } from "../support/redis-clock.ts"

const START_MS = Date.UTC(2026, 10, 23, 12)
const WINDOWS = ["second", "minute", "hour", "per_day"] as const satisfies readonly LimitWindow[]

let server: ConnectedRedis
beforeAll(async () => {
  server = await startConnectedRedis()
})
afterAll(() => server.stop())

type Passed = { readonly atMs: number; readonly amount: bigint }
type Rate = { readonly cap: bigint; readonly periodMs: bigint; readonly passed: readonly Passed[] }

/**
 * Whether `amount` may pass: over each stretch from a call that passed until now, no more than the cap and what drains
 * in that time. Times and amounts are whole, so that nothing is rounded.
 */
function mayPass({ cap, periodMs, passed }: Rate, amount: bigint, atMs: number): boolean {
  if (amount > cap) return false
  return passed.every((first, index) => {
    const within = passed.slice(index).reduce((sum, one) => sum + one.amount, amount)
    return within * periodMs <= cap * periodMs + cap * BigInt(atMs - first.atMs)
  })
}

/** In how many milliseconds it may pass at the earliest; null where it never may. */
function waitFor(rate: Rate, amount: bigint, atMs: number): number | null {
  if (amount > rate.cap) return null
  let [never, surely] = [0, Number(rate.periodMs)]
  while (surely - never > 1) {
    const middle = Math.floor((never + surely) / 2)
    if (mayPass(rate, amount, atMs + middle)) surely = middle
    else never = middle
  }
  return surely
}

type Arrivals = {
  readonly window: LimitWindow
  readonly cap: bigint
  readonly calls: readonly { readonly gap: number; readonly extraMs: number; readonly percent: bigint }[]
}

const arrivals: fc.Arbitrary<Arrivals> = fc.record({
  window: fc.constantFrom(...WINDOWS),
  cap: fc.bigInt(1n, 1_000n),
  calls: fc.array(
    // Gaps are thousandths of a period, and now and then some milliseconds more.
    fc.record({ gap: fc.nat(400), extraMs: fc.nat(7), percent: fc.bigInt(0n, 110n) }),
    { minLength: 1, maxLength: 25 },
  ),
})

type Stage = { readonly store: LimitStore; setClock(nowMs: number): void | Promise<void> }

async function pass(stage: Stage, { window, cap, calls }: Arrivals, id: string): Promise<void> {
  const limit = limitOf({ id, window, cap })
  const periodMs = ratePeriodMs(window) ?? 0
  const passed: Passed[] = []
  const rate = { cap, periodMs: BigInt(periodMs), passed }
  let atMs = START_MS
  for (const [index, { gap, extraMs, percent }] of calls.entries()) {
    atMs += Math.floor((periodMs * gap) / 1_000) + extraMs
    await stage.setClock(atMs)
    const amount = (cap * percent) / 100n
    const reply = await stage.store.reserve(`${id}_${index}`, "proxy_1", 1e9, [chargeOf(limit, amount)])
    if (mayPass(rate, amount, atMs)) {
      expect(reply.kind).toBe("held")
      if (amount > 0n) passed.push({ atMs, amount })
    } else {
      expect(reply).toMatchObject({ kind: "denied", retryAfterMs: waitFor(rate, amount, atMs) })
    }
  }
}

describe("a rate of any period", () => {
  it("admits in process exactly what the oracle does, and tells the wait to the millisecond", async () => {
    await fc.assert(
      fc.asyncProperty(arrivals, async (some) => {
        let nowMs = START_MS
        const store = new MemoryLimitStore(() => nowMs)
        const setClock = (ms: number) => {
          nowMs = ms
        }
        await pass({ store, setClock }, some, "lim_rate")
      }),
      { numRuns: 400 },
    )
  })

  it("admits in Redis exactly what the oracle does, and tells the wait to the millisecond", async () => {
    const { client } = server
    const scripts = movedScripts()
    const clock = await redisClock(client, START_MS)
    const store = new RedisLimitStore({ client, scripts, onRecovering: () => undefined })
    const acts = new RedisRecoveryActs({ client, proxy: "proxy_1", scripts })
    const { epoch } = await acts.begin("org_1")
    await acts.load("org_1", epoch, { settled: [], acks: new Map() }, START_MS)
    await acts.open("org_1", epoch)
    let run = 0
    await fc.assert(
      fc.asyncProperty(arrivals, async (some) => {
        run += 1
        await clock.set(START_MS)
        await pass({ store, setClock: (ms) => clock.set(ms) }, some, `lim_${run}`)
      }),
      { numRuns: 60 },
    )
  })
})

it.each(WINDOWS)("a hundred calls at once meet a rate for ten with the window %s", async (window) => {
  const store = new MemoryLimitStore(() => START_MS)
  const limit = limitOf({ kind: "requests", window, cap: 10n })
  const replies = await Promise.all(
    Array.from({ length: 100 }, (_, index) => store.reserve(`call_${index}`, "proxy_1", 60_000, [chargeOf(limit, 1n)])),
  )
  expect(replies.filter(({ kind }) => kind === "held")).toHaveLength(10)
})

/**
 * What the guard adds to an act of a healthy limit store: the same acts with and without it, in turns within one run,
 * so that a busy machine weighs on both. Run with `node test/bench/store-guard.ts`.
 */
import type { AdmissionStore } from "../../src/admission/limit-store.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { StoreGuard } from "../../src/admission/store-guard.ts"
import type { StoreGuardOptions } from "../../src/admission/store-guard-options.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"

const ROUNDS = 15
const CALLS_PER_ROUND = 20_000
/** Calls of one event-loop turn. */
const AT_ONCE = 32

const limits = ["day", "month", "lifetime", "lifetime", "lifetime", "lifetime", "minute"].map((window, index) =>
  limitOf({ id: `lim_${index}`, window: window as "day", cap: 10n ** 15n }),
)
const charges = limits.map((limit) => chargeOf(limit, 10n, limit.window === "minute" ? "rate" : limit.window))
const nowMs = () => Date.now()
let calls = 0

async function measure(store: AdmissionStore): Promise<number> {
  const startedMs = performance.now()
  for (let done = 0; done < CALLS_PER_ROUND; done += AT_ONCE) {
    const ids = Array.from({ length: AT_ONCE }, () => {
      calls += 1
      return `call_${calls}`
    })
    await Promise.all(ids.map((id) => store.reserve(id, "bench", 60_000, charges)))
    await Promise.all(ids.map((id) => store.settle(id, charges)))
    await new Promise((resolve) => setImmediate(resolve))
  }
  return ((performance.now() - startedMs) * 1_000) / (2 * CALLS_PER_ROUND)
}

const bare = new MemoryLimitStore(nowMs)
const guard = new StoreGuard({
  store: new MemoryLimitStore(nowMs),
  nowMs,
  elapsedMs: () => performance.now(),
  log: console as unknown as StoreGuardOptions["log"],
  proxiesMax: () => 2,
  onOverflow() {},
})
const perActUs: { bare: number[]; guarded: number[] } = { bare: [], guarded: [] }
for (let round = 0; round < ROUNDS; round += 1) {
  perActUs.bare.push(await measure(bare))
  perActUs.guarded.push(await measure(guard))
}
const median = (some: readonly number[]) => [...some].sort((a, b) => a - b)[some.length >> 1] ?? Number.NaN
const [bareUs, guardedUs] = [median(perActUs.bare), median(perActUs.guarded)]
console.log(
  `an act on ${charges.length} limits, median of ${ROUNDS} rounds: ${bareUs.toFixed(2)} µs bare, ` +
    `${guardedUs.toFixed(2)} µs guarded, ${(guardedUs - bareUs).toFixed(2)} µs added`,
)
await guard.stop()

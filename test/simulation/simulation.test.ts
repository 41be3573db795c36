/**
 * Thousands of short lives of three proxies over the code that runs in production, each from its own seed. A failure names
 * the seed, and `node test/simulation/run.ts <seed>` plays it again, step by step. `SIMULATION_SEED` moves the first one.
 */
import { expect, it } from "vitest"
import { FAULTS, type Fault, simulate } from "./world.ts"

const FIRST = Number(process.env.SIMULATION_SEED ?? 1)
const RUNS = Number(process.env.SIMULATION_RUNS ?? 1_000)
const MS_MAX = 300_000

it(
  `${RUNS} worlds from seed ${FIRST} on: no cap is passed, no call is counted twice or left out, nothing stays held`,
  async () => {
    const met = new Map<Fault, number>()
    let [admitted, local, extended] = [0, 0, 0]
    for (let seed = FIRST; seed < FIRST + RUNS; seed += 1) {
      const outcome = await simulate(seed)
      expect(outcome.broken, `node test/simulation/run.ts ${seed}`).toBeNull()
      admitted += outcome.admitted
      local += outcome.local
      extended += outcome.extended
      for (const fault of outcome.faults) met.set(fault, (met.get(fault) ?? 0) + 1)
    }
    // That the promise was put to the test.
    expect(admitted).toBeGreaterThan(20 * RUNS)
    expect(local).toBeGreaterThan(RUNS / 10)
    expect(extended).toBeGreaterThan(3 * RUNS)
    for (const fault of FAULTS) expect(met.get(fault), fault).toBeGreaterThan(RUNS / 8)
  },
  MS_MAX,
)

it("plays the same life from the same seed, to the last step", async () => {
  for (const seed of [FIRST, FIRST + 17]) {
    const first = await simulate(seed)
    expect(await simulate(seed)).toEqual(first)
    expect(first.events.length).toBeGreaterThan(10)
  }
})

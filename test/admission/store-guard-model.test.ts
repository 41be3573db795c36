/**
 * Several guards in front of one store, each over a connection that fails in its own way, against a model that knows
 * only the calls: what each used, and what each guard last heard. fast-check prints seed and path of a failure.
 */
import fc from "fast-check"
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import type { Charge, ReserveReply } from "../../src/admission/limit-store.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"
import { FaultyStore, type Mode } from "../support/faulty-store.ts"
import { type Guarded, guarded } from "../support/guarded-store.ts"

const MODES: Mode[] = ["ok", "failing", "silent", "losing", "slow", "belated"]
const GUARDS = 3
const LIMITS = [
  limitOf({ id: "tokens", cap: 900n }),
  limitOf({ id: "usd", kind: "usd", cap: 700n }),
  limitOf({ id: "rate", window: "minute", cap: 6_000n }),
  limitOf({ id: "slots", kind: "concurrency", window: "none", cap: 90n }),
] as const
const BUDGETS = [0, 1]
/** Settles older than ten minutes are left to the ledger, which this model does not have. */
const RUN_MS_MAX = 8 * 60_000

const chargesOf = (amounts: readonly bigint[]): Charge[] =>
  LIMITS.map((limit, index) => chargeOf(limit, amounts[index] ?? 0n))
const sum = (amounts: readonly bigint[]) => amounts.reduce((total, amount) => total + amount, 0n)

type Call = {
  readonly id: string
  readonly guard: number
  /** Held, then used. */
  amounts: readonly bigint[]
  state: "asked" | "store" | "local" | "refused" | "ended"
  /** Admitted by its guard after the last word it had of the counters. */
  isSinceSight: boolean
}

class World {
  readonly inner = new MemoryLimitStore(() => Date.now())
  readonly guards: Guarded[] = Array.from({ length: GUARDS }, () =>
    guarded({ proxiesMax: () => GUARDS, isPatient: true }, new FaultyStore(this.inner)),
  )
  readonly calls: Call[] = []
  /** What each guard last saw left of each budget. */
  readonly left: bigint[][] = this.guards.map(() => BUDGETS.map(() => 0n))
  ranMs = 0
  /** What a reply has broken; thrown by the next step, where fast-check sees it. */
  readonly #broken: unknown[] = []

  guard(index: number): Guarded {
    const guard = this.guards[index]
    if (guard === undefined) throw new RangeError(`no guard ${index}`)
    return guard
  }

  reserve(guard: number, amounts: readonly bigint[]): Promise<void> {
    const call: Call = { id: `call_${this.calls.length}`, guard, amounts, state: "asked", isSinceSight: false }
    this.calls.push(call)
    return this.guard(guard)
      .reserve(call.id, ...chargesOf(amounts))
      .then((reply) => this.#onReply(call, reply))
      .catch((error: unknown) => void this.#broken.push(error))
  }

  #onReply(call: Call, reply: ReserveReply): void {
    if (reply.kind !== "held" && reply.kind !== "denied" && reply.kind !== "away") throw new Error(reply.kind)
    call.state = reply.kind !== "held" ? "refused" : reply.counters.length > 0 ? "store" : "local"
    if (reply.kind === "away") return
    if (call.state === "local") {
      call.isSinceSight = true
      this.#checkShare(call.guard)
      return
    }
    for (const other of this.calls) if (other.guard === call.guard) other.isSinceSight = false
    this.left[call.guard] = BUDGETS.map((budget) => {
      const counter = reply.counters[budget]
      return (LIMITS[budget]?.cap ?? 0n) - (counter?.settled ?? 0n) - (counter?.held ?? 0n)
    })
  }

  #checkShare(guard: number): void {
    const local = this.calls.filter((call) => call.guard === guard && call.isSinceSight)
    for (const budget of BUDGETS) {
      const spent = sum(local.map(({ amounts }) => amounts[budget] ?? 0n))
      expect(spent * BigInt(GUARDS)).toBeLessThanOrEqual(this.left[guard]?.[budget] ?? 0n)
    }
  }

  /** As admission does it: given back where nothing was used, else settled. */
  async end(call: Call, percent: bigint): Promise<void> {
    call.state = "ended"
    call.amounts = call.amounts.map((amount) => (amount * percent) / 100n)
    const { guard } = this.guard(call.guard)
    if (percent === 0n && (await guard.release("org_1", call.id))) return
    await guard.settle(call.id, chargesOf([...call.amounts.slice(0, 3), 0n]))
  }

  running(): Call[] {
    return this.calls.filter(({ state }) => state === "store" || state === "local")
  }

  used(limit: number): bigint {
    return sum(this.calls.filter(({ state }) => state === "ended").map(({ amounts }) => amounts[limit] ?? 0n))
  }

  async pass(ms: number): Promise<void> {
    this.ranMs += ms
    await vi.advanceTimersByTimeAsync(ms)
    for (const error of this.#broken) throw error
  }

  /** All faults over, all calls ended: the store has to agree with the calls, and nobody may owe it anything. */
  async finish(): Promise<void> {
    for (const { store } of this.guards) store.mode = "ok"
    await this.pass(30_000)
    for (const call of this.running()) await this.end(call, 50n)
    await this.pass(30_000)
    expect(this.calls.filter(({ state }) => state === "asked")).toEqual([])
    const states = await this.inner.read(chargesOf([]))
    expect(states.map(({ held }) => held)).toEqual([0n, 0n, 0n, 0n])
    expect(await this.inner.holds(10)).toEqual([])
    for (const budget of BUDGETS) expect(states[budget]?.settled).toBe(this.used(budget))
    for (const { guard, overflowed } of this.guards) {
      expect(guard.stats()).toMatchObject({ isAway: false, waiting: 0, localCalls: 0, dropped: 0 })
      expect(overflowed).toEqual([])
    }
    expect(vi.getTimerCount()).toBe(0)
  }
}

type Act = fc.AsyncCommand<World, object>
const act = (
  name: string,
  run: (world: World) => unknown,
  check: (world: Pick<World, "ranMs">) => boolean = () => true,
): Act => ({
  check: (world) => check(world),
  run: async (world) => {
    await run(world)
    await world.pass(0)
  },
  toString: () => name,
})

const guardIndexes = fc.integer({ min: 0, max: GUARDS - 1 })
const amountsOf = fc
  .tuple(fc.bigInt(0n, 30n), fc.bigInt(0n, 30n), fc.bigInt(0n, 20n))
  .map((some) => [...some, 1n] as const)
const reserves = fc
  .tuple(guardIndexes, amountsOf)
  .map(([guard, amounts]) => act(`reserve ${guard} ${amounts}`, (world) => void world.reserve(guard, amounts)))
const ends = fc.tuple(fc.nat(1_000), fc.oneof(fc.constant(0n), fc.bigInt(0n, 100n))).map(([pick, percent]) =>
  act(`end ${pick} ${percent}%`, (world) => {
    const running = world.running()
    const call = running[pick % Math.max(1, running.length)]
    if (call !== undefined) void world.end(call, percent)
  }),
)
/** Enough at once to open a breaker. */
const bursts = fc.tuple(guardIndexes, fc.array(amountsOf, { minLength: 6, maxLength: 6 })).map(([guard, some]) =>
  act(`reserve ${guard} ${some.join(" and ")}`, (world) => {
    for (const amounts of some) void world.reserve(guard, amounts)
  }),
)
/** Half of the faults are of the store itself, the others of one proxy's way to it. */
const faults = fc
  .tuple(fc.option(guardIndexes), fc.oneof(fc.constant<Mode>("ok"), fc.constantFrom(...MODES)))
  .map(([only, mode]) =>
    act(`${only === null ? "the store" : `guard ${only}`} is ${mode}`, (world) => {
      for (const [guard, { store }] of world.guards.entries()) if (only === null || only === guard) store.mode = mode
    }),
  )
const passes = fc
  .oneof(
    { weight: 8, arbitrary: fc.integer({ min: 1, max: 600 }) },
    { weight: 2, arbitrary: fc.integer({ min: 600, max: 20_000 }) },
    { weight: 1, arbitrary: fc.constant(61_000) },
  )
  .map((ms) =>
    act(
      `pass ${ms} ms`,
      async (world) => {
        await world.pass(ms)
        await world.inner.sweep()
      },
      (world) => world.ranMs + ms < RUN_MS_MAX,
    ),
  )

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 23, 12) })
})
afterEach(() => {
  vi.useRealTimers()
})

it("whatever fails: every call is charged once for what it used, nothing stays held or owed, shares are kept", async () => {
  const met = { outages: 0, admittedLocally: 0, failures: 0 }
  const acts = fc.commands([reserves, reserves, bursts, ends, ends, faults, passes], { maxCommands: 80, size: "max" })
  await fc.assert(
    fc.asyncProperty(acts, async (some) => {
      // Of a run that failed, when it is made smaller.
      vi.clearAllTimers()
      const world = new World()
      await fc.asyncModelRun(() => ({ model: world, real: {} }), some)
      await world.finish()
      for (const { guard } of world.guards) {
        met.outages += guard.stats().outages
        met.admittedLocally += guard.stats().admittedLocally
        met.failures += guard.stats().failures
      }
    }),
    { numRuns: 300 },
  )
  // That the promise was put to the test.
  expect(met.outages).toBeGreaterThan(200)
  expect(met.admittedLocally).toBeGreaterThan(400)
  expect(met.failures).toBeGreaterThan(1_000)
})

it("all guards together admit no more than was left when the store went away, and the cap holds when it is back", async () => {
  const before = fc.array(fc.tuple(guardIndexes, amountsOf), { maxLength: 10 })
  const modes = fc.array(fc.constantFrom<Mode>("failing", "silent"), { minLength: GUARDS, maxLength: GUARDS })
  const during = fc.array(fc.tuple(guardIndexes, amountsOf, fc.bigInt(0n, 150n)), { minLength: 5, maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(before, modes, during, async (calls, faulty, outage) => {
      vi.clearAllTimers()
      const world = new World()
      for (const [guard, amounts] of calls) await world.reserve(guard, amounts)
      for (const guard of world.guards.keys()) await world.reserve(guard, [0n, 0n, 0n, 0n])
      const states = await world.inner.read(chargesOf([]))
      const left = BUDGETS.map(
        (budget) => (LIMITS[budget]?.cap ?? 0n) - (states[budget]?.settled ?? 0n) - (states[budget]?.held ?? 0n),
      )
      faulty.forEach((mode, guard) => {
        world.guard(guard).store.mode = mode
      })
      for (const [guard, amounts, percent] of outage) {
        void world.reserve(guard, amounts)
        await world.pass(200)
        const call = world.running().find((running) => running.guard === guard && running.state === "local")
        if (percent <= 100n && call !== undefined) void world.end(call, percent)
      }
      const local = world.calls.slice(-outage.length).filter(({ state }) => state === "local" || state === "ended")
      for (const budget of BUDGETS) {
        const spent = sum(local.map(({ amounts }) => amounts[budget] ?? 0n))
        expect(spent).toBeLessThanOrEqual(left[budget] ?? 0n)
      }
      await world.finish()
      const after = await world.inner.read(chargesOf([]))
      for (const budget of BUDGETS) expect(after[budget]?.settled).toBeLessThanOrEqual(LIMITS[budget]?.cap ?? 0n)
    }),
    { numRuns: 150 },
  )
})

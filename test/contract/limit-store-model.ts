/**
 * A limit store against a model that knows nothing of counters: it keeps every call with what it was charged,
 * adds them up anew each time, and replays a rate from its first event. fast-check prints seed and path of a failure. Run for each implementation.
 */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Charge, LimitStore } from "../../src/admission/limit-store.ts"
import { chargeOf, limitOf } from "./limit-store.ts"

const LEASE_MS = 60_000
const START_MS = Date.UTC(2026, 10, 23, 12)
const LIMITS = [
  limitOf({ id: "tokens", cap: 100n }),
  limitOf({ id: "usd", kind: "usd", window: "day", cap: 80n }),
  limitOf({ id: "rate", window: "minute", cap: 60n }),
  limitOf({ id: "slots", kind: "concurrency", window: "none", cap: 3n }),
  limitOf({ id: "soft", cap: 30n, enforcement: "soft" }),
  limitOf({ id: "hourly", window: "hour", cap: 90n }),
] as const
const BUDGETS = [0, 1, 4]
/** Rates, and in how many milliseconds each drains by its cap. */
const PERIODS_MS: Readonly<Record<number, bigint>> = { 2: 60_000n, 5: 3_600_000n }
const RATES = Object.keys(PERIODS_MS).map(Number)
const periodOf = (limit: number) => PERIODS_MS[limit] ?? 0n
const SLOTS = 3
/** Rates that still owe what a call used whose lease had ended. */
const LATE_RATES = [5]
/** Is counted like the others and refuses nothing. */
const SOFT = 4
const WINDOWS = ["lifetime", "2026-11-23", "rate", "now", "lifetime", "rate"]
const cap = (index: number) => LIMITS[index]?.cap ?? 0n
const sum = (amounts: readonly bigint[]) => amounts.reduce((total, amount) => total + amount, 0n)

type Call = { state: "live" | "done" | "gone"; leaseUntilMs: number; amounts: bigint[] }

class Model {
  nowMs = START_MS
  /** Some call used more than it held: the cap may be passed from here on. */
  isOvershot = false
  readonly calls = new Map<string, Call>()
  readonly #rateEvents: { limit: number; atMs: number; amount: bigint }[] = []

  settled = (limit: number) => (BUDGETS.includes(limit) ? this.#sumOf(limit, (state) => state !== "live") : 0n)
  held = (limit: number) => (RATES.includes(limit) ? 0n : this.#sumOf(limit, (state) => state === "live"))

  #sumOf(limit: number, isMeant: (state: Call["state"]) => boolean): bigint {
    return sum(
      [...this.calls.values()].filter(({ state }) => isMeant(state)).map(({ amounts }) => amounts[limit] ?? 0n),
    )
  }

  /** What the rate still owes, in units × its period. */
  rateDebt(limit: number): bigint {
    let debt = 0n
    let lastMs = START_MS
    for (const { atMs, amount } of [...this.#rateEvents, { limit, atMs: this.nowMs, amount: 0n }].filter(
      (event) => event.limit === limit,
    )) {
      const drained = debt - BigInt(atMs - lastMs) * cap(limit)
      const left = (drained < 0n ? 0n : drained) + amount * periodOf(limit)
      debt = left < 0n ? 0n : left
      lastMs = atMs
    }
    return debt
  }

  /** `amounts` on each rate now, beside what it owed. */
  flow(amounts: readonly bigint[], before: readonly bigint[] = [], rates = RATES): void {
    for (const limit of rates) {
      this.#rateEvents.push({ limit, atMs: this.nowMs, amount: (amounts[limit] ?? 0n) - (before[limit] ?? 0n) })
    }
  }

  /** Index of the first limit without room; -1 where all have it. A deny sweeps due leases and looks again. */
  denied(amounts: readonly bigint[]): number {
    const look = () =>
      amounts.findIndex((amount, limit) => {
        if (limit === SOFT) return false
        if (RATES.includes(limit)) return this.rateDebt(limit) + amount * periodOf(limit) > cap(limit) * periodOf(limit)
        return this.settled(limit) + this.held(limit) + amount > cap(limit)
      })
    return look() !== -1 && this.sweep() > 0 ? look() : look()
  }

  end(call: Call, state: "done" | "gone", amounts: bigint[]): void {
    if (call.state === "live") this.flow(state === "gone" ? [] : amounts, call.amounts)
    else this.flow(amounts, [], LATE_RATES)
    call.state = state
    call.amounts = amounts
  }

  sweep(): number {
    const due = [...this.calls.values()].filter((call) => call.state === "live" && call.leaseUntilMs <= this.nowMs)
    for (const call of due) this.end(call, "gone", call.amounts)
    return due.length
  }
}

type Real = { readonly store: LimitStore; setClock(nowMs: number): void | Promise<void> }
type Act = fc.AsyncCommand<Model, Real>

const chargesOf = (amounts: readonly bigint[]): Charge[] =>
  LIMITS.map((limit, index) => chargeOf(limit, amounts[index] ?? 0n, WINDOWS[index]))

/** Compares all counters, and checks the promises that hold whatever happened. */
async function compare(model: Model, { store }: Real): Promise<void> {
  const states = await store.read(chargesOf([]))
  for (const [limit, state] of states.entries()) {
    if (RATES.includes(limit)) {
      const debt = model.rateDebt(limit)
      expect([limit, state.settled]).toEqual([limit, (debt + periodOf(limit) - 1n) / periodOf(limit)])
      expect(state.emptyInMs).toBe(Math.ceil(Number(debt) / Number(cap(limit))))
    } else {
      expect([limit, state.settled, state.held]).toEqual([limit, model.settled(limit), model.held(limit)])
      if (!model.isOvershot && limit !== SOFT) expect(state.settled + state.held).toBeLessThanOrEqual(cap(limit))
    }
  }
  const holds = await store.holds(1_000)
  expect(holds.map(({ id }) => id)).toEqual(
    [...model.calls].filter(([, { state }]) => state === "live").map(([id]) => id),
  )
  for (const limit of [...BUDGETS, SLOTS]) {
    expect(states[limit]?.held).toBe(sum(holds.map(({ charges }) => charges[limit]?.amount ?? 0n)))
  }
}

const act = (name: string, run: (model: Model, store: LimitStore, real: Real) => Promise<void>): Act => ({
  check: () => true,
  run: async (model, real) => {
    await run(model, real.store, real)
    await compare(model, real)
  },
  toString: () => name,
})

const reserve = (id: string, amounts: bigint[]) =>
  act(`reserve ${id} ${amounts}`, async (model, store) => {
    const known = model.calls.get(id)
    const denied = known === undefined ? model.denied(amounts) : -1
    const reply = await store.reserve(id, "proxy_1", LEASE_MS, chargesOf(amounts))
    if (known !== undefined) expect(reply.kind).toBe(known.state === "live" ? "held" : known.state)
    else if (denied !== -1) expect(reply).toMatchObject({ kind: "denied", denied })
    else {
      expect(reply.kind).toBe("held")
      model.calls.set(id, { state: "live", leaseUntilMs: model.nowMs + LEASE_MS, amounts })
      model.flow(amounts)
    }
  })

const extend = (id: string, amounts: bigint[]) =>
  act(`extend ${id} ${amounts}`, async (model, store) => {
    const more = amounts.map((amount, limit) => (limit === SLOTS ? 0n : amount))
    const call = model.calls.get(id)
    const wasLive = call?.state === "live"
    const denied = wasLive ? model.denied(more) : -1
    const reply = await store.extend(id, chargesOf(more))
    if (call === undefined) expect(reply.kind).toBe("gone")
    else if (call.state !== "live") expect(reply.kind).toBe(call.state)
    else if (denied !== -1) expect(reply).toMatchObject({ kind: "denied", denied })
    else {
      expect(reply.kind).toBe("held")
      call.amounts = call.amounts.map((amount, limit) => amount + (more[limit] ?? 0n))
      model.flow(more)
    }
  })

/** Settles to a share of what is held; above 100 the call used more than its bound. Also meets finished and unknown ids. */
const settle = (id: string, percent: bigint) =>
  act(`settle ${id} ${percent}%`, async (model, store) => {
    const call = model.calls.get(id)
    const base = call?.amounts ?? [10n, 10n, 10n, 0n, 10n, 10n]
    const actual = base.map((amount, limit) => (limit === SLOTS ? 0n : (amount * percent) / 100n))
    const reply = await store.settle(id, chargesOf(actual))
    expect(reply).toBe(call === undefined ? "unknown" : { live: "settled", done: "done", gone: "late" }[call.state])
    if (reply === "done") return
    if (percent > 100n || reply === "unknown") model.isOvershot = true
    if (call !== undefined) return model.end(call, "done", actual)
    model.calls.set(id, { state: "done", leaseUntilMs: 0, amounts: actual })
    model.flow(actual)
  })

const release = (id: string) =>
  act(`release ${id}`, async (model, store) => {
    const call = model.calls.get(id)
    expect(await store.release("org_1", id)).toBe(call?.state === "live")
    if (call?.state === "live") model.end(call, "done", [0n, 0n, 0n, 0n, 0n, 0n])
  })

const renew = (ids: string[]) =>
  act(`renew ${ids}`, async (model, store) => {
    const lost = ids.filter((id) => model.calls.get(id)?.state !== "live")
    expect(await store.renew("org_1", ids, LEASE_MS)).toEqual(lost)
    for (const id of ids) {
      const call = model.calls.get(id)
      if (call?.state === "live") call.leaseUntilMs = model.nowMs + LEASE_MS
    }
  })

const sweep = () =>
  act("sweep", async (model, store) => {
    const expected = model.sweep()
    expect(await store.sweep()).toBe(expected)
  })

/** A run stays within the half hour for which a store remembers finished ids; the model remembers for ever. */
const advance = (ms: number): Act => ({
  ...act(`advance ${ms} ms`, async (model, _, real) => {
    model.nowMs += ms
    await real.setClock(model.nowMs)
  }),
  check: (model) => model.nowMs + ms < START_MS + 30 * 60_000,
})

const ids = fc.integer({ min: 0, max: 11 }).map((index) => `call_${index}`)
const amounts = fc
  .tuple(
    fc.bigInt(0n, 40n),
    fc.bigInt(0n, 40n),
    fc.bigInt(0n, 30n),
    fc.constant(1n),
    fc.bigInt(0n, 40n),
    fc.bigInt(0n, 40n),
  )
  .map((tuple) => [...tuple])

const boundedActs = [
  fc.tuple(ids, amounts).map(([id, held]) => reserve(id, held)),
  fc.tuple(ids, amounts).map(([id, held]) => reserve(id, held)),
  fc.tuple(ids, amounts).map(([id, more]) => extend(id, more)),
  ids.map(release),
  fc.array(ids, { maxLength: 4 }).map((some) => renew([...new Set(some)])),
  fc.constant(null).map(sweep),
  // Half of the steps are short, so that rates are met half drained; a minute and more lets leases end.
  fc
    .oneof(fc.integer({ min: 1, max: 9_000 }), fc.constant(60_000), fc.integer({ min: 9_000, max: 90_000 }))
    .map(advance),
]
const boundedSettles = fc.tuple(ids, fc.bigInt(0n, 100n)).map(([id, percent]) => settle(id, percent))
const anySettles = fc.tuple(ids, fc.bigInt(0n, 250n)).map(([id, percent]) => settle(id, percent))

export type ModelledStore = Real

/** `make` answers an empty store, open for `org_1`, whose clock stands at `startMs`; `runs` is the number of runs of each test. */
export function describeLimitStoreModel(
  name: string,
  runs: number,
  make: (startMs: number) => ModelledStore | Promise<ModelledStore>,
): void {
  async function runActs(acts: Iterable<Act>): Promise<{ model: Model; real: Real }> {
    const model = new Model()
    const real = await make(START_MS)
    await fc.asyncModelRun(() => ({ model, real }), acts)
    return { model, real }
  }

  describe(`${name} against a model`, () => {
    it("counts as the model does, whatever happens to holds: extended, settled twice, late, above the bound", async () => {
      await fc.assert(
        fc.asyncProperty(fc.commands([...boundedActs, anySettles, anySettles], { maxCommands: 80 }), async (acts) => {
          await runActs(acts)
        }),
        { numRuns: runs },
      )
    })

    it("never passes a cap while every call keeps its bound", async () => {
      const known = (id: string, percent: bigint): Act => ({
        ...settle(id, percent),
        check: (model) => model.calls.has(id),
      })
      const knownSettles = fc.tuple(ids, fc.bigInt(0n, 100n)).map(([id, percent]) => known(id, percent))
      await fc.assert(
        fc.asyncProperty(fc.commands([...boundedActs, knownSettles], { maxCommands: 80 }), async (acts) => {
          const { model } = await runActs(acts)
          expect(model.isOvershot).toBe(false)
        }),
        { numRuns: runs },
      )
    })

    it("leaks nothing: once every call has ended, nothing is held and rates are empty when they have drained", async () => {
      await fc.assert(
        fc.asyncProperty(fc.commands([...boundedActs, boundedSettles], { maxCommands: 60 }), async (acts) => {
          const { model, real } = await runActs(acts)
          await real.setClock(model.nowMs + 3 * 3_600_000)
          await real.store.sweep()
          const states = await real.store.read(chargesOf([]))
          expect(states.map(({ held }) => held)).toEqual([0n, 0n, 0n, 0n, 0n, 0n])
          expect([...RATES, SLOTS].map((limit) => states[limit]?.settled)).toEqual([0n, 0n, 0n])
        }),
        { numRuns: Math.ceil(runs / 4) },
      )
    })
  })
}

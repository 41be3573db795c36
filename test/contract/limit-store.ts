/**
 * What every limit store promises, run for each implementation. The clock belongs to the test; `advance` may take its
 * time, so that a store with a clock of its own can be moved as well.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { Charge, LimitStore, SettledAmount } from "../../src/admission/limit-store.ts"
import { type Limit, ratePeriodMs } from "../../src/identity/limit.ts"

export type StoreUnderTest = {
  readonly store: LimitStore
  readonly clock: { nowMs(): number; advance(ms: number): void | Promise<void> }
  /** Fills empty counters of `org_1` from the ledger, in the store's own way. */
  seed(rows: readonly SettledAmount[]): void | Promise<void>
  readonly close?: () => void | Promise<void>
}

const LEASE_MS = 60_000
const MINUTE_MS = 60_000

/** A limit for tests: a lifetime token budget unless told otherwise. */
export function limitOf(overrides: Partial<Limit> = {}): Limit {
  return {
    id: "lim_1",
    organizationId: "org_1",
    scope: "key",
    subject: "key_1",
    kind: "tokens",
    window: "lifetime",
    cap: 100n,
    timeZone: "UTC",
    anchorDay: 1,
    onStoreFailure: "local",
    enforcement: "hard",
    unbounded: "clamp",
    thresholds: [50, 80, 100],
    raise: null,
    each: "",
    filter: null,
    sliceTokens: null,
    ...overrides,
  }
}

/** A charge on a limit, in the window that its kind implies; calendar windows are given by name. */
export function chargeOf(limit: Limit, amount: bigint, window?: string, resetsAtMs: number | null = null): Charge {
  const implied = limit.kind === "concurrency" ? "now" : ratePeriodMs(limit.window) !== null ? "rate" : "lifetime"
  return { limit, window: window ?? implied, resetsAtMs, amount }
}

export function describeLimitStore(name: string, make: () => StoreUnderTest | Promise<StoreUnderTest>): void {
  describe(`${name} keeps the promises of a limit store`, () => {
    let under: StoreUnderTest
    let store: LimitStore
    let clock: StoreUnderTest["clock"]

    beforeEach(async () => {
      under = await make()
      store = under.store
      clock = under.clock
    })
    afterEach(async () => under.close?.())

    const budget = limitOf()
    const money = limitOf({ id: "lim_usd", kind: "usd", cap: 1_000_000_000n })
    const requests = limitOf({ id: "lim_req", kind: "requests", cap: 10n })
    const rate = limitOf({ id: "lim_rate", window: "minute", cap: 60n })
    const slots = limitOf({ id: "lim_slots", kind: "concurrency", window: "none", cap: 2n })

    const reserve = (id: string, ...charges: Charge[]) => store.reserve(id, "proxy_1", LEASE_MS, charges)
    const counterOf = async (limit: Limit, window?: string) => {
      const [state] = await store.read([chargeOf(limit, 0n, window)])
      if (state === undefined) throw new Error("read answered nothing")
      return state
    }
    const totals = async (limit: Limit, window?: string) => {
      const { settled, held } = await counterOf(limit, window)
      return { settled, held }
    }

    describe("reserve", () => {
      it("takes nothing at all when one of several charges has no room", async () => {
        const reply = await reserve("a", chargeOf(slots, 1n), chargeOf(rate, 5n), chargeOf(budget, 101n))
        expect(reply).toMatchObject({ kind: "denied", denied: 2, retryAfterMs: null })
        expect(await totals(slots)).toEqual({ settled: 0n, held: 0n })
        expect(await counterOf(rate)).toEqual({ settled: 0n, held: 0n, emptyInMs: 0 })
        expect(await totals(budget)).toEqual({ settled: 0n, held: 0n })
        expect(await store.holds(10)).toEqual([])
      })

      it("answers a denial with what every counter says without the call", async () => {
        await reserve("a", chargeOf(budget, 60n), chargeOf(money, 5n))
        const reply = await reserve("b", chargeOf(money, 5n), chargeOf(budget, 41n))
        expect(reply).toEqual({
          kind: "denied",
          denied: 1,
          retryAfterMs: null,
          counters: [
            { settled: 0n, held: 5n, emptyInMs: null },
            { settled: 0n, held: 60n, emptyInMs: null },
          ],
        })
      })

      it("lets a denied id try again", async () => {
        await reserve("a", chargeOf(budget, 100n))
        expect(await reserve("b", chargeOf(budget, 1n))).toMatchObject({ kind: "denied" })
        await store.release("org_1", "a")
        expect(await reserve("b", chargeOf(budget, 1n))).toMatchObject({ kind: "held" })
      })

      it("fills a budget to its cap and not by one more", async () => {
        expect(await reserve("a", chargeOf(budget, 99n))).toMatchObject({ kind: "held" })
        expect(await reserve("b", chargeOf(budget, 2n))).toMatchObject({ kind: "denied" })
        expect(await reserve("c", chargeOf(budget, 1n))).toMatchObject({ kind: "held" })
        expect(await reserve("d", chargeOf(budget, 1n))).toMatchObject({ kind: "denied" })
      })

      it("holds ten of a hundred concurrent reservations against a budget for ten", async () => {
        const ids = Array.from({ length: 100 }, (_, index) => `call_${index}`)
        const replies = await Promise.all(ids.map((id) => reserve(id, chargeOf(budget, 10n), chargeOf(money, 1n))))
        expect(replies.filter(({ kind }) => kind === "held")).toHaveLength(10)
        expect(replies.filter(({ kind }) => kind === "denied")).toHaveLength(90)
        expect(await totals(budget)).toEqual({ settled: 0n, held: 100n })
        expect(await totals(money)).toEqual({ settled: 0n, held: 10n })
      })

      it("adds up two charges on the same counter", async () => {
        expect(await reserve("a", chargeOf(budget, 60n), chargeOf(budget, 60n))).toMatchObject({
          kind: "denied",
          denied: 1,
          retryAfterMs: null,
        })
        expect(await totals(budget)).toEqual({ settled: 0n, held: 0n })
      })

      it("takes once for an id that is reserved twice", async () => {
        await reserve("a", chargeOf(budget, 30n))
        const again = await reserve("a", chargeOf(budget, 30n))
        expect(again).toEqual({ kind: "held", counters: [{ settled: 0n, held: 30n, emptyInMs: null }] })
        expect(await store.holds(10)).toHaveLength(1)
      })

      it("tells an id that was settled, released or swept", async () => {
        await reserve("settled", chargeOf(budget, 1n))
        await store.settle("settled", [chargeOf(budget, 1n)])
        await reserve("released", chargeOf(budget, 1n))
        await store.release("org_1", "released")
        await reserve("swept", chargeOf(budget, 1n))
        await clock.advance(LEASE_MS)
        await store.sweep()
        const kinds = []
        for (const id of ["settled", "released", "swept"]) kinds.push((await reserve(id, chargeOf(budget, 1n))).kind)
        expect(kinds).toEqual(["done", "done", "gone"])
      })

      it("counts subjects and windows of one limit apart", async () => {
        const other = limitOf({ subject: "key_2" })
        await reserve("a", chargeOf(budget, 100n))
        expect(await reserve("b", chargeOf(other, 100n))).toMatchObject({ kind: "held" })
        expect(await reserve("c", chargeOf(budget, 100n, "2026-12"))).toMatchObject({ kind: "held" })
      })

      it("drains a rate by the cap that was in force, also when a call brings a larger one", async () => {
        await reserve("a", chargeOf(rate, 60n))
        await clock.advance(30_000)
        expect(await reserve("b", chargeOf({ ...rate, cap: 600n }, 0n))).toMatchObject({
          kind: "held",
          counters: [{ settled: 30n, emptyInMs: 3_000 }],
        })
      })

      it("follows a cap that was changed while calls are held", async () => {
        await reserve("a", chargeOf(budget, 80n))
        expect(await reserve("b", chargeOf({ ...budget, cap: 50n }, 1n))).toMatchObject({ kind: "denied" })
        expect(await reserve("c", chargeOf({ ...budget, cap: 200n }, 120n))).toMatchObject({ kind: "held" })
      })

      it("refuses a negative amount as a fault and takes nothing", async () => {
        await expect(reserve("a", chargeOf(money, 5n), chargeOf(budget, -1n))).rejects.toThrow(/negative/)
        expect(await totals(money)).toEqual({ settled: 0n, held: 0n })
      })

      it("adds up amounts beyond 2^53 exactly, over the border of a billion too", async () => {
        const huge = limitOf({ id: "lim_huge", kind: "usd", cap: 10n ** 18n })
        await reserve("a", chargeOf(huge, 9_007_199_254_740_993n))
        await store.extend("a", [chargeOf(huge, 999_999_999n)])
        expect((await store.holds(1))[0]?.charges[0]?.amount).toBe(9_007_200_254_740_992n)
        expect(await totals(huge)).toEqual({ settled: 0n, held: 9_007_200_254_740_992n })
      })

      it("takes back what another id has charged, once, and has the room again", async () => {
        await store.settle("charged", [chargeOf(budget, 100n)])
        const credit = [chargeOf(budget, -70n)]
        expect([await store.settle("credit", credit), await store.settle("credit", credit)]).toEqual([
          "unknown",
          "done",
        ])
        expect(await totals(budget)).toEqual({ settled: 30n, held: 0n })
        expect(await reserve("a", chargeOf(budget, 71n))).toMatchObject({ kind: "denied" })
        expect(await reserve("b", chargeOf(budget, 70n))).toMatchObject({ kind: "held" })
      })

      it("counts amounts beyond 2^53 exactly", async () => {
        const huge = limitOf({ id: "lim_huge", kind: "usd", cap: 9_007_199_254_740_995n })
        await reserve("a", chargeOf(huge, 9_007_199_254_740_993n))
        expect(await reserve("b", chargeOf(huge, 3n))).toMatchObject({ kind: "denied" })
        expect(await reserve("c", chargeOf(huge, 2n))).toMatchObject({ kind: "held" })
      })
    })

    it("lets eight callers whose holds are 1 % of a budget use at least 95 % of it, and never more than all", async () => {
      const whole = limitOf({ id: "lim_whole", cap: 50_000n })
      const bound = 500n
      const callers = Array.from({ length: 8 }, (_, caller) => ({ caller, hold: "", isRefused: false }))
      for (let turn = 0; callers.some(({ isRefused }) => !isRefused); turn += 1) {
        const one = callers[turn % callers.length]
        if (one === undefined || one.isRefused) continue
        if (one.hold === "") {
          one.hold = `call_${turn}`
          one.isRefused = (await reserve(one.hold, chargeOf(whole, bound))).kind === "denied"
        } else {
          // A tenth to all of what is held, other callers' calls under way meanwhile.
          await store.settle(one.hold, [chargeOf(whole, BigInt(50 + ((turn * 7_919) % 451)))])
          one.hold = ""
        }
        const { settled, held } = await totals(whole)
        expect(settled + held).toBeLessThanOrEqual(whole.cap)
      }
      expect(await totals(whole)).toMatchObject({ held: 0n })
      expect((await totals(whole)).settled).toBeGreaterThanOrEqual((whole.cap * 95n) / 100n)
    })

    describe.each(["soft", "shadow"] as const)("a %s limit", (enforcement) => {
      const lenient = (limit: Limit): Limit => ({ ...limit, enforcement })

      it("refuses nothing and counts as a hard one does: held, settled, given back, and expired", async () => {
        for (const id of ["a", "b", "c", "d"]) {
          expect(await reserve(id, chargeOf(lenient(budget), 60n))).toMatchObject({ kind: "held" })
        }
        expect(await totals(budget)).toEqual({ settled: 0n, held: 240n })
        await store.settle("a", [chargeOf(lenient(budget), 70n)])
        await store.release("org_1", "b")
        expect(await totals(budget)).toEqual({ settled: 70n, held: 120n })
        await clock.advance(LEASE_MS)
        await store.sweep()
        expect(await totals(budget)).toEqual({ settled: 190n, held: 0n })
        expect(await store.settle("c", [chargeOf(lenient(budget), 5n)])).toBe("late")
        expect(await totals(budget)).toEqual({ settled: 135n, held: 0n })
      })

      it("says in its reply how far beyond its cap it is, with the call in it", async () => {
        await reserve("a", chargeOf(lenient(budget), 90n))
        const reply = await reserve("b", chargeOf(lenient(budget), 30n))
        expect(reply).toEqual({ kind: "held", counters: [{ settled: 0n, held: 120n, emptyInMs: null }] })
      })

      it("lets rates and calls in flight pass too, which drain and end as ever", async () => {
        const charges = [chargeOf(lenient(rate), 50n), chargeOf(lenient(slots), 1n)]
        for (const id of ["a", "b", "c"]) expect(await reserve(id, ...charges)).toMatchObject({ kind: "held" })
        expect(await counterOf(rate)).toEqual({ settled: 150n, held: 0n, emptyInMs: 150_000 })
        expect(await totals(slots)).toEqual({ settled: 0n, held: 3n })
        await clock.advance(MINUTE_MS / 2)
        expect(await counterOf(rate)).toMatchObject({ settled: 120n })
      })

      it("takes nothing where a hard limit beside it refuses, and is no reason to wait", async () => {
        await reserve("a", chargeOf(lenient(budget), 100n), chargeOf(rate, 60n))
        const reply = await reserve("b", chargeOf(lenient(budget), 1n), chargeOf(rate, 30n))
        expect(reply).toMatchObject({ kind: "denied", denied: 1, retryAfterMs: 30_000 })
        expect(await totals(budget)).toEqual({ settled: 0n, held: 100n })
      })

      it("can be extended beyond its cap", async () => {
        await reserve("a", chargeOf(lenient(budget), 90n))
        expect(await store.extend("a", [chargeOf(lenient(budget), 90n)])).toMatchObject({ kind: "held" })
        expect(await totals(budget)).toEqual({ settled: 0n, held: 180n })
      })

      it("that becomes hard refuses by what it has counted", async () => {
        await reserve("a", chargeOf(lenient(budget), 150n))
        expect(await reserve("b", chargeOf(budget, 0n))).toMatchObject({ kind: "denied" })
      })

      it("is listed as what it is", async () => {
        await reserve("a", chargeOf(lenient(budget), 1n))
        expect((await store.holds(1))[0]?.charges).toEqual([chargeOf(lenient(budget), 1n)])
      })
    })

    describe.each([
      ["second", 1_000],
      ["minute", 60_000],
      ["hour", 3_600_000],
      ["per_day", 86_400_000],
    ] as const)("a rate with the window %s", (window, periodMs) => {
      const perPeriod = limitOf({ id: "lim_per", window, cap: 7n })
      const eighth = chargeOf(perPeriod, 1n)
      // A seventh of a period, in whole milliseconds after which it has drained.
      const drainMs = Math.ceil(periodMs / 7)

      it("lets its cap pass at once, then one more as each has drained, and tells exactly when", async () => {
        expect(await reserve("burst", chargeOf(perPeriod, 7n))).toMatchObject({ kind: "held" })
        await store.settle("burst", [chargeOf(perPeriod, 7n)])
        expect(await reserve("a", eighth)).toMatchObject({ kind: "denied", retryAfterMs: drainMs })
        await clock.advance(drainMs - 1)
        expect(await reserve("a", eighth)).toMatchObject({ kind: "denied", retryAfterMs: 1 })
        await clock.advance(1)
        expect(await reserve("a", eighth)).toMatchObject({ kind: "held" })
        await store.settle("a", [eighth])
        expect(await reserve("b", eighth)).toMatchObject({ kind: "denied" })
        await clock.advance(periodMs)
        expect(await reserve("c", chargeOf(perPeriod, 7n))).toMatchObject({ kind: "held" })
      })

      it("holds the likely amount and takes the truth at its settlement, in both directions", async () => {
        await reserve("a", chargeOf(perPeriod, 3n))
        await store.settle("a", [chargeOf(perPeriod, 6n)])
        expect((await counterOf(perPeriod)).settled).toBe(6n)
        await reserve("b", eighth)
        await store.settle("b", [chargeOf(perPeriod, 0n)])
        expect(await counterOf(perPeriod)).toEqual({
          settled: 6n,
          held: 0n,
          emptyInMs: Math.ceil((periodMs * 6) / 7),
        })
      })

      it("is freed by expiry, and owes a late truth only where it drains for longer than a minute", async () => {
        await reserve("a", chargeOf(perPeriod, 5n))
        await clock.advance(LEASE_MS)
        await store.sweep()
        expect((await counterOf(perPeriod)).settled).toBe(0n)
        expect(await store.settle("a", [chargeOf(perPeriod, 4n)])).toBe("late")
        expect((await counterOf(perPeriod)).settled).toBe(periodMs > LEASE_MS ? 4n : 0n)
      })

      it("is listed as what it is, and extended like any other", async () => {
        await reserve("a", chargeOf(perPeriod, 2n))
        expect(await store.extend("a", [chargeOf(perPeriod, 5n)])).toMatchObject({ kind: "held" })
        expect(await store.extend("a", [eighth])).toMatchObject({ kind: "denied", retryAfterMs: drainMs })
        expect((await store.holds(1))[0]?.charges).toEqual([chargeOf(perPeriod, 7n)])
      })
    })

    describe("a rolling window", () => {
      const rolling = limitOf({ id: "lim_roll", window: "rolling", anchorDay: 3, cap: 100n })
      const on = (day: number, amount: bigint) => chargeOf(rolling, amount, `2026-11-${day}~3`)
      const standing = async (day: number) => (await store.read([on(day, 0n)]))[0]

      it("is the sum of its days, and each leaves it when it is over", async () => {
        await reserve("a", on(22, 40n))
        await store.settle("a", [on(22, 40n)])
        await reserve("b", on(23, 30n))
        await store.settle("b", [on(23, 30n)])
        expect(await reserve("c", on(24, 31n))).toEqual({
          ...{ kind: "denied", denied: 0, retryAfterMs: null },
          counters: [{ settled: 70n, held: 0n, emptyInMs: null }],
        })
        expect(await reserve("d", on(24, 30n))).toMatchObject({ kind: "held", counters: [{ settled: 70n, held: 30n }] })
        expect(await reserve("e", on(24, 1n))).toMatchObject({ kind: "denied" })
        expect(await reserve("f", on(25, 40n))).toMatchObject({ kind: "held", counters: [{ settled: 30n, held: 70n }] })
        expect(await standing(25)).toMatchObject({ settled: 30n, held: 70n })
        expect(await standing(28)).toMatchObject({ settled: 0n, held: 0n })
      })

      it("counts what runs since yesterday where it was admitted, settled, expired or given back", async () => {
        for (const [id, day] of [["a", 22] as const, ["b", 23] as const, ["c", 24] as const])
          await reserve(id, on(day, 30n))
        expect(await standing(24)).toMatchObject({ settled: 0n, held: 90n })
        await store.settle("a", [on(22, 10n)])
        await store.release("org_1", "b")
        expect(await standing(24)).toMatchObject({ settled: 10n, held: 30n })
        await clock.advance(LEASE_MS)
        await store.sweep()
        expect(await standing(24)).toMatchObject({ settled: 40n, held: 0n })
        expect(await standing(25)).toMatchObject({ settled: 30n })
      })

      it("adds up two charges of one call, an extension and other limits beside it", async () => {
        await reserve("a", on(23, 50n))
        expect(await reserve("b", on(24, 20n), on(24, 31n), chargeOf(budget, 1n))).toMatchObject({
          kind: "denied",
          denied: 1,
        })
        await reserve("c", chargeOf(budget, 1n), on(24, 20n))
        expect(await store.extend("c", [on(24, 31n)])).toMatchObject({ kind: "denied" })
        const extended = await store.extend("c", [on(24, 30n), chargeOf(budget, 1n)])
        expect(extended).toMatchObject({ kind: "held", counters: [{ held: 100n }, { held: 2n }] })
      })

      it("never refuses where it is soft, by the same sums", async () => {
        const soft = (day: number, amount: bigint) => ({
          ...on(day, amount),
          limit: { ...rolling, enforcement: "soft" as const },
        })
        await reserve("a", soft(23, 90n))
        expect(await reserve("b", soft(24, 90n))).toMatchObject({ kind: "held", counters: [{ held: 180n }] })
        expect(await reserve("c", on(24, 0n))).toMatchObject({ kind: "denied" })
      })

      it("keeps amounts beyond 2^53 exact over its days", async () => {
        const huge = { ...rolling, kind: "usd" as const, cap: 27_021_597_764_222_973n }
        const at = (day: number, amount: bigint) => ({ ...on(day, amount), limit: huge })
        for (const day of [22, 23]) {
          await reserve(`d${day}`, at(day, 9_007_199_254_740_991n))
          await store.settle(`d${day}`, [at(day, 9_007_199_254_740_991n)])
        }
        expect(await reserve("b", at(24, 9_007_199_254_740_992n))).toMatchObject({ kind: "denied" })
        expect(await reserve("c", at(24, 9_007_199_254_740_991n))).toMatchObject({ kind: "held" })
      })

      it("is filled from the ledger day by day", async () => {
        const day = (window: string, settled: bigint) => ({ limitId: "lim_roll", subject: "key_1", window, settled })
        await under.seed([day("2026-11-22~3", 40n), day("2026-11-23~3", 30n), day("2026-11-21~3", 500n)])
        expect(await standing(24)).toMatchObject({ settled: 70n })
        expect(await reserve("a", on(24, 31n))).toMatchObject({ kind: "denied" })
        expect(await reserve("b", on(24, 30n))).toMatchObject({ kind: "held" })
      })
    })

    describe("settle and release", () => {
      it("replaces what was held by what was used, in the window of admission", async () => {
        await reserve("a", chargeOf(budget, 80n, "2026-11"), chargeOf(money, 500n), chargeOf(slots, 1n))
        const actual = [chargeOf(budget, 30n, "2026-11"), chargeOf(money, 200n), chargeOf(slots, 0n)]
        expect(await store.settle("a", actual)).toBe("settled")
        expect(await totals(budget, "2026-11")).toEqual({ settled: 30n, held: 0n })
        expect(await totals(money)).toEqual({ settled: 200n, held: 0n })
        expect(await totals(slots)).toEqual({ settled: 0n, held: 0n })
        expect(await store.holds(10)).toEqual([])
      })

      it("charges more than was held where more was used", async () => {
        await reserve("a", chargeOf(budget, 100n))
        await store.settle("a", [chargeOf(budget, 130n)])
        expect(await totals(budget)).toEqual({ settled: 130n, held: 0n })
        expect(await reserve("b", chargeOf(budget, 0n))).toMatchObject({ kind: "denied" })
      })

      it("counts a settle that comes twice once", async () => {
        await reserve("a", chargeOf(budget, 80n))
        await store.settle("a", [chargeOf(budget, 30n)])
        expect(await store.settle("a", [chargeOf(budget, 30n)])).toBe("done")
        expect(await totals(budget)).toEqual({ settled: 30n, held: 0n })
      })

      it("charges a hold it does not know, once, since the money is spent", async () => {
        const actual = [chargeOf(budget, 30n), chargeOf(slots, 0n)]
        expect(await store.settle("stranger", actual)).toBe("unknown")
        expect(await store.settle("stranger", actual)).toBe("done")
        expect(await totals(budget)).toEqual({ settled: 30n, held: 0n })
        expect(await totals(slots)).toEqual({ settled: 0n, held: 0n })
      })

      it("gives everything back on release, once", async () => {
        await reserve("a", chargeOf(budget, 80n), chargeOf(rate, 60n), chargeOf(slots, 1n), chargeOf(requests, 1n))
        expect(await store.release("org_1", "a")).toBe(true)
        expect(await store.release("org_1", "a")).toBe(false)
        expect(await totals(budget)).toEqual({ settled: 0n, held: 0n })
        expect(await counterOf(rate)).toEqual({ settled: 0n, held: 0n, emptyInMs: 0 })
        expect(await totals(slots)).toEqual({ settled: 0n, held: 0n })
        expect(await totals(requests)).toEqual({ settled: 0n, held: 0n })
      })

      it("answers done to a settle after a release, and false to a release after a settle", async () => {
        await reserve("a", chargeOf(budget, 80n))
        await store.release("org_1", "a")
        expect(await store.settle("a", [chargeOf(budget, 80n)])).toBe("done")
        await reserve("b", chargeOf(budget, 80n))
        await store.settle("b", [chargeOf(budget, 10n)])
        expect(await store.release("org_1", "b")).toBe(false)
        expect(await store.release("org_1", "stranger")).toBe(false)
        expect(await totals(budget)).toEqual({ settled: 10n, held: 0n })
      })

      it("charges limits that came up while the call ran, after what it held: in time, late, and where it held nothing", async () => {
        const grown = (amount: bigint) => [chargeOf(budget, 10n), chargeOf(money, amount), chargeOf(rate, 3n)]
        await reserve("a", chargeOf(budget, 40n))
        expect(await store.settle("a", grown(5n))).toBe("settled")
        expect(await totals(budget)).toEqual({ settled: 10n, held: 0n })
        expect(await totals(money)).toEqual({ settled: 5n, held: 0n })
        expect((await counterOf(rate)).settled).toBe(3n)
        expect(await store.settle("a", grown(5n))).toBe("done")
        await reserve("b", chargeOf(budget, 40n))
        await clock.advance(LEASE_MS)
        await store.sweep()
        expect(await store.settle("b", grown(7n))).toBe("late")
        expect(await totals(budget)).toEqual({ settled: 20n, held: 0n })
        expect(await totals(money)).toEqual({ settled: 12n, held: 0n })
        expect(await store.settle("c", [chargeOf(money, 1n)])).toBe("unknown")
        expect(await totals(money)).toEqual({ settled: 13n, held: 0n })
      })

      it("refuses actual charges that are not those of the hold, and changes nothing", async () => {
        await reserve("a", chargeOf(budget, 80n), chargeOf(money, 5n))
        await expect(store.settle("a", [chargeOf(budget, 1n)])).rejects.toThrow(/in order/)
        await expect(store.settle("a", [chargeOf(money, 1n), chargeOf(budget, 1n)])).rejects.toThrow(/in order/)
        expect(await totals(budget)).toEqual({ settled: 0n, held: 80n })
      })
    })

    describe("rates", () => {
      it("let one cap through at once, then drain by the cap per minute", async () => {
        expect(await reserve("a", chargeOf(rate, 60n))).toEqual({
          kind: "held",
          counters: [{ settled: 60n, held: 0n, emptyInMs: MINUTE_MS }],
        })
        expect(await reserve("b", chargeOf(rate, 5n))).toMatchObject({ kind: "denied", retryAfterMs: 5_000 })
        await clock.advance(4_999)
        expect(await reserve("c", chargeOf(rate, 5n))).toMatchObject({ kind: "denied", retryAfterMs: 1 })
        await clock.advance(1)
        expect(await reserve("d", chargeOf(rate, 5n))).toMatchObject({ kind: "held" })
      })

      it("never admit a single charge above the cap, and do not ask to wait for it", async () => {
        expect(await reserve("a", chargeOf(rate, 61n))).toMatchObject({ kind: "denied", retryAfterMs: null })
      })

      it("are corrected by the difference when a call used less or more than was likely", async () => {
        await reserve("less", chargeOf(rate, 30n))
        await store.settle("less", [chargeOf(rate, 10n)])
        expect(await totals(rate)).toEqual({ settled: 10n, held: 0n })
        await reserve("more", chargeOf(rate, 30n))
        await store.settle("more", [chargeOf(rate, 110n)])
        expect(await totals(rate)).toEqual({ settled: 120n, held: 0n })
        expect(await reserve("next", chargeOf(rate, 1n))).toMatchObject({ kind: "denied", retryAfterMs: 61_000 })
      })

      it("drain first and are corrected then: a late surplus is owed in full", async () => {
        await reserve("a", chargeOf(rate, 10n))
        await clock.advance(30_000)
        await store.settle("a", [chargeOf(rate, 60n)])
        expect(await totals(rate)).toEqual({ settled: 50n, held: 0n })
      })

      it("round a wait up, so that the call fits when it is over", async () => {
        const seven = limitOf({ id: "lim_seven", window: "minute", cap: 7n })
        await reserve("a", chargeOf(seven, 7n))
        expect(await reserve("b", chargeOf(seven, 1n))).toMatchObject({ kind: "denied", retryAfterMs: 8_572 })
        await clock.advance(8_571)
        expect(await reserve("c", chargeOf(seven, 1n))).toMatchObject({ kind: "denied", retryAfterMs: 1 })
        await clock.advance(1)
        expect(await reserve("d", chargeOf(seven, 1n))).toMatchObject({ kind: "held" })
      })

      it("whose cap was set to 0 while something was owed never empty, and promise nothing", async () => {
        await reserve("a", chargeOf(rate, 5n))
        expect(await reserve("b", chargeOf({ ...rate, cap: 0n }, 0n))).toEqual({
          kind: "denied",
          denied: 0,
          retryAfterMs: null,
          counters: [{ settled: 5n, held: 0n, emptyInMs: null }],
        })
      })

      it("never owe the caller: a correction stops at an empty counter", async () => {
        await reserve("a", chargeOf(rate, 60n))
        await clock.advance(MINUTE_MS / 2)
        await store.settle("a", [chargeOf(rate, 0n)])
        expect(await counterOf(rate)).toEqual({ settled: 0n, held: 0n, emptyInMs: 0 })
        expect(await reserve("b", chargeOf(rate, 61n))).toMatchObject({ kind: "denied" })
      })

      it("with a cap of 0 admit nothing and promise nothing", async () => {
        const shut = limitOf({ id: "lim_shut", window: "minute", cap: 0n })
        expect(await reserve("a", chargeOf(shut, 1n))).toMatchObject({ kind: "denied", retryAfterMs: null })
      })

      it("tell the longest of several waits, and none where another charge can never fit", async () => {
        const slow = limitOf({ id: "lim_slow", window: "minute", cap: 6n })
        await reserve("a", chargeOf(rate, 60n), chargeOf(slow, 6n))
        expect(await reserve("b", chargeOf(rate, 1n), chargeOf(slow, 1n))).toMatchObject({
          denied: 0,
          retryAfterMs: 10_000,
        })
        expect(await reserve("b", chargeOf(slow, 1n), chargeOf(rate, 1n))).toMatchObject({ retryAfterMs: 10_000 })
        expect(await reserve("c", chargeOf(rate, 1n), chargeOf(budget, 101n))).toMatchObject({
          denied: 0,
          retryAfterMs: null,
        })
      })
    })

    describe("concurrency", () => {
      it("frees a slot when a call ends, however it ends", async () => {
        await reserve("a", chargeOf(slots, 1n))
        await reserve("b", chargeOf(slots, 1n))
        const denied = await reserve("c", chargeOf(slots, 1n))
        expect(denied).toMatchObject({ kind: "denied", counters: [{ settled: 0n, held: 2n }] })
        expect(denied.kind === "denied" && denied.retryAfterMs).toBeGreaterThan(0)
        await store.settle("a", [chargeOf(slots, 1n)])
        expect(await totals(slots)).toEqual({ settled: 0n, held: 1n })
        expect(await reserve("c", chargeOf(slots, 1n))).toMatchObject({ kind: "held" })
        await store.release("org_1", "b")
        expect(await reserve("d", chargeOf(slots, 1n))).toMatchObject({ kind: "held" })
      })

      it("heals when the owner of a call dies", async () => {
        await reserve("a", chargeOf(slots, 1n))
        await reserve("b", chargeOf(slots, 1n))
        await clock.advance(LEASE_MS)
        expect(await reserve("c", chargeOf(slots, 1n))).toMatchObject({ kind: "held" })
      })
    })

    describe("extend", () => {
      it("adds to the hold's charge, so that one actual amount settles both", async () => {
        await reserve("a", chargeOf(budget, 40n), chargeOf(money, 5n))
        expect(await store.extend("a", [chargeOf(budget, 30n)])).toEqual({
          kind: "held",
          counters: [{ settled: 0n, held: 70n, emptyInMs: null }],
        })
        const [hold] = await store.holds(1)
        expect(hold?.charges.map(({ amount }) => amount)).toEqual([70n, 5n])
        await store.settle("a", [chargeOf(budget, 65n), chargeOf(money, 5n)])
        expect(await totals(budget)).toEqual({ settled: 65n, held: 0n })
      })

      it("appends a charge on a counter that the hold did not have", async () => {
        await reserve("a", chargeOf(budget, 40n))
        await store.extend("a", [chargeOf(money, 7n)])
        await store.release("org_1", "a")
        expect(await totals(money)).toEqual({ settled: 0n, held: 0n })
        expect(await totals(budget)).toEqual({ settled: 0n, held: 0n })
      })

      it("takes nothing where one of its charges has no room, and leaves the hold as it was", async () => {
        await reserve("a", chargeOf(budget, 40n), chargeOf(money, 5n))
        const reply = await store.extend("a", [chargeOf(money, 5n), chargeOf(budget, 61n)])
        expect(reply).toMatchObject({ kind: "denied", denied: 1 })
        expect(await totals(budget)).toEqual({ settled: 0n, held: 40n })
        expect(await totals(money)).toEqual({ settled: 0n, held: 5n })
      })

      it("takes nothing for a hold whose own lease the look before a deny has ended", async () => {
        await reserve("a", chargeOf(slots, 1n))
        await reserve("b", chargeOf(slots, 1n))
        await clock.advance(LEASE_MS)
        expect(await store.extend("a", [chargeOf(slots, 1n)])).toEqual({ kind: "gone" })
        expect(await totals(slots)).toEqual({ settled: 0n, held: 0n })
      })

      it("tells a hold that is finished", async () => {
        await reserve("a", chargeOf(budget, 1n))
        await store.release("org_1", "a")
        await reserve("b", chargeOf(budget, 1n))
        await clock.advance(LEASE_MS)
        await store.sweep()
        expect(await store.extend("a", [chargeOf(budget, 1n)])).toEqual({ kind: "done" })
        expect(await store.extend("b", [chargeOf(budget, 1n)])).toEqual({ kind: "gone" })
      })
    })

    describe("leases", () => {
      it("expire into a full charge of budgets, and free rates and concurrency", async () => {
        await reserve(
          "a",
          chargeOf(budget, 80n),
          chargeOf(money, 500n),
          chargeOf(requests, 1n),
          chargeOf(rate, 60n),
          chargeOf(slots, 1n),
        )
        await clock.advance(LEASE_MS - 1)
        expect(await store.sweep()).toBe(0)
        await clock.advance(1)
        expect(await store.sweep()).toBe(1)
        expect(await store.sweep()).toBe(0)
        expect(await totals(budget)).toEqual({ settled: 80n, held: 0n })
        expect(await totals(money)).toEqual({ settled: 500n, held: 0n })
        expect(await totals(requests)).toEqual({ settled: 1n, held: 0n })
        expect(await totals(rate)).toEqual({ settled: 0n, held: 0n })
        expect(await totals(slots)).toEqual({ settled: 0n, held: 0n })
      })

      it("let the late truth replace what expiry charged, once", async () => {
        await reserve("a", chargeOf(budget, 80n), chargeOf(rate, 60n))
        await clock.advance(LEASE_MS)
        await store.sweep()
        await expect(store.settle("a", [chargeOf(rate, 60n), chargeOf(budget, 30n)])).rejects.toThrow(/in order/)
        expect(await store.settle("a", [chargeOf(budget, 30n), chargeOf(rate, 90n)])).toBe("late")
        expect(await totals(budget)).toEqual({ settled: 30n, held: 0n })
        expect(await totals(rate)).toEqual({ settled: 0n, held: 0n })
        expect(await store.settle("a", [chargeOf(budget, 30n), chargeOf(rate, 60n)])).toBe("done")
        expect(await totals(budget)).toEqual({ settled: 30n, held: 0n })
      })

      it("are not given back by a release that comes too late", async () => {
        await reserve("a", chargeOf(budget, 80n))
        await clock.advance(LEASE_MS)
        await store.sweep()
        expect(await store.release("org_1", "a")).toBe(false)
        expect(await totals(budget)).toEqual({ settled: 80n, held: 0n })
      })

      it("are prolonged by renewal; ids that are not live are named", async () => {
        await reserve("a", chargeOf(budget, 10n))
        await reserve("b", chargeOf(budget, 10n))
        await reserve("c", chargeOf(budget, 10n))
        await store.settle("c", [chargeOf(budget, 10n)])
        await clock.advance(45_000)
        expect(await store.renew("org_1", ["a", "c", "stranger"], LEASE_MS)).toEqual(["c", "stranger"])
        await clock.advance(15_000)
        expect(await store.sweep()).toBe(1)
        expect((await store.holds(10)).map(({ id }) => id)).toEqual(["a"])
        await clock.advance(45_000)
        expect(await store.sweep()).toBe(1)
      })

      it("can be shortened by renewal", async () => {
        await reserve("a", chargeOf(budget, 10n))
        await store.renew("org_1", ["a"], 1_000)
        await clock.advance(1_000)
        expect(await store.sweep()).toBe(1)
      })

      it("let a settle through that comes after the lease but before the sweep", async () => {
        await reserve("a", chargeOf(budget, 80n))
        await clock.advance(LEASE_MS * 2)
        expect(await store.settle("a", [chargeOf(budget, 30n)])).toBe("settled")
        expect(await store.sweep()).toBe(0)
        expect(await totals(budget)).toEqual({ settled: 30n, held: 0n })
      })
    })

    describe("read, holds and seed", () => {
      it("list live holds with owner, lease and charges, oldest first and no more than asked for", async () => {
        const nowMs = clock.nowMs()
        await reserve("a", chargeOf(budget, 10n))
        await reserve("b", chargeOf(budget, 20n))
        expect((await store.holds(10)).map(({ id }) => id)).toEqual(["a", "b"])
        const [oldest, ...others] = await store.holds(1)
        expect(others).toEqual([])
        expect(oldest).toMatchObject({ id: "a", owner: "proxy_1", charges: [{ amount: 10n, window: "lifetime" }] })
        expect(oldest?.leaseUntilMs).toBeGreaterThanOrEqual(nowMs + LEASE_MS)
        expect(await store.holds(0)).toEqual([])
      })

      it("read counters that were never touched as empty", async () => {
        expect(await store.read([chargeOf(budget, 5n), chargeOf(rate, 5n)])).toEqual([
          { settled: 0n, held: 0n, emptyInMs: null },
          { settled: 0n, held: 0n, emptyInMs: 0 },
        ])
      })

      it("start from what the ledger has settled", async () => {
        await under.seed([{ limitId: "lim_1", subject: "key_1", window: "2026-11", settled: 90n }])
        expect(await totals(budget, "2026-11")).toEqual({ settled: 90n, held: 0n })
        expect(await reserve("a", chargeOf(budget, 11n, "2026-11"))).toMatchObject({ kind: "denied" })
        expect(await reserve("b", chargeOf(budget, 10n, "2026-11"))).toMatchObject({ kind: "held" })
      })
    })
  })
}

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import type { Charge } from "../../src/admission/limit-store.ts"
import type { Limit } from "../../src/identity/limit.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"
import { FaultyStore, type Mode, SLOW_MS } from "../support/faulty-store.ts"
import { guarded, LEASE_MS } from "../support/guarded-store.ts"

const START_MS = Date.UTC(2026, 10, 23, 23, 59, 0)
const budget = limitOf({ id: "lim_budget", cap: 100n })
const closed = limitOf({ id: "lim_deny", cap: 100n, onStoreFailure: "deny" })
const open = limitOf({ id: "lim_allow", cap: 100n, onStoreFailure: "allow" })
const rate = limitOf({ id: "lim_rate", window: "minute", cap: 60n })
const NOTHING = { settled: 0n, held: 0n }

beforeEach(() => {
  vi.useFakeTimers({ now: START_MS })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Whether a promise settles without any time passing. */
async function isImmediate(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false
  void promise.then(() => {
    isSettled = true
  })
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
  return isSettled
}

describe("while the store answers", () => {
  it("its replies pass unchanged, and nothing is decided or kept here", async () => {
    const { guard, reserve, logged } = guarded()
    expect(await reserve("a", chargeOf(budget, 60n))).toMatchObject({ kind: "held", counters: [{ held: 60n }] })
    expect(await reserve("b", chargeOf(budget, 60n))).toMatchObject({ kind: "denied", denied: 0 })
    expect(await guard.settle("a", [chargeOf(budget, 50n)])).toBe("settled")
    expect(await guard.settle("a", [chargeOf(budget, 50n)])).toBe("done")
    expect(await reserve("a", chargeOf(budget, 1n))).toEqual({ kind: "done" })
    await reserve("c", chargeOf(budget, 1n))
    expect(await guard.renew("org_1", ["c", "x"], LEASE_MS)).toEqual(["x"])
    expect(await guard.release("org_1", "c")).toBe(true)
    expect(await guard.sweep()).toBe(0)
    expect(guard.stats()).toEqual({
      isAway: false,
      awayMs: 0,
      outages: 0,
      failures: 0,
      admittedLocally: 0,
      refusedAway: 0,
      waiting: 0,
      localCalls: 0,
      dropped: 0,
    })
    expect(logged).toEqual([])
  })
})

describe("a store that stops answering", () => {
  it("costs each act one deadline at the most, and none once the breaker is open", async () => {
    const { guard, store, reserve } = guarded()
    store.mode = "silent"
    const startedMs = performance.now()
    const first = Promise.all(Array.from({ length: 40 }, (_, index) => reserve(`a${index}`, chargeOf(open, 1n))))
    await vi.advanceTimersByTimeAsync(175)
    expect((await first).every(({ kind }) => kind === "held")).toBe(true)
    expect(performance.now() - startedMs).toBeLessThanOrEqual(175)
    expect(guard.isAway).toBe(true)
    const asked = store.asked.length
    expect(await isImmediate(reserve("b", chargeOf(open, 1n)))).toBe(true)
    expect(await isImmediate(guard.settle("b", [chargeOf(open, 1n)]))).toBe(true)
    expect(await isImmediate(guard.release("org_1", "x"))).toBe(true)
    expect(await isImmediate(guard.renew("org_1", ["a1"], LEASE_MS))).toBe(true)
    expect(await isImmediate(guard.sweep())).toBe(true)
    expect(store.asked).toHaveLength(asked)
  })

  it("keeps nobody waiting who asked just before the breaker opened", async () => {
    const { store, reserve } = guarded()
    store.mode = "silent"
    const first = Array.from({ length: 5 }, (_, index) => reserve(`a${index}`, chargeOf(open, 1n)))
    await vi.advanceTimersByTimeAsync(140)
    const last = reserve("b", chargeOf(open, 1n))
    await vi.advanceTimersByTimeAsync(35)
    await Promise.all(first)
    expect(await isImmediate(last)).toBe(true)
  })

  it("is not away while it answers every now and then, and an answer begins a new row of failures", async () => {
    const { guard, store, reserve } = guarded()
    for (let turn = 0; turn < 4; turn += 1) {
      store.mode = "failing"
      for (let act = 0; act < 4; act += 1) await reserve(`a${turn}${act}`, chargeOf(open, 1n))
      expect(guard.isAway).toBe(false)
      store.mode = "ok"
      await reserve(`b${turn}`, chargeOf(open, 1n))
      await vi.advanceTimersByTimeAsync(10_000)
    }
  })

  it("that falls silent again while it is sent what it missed is still away, and gets the rest later", async () => {
    const { guard, store, reserve, goAway, comeBack, totals, logged } = guarded()
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    for (let call = 0; call < 4; call += 1) {
      await reserve(`a${call}`, chargeOf(open, 1n))
      await guard.settle(`a${call}`, [chargeOf(open, 1n)])
    }
    const settle = store.settle.bind(store)
    vi.spyOn(store, "settle").mockImplementationOnce((id, actual) => {
      const answer = settle(id, actual)
      store.mode = "silent"
      return answer
    })
    store.mode = "ok"
    await vi.advanceTimersByTimeAsync(2_000)
    expect(guard.stats()).toMatchObject({ isAway: true, waiting: 8 })
    expect(logged).toHaveLength(1)
    await comeBack()
    expect(await totals(chargeOf(open, 0n))).toEqual({ settled: 4n, held: 0n })
  })

  it("is logged by one line when it goes and one when it comes back, which counts the calls between", async () => {
    const { store, logged, reserve, goAway, comeBack, guard } = guarded()
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    for (let call = 0; call < 100; call += 1) await reserve(`a${call}`, chargeOf(open, 1n))
    await vi.advanceTimersByTimeAsync(30_000)
    expect(logged.map(([level]) => level)).toEqual(["warn"])
    expect(guard.stats()).toMatchObject({ isAway: true, outages: 1, admittedLocally: 105 })
    expect(guard.stats().awayMs).toBeGreaterThanOrEqual(30_000)
    await comeBack()
    expect(logged.map(([level]) => level)).toEqual(["warn", "info"])
    expect(logged[1]?.[1]).toMatchObject({ calls_decided_without_it: 101 })
  })

  it("is asked by one probe after each back-off, which doubles up to five seconds", async () => {
    const { store, goAway } = guarded()
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    const asked = store.asked.length
    await vi.advanceTimersByTimeAsync(60_000)
    const probes = store.asked.slice(asked)
    // 0.25 s after the opening, then 0.5, 1, 2, 4, 5, 5, …
    expect(probes.length).toBe(15)
    expect(probes.every((probe) => probe.startsWith("settle probe_"))).toBe(true)
    expect(new Set(probes).size).toBe(probes.length)
  })

  it("never makes an act reject, whatever way it fails", async () => {
    const modes: Mode[] = ["failing", "silent", "losing", "slow", "belated"]
    for (const mode of modes) {
      const { guard, store, reserve } = guarded()
      store.mode = mode
      const acts = Array.from({ length: 3 }, (_, index) => [
        reserve(`a${index}`, chargeOf(budget, 1n)),
        guard.settle(`b${index}`, [chargeOf(budget, 1n)]),
        guard.release("org_1", "c"),
        guard.renew("org_1", ["d"], LEASE_MS),
        guard.sweep(),
      ])
      await vi.advanceTimersByTimeAsync(500)
      const [first] = await Promise.all(acts.map((some) => Promise.all<unknown>(some)))
      expect(first?.slice(1), mode).toEqual(["queued", false, [], 0])
    }
  })
})

describe("a call that is decided without the store", () => {
  it("is refused by `deny`, named before any time is lost on the others; nothing of the call is taken", async () => {
    const { store, reserve, goAway } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    expect(await reserve("a", chargeOf(budget, 50n), chargeOf(closed, 1n))).toEqual({
      kind: "away",
      denied: 1,
      isRecovering: false,
      reason: "policy",
      retryAfterMs: 1_000,
    })
    // The whole share is still there.
    expect(await reserve("b", chargeOf(budget, 50n))).toEqual({ kind: "held", counters: [] })
  })

  it("is not counted by `allow`", async () => {
    const { store, reserve, goAway } = guarded()
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    expect(await reserve("a", chargeOf(open, 1_000_000n))).toEqual({ kind: "held", counters: [] })
  })

  it("is admitted by `local` within the share of what was left, less local calls running and what they used", async () => {
    const { store, guard, reserve, goAway } = guarded()
    await reserve("running", chargeOf(budget, 20n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    // 100 - 20 held, shared by two proxies.
    expect((await reserve("a", chargeOf(budget, 30n))).kind).toBe("held")
    expect(await reserve("b", chargeOf(budget, 11n))).toMatchObject({ kind: "away", denied: 0, reason: "share" })
    await guard.settle("a", [chargeOf(budget, 25n)])
    await guard.settle("a", [chargeOf(budget, 0n)])
    expect((await reserve("c", chargeOf(budget, 16n))).kind).toBe("away")
    expect((await reserve("d", chargeOf(budget, 15n))).kind).toBe("held")
    expect(await guard.release("org_1", "d")).toBe(false)
    await guard.settle("d", [chargeOf(budget, 0n)])
    expect((await reserve("e", chargeOf(budget, 15n))).kind).toBe("held")
  })

  it("adds up several charges on one counter, and undoes them all when one has no room", async () => {
    const { store, reserve, goAway } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    const twice = [chargeOf(budget, 26n), chargeOf(budget, 26n)]
    expect(await reserve("a", ...twice)).toMatchObject({ kind: "away", denied: 1, reason: "share" })
    expect((await reserve("b", chargeOf(budget, 50n))).kind).toBe("held")
  })

  it("has no room at all under a budget that is overspent, as in the store", async () => {
    const { store, guard, reserve, goAway } = guarded()
    await guard.settle("over", [chargeOf(budget, 101n)])
    expect(await reserve("seen", chargeOf(budget, 0n))).toMatchObject({ kind: "denied" })
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    expect(await reserve("a", chargeOf(budget, 0n))).toMatchObject({ kind: "away", reason: "share" })
  })

  it("rests on a sight of at most five seconds before the outage, however long that lasts", async () => {
    const { store, reserve, goAway } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    await vi.advanceTimersByTimeAsync(5_000)
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    await vi.advanceTimersByTimeAsync(600_000)
    expect((await reserve("a", chargeOf(budget, 1n))).kind).toBe("held")
  })

  it("is refused where the last sight is older, or there is none", async () => {
    const { store, reserve, goAway } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    await vi.advanceTimersByTimeAsync(5_001)
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    expect(await reserve("a", chargeOf(budget, 1n))).toMatchObject({ kind: "away", reason: "unseen" })
    const never = limitOf({ id: "lim_never" })
    expect(await reserve("b", chargeOf(never, 1n))).toMatchObject({ kind: "away", reason: "unseen" })
  })

  it("measures a sight by the first of the failures, not by the last", async () => {
    const { store, reserve } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    await vi.advanceTimersByTimeAsync(4_000)
    store.mode = "failing"
    for (let call = 0; call < 4; call += 1) {
      expect((await reserve(`a${call}`, chargeOf(budget, 1n))).kind).toBe("held")
      await vi.advanceTimersByTimeAsync(3_000)
    }
  })

  it("measures a sight anew after an answer, since that ended the outage", async () => {
    const { store, reserve } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    expect((await reserve("a", chargeOf(budget, 1n))).kind).toBe("held")
    store.mode = "ok"
    await reserve("b", chargeOf(open, 1n))
    await vi.advanceTimersByTimeAsync(6_000)
    store.mode = "failing"
    expect(await reserve("c", chargeOf(budget, 1n))).toMatchObject({ kind: "away", reason: "unseen" })
  })

  it("rests on the newest sight, though an older reply comes in after it", async () => {
    const { store, reserve, goAway } = guarded()
    const old = await store.reserve("old", "proxy_1", LEASE_MS, [chargeOf(budget, 10n)])
    vi.spyOn(store, "reserve").mockImplementationOnce(() => new Promise((done) => setTimeout(done, 50, old)))
    void reserve("old", chargeOf(budget, 10n))
    await reserve("new", chargeOf(budget, 80n))
    await vi.advanceTimersByTimeAsync(50)
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    expect((await reserve("a", chargeOf(budget, 6n))).kind).toBe("away")
    expect((await reserve("b", chargeOf(budget, 5n))).kind).toBe("held")
  })

  it("rests on the sight of the window that it falls in", async () => {
    const { store, reserve, goAway } = guarded()
    const day = limitOf({ id: "lim_day", window: "day", cap: 100n })
    const tomorrow = (amount: bigint) => chargeOf(day, amount, "2026-11-24", Date.UTC(2026, 10, 25))
    await reserve("today", chargeOf(day, 90n, "2026-11-23", Date.UTC(2026, 10, 24)))
    await reserve("tomorrow", tomorrow(40n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    expect((await reserve("a", tomorrow(31n))).kind).toBe("away")
    expect((await reserve("b", tomorrow(30n))).kind).toBe("held")
  })

  it("may spend the share of the whole cap in a window that began since, and only there", async () => {
    const { store, reserve, goAway } = guarded()
    const day = limitOf({ id: "lim_day", window: "day", cap: 100n })
    const today = chargeOf(day, 1n, "2026-11-23", Date.UTC(2026, 10, 24))
    const tomorrow = (amount: bigint) => chargeOf(day, amount, "2026-11-24", Date.UTC(2026, 10, 25))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    expect(await reserve("a", today)).toMatchObject({ kind: "away", reason: "unseen" })
    await vi.advanceTimersByTimeAsync(120_000)
    expect(await reserve("b", tomorrow(51n))).toMatchObject({ kind: "away", reason: "share" })
    expect((await reserve("c", tomorrow(50n))).kind).toBe("held")
  })

  it("flows through the share of a rate, and takes a share of the calls in flight; neither needs a sight", async () => {
    const { store, guard, reserve, goAway } = guarded()
    const slots = limitOf({ id: "lim_slots", kind: "concurrency", window: "none", cap: 5n })
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    expect((await reserve("a", chargeOf(rate, 30n))).kind).toBe("held")
    expect(await reserve("b", chargeOf(rate, 1n))).toMatchObject({ kind: "away", reason: "share" })
    await vi.advanceTimersByTimeAsync(2_000)
    expect((await reserve("c", chargeOf(rate, 1n))).kind).toBe("held")
    expect((await reserve("d", chargeOf(rate, 1n))).kind).toBe("away")

    expect((await reserve("e", chargeOf(slots, 1n))).kind).toBe("held")
    expect((await reserve("f", chargeOf(slots, 1n))).kind).toBe("held")
    expect((await reserve("g", chargeOf(slots, 1n))).kind).toBe("away")
    await guard.settle("e", [chargeOf(slots, 0n)])
    expect((await reserve("h", chargeOf(slots, 1n))).kind).toBe("held")
  })

  it("does not get a larger share when proxies disappear during the outage", async () => {
    let proxies = 4
    const { store, reserve, goAway } = guarded({ proxiesMax: () => proxies })
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    expect((await reserve("a", chargeOf(budget, 25n))).kind).toBe("held")
    proxies = 1
    expect((await reserve("b", chargeOf(budget, 1n))).kind).toBe("away")
  })
})

describe("a rate per hour or day, while the store is away", () => {
  const hourly = limitOf({ id: "lim_hour", kind: "requests", window: "hour", cap: 100n })
  const perMinute = limitOf({ id: "lim_minute", kind: "requests", window: "minute", cap: 100n })
  /** How many calls pass one after the other. */
  const passes = async (reserve: ReturnType<typeof guarded>["reserve"], limit: Limit, name: string) => {
    let passed = 0
    for (let call = 0; call < 120; call += 1) {
      if ((await reserve(`${name}_${call}`, chargeOf(limit, 1n))).kind === "held") passed += 1
    }
    return passed
  }

  it("is shared out by what was last seen left, where a rate per minute is by its cap, and afresh once its period is over", async () => {
    const { store, reserve, goAway } = guarded()
    for (const limit of [hourly, perMinute]) {
      await reserve(`used_${limit.id}`, chargeOf(limit, 80n))
      await store.settle(`used_${limit.id}`, [chargeOf(limit, 80n)])
      await reserve(`seen_${limit.id}`, chargeOf(limit, 0n))
    }
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    expect(await passes(reserve, hourly, "a")).toBe(10)
    expect(await passes(reserve, perMinute, "b")).toBe(50)
    await vi.advanceTimersByTimeAsync(3_700_000)
    expect(await passes(reserve, hourly, "c")).toBeGreaterThanOrEqual(49)
  })

  it("lets no call pass that was not seen lately", async () => {
    const { store, reserve, goAway } = guarded()
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    expect(await reserve("a", chargeOf(hourly, 1n))).toMatchObject({ kind: "away", reason: "unseen" })
    expect((await reserve("b", chargeOf(perMinute, 1n))).kind).toBe("held")
  })
})

describe("what the store has missed", () => {
  it("is sent before the guard asks it for anything else, oldest first; local calls are charged there", async () => {
    const { store, guard, reserve, goAway, totals, comeBack } = guarded()
    await reserve("held", chargeOf(budget, 20n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    await reserve("local", chargeOf(budget, 30n))
    await guard.settle("local", [chargeOf(budget, 12n)])
    expect(await guard.settle("held", [chargeOf(budget, 15n)])).toBe("queued")
    store.asked.length = 0
    store.mode = "ok"
    const isAwayAt: boolean[] = []
    const settle = store.settle.bind(store)
    vi.spyOn(store, "settle").mockImplementation((id, actual) => {
      isAwayAt.push(guard.isAway)
      return settle(id, actual)
    })
    await comeBack()
    expect(store.asked.slice(-2)).toEqual(["settle local", "settle held"])
    expect(store.asked[0]).toMatch(/^settle lost_/)
    expect(new Set(isAwayAt)).toEqual(new Set([true]))
    expect(await totals(chargeOf(budget, 0n))).toEqual({ settled: 27n, held: 0n })
    expect(guard.stats()).toMatchObject({ isAway: false, waiting: 0 })
  })

  it.each<Mode>(["losing", "slow", "belated"])(
    "a hold of a refused call does not stay when its reserve was %s",
    async (mode) => {
      const { store, reserve, totals, comeBack } = guarded()
      store.mode = mode
      const refused = reserve("a", chargeOf(closed, 40n))
      await vi.advanceTimersByTimeAsync(200)
      expect(await refused).toMatchObject({ kind: "away", reason: "policy" })
      await comeBack()
      expect(await totals(chargeOf(closed, 0n))).toEqual(NOTHING)
      expect(await store.holds(10)).toEqual([])
    },
  )

  it("a reserve that is done after its call was refused and voided takes nothing", async () => {
    const { store, reserve, totals } = guarded()
    store.mode = "belated"
    const refused = reserve("a", chargeOf(closed, 40n))
    await vi.advanceTimersByTimeAsync(200)
    await refused
    store.mode = "ok"
    await vi.advanceTimersByTimeAsync(6_000)
    // The void is sent 250 ms after the deadline, the reserve is done at 400 ms.
    expect(store.asked).toContain("settle a")
    expect(await totals(chargeOf(closed, 0n))).toEqual(NOTHING)
  })

  it.each<Mode>(["losing", "slow", "belated", "silent"])(
    "a call that went on although its reserve was %s is charged once",
    async (mode) => {
      const { store, guard, reserve, totals, comeBack } = guarded()
      await reserve("seen", chargeOf(budget, 0n))
      store.mode = mode
      const admitted = reserve("a", chargeOf(budget, 40n))
      await vi.advanceTimersByTimeAsync(200)
      expect(await admitted).toEqual({ kind: "held", counters: [] })
      const settled = guard.settle("a", [chargeOf(budget, 33n)])
      await vi.advanceTimersByTimeAsync(200)
      expect(await settled).toBe("queued")
      await comeBack()
      await vi.advanceTimersByTimeAsync(SLOW_MS)
      expect(await totals(chargeOf(budget, 0n))).toEqual({ settled: 33n, held: 0n })
      expect(guard.stats().waiting).toBe(0)
    },
  )

  it("a local call that still runs when the store is back is charged when it ends", async () => {
    const { store, guard, reserve, goAway, totals, comeBack } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    await reserve("a", chargeOf(budget, 40n))
    await comeBack()
    expect(await guard.renew("org_1", ["a"], LEASE_MS)).toEqual([])
    expect(await guard.settle("a", [chargeOf(budget, 7n)])).toBe("unknown")
    expect(await totals(chargeOf(budget, 0n))).toEqual({ settled: 7n, held: 0n })
  })

  it("is not sent again when its answer comes late", async () => {
    const { store, guard, reserve } = guarded()
    await reserve("a", chargeOf(budget, 40n))
    const answers: ((reply: "settled") => void)[] = []
    vi.spyOn(store, "settle").mockImplementationOnce(() => new Promise((resolve) => answers.push(resolve)))
    const queued = guard.settle("a", [chargeOf(budget, 7n)])
    await vi.advanceTimersByTimeAsync(200)
    expect(await queued).toBe("queued")
    expect(guard.stats().waiting).toBe(1)
    answers[0]?.("settled")
    await vi.advanceTimersByTimeAsync(0)
    expect(guard.stats().waiting).toBe(0)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(store.asked).not.toContain("settle a")
  })

  it("a single settle without an answer is sent again soon, without an outage", async () => {
    const { store, guard, reserve, logged, totals } = guarded()
    await reserve("a", chargeOf(budget, 40n))
    store.mode = "silent"
    const queued = guard.settle("a", [chargeOf(budget, 7n)])
    await vi.advanceTimersByTimeAsync(175)
    expect(await queued).toBe("queued")
    store.mode = "ok"
    await vi.advanceTimersByTimeAsync(300)
    expect(await totals(chargeOf(budget, 0n))).toEqual({ settled: 7n, held: 0n })
    expect(logged).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  it("does not fill a rate with what was used more than a minute ago", async () => {
    const { store, guard, reserve, goAway, totals, comeBack } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    const used: Charge[] = [chargeOf(rate, 30n), chargeOf(budget, 5n)]
    await reserve("old", ...used)
    await guard.settle("old", used)
    await vi.advanceTimersByTimeAsync(65_000)
    await comeBack()
    expect(await totals(chargeOf(rate, 0n))).toEqual(NOTHING)
    expect(await totals(chargeOf(budget, 0n))).toEqual({ settled: 5n, held: 0n })
  })

  it("does not give the share a second time to an outage that follows before the counter was seen again", async () => {
    const { store, guard, reserve, goAway, comeBack } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    await reserve("a", chargeOf(budget, 50n))
    await guard.settle("a", [chargeOf(budget, 30n)])
    store.mode = "ok"
    await vi.advanceTimersByTimeAsync(700)
    expect(guard.isAway).toBe(false)
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    expect(await reserve("b", chargeOf(budget, 21n))).toMatchObject({ kind: "away", reason: "share" })
    await comeBack()
    expect(await reserve("c", chargeOf(budget, 10n))).toMatchObject({ counters: [{ settled: 30n, held: 10n }] })
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    // A fresh sight: 60 are left, and half of them is ours.
    expect((await reserve("d", chargeOf(budget, 30n))).kind).toBe("held")
    expect((await reserve("e", chargeOf(budget, 1n))).kind).toBe("away")
  })

  it("is part of the share until a sight that can include it: one of an act that was sent after it was told", async () => {
    const { store, guard, reserve, goAway, comeBack } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    await reserve("a", chargeOf(budget, 50n))
    await comeBack()
    const before = await store.reserve("r", "proxy_1", LEASE_MS, [chargeOf(budget, 10n)])
    vi.spyOn(store, "reserve").mockImplementationOnce(() => new Promise((done) => setTimeout(done, 50, before)))
    void reserve("r", chargeOf(budget, 10n))
    expect(await guard.settle("a", [chargeOf(budget, 45n)])).toBe("unknown")
    await vi.advanceTimersByTimeAsync(50)
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    // Of the 90 that it saw, 45 are ours, and they are spent.
    expect(await reserve("b", chargeOf(budget, 1n))).toMatchObject({ kind: "away", reason: "share" })
  })
})

describe("what the store cannot be told", () => {
  const other = limitOf({ id: "lim_other", organizationId: "org_2", onStoreFailure: "allow" })

  it("goes to the ledger beyond the bound: one word for each organization, and none of its settles is sent", async () => {
    const { store, guard, reserve, goAway, comeBack, overflowed, logged } = guarded({ waitingMax: 3 })
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    await reserve("z", chargeOf(other, 1n))
    await guard.settle("z", [chargeOf(other, 1n)])
    for (let call = 0; call < 5; call += 1) {
      await reserve(`a${call}`, chargeOf(open, 1n))
      expect(await guard.settle(`a${call}`, [chargeOf(open, 1n)])).toBe("queued")
    }
    expect(overflowed).toEqual(["org_1"])
    expect(logged.map(([level]) => level)).toEqual(["warn", "error"])
    // Five calls still run; what the ledger has to tell is owed by none of them.
    expect(guard.stats()).toMatchObject({ waiting: 1, dropped: 5, localCalls: 6 })
    store.asked.length = 0
    await comeBack()
    expect(store.asked.filter((act) => act.startsWith("settle"))).toEqual(["settle z"])
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    for (let call = 0; call < 4; call += 1) await guard.settle(`b${call}`, [chargeOf(open, 1n)])
    expect(overflowed).toEqual(["org_1", "org_1"])
  })

  it("is bounded by holds, not by how often one of them is settled", async () => {
    const { store, guard, goAway, overflowed } = guarded({ waitingMax: 1 })
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    await guard.settle("a", [chargeOf(open, 1n)])
    await guard.settle("a", [chargeOf(open, 1n)])
    expect([guard.stats().waiting, overflowed]).toEqual([1, []])
  })

  it("goes there after ten minutes, before the store could forget that it was done", async () => {
    const { store, guard, reserve, goAway, comeBack, overflowed } = guarded()
    store.mode = "losing"
    await goAway(chargeOf(open, 1n))
    await reserve("a", chargeOf(open, 1n))
    await guard.settle("a", [chargeOf(open, 1n)])
    await vi.advanceTimersByTimeAsync(10 * 60_000 + 6_000)
    store.asked.length = 0
    await comeBack()
    expect(overflowed).toEqual(["org_1"])
    expect(store.asked).not.toContain("settle a")
    expect(guard.stats()).toMatchObject({ isAway: false, waiting: 0, dropped: 1 })
  })

  it("goes there when a store that takes others refuses it time and again, and keeps nobody away", async () => {
    const { store, guard, reserve, goAway, overflowed } = guarded()
    store.mode = "failing"
    await goAway(chargeOf(open, 1n))
    await reserve("poison", chargeOf(open, 1n))
    await guard.settle("poison", [chargeOf(open, 1n)])
    const settle = store.settle.bind(store)
    vi.spyOn(store, "settle").mockImplementation((id, actual) =>
      id === "poison" ? Promise.reject(new Error("not for me")) : settle(id, actual),
    )
    store.mode = "ok"
    await reserve("z", chargeOf(other, 1n))
    await guard.settle("z", [chargeOf(other, 1n)])
    await vi.advanceTimersByTimeAsync(6_000)
    expect(guard.isAway).toBe(false)
    for (let call = 0; call < 4; call += 1) {
      expect(overflowed).toEqual([])
      expect(await guard.settle(`z${call}`, [chargeOf(other, 1n)])).toBe("unknown")
      await vi.advanceTimersByTimeAsync(2_000)
    }
    expect(overflowed).toEqual(["org_1"])
    expect(guard.stats()).toMatchObject({ isAway: false, waiting: 0, outages: 1 })
  })

  it("is sent once more at the stop, and goes to the ledger where the store is still away", async () => {
    const away = guarded()
    away.store.mode = "failing"
    await away.goAway(chargeOf(open, 1n))
    await away.reserve("a", chargeOf(open, 1n))
    await away.guard.settle("a", [chargeOf(open, 1n)])
    await away.guard.stop()
    expect(away.overflowed).toEqual(["org_1"])

    const hung = guarded()
    hung.store.mode = "silent"
    const underWay = hung.guard.settle("a", [chargeOf(open, 1n)])
    await hung.guard.stop()
    expect(await isImmediate(underWay)).toBe(true)
    expect(hung.overflowed).toEqual(["org_1"])

    const back = guarded()
    back.store.mode = "failing"
    await back.goAway(chargeOf(open, 1n))
    await back.reserve("a", chargeOf(open, 1n))
    await back.guard.settle("a", [chargeOf(open, 1n)])
    back.store.mode = "ok"
    await back.guard.stop()
    expect(back.overflowed).toEqual([])
    expect(await back.totals(chargeOf(open, 0n))).toEqual({ settled: 1n, held: 0n })
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe("while the store is refilled from the ledger", () => {
  it("reserves follow the policy of a store that is away, settles are left to the ledger, nothing is logged", async () => {
    const { store, guard, reserve, logged } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.isRecovering = true
    expect(await reserve("a", chargeOf(closed, 1n))).toMatchObject({ kind: "away", reason: "policy" })
    expect((await reserve("b", chargeOf(budget, 50n))).kind).toBe("held")
    expect((await reserve("c", chargeOf(budget, 1n))).kind).toBe("away")
    expect(await guard.settle("b", [chargeOf(budget, 20n)])).toBe("recovering")
    // What it used is in the ledger, and still part of this proxy's share.
    expect((await reserve("d", chargeOf(budget, 31n))).kind).toBe("away")
    expect((await reserve("e", chargeOf(budget, 30n))).kind).toBe("held")
    expect(guard.stats()).toMatchObject({ isAway: false, failures: 0, waiting: 0 })
    expect(logged).toEqual([])
    store.isRecovering = false
    expect(await guard.settle("e", [chargeOf(budget, 3n)])).toBe("unknown")
    expect(await reserve("f", chargeOf(budget, 1n))).toMatchObject({ kind: "held", counters: [{ settled: 3n }] })
  })

  it("an organization that was counted again is away no more: what it saw before is too old for the next time", async () => {
    const { store, reserve } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    await vi.advanceTimersByTimeAsync(4_000)
    store.isRecovering = true
    expect((await reserve("a", chargeOf(budget, 1n))).kind).toBe("held")
    store.isRecovering = false
    await reserve("b", chargeOf(open, 1n))
    await vi.advanceTimersByTimeAsync(3_000)
    store.mode = "failing"
    expect(await reserve("c", chargeOf(budget, 1n))).toMatchObject({ kind: "away", reason: "unseen" })
  })

  it("an outage goes on: a store that comes back empty leaves the shares as they were", async () => {
    const { store, reserve, goAway, comeBack } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    await vi.advanceTimersByTimeAsync(20_000)
    store.isRecovering = true
    await comeBack()
    expect((await reserve("a", chargeOf(budget, 50n))).kind).toBe("held")
    await vi.advanceTimersByTimeAsync(4_000)
    expect(await reserve("b", chargeOf(budget, 1n))).toMatchObject({ kind: "away", reason: "share" })
  })
})

describe("a store that answers and takes nothing", () => {
  it("is away until it takes something again, though nothing waits for it", async () => {
    const { guard, store, reserve, logged, comeBack } = guarded()
    await reserve("seen", chargeOf(budget, 1n))
    store.mode = "refusing"
    for (let index = 0; index < 5; index += 1) await reserve(`a${index}`, chargeOf(budget, 1n))
    for (let passed = 0; passed < 10; passed += 1) {
      await vi.advanceTimersByTimeAsync(1_000)
      await reserve(`b${passed}`, chargeOf(budget, 1n))
    }
    expect(guard.stats()).toMatchObject({ isAway: true, outages: 1, waiting: 0 })
    await comeBack()
    expect(logged.map(([level]) => level)).toEqual(["warn", "info"])
  })

  it("is asked by a settle to nothing, which leaves no charge", async () => {
    const { store, totals, reserve, goAway, comeBack } = guarded()
    await reserve("seen", chargeOf(open, 7n))
    store.mode = "refusing"
    await goAway(chargeOf(open, 1n))
    const asked = store.asked.length
    await comeBack()
    expect(store.asked.slice(asked)).toEqual([expect.stringMatching(/^settle probe_\w{16}$/)])
    expect(await totals(chargeOf(open, 0n))).toEqual({ settled: 0n, held: 7n })
  })
})

describe("a limit that refuses nothing, while the store is away", () => {
  it.each(["soft", "shadow"] as const)(
    "%s lets calls pass whatever its policy, and gets what they used later",
    async (enforcement) => {
      const { guard, store, reserve, comeBack } = guarded()
      const lenient = [closed, budget].map((limit) => ({ ...limit, enforcement }))
      const charges = lenient.map((limit) => chargeOf(limit, 500n))
      store.mode = "silent"
      const first = Array.from({ length: 5 }, (_, index) => reserve(`a${index}`, ...charges))
      await vi.advanceTimersByTimeAsync(175)
      expect((await Promise.all(first)).every(({ kind }) => kind === "held")).toBe(true)
      expect(guard.isAway).toBe(true)
      expect(await reserve("b", ...charges)).toEqual({ kind: "held", counters: [] })
      expect(await reserve("c", ...charges, chargeOf(closed, 1n))).toMatchObject({ kind: "away", denied: 2 })
      const used = lenient.map((limit) => chargeOf(limit, 120n))
      for (const id of ["a0", "a1", "a2", "a3", "a4", "b"]) expect(await guard.settle(id, used)).toBe("queued")
      await comeBack()
      expect(await store.read(used)).toMatchObject([{ settled: 720n }, { settled: 720n }])
    },
  )
})

it("a call whose hold was made unheard of and has expired since is refused, and not charged", async () => {
  const under = guarded({ isPatient: true })
  under.store.mode = "losing"
  const asked = under.reserve("a", chargeOf(closed, 10n))
  await vi.advanceTimersByTimeAsync(180)
  vi.setSystemTime(Date.now() + LEASE_MS)
  void under.store.sweep()
  under.store.mode = "ok"
  await vi.advanceTimersByTimeAsync(100)
  expect(await asked).toMatchObject({ kind: "away", reason: "policy" })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(await under.totals(chargeOf(closed, 0n))).toEqual(NOTHING)
})

it("of two settles of one call that wait, the first counts, as it does in a store that answers", async () => {
  const under = guarded()
  await under.reserve("a", chargeOf(budget, 60n))
  under.store.mode = "failing"
  await under.goAway(chargeOf(budget, 0n))
  expect(await under.guard.settle("a", [chargeOf(budget, 30n)])).toBe("queued")
  expect(await under.guard.settle("a", [chargeOf(budget, 50n)])).toBe("queued")
  await under.comeBack()
  expect(await under.totals(chargeOf(budget, 0n))).toEqual({ settled: 30n, held: 0n })
})

it("a proxy that is back before another one may pass a cap by that one's share, and by no more, until it is told", async () => {
  const first = guarded({ proxiesMax: () => 2 })
  const second = guarded({ proxiesMax: () => 2 }, new FaultyStore(first.store))
  await first.reserve("sight_of_first", chargeOf(budget, 0n))
  await second.reserve("sight_of_second", chargeOf(budget, 0n))
  first.store.mode = "failing"
  for (const proxy of [first, second]) {
    await proxy.goAway(chargeOf(budget, 0n))
    expect(await proxy.reserve(`local_${proxy === first}`, chargeOf(budget, 50n))).toMatchObject({ kind: "held" })
    expect(await proxy.guard.settle(`local_${proxy === first}`, [chargeOf(budget, 50n)])).toBe("queued")
    expect(await proxy.reserve("more", chargeOf(budget, 1n))).toMatchObject({ kind: "away", reason: "share" })
  }
  second.store.mode = "failing"
  await first.comeBack()
  expect(await first.reserve("through_the_store", chargeOf(budget, 50n))).toMatchObject({ kind: "held" })
  expect(await first.reserve("one_more", chargeOf(budget, 1n))).toMatchObject({ kind: "denied" })
  await second.comeBack()
  expect(await first.totals(chargeOf(budget, 0n))).toEqual({ settled: 100n, held: 50n })
})

it("a rolling window is shared out by what was seen left of all its days, and not anew on a new day", async () => {
  const { store, reserve, goAway } = guarded()
  const rolling = limitOf({ id: "lim_roll", window: "rolling", anchorDay: 3, cap: 100n })
  const today = { limit: rolling, window: "2026-11-23~3", resetsAtMs: START_MS + 60_000 }
  const yesterday = { limit: rolling, window: "2026-11-22~3", resetsAtMs: START_MS }
  await reserve("before", { ...yesterday, amount: 60n })
  await reserve("seen", { ...today, amount: 0n })
  store.mode = "silent"
  await goAway({ ...today, amount: 0n })
  // 40 are left, and two proxies share them.
  expect(await reserve("a", { ...today, amount: 20n })).toMatchObject({ kind: "held" })
  expect(await reserve("b", { ...today, amount: 1n })).toMatchObject({ kind: "away", reason: "share" })
  await vi.advanceTimersByTimeAsync(61_000)
  const tomorrow = { limit: rolling, window: "2026-11-24~3", resetsAtMs: START_MS + 60_000 + 86_400_000, amount: 1n }
  expect(await reserve("c", tomorrow)).toMatchObject({ kind: "away", reason: "unseen" })
})

describe("a call that would be refused for want of the store", () => {
  const waiting = () => guarded({ isPatient: true })

  it("waits out a moment's silence, and is held once, though the store had taken its first hold", async () => {
    const { store, reserve, totals, guard } = waiting()
    store.mode = "losing"
    const replies = Promise.all(Array.from({ length: 16 }, (_, index) => reserve(`a${index}`, chargeOf(budget, 2n))))
    await vi.advanceTimersByTimeAsync(300)
    expect(guard.isAway).toBe(true)
    store.mode = "ok"
    await vi.advanceTimersByTimeAsync(1_000)
    expect((await replies).map(({ kind }) => kind)).toEqual(Array(16).fill("held"))
    expect(await totals(chargeOf(budget, 0n))).toEqual({ settled: 0n, held: 32n })
    expect(guard.stats()).toMatchObject({ refusedAway: 0, waiting: 0, localCalls: 0 })
  })

  it("is refused after a second and a half of silence, and whoever comes later does not wait", async () => {
    const { store, reserve, guard } = waiting()
    store.mode = "silent"
    const first = reserve("a", chargeOf(closed, 1n))
    await vi.advanceTimersByTimeAsync(1_400)
    expect(await isImmediate(first)).toBe(false)
    await vi.advanceTimersByTimeAsync(400)
    expect(await first).toMatchObject({ kind: "away", reason: "policy" })
    await Promise.all(Array.from({ length: 5 }, (_, index) => [reserve(`b${index}`, chargeOf(open, 1n))]))
    await vi.advanceTimersByTimeAsync(200)
    expect(guard.isAway).toBe(true)
    expect(await isImmediate(reserve("c", chargeOf(closed, 1n)))).toBe(true)
    expect(guard.stats()).toMatchObject({ refusedAway: 2 })
  })

  it("leaves no hold behind where it is refused after all", async () => {
    const { store, reserve, totals, comeBack } = waiting()
    store.mode = "losing"
    const refused = reserve("a", chargeOf(closed, 7n))
    await vi.advanceTimersByTimeAsync(2_400)
    expect(await refused).toMatchObject({ kind: "away" })
    await comeBack()
    expect(await totals(chargeOf(closed, 0n))).toEqual({ settled: 0n, held: 0n })
  })

  it("is refused by the limit itself where the store says so when it is back", async () => {
    const { store, reserve, totals } = waiting()
    await reserve("full", chargeOf(closed, 100n))
    store.mode = "failing"
    const reply = reserve("a", chargeOf(closed, 1n))
    await vi.advanceTimersByTimeAsync(20)
    store.mode = "ok"
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await reply).toMatchObject({ kind: "denied", denied: 0 })
    expect(await totals(chargeOf(closed, 0n))).toEqual({ settled: 0n, held: 100n })
  })

  it("waits for counters that are being filled, and does not keep a process that stops", async () => {
    const { store, guard, reserve } = waiting()
    store.isRecovering = true
    const reply = reserve("a", chargeOf(closed, 1n))
    await vi.advanceTimersByTimeAsync(500)
    store.isRecovering = false
    await vi.advanceTimersByTimeAsync(50)
    expect((await reply).kind).toBe("held")
    store.isRecovering = true
    const atStop = reserve("b", chargeOf(closed, 1n))
    await vi.advanceTimersByTimeAsync(100)
    await guard.stop()
    await vi.advanceTimersByTimeAsync(50)
    expect(await atStop).toMatchObject({ kind: "away", isRecovering: true })
  })
})

describe("a hold that grows as its stream flows", () => {
  const grow = (guard: ReturnType<typeof guarded>["guard"], id: string, amount: bigint, limit = budget) =>
    guard.extend(id, [chargeOf(limit, amount)])

  it("grows in the store while that answers, all or nothing", async () => {
    const { guard, reserve, totals } = guarded()
    await reserve("a", chargeOf(budget, 60n))
    expect(await grow(guard, "a", 40n)).toMatchObject({ kind: "held" })
    expect(await grow(guard, "a", 1n)).toMatchObject({ kind: "denied", denied: 0 })
    await guard.settle("a", [chargeOf(budget, 70n)])
    expect(await totals(chargeOf(budget, 0n))).toEqual({ settled: 70n, held: 0n })
  })

  it("grows within this proxy's share while the store is away, and all it used is charged afterwards", async () => {
    const { guard, store, reserve, goAway, comeBack, totals } = guarded()
    await reserve("held", chargeOf(budget, 20n), chargeOf(open, 5n))
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    // 80 are left, and two proxies share them.
    expect(await grow(guard, "held", 30n)).toMatchObject({ kind: "held" })
    expect(await grow(guard, "held", 11n)).toMatchObject({ kind: "away", reason: "share" })
    expect(await grow(guard, "held", 10n)).toMatchObject({ kind: "held" })
    expect(await reserve("other", chargeOf(budget, 1n))).toMatchObject({ kind: "away", reason: "share" })
    expect(await grow(guard, "refused", 1n, closed)).toMatchObject({ kind: "away", reason: "policy" })
    await guard.settle("held", [chargeOf(budget, 55n), chargeOf(open, 5n)])
    await guard.settle("seen", [chargeOf(budget, 0n)])
    await comeBack()
    expect(await totals(chargeOf(budget, 0n))).toEqual({ settled: 55n, held: 0n })
    expect(guard.stats()).toMatchObject({ waiting: 0, localCalls: 0 })
  })

  it("grows here once it began here, also when the store is back", async () => {
    const { guard, store, reserve, goAway, comeBack, totals } = guarded()
    await reserve("seen", chargeOf(budget, 0n))
    store.mode = "failing"
    await goAway(chargeOf(closed, 1n))
    expect((await reserve("a", chargeOf(budget, 10n))).kind).toBe("held")
    await comeBack()
    // What was seen before the outage is too old by now.
    expect((await grow(guard, "a", 10n)).kind).toBe("away")
    await reserve("fresh", chargeOf(budget, 0n))
    expect((await grow(guard, "a", 10n)).kind).toBe("held")
    expect((await grow(guard, "a", 31n)).kind).toBe("away")
    await guard.settle("a", [chargeOf(budget, 20n)])
    for (const id of ["seen", "fresh"]) await guard.settle(id, [chargeOf(budget, 0n)])
    expect(await totals(chargeOf(budget, 0n))).toEqual({ settled: 20n, held: 0n })
  })

  it.each([
    ["settled", (guard: ReturnType<typeof guarded>["guard"]) => guard.settle("a", [chargeOf(budget, 20n)])],
    ["released", (guard: ReturnType<typeof guarded>["guard"]) => guard.release("org_1", "a")],
  ])("grows nowhere when its call is %s before the store has answered", async (_, end) => {
    const { guard, store, reserve } = guarded()
    await reserve("a", chargeOf(budget, 20n))
    store.mode = "silent"
    const growing = grow(guard, "a", 40n)
    const ended = end(guard)
    await vi.advanceTimersByTimeAsync(200)
    expect(await growing).toEqual({ kind: "done" })
    await ended
    expect(guard.stats()).toMatchObject({ localCalls: 0, admittedLocally: 0 })
  })

  it("is decided here while the counters are being filled", async () => {
    const { guard, store, reserve } = guarded()
    await reserve("a", chargeOf(budget, 20n))
    const extend = store.extend.bind(store)
    store.extend = async () => ({ kind: "recovering" })
    expect((await grow(guard, "a", 40n)).kind).toBe("held")
    expect((await grow(guard, "a", 1n)).kind).toBe("away")
    store.extend = extend
  })
})

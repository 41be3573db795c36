import { describe, expect, it } from "vitest"
import { MemoryCounters } from "../../src/admission/memory-counters.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { chargeOf, describeLimitStore, limitOf } from "../contract/limit-store.ts"
import { describeLimitStoreModel } from "../contract/limit-store-model.ts"

const START_MS = Date.UTC(2026, 10, 23, 12)
const DAY_MS = 86_400_000

function steppedClock(startMs = START_MS) {
  let nowMs = startMs
  return {
    nowMs: () => nowMs,
    advance(ms: number) {
      nowMs += ms
    },
  }
}

describeLimitStore("the in-process store", () => {
  const clock = steppedClock()
  const store = new MemoryLimitStore(clock.nowMs)
  return { store, clock, seed: (rows) => store.seed(rows) }
})

describeLimitStoreModel("the in-process store", 400, (startMs) => {
  let nowMs = startMs
  return {
    store: new MemoryLimitStore(() => nowMs),
    setClock(ms) {
      nowMs = ms
    },
  }
})

describe("the in-process store over time", () => {
  it("forgets finished ids after half an hour, not before", async () => {
    const clock = steppedClock()
    const store = new MemoryLimitStore(clock.nowMs)
    const charge = chargeOf(limitOf(), 10n)
    await store.reserve("a", "proxy_1", 60_000, [charge])
    await store.settle("a", [charge])
    clock.advance(30 * 60_000 - 1)
    await store.sweep()
    expect(await store.settle("a", [charge])).toBe("done")
    clock.advance(10 * 60_000 + 1)
    await store.sweep()
    expect(await store.settle("a", [charge])).toBe("unknown")
  })

  it("survives a clock that is set back: a rate drains on from there and loses nothing", async () => {
    const clock = steppedClock()
    const store = new MemoryLimitStore(clock.nowMs)
    const rate = limitOf({ window: "minute", cap: 60n })
    await store.reserve("a", "proxy_1", 60_000, [chargeOf(rate, 60n)])
    clock.advance(-3_600_000)
    expect(await store.read([chargeOf(rate, 0n)])).toEqual([{ settled: 60n, held: 0n, emptyInMs: 60_000 }])
    clock.advance(30_000)
    expect(await store.read([chargeOf(rate, 0n)])).toEqual([{ settled: 30n, held: 0n, emptyInMs: 30_000 }])
  })

  it("keeps the counter of a call that runs for days, and drops it once the call has ended", async () => {
    const clock = steppedClock()
    const store = new MemoryLimitStore(clock.nowMs)
    const charge = chargeOf(limitOf({ window: "day" }), 10n, "2026-11-23", START_MS + DAY_MS / 2)
    const settled = async () => (await store.read([charge]))[0]?.settled
    await store.reserve("a", "proxy_1", 60_000, [charge])
    await store.renew("org_1", ["a"], 10 * DAY_MS)
    clock.advance(5 * DAY_MS)
    for (let round = 0; round < 3; round += 1) await store.sweep()
    await store.settle("a", [charge])
    expect(await settled()).toBe(10n)
    for (let round = 0; round < 3; round += 1) await store.sweep()
    expect(await settled()).toBe(0n)
  })

  it("takes a clock with fractions of a millisecond", async () => {
    const store = new MemoryLimitStore(() => START_MS + 0.75)
    const reply = await store.reserve("a", "proxy_1", 60_000, [chargeOf(limitOf({ window: "minute" }), 1n)])
    expect(reply.kind).toBe("held")
  })
})

describe("the counters in memory", () => {
  const day = limitOf({ window: "day" })
  const endsAtMs = START_MS + 43_200_000
  const dayCharge = chargeOf(day, 5n, "2026-11-23", endsAtMs)

  it("keep a past window for two days and drop it then", () => {
    const counters = new MemoryCounters()
    counters.of(dayCharge, START_MS).settled = 5n
    counters.dropSome(endsAtMs + 2 * DAY_MS - 1)
    expect(counters.size).toBe(1)
    counters.dropSome(endsAtMs + 2 * DAY_MS)
    counters.dropSome(endsAtMs + 2 * DAY_MS)
    expect(counters.size).toBe(0)
  })

  it("learn the end of a seeded window from its first charge", () => {
    const counters = new MemoryCounters()
    counters.seed([{ limitId: day.id, subject: day.subject, window: "2026-11-23", settled: 7n }], START_MS)
    counters.of(dayCharge, START_MS)
    for (let round = 0; round < 3; round += 1) counters.dropSome(endsAtMs + 2 * DAY_MS)
    expect(counters.size).toBe(0)
  })

  it("never drop a counter under a live hold, nor a lifetime budget that was used", () => {
    const counters = new MemoryCounters()
    counters.of(dayCharge, START_MS).liveHolds = 1
    counters.of(chargeOf(limitOf({ id: "lim_life" }), 1n), START_MS).settled = 1n
    for (let round = 0; round < 3; round += 1) counters.dropSome(endsAtMs + 400 * DAY_MS)
    expect(counters.size).toBe(2)
  })

  it("drop what says nothing: denied calls, idle rates and seeded months that nobody used again", () => {
    const counters = new MemoryCounters()
    counters.takeAll([chargeOf(limitOf(), 1_000n)], START_MS)
    counters.takeAll([chargeOf(limitOf({ id: "lim_rate", window: "minute", cap: 60n }), 60n)], START_MS)
    counters.seed([{ limitId: "lim_2", subject: "key_1", window: "2026-11", settled: 7n }], START_MS)
    expect(counters.size).toBe(3)
    counters.dropSome(START_MS + 59_999)
    counters.dropSome(START_MS + 59_999)
    expect(counters.size).toBe(2)
    for (let round = 0; round < 3; round += 1) counters.dropSome(START_MS + 35 * DAY_MS)
    expect(counters.size).toBe(0)
  })

  it("keep a day for as long as a rolling window adds it", () => {
    const counters = new MemoryCounters()
    const rolling = limitOf({ window: "rolling", anchorDay: 7 })
    counters.of({ limit: rolling, window: "2026-11-23~7", resetsAtMs: endsAtMs, amount: 0n }, START_MS).settled = 1n
    const sizeAfter = (days: number) => {
      for (let round = 0; round < 3; round += 1) counters.dropSome(endsAtMs + days * DAY_MS)
      return counters.size
    }
    expect([7.9, 8].map(sizeAfter)).toEqual([1, 0])
  })

  it("keep what the ledger says of a quarter or a year for as long as it may last, although nobody uses it", () => {
    const counters = new MemoryCounters()
    const seeded = (window: string) => ({ limitId: "lim_2", subject: "key_1", window, settled: 7n })
    counters.seed(["2026-Q4", "2026-Q4@15", "2026", "2026@31", "2026-11", "2026-W48"].map(seeded), START_MS)
    const sizeAfter = (days: number) => {
      for (let round = 0; round < 3; round += 1) counters.dropSome(START_MS + days * DAY_MS)
      return counters.size
    }
    expect([33, 93, 96, 367, 370].map(sizeAfter)).toEqual([6, 4, 2, 2, 0])
  })

  it("reach every counter, however many there are, a bounded number at a time", () => {
    const counters = new MemoryCounters()
    for (let index = 0; index < 5_000; index += 1) counters.of(chargeOf(limitOf({ id: `lim_${index}` }), 1n), START_MS)
    counters.dropSome(START_MS)
    expect(counters.size).toBe(3_000)
    counters.dropSome(START_MS)
    counters.dropSome(START_MS)
    expect(counters.size).toBe(0)
  })
})

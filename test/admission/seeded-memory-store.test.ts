/** New limits in the in-process store: nobody is admitted under one whose counters are not whole. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import type { SettledAmount } from "../../src/admission/limit-store.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { SeededMemoryStore } from "../../src/admission/seeded-memory-store.ts"
import type { Limit } from "../../src/identity/limit.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"

const NOW_MS = Date.UTC(2026, 10, 23, 12)

beforeEach(() => {
  vi.useFakeTimers({ now: NOW_MS })
})
afterEach(() => {
  vi.useRealTimers()
})

function setUp(answer: () => Promise<readonly SettledAmount[]>) {
  const store = new MemoryLimitStore(() => Date.now())
  const versions = new Map<string, number>()
  const faults: unknown[] = []
  const asked: (readonly string[])[] = []
  const seeded = new SeededMemoryStore({
    store,
    version: 10,
    versionOf: (id) => versions.get(id) ?? null,
    readSeeded: (ids) => {
      asked.push(ids)
      return answer()
    },
    onFault: (error) => faults.push(error),
  })
  const reserve = (id: string, limit: Limit, amount: bigint) => {
    return seeded.reserve(id, "proxy_1", 60_000, [chargeOf(limit, amount)])
  }
  return { store, seeded, versions, faults, asked, reserve }
}

const rows = (settled: bigint) => [{ limitId: "lim_1", subject: "key_1", window: "lifetime", settled }]

describe("a limit that is new to the store", () => {
  it("keeps calls waiting until its counters are whole, and then goes by them", async () => {
    const { reserve, seeded, versions } = setUp(async () => rows(60n))
    const unseeded = limitOf({ seededVersion: null })
    const [first, second] = [reserve("a", unseeded, 30n), reserve("b", unseeded, 30n)]
    await vi.advanceTimersByTimeAsync(500)
    versions.set("lim_1", 11)
    await seeded.seed([limitOf({ seededVersion: 11 })])
    await vi.advanceTimersByTimeAsync(100)
    expect((await first).kind).toBe("held")
    expect(await second).toMatchObject({ kind: "denied", counters: [{ settled: 60n, held: 30n }] })
  })

  it("adds what the ledger has to what calls have settled that ended since it is known", async () => {
    let answer: (some: SettledAmount[]) => void = () => undefined
    const { store, seeded, versions } = setUp(() => new Promise((resolve) => (answer = resolve)))
    versions.set("lim_1", 11)
    const limit = limitOf({ seededVersion: 11 })
    const seeding = seeded.seed([limit])
    await seeded.settle("running", [chargeOf(limit, 5n)])
    answer(rows(60n))
    await seeding
    expect(await store.read([chargeOf(limit, 0n)])).toMatchObject([{ settled: 65n }])
    await seeded.seed([limit])
    expect(await store.read([chargeOf(limit, 0n)])).toMatchObject([{ settled: 65n }])
  })

  it.each([
    ["local", "away", "unseen"],
    ["deny", "away", "policy"],
  ] as const)(
    "that cannot be seeded follows on_store_failure %s after a while",
    async (onStoreFailure, kind, reason) => {
      const { reserve, versions, faults } = setUp(async () => Promise.reject(new Error("no ledger")))
      versions.set("lim_1", 11)
      const call = reserve("a", limitOf({ seededVersion: 11, onStoreFailure }), 1n)
      await vi.advanceTimersByTimeAsync(5_000)
      expect(await call).toMatchObject({ kind, reason, denied: 0, isRecovering: true })
      expect(faults.length).toBeGreaterThan(1)
    },
  )

  it.each([{ onStoreFailure: "allow" as const }, { enforcement: "soft" as const }, { enforcement: "shadow" as const }])(
    "lets calls pass at once that it would let pass while its store is away: %o",
    async (overrides) => {
      const { reserve } = setUp(async () => Promise.reject(new Error("no ledger")))
      expect((await reserve("a", limitOf({ seededVersion: null, ...overrides }), 1n)).kind).toBe("held")
    },
  )

  it.each([
    ["of a version that the store was filled from", 10],
    ["that found nothing in the ledger", -12],
    ["of before there were versions", 0],
  ])("keeps nobody waiting %s", async (_, seededVersion) => {
    const { reserve, asked } = setUp(async () => rows(60n))
    expect((await reserve("a", limitOf({ seededVersion }), 100n)).kind).toBe("held")
    expect(asked).toEqual([])
  })

  it("that found nothing still gets what calls used which ended a moment before", async () => {
    const { store, seeded, versions } = setUp(async () => rows(3n))
    versions.set("lim_1", -12)
    const limit = limitOf({ seededVersion: -12 })
    await seeded.seed([limit])
    expect(await store.read([chargeOf(limit, 0n)])).toMatchObject([{ settled: 3n }])
  })
})

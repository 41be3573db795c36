import { afterEach, expect, it, vi } from "vitest"
import { Admission, type AdmissionOptions, type HeldCall } from "../../src/admission/admit.ts"
import type { LimitStore } from "../../src/admission/limit-store.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import type { Limit } from "../../src/identity/limit.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"
import { guarded } from "../support/guarded-store.ts"

const LEASE_MS = 60_000
const START_MS = Date.UTC(2026, 10, 23, 12)
const ESTIMATE = { requests: 1n, tokensBound: 50n, tokensLikely: 10n, costNanosBound: 400n }
const ACTUAL = { requests: 1n, tokens: 20n, costNanos: 150n }

const day = limitOf({ id: "lim_day", window: "day", cap: 100n })
const money = limitOf({ id: "lim_usd", kind: "usd", window: "month", cap: 1_000n })
const rate = limitOf({ id: "lim_rate", kind: "requests", window: "minute", cap: 1n })
const slots = limitOf({ id: "lim_slots", kind: "concurrency", window: "none", cap: 1n })

afterEach(() => {
  vi.useRealTimers()
})

function setUp(options: Partial<AdmissionOptions> & { readonly store?: LimitStore } = {}) {
  const time = { nowMs: START_MS }
  const store = options.store ?? new MemoryLimitStore(() => time.nowMs)
  const faults: unknown[] = []
  const admission = new Admission({
    store,
    nowMs: () => time.nowMs,
    owner: "proxy_1",
    leaseMs: LEASE_MS,
    onFault: (error, act) => faults.push([act, error]),
    ...options,
  })
  let calls = 0
  const admit = (...limits: Limit[]) => {
    calls += 1
    return admission.admit({ holdId: `call_${calls}`, limits, estimate: ESTIMATE })
  }
  const hold = async (...limits: Limit[]): Promise<HeldCall> => {
    const admitted = await admit(...limits)
    if (admitted.kind !== "held") throw new Error("the call was refused")
    return admitted.hold
  }
  const settledOf = async (limit: Limit, window: string) =>
    (await store.read([chargeOf(limit, 0n, window)]))[0]?.settled
  return { time, store, admission, faults, admit, hold, settledOf }
}

it("a refusal names the limit, its window, used, held, cap, what was asked and when it resets, and holds nothing", async () => {
  const { admission, store, hold, admit } = setUp()
  await admission.settle(await hold(day), ACTUAL)
  await hold(day)
  const admitted = await admit(money, day)
  expect(admitted).toMatchObject({
    kind: "refused",
    refusal: {
      limit: day,
      windowId: "2026-11-23",
      used: 20n,
      held: 50n,
      cap: 100n,
      requested: 50n,
      resetsAtMs: Date.UTC(2026, 10, 24),
      retryAfterMs: null,
      isBudget: true,
    },
  })
  expect(admitted.kind === "refused" && admitted.charges.map(({ limit }) => limit.id)).toEqual(["lim_usd", "lim_day"])
  expect(await store.holds(10)).toHaveLength(1)
})

it("a full rate says how long to wait; calls in flight say so too; neither is a budget", async () => {
  const { hold, admit } = setUp()
  await hold(rate)
  expect(await admit(rate)).toMatchObject({ refusal: { isBudget: false, retryAfterMs: 60_000, resetsAtMs: null } })
  await hold(slots)
  expect(await admit(slots)).toMatchObject({ refusal: { isBudget: false, held: 1n, retryAfterMs: 1_000 } })
})

it("an exhausted budget is named before a full rate, since waiting for the rate would not help", async () => {
  const { hold, admit } = setUp()
  await hold(rate, day)
  await hold(day)
  expect(await admit(rate, slots, day)).toMatchObject({ refusal: { limit: day, isBudget: true, retryAfterMs: null } })
})

it("waiting for a budget is advised in the last minute of its window only, and never for a call above its cap", async () => {
  const { time, hold, admit } = setUp()
  time.nowMs = Date.UTC(2026, 10, 23, 23, 59, 0)
  await hold(day)
  await hold(day)
  expect(await admit(day)).toMatchObject({ refusal: { retryAfterMs: null } })
  time.nowMs += 1
  expect(await admit(day)).toMatchObject({ refusal: { retryAfterMs: 59_999 } })
  expect(await admit({ ...day, id: "lim_tiny", cap: 49n })).toMatchObject({ refusal: { retryAfterMs: null } })
})

it("the hundredth concurrent call against a budget for ten finds ten held", async () => {
  const { admit } = setUp()
  const ten = limitOf({ id: "lim_ten", window: "month", cap: 500n })
  const admitted = await Promise.all(Array.from({ length: 100 }, () => admit(ten, money)))
  // The money budget of 1,000 has room for two calls of 400.
  expect(admitted.filter(({ kind }) => kind === "held")).toHaveLength(2)
  const alone = await Promise.all(Array.from({ length: 100 }, () => admit({ ...ten, id: "lim_alone" })))
  expect(alone.filter(({ kind }) => kind === "held")).toHaveLength(10)
})

it("a hold id that was used before is a fault, not an admission", async () => {
  const { admission, hold } = setUp()
  const held = await hold(day)
  await admission.settle(held, ACTUAL)
  const again = admission.admit({ holdId: held.id, limits: [day], estimate: ESTIMATE })
  await expect(again).rejects.toThrow(/used before/)
})

it("settling charges the truth once, in the window of admission even after midnight", async () => {
  const { time, admission, hold, settledOf } = setUp()
  time.nowMs = Date.UTC(2026, 10, 23, 23, 59, 59)
  const held = await hold(day, money)
  time.nowMs += 2_000
  expect(await admission.settle(held, ACTUAL)).toBe("settled")
  expect(await admission.settle(held, ACTUAL)).toBe("done")
  expect(await settledOf(day, "2026-11-23")).toBe(20n)
  expect(await settledOf(day, "2026-11-24")).toBe(0n)
  expect(await settledOf(money, "2026-11")).toBe(150n)
})

it("a release gives everything back, even when the hold had expired and was charged in full", async () => {
  const { time, store, admission, hold, settledOf } = setUp()
  await admission.release(await hold(day))
  const late = await hold(day)
  time.nowMs += LEASE_MS
  await admission.sweep()
  expect(await settledOf(day, "2026-11-23")).toBe(50n)
  await admission.release(late)
  expect(await settledOf(day, "2026-11-23")).toBe(0n)
  await admission.release(late)
  expect(await settledOf(day, "2026-11-23")).toBe(0n)
  expect(await store.holds(10)).toEqual([])
})

it("a call without limits is admitted without asking the store, and can be settled and released", async () => {
  const broken = new Proxy({} as LimitStore, {
    get: () => () => Promise.reject(new Error("the store is away")),
  })
  const { admission, hold, admit } = setUp({ store: broken })
  const held = await hold()
  expect(await admission.settle(held, ACTUAL)).toBe("settled")
  await admission.release(held)
  expect(await admission.renewAll()).toBe(0)
  await expect(admit(day)).rejects.toThrow("the store is away")
})

it("one store call renews all live holds of the process; expired ones stay known until their calls end", async () => {
  const { time, store, admission, hold } = setUp()
  const renew = vi.spyOn(store, "renew")
  const ended = await hold(money)
  const [first, second] = [await hold(day), await hold(day)]
  await admission.settle(ended, ACTUAL)
  time.nowMs += LEASE_MS - 1
  expect(await admission.renewAll()).toBe(0)
  expect(renew.mock.calls).toEqual([["org_1", ["call_2", "call_3"], LEASE_MS]])
  time.nowMs += LEASE_MS
  expect(await admission.sweep()).toBe(2)
  expect(await admission.renewAll()).toBe(2)
  expect(admission.liveHolds("org_1").map(({ id }) => id)).toEqual([first.id, second.id])
  expect(await admission.settle(first, ACTUAL)).toBe("late")
  await admission.release(second)
  expect(await admission.renewAll()).toBe(0)
  expect(renew).toHaveBeenCalledTimes(2)
})

it("started, it keeps its holds alive and frees those of the dead; stopped, it does nothing more", async () => {
  vi.useFakeTimers({ now: START_MS })
  const { admission, store, hold } = setUp({ nowMs: () => Date.now(), store: new MemoryLimitStore(() => Date.now()) })
  await store.reserve("orphan", "proxy_dead", LEASE_MS, [chargeOf(money, 1n, "2026-11")])
  await hold(day)
  admission.start()
  admission.start()
  expect(vi.getTimerCount()).toBe(2)
  await vi.advanceTimersByTimeAsync(5 * LEASE_MS)
  expect((await store.holds(10)).map(({ id }) => id)).toEqual(["call_1"])
  admission.stop()
  expect(vi.getTimerCount()).toBe(0)
})

it("a renewal or sweep that fails is told, and tried again", async () => {
  vi.useFakeTimers({ now: START_MS })
  const { admission, store, faults, hold } = setUp()
  await hold(day)
  const away = new Error("the store is away")
  const renew = vi.spyOn(store, "renew").mockRejectedValueOnce(away)
  vi.spyOn(store, "sweep").mockRejectedValueOnce(away)
  admission.start()
  await vi.advanceTimersByTimeAsync(30_000)
  admission.stop()
  expect(faults).toEqual([
    ["sweep", away],
    ["renew", away],
  ])
  expect(renew).toHaveBeenCalledTimes(2)
})

it("behind a guard, a store that is away is no fault: each limit's policy decides, and what was used is charged later", async () => {
  vi.useFakeTimers({ now: START_MS })
  const { guard, store } = guarded()
  store.mode = "failing"
  const nowMs = () => Date.now()
  const admission = new Admission({
    store: guard,
    nowMs,
    owner: "proxy_1",
    onFault: (error) => expect.fail(`${error}`),
  })
  const open = { ...day, id: "lim_open", onStoreFailure: "allow" } as const
  const closed = { ...day, id: "lim_closed", onStoreFailure: "deny" } as const
  const admit = (holdId: string, ...limits: Limit[]) => admission.admit({ holdId, limits, estimate: ESTIMATE })
  expect(await admit("call_1", open, closed)).toEqual({
    kind: "away",
    refusal: { limit: closed, reason: "policy", retryAfterMs: 1_000 },
  })
  const [used, unused] = [await admit("call_2", open), await admit("call_3", open)]
  if (used.kind !== "held" || unused.kind !== "held") throw new Error("the calls were refused")
  expect(used.counters).toEqual([])
  expect(await admission.settle(used.hold, ACTUAL)).toBe("queued")
  await admission.release(unused.hold)
  expect([await admission.renewAll(), await admission.sweep()]).toEqual([0, 0])
  store.mode = "ok"
  await vi.advanceTimersByTimeAsync(6_000)
  expect(await store.read([chargeOf(open, 0n, "2026-11-23")])).toMatchObject([{ settled: 20n, held: 0n }])
  expect(await store.read([chargeOf(closed, 0n, "2026-11-23")])).toMatchObject([{ settled: 0n, held: 0n }])
  expect(await store.holds(10)).toEqual([])
})

it("soft limits warn from their first threshold on, with the call in them; shadow ones say nothing and are counted", async () => {
  const { admission, admit } = setUp()
  const soft = limitOf({ id: "lim_soft", cap: 200n, enforcement: "soft", thresholds: [50] })
  const shadow = limitOf({ id: "lim_shadow", cap: 120n, enforcement: "shadow" })
  const hard = limitOf({ id: "lim_hard", cap: 1_000n })
  const warned = []
  for (let calls = 0; calls < 5; calls += 1) {
    const admitted = await admit(hard, shadow, soft)
    if (admitted.kind !== "held") throw new Error("a limit that refuses nothing has refused")
    warned.push(admitted.warnings.map(({ limit, used }) => `${limit.id} ${used}`))
  }
  expect(warned).toEqual([[], ["lim_soft 100"], ["lim_soft 150"], ["lim_soft 200"], ["lim_soft 250"]])
  const taken = admission.refusals.take()
  const { subject } = shadow
  const counted = { limitId: "lim_shadow", subject, windowId: "lifetime", refused: 0, shadowed: 3 }
  expect(taken).toEqual([counted])
  expect(admission.refusals.take()).toEqual([])
  admission.refusals.giveBack(taken)
  await admit(shadow)
  expect(admission.refusals.take()).toEqual([{ ...counted, shadowed: 4 }])
})

it("a refused call counts on the limit that its caller is told of, in the window of the call", async () => {
  const { admission, admit } = setUp()
  const wide = limitOf({ id: "lim_wide", cap: 1_000n })
  const full = limitOf({ id: "lim_full", cap: 10n, window: "month" })
  expect((await admit(wide, full)).kind).toBe("refused")
  const { subject } = full
  expect(admission.refusals.take()).toEqual([
    { limitId: "lim_full", subject, windowId: "2026-11", refused: 1, shadowed: 0 },
  ])
})

it("a refusal never names a limit that does not refuse, however used up it is", async () => {
  const { admit, hold } = setUp()
  const soft = { ...day, enforcement: "soft" as const }
  await hold(soft)
  await hold(soft)
  await hold(rate)
  expect(await admit(soft, rate)).toMatchObject({ kind: "refused", refusal: { limit: { id: "lim_rate" } } })
})

it("a raise lets calls pass that the limit refuses, and ends by the clock alone", async () => {
  const { time, admit } = setUp()
  const raised = { ...day, raise: { cap: 200n, untilMs: START_MS + 1_000 } }
  for (let calls = 0; calls < 4; calls += 1) expect(await admit(raised)).toMatchObject({ kind: "held" })
  expect(await admit(raised)).toMatchObject({ kind: "refused", refusal: { cap: 200n } })
  time.nowMs += 1_000
  expect(await admit(raised)).toMatchObject({ kind: "refused", refusal: { cap: 100n, held: 200n } })
})

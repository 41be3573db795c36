import { expect, it } from "vitest"
import { actualCharges, chargesFor, counterKind, recordCharges } from "../../src/admission/limits.ts"
import { LIMIT_KINDS, LIMIT_WINDOWS, type Limit, limitInForce } from "../../src/identity/limit.ts"
import { limitOf } from "../contract/limit-store.ts"

const AT_MS = Date.UTC(2026, 10, 23, 23, 30)
const ESTIMATE = { requests: 1n, tokensBound: 9_000n, tokensLikely: 700n, costNanosBound: 45_000_001n }
const ACTUAL = { requests: 1n, tokens: 812n, costNanos: 3_000_001n }

const limit = (kind: Limit["kind"], window: Limit["window"], rest: Partial<Limit> = {}) =>
  limitOf({ id: `${kind}/${window}`, kind, window, ...rest })

const ALL = [
  limit("tokens", "minute"),
  limit("tokens", "per_day"),
  limit("tokens", "day", { timeZone: "Europe/Berlin" }),
  limit("tokens", "lifetime"),
  limit("usd", "minute"),
  limit("usd", "month"),
  limit("requests", "minute"),
  limit("requests", "day"),
  limit("concurrency", "none"),
]

it("budgets hold the worst case and rates the likely one, each in the window of its own zone", () => {
  const charges = chargesFor(ALL, ESTIMATE, AT_MS)
  expect(charges.map(({ limit: { id }, window, amount }) => [id, window, amount])).toEqual([
    ["tokens/minute", "rate", 700n],
    ["tokens/per_day", "rate", 700n],
    ["tokens/day", "2026-11-24", 9_000n],
    ["tokens/lifetime", "lifetime", 9_000n],
    ["usd/minute", "rate", 45_000_001n],
    ["usd/month", "2026-11", 45_000_001n],
    ["requests/minute", "rate", 1n],
    ["requests/day", "2026-11-23", 1n],
    ["concurrency/none", "now", 1n],
  ])
  const resets = charges.map(({ resetsAtMs }) => resetsAtMs)
  const berlinEndsAtMs = Date.UTC(2026, 10, 24, 23)
  const utcEndsAtMs = Date.UTC(2026, 10, 24)
  expect(resets).toEqual([null, null, berlinEndsAtMs, null, null, Date.UTC(2026, 11, 1), null, utcEndsAtMs, null])
})

it("the truth is charged in the windows of admission, and a call that ended holds no slot", () => {
  const held = chargesFor(ALL, ESTIMATE, AT_MS)
  const actual = actualCharges(held, ACTUAL)
  expect(actual.map(({ amount }) => amount)).toEqual([812n, 812n, 812n, 812n, 3_000_001n, 3_000_001n, 1n, 1n, 0n])
  expect(actual.map(({ limit: { id }, window }) => [id, window])).toEqual(
    held.map(({ limit: { id }, window }) => [id, window]),
  )
})

it("the record carries what budgets were charged, as decimal strings, and neither rates nor slots", () => {
  const charges = recordCharges(chargesFor(ALL, ESTIMATE, AT_MS), ACTUAL)
  expect(charges).toEqual([
    { limit_id: "tokens/day", subject: "key_1", window: "2026-11-24", amount: "812" },
    { limit_id: "tokens/lifetime", subject: "key_1", window: "lifetime", amount: "812" },
    { limit_id: "usd/month", subject: "key_1", window: "2026-11", amount: "3000001" },
    { limit_id: "requests/day", subject: "key_1", window: "2026-11-23", amount: "1" },
  ])
})

it("every kind of limit in every window is counted in one of three ways", () => {
  for (const kind of LIMIT_KINDS) {
    for (const window of LIMIT_WINDOWS) {
      const expected =
        kind === "concurrency"
          ? "concurrency"
          : ["second", "minute", "hour", "per_day"].includes(window)
            ? "rate"
            : "budget"
      expect([kind, window, counterKind(limit(kind, window))]).toEqual([kind, window, expected])
    }
  }
})

it("a raise is in force until its instant and not a millisecond longer, by the same object as long as it lasts", () => {
  const raised = limit("tokens", "day", { cap: 100n, raise: { cap: 500n, untilMs: AT_MS } })
  const capAt = (atMs: number) => chargesFor([raised], ESTIMATE, atMs)[0]?.limit.cap
  expect([AT_MS - 1, AT_MS, AT_MS + 1].map(capAt)).toEqual([500n, 100n, 100n])
  expect(limitInForce(raised, AT_MS - 2)).toBe(limitInForce(raised, AT_MS - 1))
  expect(limitInForce(raised, AT_MS)).toBe(raised)
})

it("a raise that is not above the cap any more changes nothing", () => {
  const raised = limit("tokens", "day", { cap: 900n, raise: { cap: 500n, untilMs: AT_MS } })
  expect(limitInForce(raised, AT_MS - 1)).toBe(raised)
})

import { describe, expect, it } from "vitest"
import type { Charge, CounterState } from "../../src/admission/limit-store.ts"
import type { Refusal } from "../../src/admission/refusal.ts"
import { awayMessage, rateLimitHeaders, refusalMessage, warningText } from "../../src/admission/refusal-text.ts"
import type { Limit } from "../../src/identity/limit.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"

const NOW_MS = Date.UTC(2026, 10, 23, 12)

function refusalOf(limit: Partial<Limit>, rest: Partial<Refusal> = {}): Refusal {
  const full = limitOf(limit)
  return {
    limit: full,
    windowId: "lifetime",
    used: 0n,
    held: 0n,
    cap: full.cap,
    requested: 1n,
    resetsAtMs: null,
    retryAfterMs: null,
    isBudget: full.window !== "minute" && full.kind !== "concurrency",
    ...rest,
  }
}

describe("a refusal's message", () => {
  const month = {
    id: "lim_month",
    kind: "usd",
    window: "month",
    cap: 5_000_000_000n,
    timeZone: "Europe/Berlin",
  } as const
  const resetsAtMs = Date.UTC(2026, 10, 30, 23)

  it("of a money budget says used, held and cap to the nano, and when it resets where", () => {
    const refusal = refusalOf(month, { used: 4_900_000_001n, held: 50_000_000n, requested: 100_000_000n, resetsAtMs })
    expect(refusalMessage(refusal, NOW_MS)).toBe(
      "The monthly budget of key key_1 (limit lim_month) has no room for this call: $4.900000001 used and $0.05 held by running calls of $5.00, and this call needs up to $0.10. It resets at 2026-12-01T00:00:00+01:00 (Europe/Berlin), in 179h0m0s; until then, ask your Tallygate administrator to raise the limit.",
    )
  })

  it("of a call that is larger than the whole limit says that waiting does not help, and what does", () => {
    expect(refusalMessage(refusalOf(month, { requested: 1_234_567_500_000_000n, resetsAtMs }), NOW_MS)).toBe(
      "This call needs up to $1,234,567.50, more than the whole monthly budget of key key_1 (limit lim_month), which is $5.00. Waiting does not help: lower the call's max tokens or shorten its input, or ask your Tallygate administrator to raise the limit.",
    )
    expect(refusalMessage(refusalOf({ kind: "requests", window: "day", cap: 0n }), NOW_MS)).toBe(
      "This call needs up to 1 request, more than the whole daily request limit of key key_1 (limit lim_1), which is 0 requests. Waiting does not help: ask your Tallygate administrator to raise the limit.",
    )
  })

  it("of a lifetime token limit says that it never resets", () => {
    const refusal = refusalOf({ scope: "user", subject: "user_7", cap: 1_000_000n }, { used: 999_999n, requested: 2n })
    expect(refusalMessage(refusal, NOW_MS)).toBe(
      "The lifetime token limit of user user_7 (limit lim_1) has no room for this call: 999,999 tokens used and 0 tokens held by running calls of 1,000,000 tokens, and this call needs up to 2 tokens. It never resets: ask your Tallygate administrator to raise the limit.",
    )
  })

  it.each([
    ["week", 3, "weekly budget"],
    ["quarter", 1, "quarterly budget"],
    ["year", 1, "yearly budget"],
    ["rolling", 7, "7-day budget"],
  ] as const)("of a %s window calls it by its length, and says when there is room again", (window, anchorDay, name) => {
    const told = refusalMessage(
      refusalOf({ ...month, window, anchorDay }, { used: 4_950_000_000n, resetsAtMs }),
      NOW_MS,
    )
    expect(told).toContain(`The ${name} of key key_1`)
    expect(told).toContain(window === "rolling" ? "Its oldest day ends at 2026-12-01" : "It resets at 2026-12-01")
  })

  it("of a limit that counts each user apart names the user", () => {
    const apart = refusalOf({ scope: "project", subject: "proj_1 user_7", each: "user", kind: "requests", cap: 1n })
    expect(refusalMessage(apart, NOW_MS)).toContain("request limit of project proj_1 for user_7 (limit lim_1)")
  })

  it("of a daily request limit counts requests, and rounds the wait up to a second", () => {
    const refusal = refusalOf(
      { kind: "requests", window: "day", cap: 10n },
      { used: 9n, held: 1n, resetsAtMs: NOW_MS + 59_001, retryAfterMs: 59_001 },
    )
    expect(refusalMessage(refusal, NOW_MS)).toBe(
      "The daily request limit of key key_1 (limit lim_1) has no room for this call: 9 requests used and 1 request held by running calls of 10 requests. It resets at 2026-11-23T12:00:59+00:00 (UTC), in 1m0s; until then, ask your Tallygate administrator to raise the limit.",
    )
  })

  it("of a rate says when to retry", () => {
    const requests = refusalOf({ kind: "requests", window: "minute", cap: 60n }, { used: 60n, retryAfterMs: 120 })
    expect(refusalMessage(requests, NOW_MS)).toBe(
      "The request limit per minute of key key_1 (limit lim_1) has no room for this call: 60 requests used of 60 requests. Retry in 120ms, or ask your Tallygate administrator to raise the limit.",
    )
    const tokens = refusalOf({ window: "minute", cap: 6_000n }, { used: 5_999n, requested: 700n, retryAfterMs: 6_990 })
    expect(refusalMessage(tokens, NOW_MS)).toBe(
      "The token limit per minute of key key_1 (limit lim_1) has no room for this call: 5,999 tokens used of 6,000 tokens, and this call needs about 700 tokens. Retry in 6.99s, or ask your Tallygate administrator to raise the limit.",
    )
  })

  it("of calls in flight says how many run and what to wait for", () => {
    const refusal = refusalOf(
      { kind: "concurrency", window: "none", cap: 2n, scope: "project", subject: "proj_1" },
      { held: 2n },
    )
    expect(refusalMessage(refusal, NOW_MS)).toBe(
      "The limit of concurrent calls of project proj_1 (limit lim_1) has no room for this call: 2 running of 2 calls. Retry when one of the running calls has ended, or ask your Tallygate administrator to raise the limit.",
    )
  })
})

describe("rate limit headers", () => {
  const state = (settled: bigint, held = 0n, emptyInMs: number | null = null): CounterState => ({
    settled,
    held,
    emptyInMs,
  })
  const perMinute = chargeOf(limitOf({ id: "rpm", kind: "requests", window: "minute", cap: 60n }), 1n)
  const perDay = chargeOf(
    limitOf({ id: "rpd", kind: "requests", window: "day", cap: 100n }),
    1n,
    "2026-11-23",
    NOW_MS + 360_000,
  )
  const tokens = chargeOf(limitOf({ id: "tpm", window: "minute", cap: 1_000n }), 10n)
  const lifetime = chargeOf(limitOf({ id: "life", cap: 500n }), 10n)
  const headers = (charges: Charge[], counters: CounterState[]) =>
    Object.fromEntries(rateLimitHeaders(charges, counters, NOW_MS))

  it("tell limit, remaining and reset of requests and tokens", () => {
    expect(headers([perMinute, tokens], [state(1n, 0n, 1_000), state(2n, 0n, 120)])).toEqual({
      "x-ratelimit-limit-requests": "60",
      "x-ratelimit-remaining-requests": "59",
      "x-ratelimit-reset-requests": "1s",
      "x-ratelimit-limit-tokens": "1000",
      "x-ratelimit-remaining-tokens": "998",
      "x-ratelimit-reset-tokens": "120ms",
    })
  })

  it("speak of the limit with the least room, a day before a minute where the day is tighter", () => {
    expect(headers([perMinute, perDay], [state(10n, 0n, 10_000), state(60n, 5n)])).toEqual({
      "x-ratelimit-limit-requests": "100",
      "x-ratelimit-remaining-requests": "35",
      "x-ratelimit-reset-requests": "6m0s",
    })
  })

  it("never tell less than nothing, and no reset where there is none", () => {
    expect(headers([lifetime], [state(490n, 50n)])).toEqual({
      "x-ratelimit-limit-tokens": "500",
      "x-ratelimit-remaining-tokens": "0",
    })
  })

  it("say nothing where neither requests nor tokens are limited", () => {
    const usd = chargeOf(limitOf({ kind: "usd" }), 1n)
    const slots = chargeOf(limitOf({ kind: "concurrency", window: "none" }), 1n)
    expect(rateLimitHeaders([usd, slots], [state(0n), state(0n, 1n)], NOW_MS)).toEqual([])
  })

  it.each([
    [0, "0s"],
    [1, "1ms"],
    [999.2, "1s"],
    [1_500, "1.5s"],
    [60_000, "1m0s"],
    [3_600_000, "1h0m0s"],
    [93_605_250, "26h0m5.25s"],
  ])("write %d ms as %s", (ms, text) => {
    expect(headers([tokens], [state(1n, 0n, ms)])["x-ratelimit-reset-tokens"]).toBe(text)
  })
})

describe("the message of a call whose limits cannot be checked", () => {
  const limit = limitOf({ id: "lim_month", kind: "usd", window: "month", scope: "project", subject: "prj_1" })

  it("names the limit, says that it refuses by its policy, and who can change that", () => {
    expect(awayMessage({ limit, reason: "policy", retryAfterMs: 3_000 })).toBe(
      "The store that counts limits does not answer, and the monthly budget of project prj_1 (limit lim_month) lets no call pass without it. Nothing was forwarded or charged. Retry in 3s; if this lasts, ask your Tallygate administrator to check the limit store, or to set the limit's `on_store_failure` to `local`.",
    )
  })

  it("says of a local limit whether its share is used up or unknown", () => {
    expect(awayMessage({ limit, reason: "share", retryAfterMs: 1_000 })).toBe(
      "The store that counts limits does not answer, and this proxy's share of the monthly budget of project prj_1 (limit lim_month) is used up until it answers. Nothing was forwarded or charged. Retry in 1s; if this lasts, ask your Tallygate administrator to check the limit store.",
    )
    expect(awayMessage({ limit, reason: "unseen", retryAfterMs: 1_000 })).toContain(
      "and this proxy has not seen lately how much is left of the monthly budget of project prj_1 (limit lim_month). Nothing",
    )
  })
})

it("a warning says what a soft limit has used of its cap, dollars exactly", () => {
  const soft = (limit: Partial<Limit>, used: bigint) => warningText({ limit: limitOf(limit), used })
  expect(soft({ id: "lim_a", kind: "usd", cap: 5_000_000_000n }, 4_200_000_001n)).toBe("lim_a; used=4.200000001; cap=5")
  expect(soft({ id: "lim_b", kind: "requests", cap: 7n }, 8n)).toBe("lim_b; used=8; cap=7")
})

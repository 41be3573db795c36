import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { Admission } from "../../src/admission/admit.ts"
import { accountHoldId } from "../../src/admission/limits.ts"
import { MemoryLimitStore } from "../../src/admission/memory-store.ts"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import { awayMessage, refusalMessage } from "../../src/admission/refusal-text.ts"
import { accountCounters, accountSubject } from "../../src/identity/account-limit.ts"
import { countedApart } from "../../src/identity/counted-apart.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { COUNTERS, describeAccountLimits } from "../contract/account-limits.ts"
import { limitOf } from "../contract/limit-store.ts"
import { guarded } from "../support/guarded-store.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"
import { movedScripts, redisClock } from "../support/redis-clock.ts"
import { sampleKey } from "../support/sample-key.ts"

const START_MS = Date.UTC(2026, 10, 23, 12)
const scripts = movedScripts()

let server: ConnectedRedis
beforeAll(async () => {
  server = await startConnectedRedis()
})
afterAll(() => server.stop())

describeAccountLimits("the in-process store", async () => {
  let nowMs = START_MS
  const clock = {
    nowMs: () => nowMs,
    advance(ms: number) {
      nowMs += ms
    },
  }
  return { store: new MemoryLimitStore(clock.nowMs), clock }
})

describeAccountLimits("the Redis store", async () => {
  const { client } = server
  await client.flushall()
  const clock = await redisClock(client, START_MS)
  const acts = new RedisRecoveryActs({ client, proxy: "proxy_1", scripts })
  for (const counters of COUNTERS) {
    const { epoch } = await acts.begin(counters)
    await acts.load(counters, epoch, { settled: [], acks: new Map() }, START_MS)
    await acts.open(counters, epoch)
  }
  return { store: new RedisLimitStore({ client, scripts, onRecovering: () => undefined }), clock }
})

describe("while the store is away", () => {
  it("an account's limit that lets no call pass gives back what was admitted locally", async () => {
    vi.useFakeTimers()
    try {
      const under = guarded()
      const own = limitOf({ kind: "requests", window: "minute", cap: 100n })
      const account = limitOf({
        id: "lim_acct",
        scope: "provider_account",
        subject: "openai/a",
        onStoreFailure: "deny",
      })
      const onAccount = { ...account, organizationId: accountCounters("openai/a") }
      under.store.mode = "failing"
      await under.goAway({ limit: own, window: "rate", resetsAtMs: null, amount: 1n })
      const before = under.guard.stats().localCalls
      const onFault = () => undefined
      const admission = new Admission({ store: under.guard, nowMs: () => Date.now(), owner: "proxy_1", onFault })
      const estimate = { requests: 1n, tokensBound: 1n, tokensLikely: 1n, costNanosBound: 1n }
      const holdId = uuidv7Mint()(Date.now())
      const admitted = await admission.admit({ holdId, limits: [own], accountLimits: [onAccount], estimate })
      expect(admitted).toMatchObject({ kind: "away", refusal: { limit: { id: "lim_acct" }, reason: "policy" } })
      if (admitted.kind === "away")
        expect(awayMessage(admitted.refusal)).toContain("of provider account openai/a (limit")
      expect(admission.liveHolds("org_1")).toEqual([])
      await under.comeBack()
      expect(under.guard.stats().localCalls).toBe(before)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe("the names of account limits", () => {
  it("are those of the account, written so that neither a blank nor a brace is in them", () => {
    expect(accountSubject("openai", "default")).toBe("openai/default")
    expect(accountSubject("openai", "our {main} one")).toBe("openai/our%20%7Bmain%7D%20one")
    expect(accountSubject("openai", "a|b%")).toBe("openai/a%7Cb%25")
  })

  it("are read by callers who are refused, with whom the cap is counted for", () => {
    const limit = limitOf({
      scope: "provider_account",
      subject: accountSubject("openai", "our main"),
      window: "minute",
    })
    const [of] = countedApart([{ ...limit, each: "key" }], sampleKey({ id: "key_loop" }))
    if (of === undefined) throw new Error("no limit")
    const at = { windowId: "rate", used: 95n, held: 0n, cap: 100n, requested: 10n, resetsAtMs: null }
    expect(refusalMessage({ ...at, limit: of, retryAfterMs: 3_000, isBudget: false }, 0)).toMatch(
      /^The token limit per minute of provider account openai\/our main for key_loop \(limit lim_1\) has no room/,
    )
  })

  it("count for whom they say; calls without a user share one cap where each user has one", () => {
    const limit = limitOf({ scope: "provider_account", subject: "openai/a" })
    const key = sampleKey({ id: "key_1", userId: "user_1" })
    const subjectFor = (each: "organization" | "project" | "user" | "key" | "", of = key) =>
      countedApart([{ ...limit, each }], of)[0]?.subject
    expect(subjectFor("")).toBe("openai/a")
    expect(subjectFor("key")).toBe("openai/a key_1")
    expect(subjectFor("user")).toBe("openai/a user_1")
    expect(subjectFor("project")).toBe("openai/a proj_1")
    expect(subjectFor("organization")).toBe("openai/a org_1")
    expect(subjectFor("user", sampleKey({ userId: "" }))).toBe("openai/a nobody")
  })

  it("stay one object for a key and limit, which is what stores remember them by", () => {
    const limits = [{ ...limitOf({ scope: "provider_account", subject: "openai/a" }), each: "key" as const }]
    const key = sampleKey()
    expect(countedApart(limits, key)[0]).toBe(countedApart(limits, key)[0])
    const together = limits.map((limit) => ({ ...limit, each: "" as const }))
    expect(countedApart(together, key)).toBe(together)
  })

  it("of a call's second hold differ from every call's, and are refused for what is no call's id", () => {
    const mint = uuidv7Mint()
    const ids = Array.from({ length: 2_000 }, () => mint(START_MS))
    const all = new Set([...ids, ...ids.map(accountHoldId)])
    expect(all.size).toBe(4_000)
    for (const id of ids) expect(accountHoldId(id).slice(0, 8)).toBe(id.slice(0, 8))
    expect(() => accountHoldId("call_1")).toThrow(RangeError)
    expect(() => accountHoldId(accountHoldId(ids[0] ?? ""))).toThrow(RangeError)
  })
})

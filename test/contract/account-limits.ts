/**
 * What holds of limits on a provider account, whichever store counts: run for each implementation. Two organizations call
 * on one account; what one holds there, the other sees.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { Admission, chargesOf } from "../../src/admission/admit.ts"
import type { LimitStore } from "../../src/admission/limit-store.ts"
import { recordCharges } from "../../src/admission/limits.ts"
import { accountCounters } from "../../src/identity/account-limit.ts"
import { countedApart } from "../../src/identity/counted-apart.ts"
import type { Limit } from "../../src/identity/limit.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { sampleKey } from "../support/sample-key.ts"
import { chargeOf, limitOf } from "./limit-store.ts"

export const ACCOUNT = "openai/default"
/** Whose counters the store must have open. */
export const COUNTERS = ["org_1", "org_2", accountCounters(ACCOUNT)]

export type StoreOfAccounts = {
  readonly store: LimitStore
  readonly clock: { nowMs(): number; advance(ms: number): void | Promise<void> }
}

const LEASE_MS = 60_000
const ESTIMATE = { requests: 1n, tokensBound: 10n, tokensLikely: 10n, costNanosBound: 10n }
const ACTUAL = { requests: 1n, tokens: 4n, costNanos: 4n }

/** A lifetime token budget of the account unless told otherwise. */
function onAccount(overrides: Partial<Limit> = {}): Limit {
  const place = { scope: "provider_account", subject: ACCOUNT, organizationId: accountCounters(ACCOUNT) } as const
  return { ...limitOf({ id: "lim_acct", ...place }), each: "", ...overrides }
}

export function describeAccountLimits(name: string, make: () => Promise<StoreOfAccounts>): void {
  describe(`limits on a provider account in ${name}`, () => {
    let store: LimitStore
    let clock: StoreOfAccounts["clock"]
    let admissions: Admission[]
    const mint = uuidv7Mint()
    const own = (organizationId: string) => limitOf({ id: `lim_${organizationId}`, organizationId, cap: 1_000n })

    beforeEach(async () => {
      ;({ store, clock } = await make())
      admissions = [newAdmission("proxy_1"), newAdmission("proxy_2")]
    })
    afterEach(async () => {
      for (const admission of admissions) admission.stop()
    })

    function newAdmission(owner: string, over: Pick<LimitStore, "reserve"> = store): Admission {
      const acts = {
        reserve: over.reserve.bind(over),
        extend: store.extend.bind(store),
        settle: store.settle.bind(store),
        release: store.release.bind(store),
      }
      const rest = { renew: store.renew.bind(store), sweep: store.sweep.bind(store) }
      const onFault = (error: unknown) => {
        throw error
      }
      return new Admission({ store: { ...acts, ...rest }, nowMs: clock.nowMs, owner, leaseMs: LEASE_MS, onFault })
    }

    function admit(organizationId: string, accountLimits: readonly Limit[], by = admissions[0]) {
      const call = { holdId: mint(clock.nowMs()), limits: [own(organizationId)], accountLimits, estimate: ESTIMATE }
      if (by === undefined) throw new Error("no admission")
      return by.admit(call)
    }

    async function held(organizationId: string, ...accountLimits: Limit[]) {
      const admitted = await admit(organizationId, accountLimits)
      if (admitted.kind !== "held") throw new Error(`the call was ${admitted.kind}`)
      return admitted.hold
    }

    async function totals(limit: Limit) {
      const [state] = await store.read([chargeOf(limit, 0n)])
      return { settled: state?.settled, held: state?.held }
    }

    it("name themselves where they refuse, and leave nothing of the call anywhere", async () => {
      const small = onAccount({ cap: 9n })
      const admitted = await admit("org_1", [small])
      expect(admitted).toMatchObject({
        kind: "refused",
        refusal: { limit: { id: "lim_acct", scope: "provider_account", subject: ACCOUNT }, cap: 9n, requested: 10n },
      })
      expect(await totals(own("org_1"))).toEqual({ settled: 0n, held: 0n })
      expect(await totals(small)).toEqual({ settled: 0n, held: 0n })
      expect(await store.holds(10)).toEqual([])
      expect(admissions[0]?.liveHolds("org_1")).toEqual([])
    })

    it("are not asked where the organization's own refuse", async () => {
      const limits = [limitOf({ id: "lim_org_1", cap: 9n })]
      const call = { holdId: mint(clock.nowMs()), limits, accountLimits: [onAccount()], estimate: ESTIMATE }
      expect(await admissions[0]?.admit(call)).toMatchObject({
        kind: "refused",
        refusal: { limit: { id: "lim_org_1" } },
      })
      expect(await store.holds(10)).toEqual([])
    })

    it("give the first hold back where the second cannot be made at all", async () => {
      const broken: Pick<LimitStore, "reserve"> = {
        reserve: (id, owner, leaseMs, charges) =>
          charges[0]?.limit.scope === "provider_account"
            ? Promise.reject(new Error("the store broke"))
            : store.reserve(id, owner, leaseMs, charges),
      }
      const admission = newAdmission("proxy_3", broken)
      await expect(admit("org_1", [onAccount()], admission)).rejects.toThrow("the store broke")
      expect(await totals(own("org_1"))).toEqual({ settled: 0n, held: 0n })
      expect(admission.liveHolds("org_1")).toEqual([])
    })

    it("are never passed by two organizations that race for one cap from two proxies", async () => {
      const cap = onAccount({ cap: 100n })
      const racing = Array.from({ length: 40 }, (_, index) =>
        admit(index % 2 === 0 ? "org_1" : "org_2", [cap], admissions[index % 4 < 2 ? 0 : 1]),
      )
      const ends = await Promise.all(racing)
      expect(ends.filter(({ kind }) => kind === "held")).toHaveLength(10)
      expect(await totals(cap)).toEqual({ settled: 0n, held: 100n })
      const own1 = await totals(own("org_1"))
      const own2 = await totals(own("org_2"))
      expect((own1.held ?? 0n) + (own2.held ?? 0n)).toBe(100n)
    })

    it("are settled with the call, and its record says on whose counters", async () => {
      const total = onAccount()
      const hold = await held("org_1", total)
      expect(await admissions[0]?.settle(hold, ACTUAL)).toBe("settled")
      await admissions[0]?.settle(await held("org_2", total), ACTUAL)
      expect(await totals(total)).toEqual({ settled: 8n, held: 0n })
      expect(await totals(own("org_1"))).toEqual({ settled: 4n, held: 0n })
      expect(recordCharges(chargesOf(hold), ACTUAL)).toEqual([
        { limit_id: "lim_org_1", subject: "key_1", window: "lifetime", amount: "4" },
        { limit_id: "lim_acct", subject: ACCOUNT, window: "lifetime", amount: "4", organization_id: `acct:${ACCOUNT}` },
      ])
    })

    it("are given back with the call", async () => {
      const total = onAccount()
      await admissions[0]?.release(await held("org_1", total))
      expect(await totals(total)).toEqual({ settled: 0n, held: 0n })
      expect(await totals(own("org_1"))).toEqual({ settled: 0n, held: 0n })
    })

    it("hold a call without limits of its organization too", async () => {
      const total = onAccount({ cap: 10n })
      const call = () => ({ holdId: mint(clock.nowMs()), limits: [], accountLimits: [total], estimate: ESTIMATE })
      const first = await admissions[0]?.admit(call())
      expect(first?.kind).toBe("held")
      expect((await admissions[1]?.admit(call()))?.kind).toBe("refused")
      if (first?.kind === "held") await admissions[0]?.settle(first.hold, ACTUAL)
      expect(await totals(total)).toEqual({ settled: 4n, held: 0n })
    })

    it("count each key apart where they say so, so that one loop leaves the others their share", async () => {
      const each = onAccount({ id: "lim_each", each: "key", kind: "tokens", window: "minute", cap: 20n })
      const loop = sampleKey({ id: "key_loop" })
      const calm = sampleKey({ id: "key_calm" })
      const ends: string[] = []
      for (let turn = 0; turn < 4; turn++) ends.push((await admit("org_1", countedApart([each], loop))).kind)
      expect(ends).toEqual(["held", "held", "refused", "refused"])
      expect((await admit("org_1", countedApart([each], calm))).kind).toBe("held")
      expect(await admit("org_1", countedApart([each], loop))).toMatchObject({
        refusal: { limit: { subject: `${ACCOUNT} key_loop` }, isBudget: false, retryAfterMs: 30_000 },
      })
    })

    it("lose a dead proxy's holds with their leases, both of a call, and not those that are renewed", async () => {
      const total = onAccount({ cap: 100n })
      const slots = onAccount({ id: "lim_slots", kind: "concurrency", window: "none", cap: 5n })
      await held("org_1", total, slots)
      await admit("org_2", [total, slots], admissions[1])
      await clock.advance(LEASE_MS * 0.75)
      expect(await admissions[1]?.renewAll()).toBe(0)
      await clock.advance(LEASE_MS * 0.5)
      expect(await store.sweep()).toBe(2)
      // What a silent proxy held of a budget counts as used: the provider was probably called.
      expect(await totals(total)).toEqual({ settled: 10n, held: 10n })
      expect(await totals(own("org_1"))).toEqual({ settled: 10n, held: 0n })
      const [state] = await store.read([chargeOf(slots, 0n)])
      expect(state?.held).toBe(1n)
    })

    it("are charged for usage that comes to light later, once by its record", async () => {
      const total = onAccount()
      const id = mint(clock.nowMs())
      const unheld = admissions[0]?.unheld(id, [own("org_1")], [total])
      if (unheld === undefined) throw new Error("nothing to settle")
      await admissions[0]?.settle(unheld, ACTUAL)
      await admissions[1]?.settle(unheld, ACTUAL)
      expect(await totals(total)).toEqual({ settled: 4n, held: 0n })
      expect(await totals(own("org_1"))).toEqual({ settled: 4n, held: 0n })
    })
  })
}

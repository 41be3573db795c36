/** What every shared limit store promises of a limit that is newer than its counters: it starts from what the ledger had. */
import { describe, expect, it } from "vitest"
import type { SettledAmount } from "../../src/admission/limit-store.ts"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import type { RedisClient } from "../../src/platform/redis.ts"
import { chargeOf, limitOf } from "./limit-store.ts"

/** `clientOf` gives a client of an empty store. */
export function describeSeededLimits(name: string, clientOf: () => Promise<RedisClient>): void {
  describe(`${name}: a limit that is newer than the counters`, () => {
    async function opened() {
      const client = await clientOf()
      const asked: number[] = []
      const acts = new RedisRecoveryActs({ client, proxy: "proxy_1" })
      const store = new RedisLimitStore({
        client,
        onRecovering: () => undefined,
        onBehind: (_, version) => asked.push(version),
      })
      const fill = async (version: number, settled: readonly SettledAmount[], badEpoch = "") => {
        const { epoch } = await acts.begin("org_1", badEpoch)
        await acts.load("org_1", epoch, { settled, acks: new Map(), version }, Date.now())
        await acts.open("org_1", epoch)
        return epoch
      }
      return { acts, asked, store, fill, epoch: await fill(6, []) }
    }
    const old = limitOf({ id: "lim_old", seededVersion: 6 })
    const seeded = limitOf({ id: "lim_new", seededVersion: 7 })
    const from = [{ window: "lifetime", limitId: seeded.id, subject: seeded.subject, settled: 90n }]

    it("admits nothing before they are filled again, holds up no other call, and then counts on from there", async () => {
      const { acts, asked, store, fill, epoch } = await opened()
      expect(await store.reserve("a", "p", 60_000, [chargeOf(seeded, 1n)])).toEqual({ kind: "recovering" })
      expect(asked).toEqual([7])
      expect((await store.reserve("b", "p", 60_000, [chargeOf(old, 1n)])).kind).toBe("held")
      expect(await acts.behind("org_1", epoch, 7)).toBe(true)
      store.adopt("org_1", await fill(7, from), 7)
      expect((await store.reserve("c", "p", 60_000, [chargeOf(seeded, 11n)])).kind).toBe("denied")
      expect((await store.reserve("d", "p", 60_000, [chargeOf(seeded, 10n)])).kind).toBe("held")
    })

    it("has them filled once, also where two proxies ask for it", async () => {
      const { acts, epoch } = await opened()
      expect(await acts.behind("org_1", epoch, 7)).toBe(true)
      expect(await acts.behind("org_1", epoch, 7)).toBe(false)
    })

    it("is not asked for again where they are of its version or a later one", async () => {
      const { acts, asked, store, fill, epoch } = await opened()
      const filled = await fill(8, from, epoch)
      store.adopt("org_1", filled, 8)
      expect((await store.reserve("a", "p", 60_000, [chargeOf(seeded, 10n)])).kind).toBe("held")
      expect([asked, await acts.behind("org_1", filled, 7)]).toEqual([[], false])
    })
  })
}

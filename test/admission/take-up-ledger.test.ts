/** Counters that were filled from another ledger are filled anew before anyone admits by them, whoever starts when. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest"
import { OrganizationKeys } from "../../src/admission/redis-keys.ts"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"

let redis: ConnectedRedis

beforeAll(async () => {
  redis = await startConnectedRedis()
})
afterAll(() => redis?.stop())
beforeEach(() => redis.client.flushall())

const actsOf = (proxy: string) => new RedisRecoveryActs({ client: redis.client, proxy })

/** An organization whose counters were filled and are in use. */
async function openOrganization(id: string): Promise<void> {
  const acts = actsOf("earlier")
  const { epoch } = await acts.begin(id)
  await acts.load(id, epoch, { settled: [], acks: new Map() }, Date.now())
  await acts.open(id, epoch)
}

async function states(...ids: string[]): Promise<(string | null)[]> {
  return Promise.all(ids.map((id) => redis.client.hget(new OrganizationKeys(id).state, "state")))
}

test("another ledger's counters begin again, every owner that has some; the same ledger's stand", async () => {
  for (const id of ["org_a", "org_b", "acct:openai/x"]) await openOrganization(id)
  const owners = ["org_a", "org_b", "acct:openai/x", "org_never_called"]
  expect(await actsOf("p1").takeUpLedger("ledger-1", owners)).toBe(3)
  expect(await states(...owners)).toEqual(["recovering", "recovering", "recovering", null])
  expect(new Set((await actsOf("p2").recovering()).keys())).toEqual(new Set(owners.slice(0, 3)))

  await openOrganization("org_c")
  expect(await actsOf("p2").takeUpLedger("ledger-1", ["org_c"])).toBe(0)
  expect(await states("org_c")).toEqual(["open"])
  expect(await actsOf("p2").takeUpLedger("ledger-2", ["org_c"])).toBe(1)
})

test("who dies on the way has taken up nothing: the next start begins every owner again", async () => {
  for (const id of ["org_a", "org_b"]) await openOrganization(id)
  // No name of an owner that can be: the act fails there, as it would where Redis goes away.
  await expect(actsOf("p1").takeUpLedger("ledger-1", ["org_a", "no{name}"])).rejects.toThrow(RangeError)
  expect(await redis.client.get("tg:ledger")).toBeNull()
  expect(await actsOf("p2").takeUpLedger("ledger-1", ["org_a", "org_b"])).toBe(2)
  expect(await states("org_a", "org_b")).toEqual(["recovering", "recovering"])
})

test("of proxies that start at once none finds the ledger taken up before every owner has begun again", async () => {
  const owners = Array.from({ length: 40 }, (_, index) => `org_${index}`)
  for (const id of owners) await openOrganization(id)
  const seen = await Promise.all(
    ["p1", "p2", "p3"].map(async (proxy) => {
      await actsOf(proxy).takeUpLedger("ledger-1", owners)
      return states(...owners)
    }),
  )
  for (const all of seen) expect(new Set(all)).toEqual(new Set(["recovering"]))
})

/** Reporters that repeat until they are answered, two proxies that are killed by turns: each record once, charged once. */
import { setTimeout as wait } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { expectOneAccount } from "../support/key-audit.ts"
import { openFleet, type ProxyFleet } from "../support/proxy-fleet.ts"

const REPORTERS = 6
const PER_BATCH = 20

let fleet: ProxyFleet

beforeAll(async () => {
  fleet = await openFleet(2, { prices: { input: "3", output: "15" }, leaseMs: 2_000 })
  await Promise.all([fleet.start(0), fleet.start(1)])
}, 120_000)
afterAll(() => fleet?.close())

test("two proxies are killed by turns while batches are reported and repeated", async () => {
  const { id, key } = await fleet.createKey(0, [
    { kind: "usd", window: "month", cap: "1000000" },
    { kind: "tokens", window: "month", cap: 1_000_000_000 },
  ])
  let isOver = false
  const answered = new Map<string, string>()
  const told = async (place: number, records: readonly { idempotency_key: string }[]): Promise<boolean> => {
    const init = {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ records }),
    }
    // A connection that is cut, or a proxy that is not there: sent again.
    const response = await fetch(`${fleet.url(place)}/v1/usage`, init).catch(() => null)
    const text = await response?.text().catch(() => "")
    if (response?.status !== 200 || text === undefined || text === "") return false
    const { data } = JSON.parse(text) as { data: { id: string; error?: object }[] }
    data.forEach(({ id: recordId, error }, index) => {
      expect(error).toBeUndefined()
      const name = records[index]?.idempotency_key ?? ""
      // Whoever answers, and however often: the record of a key is the same one.
      expect(answered.get(name) ?? recordId).toBe(recordId)
      answered.set(name, recordId)
    })
    return true
  }
  const reporter = async (name: number) => {
    for (let batch = 0; !isOver; batch++) {
      const records = Array.from({ length: PER_BATCH }, (_, index) => ({
        provider: "mock",
        model: "mock-1",
        input_tokens: 100 + index,
        output_tokens: 10,
        idempotency_key: `${name}-${batch}-${index}`,
      }))
      let place = (name + batch) % 2
      while (!(await told(place, records))) {
        await wait(20)
        place = 1 - place
      }
      if (batch % 3 === 0) await Promise.all([told(0, records), told(1, records)])
    }
  }
  const reporters = Array.from({ length: REPORTERS }, (_, name) => reporter(name))
  for (let round = 0; round < 4; round++) {
    await wait(300)
    await fleet.kill(round % 2)
    await fleet.start(round % 2)
  }
  isOver = true
  await Promise.all(reporters)
  await expectOneAccount(fleet, id, 60_000)
  const rows = await fleet.sql<{ id: string; kind: string }[]>`SELECT id, kind FROM usage_records WHERE key_id = ${id}`
  expect(new Set(rows.map((row) => row.id))).toEqual(new Set(answered.values()))
  expect(rows).toHaveLength(answered.size)
  expect(answered.size).toBeGreaterThan(REPORTERS * PER_BATCH)
}, 120_000)

import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import path from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { afterAll, beforeAll, expect, it } from "vitest"
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import type { RedisClient } from "../../src/platform/redis.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"
import { type ConnectedRedis, startConnectedRedis } from "../support/real-redis.ts"

const CHILD = path.join(import.meta.dirname, "racing-child.ts")
const PROCESSES = 4
const CAP = 2_000_000n
const LEASE_MS = 2_000
const RACE_MS_MAX = 20_000
const limit = limitOf({ id: "lim_race", kind: "usd", cap: CAP })
const slots = limitOf({ id: "lim_slots", kind: "concurrency", window: "none", cap: 1_000n })

let server: ConnectedRedis
let client: RedisClient
const children: { process: ChildProcess; said: string }[] = []

beforeAll(async () => {
  server = await startConnectedRedis(10_000)
  client = server.client
})
afterAll(async () => {
  for (const { process } of children) process.kill("SIGKILL")
  await server.stop()
})

async function startChild(name: string): Promise<void> {
  const parameters = [CHILD, server.url, name, String(LEASE_MS), String(CAP)]
  const child = { process: spawn(process.execPath, parameters, { stdio: ["pipe", "pipe", "inherit"] }), said: "" }
  children.push(child)
  child.process.stdout?.setEncoding("utf8").on("data", (text: string) => {
    child.said += text
  })
  while (!child.said.includes("ready")) {
    if (child.process.exitCode !== null) throw new Error(`${name} ended before it was ready`)
    await wait(10)
  }
}

it("keeps one cap among four processes of which one is killed, uses it up, and frees what the dead one held", async () => {
  const acts = new RedisRecoveryActs({ client, proxy: "test" })
  const { epoch } = await acts.begin("org_1")
  await acts.load("org_1", epoch, { settled: [], acks: new Map() }, Date.now())
  await acts.open("org_1", epoch)
  const store = new RedisLimitStore({ client, onRecovering: () => undefined })
  await Promise.all(Array.from({ length: PROCESSES }, (_, index) => startChild(`proxy_${index}`)))

  const samples: bigint[] = []
  const sample = async () => {
    const [counter] = await store.read([chargeOf(limit, 0n)])
    const used = (counter?.settled ?? 0n) + (counter?.held ?? 0n)
    samples.push(used)
    return used
  }
  const deadlineMs = performance.now() + RACE_MS_MAX
  while ((await sample()) < CAP / 4n) await wait(2)
  children[0]?.process.kill("SIGKILL")
  while (performance.now() < deadlineMs && (await sample()) < (CAP * 99n) / 100n) await wait(2)
  for (let more = 0; more < 100; more += 1) {
    await sample()
    await wait(2)
  }
  const survivors = children.slice(1)
  const exits = survivors.map(({ process }) => once(process, "exit"))
  for (const { process } of survivors) process.stdin?.end()
  expect((await Promise.all(exits)).map(([code]) => code)).toEqual([0, 0, 0])
  await wait(LEASE_MS)
  await store.sweep()

  const [counter] = await store.read([chargeOf(limit, 0n)])
  const ends = survivors.map(({ said }) => JSON.parse(said.split("\n")[1] ?? "") as { settled: number; calls: number })
  const bySurvivors = BigInt(ends.reduce((sum, { settled }) => sum + settled, 0))
  expect(samples.length).toBeGreaterThan(100)
  expect(samples.filter((used) => used > CAP)).toEqual([])
  expect(counter?.held).toBe(0n)
  expect((await store.read([chargeOf(slots, 0n)]))[0]?.held).toBe(0n)
  expect(counter?.settled).toBeLessThanOrEqual(CAP)
  expect(counter?.settled).toBeGreaterThanOrEqual((CAP * 95n) / 100n)
  expect(counter?.settled).toBeGreaterThan(bySurvivors)
  expect(ends.every(({ calls }) => calls > 50)).toBe(true)
  expect(await store.holds(10)).toEqual([])
}, 60_000)

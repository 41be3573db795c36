/** A proxy as far as limits go, in a process of its own: calls against one cap until its standard input ends. */
import { setTimeout as wait } from "node:timers/promises"
import { Admission } from "../../src/admission/admit.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { openRedis } from "../../src/platform/redis.ts"
import { limitOf } from "../contract/limit-store.ts"

const [url = "", name = "", leaseMs = "", cap = ""] = process.argv.slice(2)
const WORKERS = 8
const COST_MAX = 2_000

const client = openRedis(url, { connectionName: name, commandTimeoutMs: 10_000 })
await client.connect()
const store = new RedisLimitStore({
  client,
  onRecovering: (organizationId) => {
    throw new Error(`${organizationId} was open`)
  },
})
const limits = [
  limitOf({ id: "lim_race", kind: "usd", cap: BigInt(cap) }),
  limitOf({ id: "lim_slots", kind: "concurrency", window: "none", cap: 1_000n }),
]
const onFault = (error: unknown) => {
  throw error
}
const admission = new Admission({ store, nowMs: Date.now, owner: name, leaseMs: Number(leaseMs), onFault })
admission.start()
const mint = uuidv7Mint()
let isOver = false
let settled = 0
let calls = 0

async function work(): Promise<void> {
  while (!isOver) {
    const bound = BigInt(1 + Math.floor(Math.random() * COST_MAX))
    const estimate = { requests: 1n, tokensBound: bound, tokensLikely: bound, costNanosBound: bound }
    const admitted = await admission.admit({ holdId: mint(Date.now()), limits, estimate })
    if (admitted.kind !== "held") {
      await wait(5)
      continue
    }
    await wait(Math.random() * 8)
    const costNanos = BigInt(Math.floor(Math.random() * (Number(bound) + 1)))
    const reply = await admission.settle(admitted.hold, { requests: 1n, tokens: 1n, costNanos })
    if (reply !== "settled") throw new Error(`a live hold was answered ${reply}`)
    settled += Number(costNanos)
    calls += 1
  }
}

process.stdin.on("end", () => {
  isOver = true
})
process.stdin.resume()
process.stdout.write("ready\n")
await Promise.all(Array.from({ length: WORKERS }, work))
admission.stop()
client.disconnect()
process.stdout.write(`${JSON.stringify({ settled, calls })}\n`)

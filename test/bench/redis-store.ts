/**
 * What a reserve and a settle under seven limits cost through Redis: CPU of this process per pair, and time of the
 * server per script, by the number of acts that share a script call. Run it: `node test/bench/redis-store.ts`.
 */
import { RedisRecoveryActs } from "../../src/admission/redis-recovery-acts.ts"
import { RedisLimitStore } from "../../src/admission/redis-store.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { chargeOf, limitOf } from "../contract/limit-store.ts"
import { startRealRedis } from "../support/real-redis.ts"

const PAIRS = 40_000
const WARM_UP_PAIRS = 8_000
const ORGANIZATION = "org_1"
const CAP = 10n ** 15n

const server = await startRealRedis()
const client = openRedis(server.url, { connectionName: "bench", commandTimeoutMs: 5_000 })
await client.connect()
const acts = new RedisRecoveryActs({ client, proxy: "bench" })
const { epoch } = await acts.begin(ORGANIZATION)
await acts.load(ORGANIZATION, epoch, { settled: [], acks: new Map() }, Date.now())
await acts.open(ORGANIZATION, epoch)
const store = new RedisLimitStore({ client, onRecovering: () => undefined })
const mint = uuidv7Mint()

const month = ["organization", "project", "user", "key"].map((subject) =>
  limitOf({ id: `lim_${subject}_abcdef`, subject: `${subject}_4Zr0aXk29QmB`, kind: "usd", window: "month", cap: CAP }),
)
const day = limitOf({ id: "lim_day_abcdef", window: "day", cap: CAP })
const rate = limitOf({ id: "lim_rate_abcdef", window: "minute", cap: CAP })
const slots = limitOf({ id: "lim_slots_abcdef", kind: "concurrency", window: "none", cap: CAP })
const endsAtMs = Date.now() + 20 * 86_400_000
const chargesOf = (amount: bigint) => [
  ...month.map((limit) => chargeOf(limit, amount, "2026-11", endsAtMs)),
  chargeOf(day, amount, "2026-11-23", endsAtMs),
  chargeOf(rate, amount),
  chargeOf(slots, 1n),
]

async function worker(pairs: number, through: RedisLimitStore = store): Promise<void> {
  for (let done = 0; done < pairs; done += 1) {
    const id = mint(Date.now())
    const reply = await through.reserve(id, "bench", 60_000, chargesOf(123_456n))
    if (reply.kind !== "held") throw new Error(`not held but ${reply.kind}`)
    const settled = await through.settle(id, chargesOf(100_000n))
    if (settled !== "settled") throw new Error(`not settled but ${settled}`)
  }
}

async function scripts(): Promise<{ calls: number; micros: number }> {
  const line = /cmdstat_evalsha:calls=(\d+),usec=(\d+)/.exec(await client.info("commandstats"))
  return { calls: Number(line?.[1] ?? 0), micros: Number(line?.[2] ?? 0) }
}

const run = (pairs: number, inFlight: number, through = store) =>
  Promise.all(Array.from({ length: inFlight }, () => worker(Math.ceil(pairs / inFlight), through)))

/** A store whose scripts are answered at once, in this process: what is left is our own JavaScript. */
function storeWithoutServer(): RedisLimitStore {
  const evalsha = async (_sha1: string, keyCount: number, ...args: string[]) => {
    const acts = args.slice(keyCount + 2)
    const states = "1234567,2345 1234567,2345 1234567,2345 1234567,2345 12345,234 72340000 0,3"
    return ["", ...acts.map((act) => (act.startsWith("R") ? `H${states}` : "s"))]
  }
  return new RedisLimitStore({ client: { evalsha } as unknown as RedisClient, onRecovering: () => undefined })
}

const alone = storeWithoutServer()
await run(WARM_UP_PAIRS * 2, 10, alone)
const cpuAlone = process.cpuUsage()
await run(PAIRS, 10, alone)
const usedAlone = process.cpuUsage(cpuAlone)
console.log(
  `10 in flight · without driver and server · ${((usedAlone.user + usedAlone.system) / PAIRS).toFixed(1)} µs CPU per pair here`,
)

await run(WARM_UP_PAIRS, 10)
for (const inFlight of [1, 10, 32]) {
  const pairs = inFlight === 1 ? PAIRS / 4 : PAIRS
  const before = await scripts()
  const cpu = process.cpuUsage()
  const startedMs = performance.now()
  await run(pairs, inFlight)
  const tookMs = performance.now() - startedMs
  const used = process.cpuUsage(cpu)
  const after = await scripts()
  const calls = after.calls - before.calls
  const actsPerCall = (2 * pairs) / calls
  console.log(
    [
      `${inFlight} in flight`,
      `${actsPerCall.toFixed(1)} acts per script`,
      `${((used.user + used.system) / pairs).toFixed(1)} µs CPU per pair here`,
      `${((after.micros - before.micros) / calls).toFixed(1)} µs per script on the server`,
      `${((after.micros - before.micros) / pairs).toFixed(1)} µs per pair there`,
      `${Math.round((pairs / tookMs) * 1_000)} pairs/s`,
    ].join(" · "),
  )
}
client.disconnect()
await server.stop()

/**
 * How long calls wait when Redis has lost everything: 1,000 keys with five limits each in one organization, three proxies
 * that live and hold 200 calls each, the ledger in a real Postgres. Run it: `node test/bench/recovery.ts`.
 */
import { setTimeout as wait } from "node:timers/promises"
import { readLimitSnapshot } from "../../src/ledger/limit-usage.ts"
import { openRedis } from "../../src/platform/redis.ts"
import { limitOf } from "../contract/limit-store.ts"
import { openLedger } from "../ledger/ledger-database.ts"
import { createDatabase, startRealPostgres } from "../support/real-postgres.ts"
import { startRealRedis } from "../support/real-redis.ts"
import { FakeLedger, TestProxy } from "../support/recovering-proxy.ts"

const KEYS = 1_000
const LIMITS_EACH = 5
const PROXIES = 3
const CALLS_EACH = 200
const ROUNDS = 20
const WINDOWS = ["lifetime", "2026-11", "2026-11-24", "2026-W48", "2026"]

const server = await startRealRedis()
const postgres = await startRealPostgres()
const sql = await openLedger(await createDatabase(postgres.url))
const names = Array.from({ length: KEYS * LIMITS_EACH }, (_, at) => ({
  limit: `lim_${at}`,
  subject: `key_${at % KEYS}`,
  window: WINDOWS[Math.floor(at / KEYS)] ?? "",
}))
await sql`
  INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
  SELECT 'org_1', l, s, w, 1000000 FROM unnest(
    ${names.map(({ limit }) => limit)}::text[], ${names.map(({ subject }) => subject)}::text[],
    ${names.map(({ window }) => window)}::text[]) AS t(l, s, w)`

class PostgresLedger extends FakeLedger {
  override async snapshot() {
    const [{ settled }, { acks }] = await Promise.all([readLimitSnapshot(sql, "org_1"), super.snapshot()])
    return { settled, acks }
  }
}

const ledger = new PostgresLedger()
const limits = [limitOf({ id: "lim_0", subject: "key_0", cap: 10n ** 15n })]
const proxies: TestProxy[] = []
for (let at = 0; at < PROXIES; at += 1) {
  const client = openRedis(server.url, { connectionName: "bench", commandTimeoutMs: 5_000 })
  await client.connect()
  const proxy = new TestProxy({ name: `proxy_${at}`, client, ledger, isPaced: true })
  proxy.recovery.start()
  proxies.push(proxy)
}

async function admitted(proxy: TestProxy): Promise<void> {
  while ((await proxy.begin(limits, 1n)) === undefined) await wait(5)
}

for (const proxy of proxies) for (let call = 0; call < CALLS_EACH; call += 1) await admitted(proxy)
const flusher = openRedis(server.url, { connectionName: "bench" })
await flusher.connect()
const tookMs: number[] = []
for (let round = 0; round < ROUNDS; round += 1) {
  await flusher.flushall()
  const beganMs = performance.now()
  await Promise.all(proxies.map(admitted))
  tookMs.push(performance.now() - beganMs)
  await wait(200)
}
tookMs.sort((left, right) => left - right)
const at = (share: number) => Math.round(tookMs[Math.floor(share * (tookMs.length - 1))] ?? 0)
process.stdout.write(
  `${KEYS} keys x ${LIMITS_EACH} limits, ${PROXIES} proxies, ${ROUNDS} losses: every proxy admits again after ` +
    `${at(0.5)} ms (median), ${at(0.95)} ms (95th percentile), ${at(1)} ms (longest)\n`,
)
for (const { recovery, admission } of proxies) {
  recovery.stop()
  admission.stop()
}
await sql.end()
await postgres.stop()
await server.stop()
process.exit(0)

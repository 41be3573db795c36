/** Alerts and raises over processes that share a Postgres and a Redis: told once, in force everywhere, whoever dies. */
import type { ServerResponse } from "node:http"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { openFleet, type ProxyFleet } from "../support/proxy-fleet.ts"
import { ADMIN_KEY, until } from "../support/test-app.ts"
import { type ReceivedHook, startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts"

const PLACES = [0, 1, 2, 3]
const WAIT_MS = 60_000
/** What one call uses. */
const CALL = { model: "mock-p10-o10", tokens: 20 }

let fleet: ProxyFleet
let receiver: WebhookReceiver
let sql: Sql

beforeAll(async () => {
  receiver = await startWebhookReceiver()
  fleet = await openFleet(PLACES.length, {
    prices: { input: "3", output: "15" },
    leaseMs: 60_000,
    env: { TALLYGATE_ENCRYPTION_KEY: "11".repeat(32) },
    yaml: "alerts: { allow_private_targets: true }\n",
  })
  sql = openPostgres(fleet.env.DATABASE_URL ?? "", { max: 4, applicationName: "test" })
  await Promise.all([0, 1].map((place) => fleet.start(place)))
}, 120_000)
afterAll(async () => {
  await fleet?.close()
  await sql?.end({ timeout: 1 })
  await receiver?.close()
})

async function admin(place: number, method: string, route: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${fleet.url(place)}/admin/v1/${route}`, {
    method,
    headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const answer = await response.json()
  if (!response.ok) throw new Error(`${method} ${route} answered ${response.status}: ${JSON.stringify(answer)}`)
  return answer as Record<string, unknown>
}

async function call(place: number, key: string): Promise<number> {
  const response = await fetch(`${fleet.url(place)}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: CALL.model, max_tokens: 10, messages: [{ role: "user", content: "hi" }] }),
  })
  await response.arrayBuffer()
  return response.status
}

async function keyWith(limit: object): Promise<{ keyId: string; key: string; limitId: string }> {
  const { id, key } = await fleet.createKey(0, [])
  const made = await admin(0, "POST", "limits", { scope: { key_id: id }, window: "day", ...limit })
  return { keyId: id, key, limitId: String(made.id) }
}

test("a raise at one proxy is in force at another, and so are its end by itself and its end before the time", async () => {
  const { key, limitId } = await keyWith({ kind: "requests", cap: 1 })
  const raise = (inMs: number) =>
    admin(0, "POST", `limits/${limitId}/raises`, { cap: 9_999, until: new Date(Date.now() + inMs).toISOString() })
  const answers = (status: number) => until(async () => ((await call(1, key)) === status ? true : undefined), WAIT_MS)
  await answers(429)
  await raise(3_600_000)
  await answers(200)
  await admin(0, "DELETE", `limits/${limitId}/raises`)
  await answers(429)
  // As long as a machine that is busy needs to see it at all.
  for (let inMs = 2_000; ; inMs *= 2) {
    const endsAtMs = performance.now() + inMs
    await raise(inMs)
    let isSeen = false
    while (!isSeen && performance.now() < endsAtMs) isSeen = (await call(1, key)) === 200
    if (isSeen) break
  }
  await answers(429)
}, 180_000)

/**
 * Holds the row that decides who tells of the limit, as a process would that has it in hand, and then was never there;
 * resolves when it is held. `released` ends it.
 */
async function holdSubject(organizationId: string, limitId: string, keyId: string, released: Promise<void>) {
  const held = Promise.withResolvers<number>()
  const done = sql.begin(async (transaction) => {
    await transaction`
      INSERT INTO alert_subjects (rule_id, organization_id, limit_id, subject)
      VALUES ('rule_default', ${organizationId}, ${limitId}, ${keyId})`
    const [row] = await transaction<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`
    held.resolve(row?.pid ?? 0)
    await released
    throw new NeverThere()
  })
  const gone = done.catch((error: unknown) => {
    held.reject(error)
    if (!(error instanceof NeverThere)) throw error
  })
  return { pid: await held.promise, gone }
}

class NeverThere extends Error {}

/** Connections that wait for what this one holds. */
async function waitingFor(pid: number): Promise<readonly number[]> {
  const rows = await sql<{ pid: number }[]>`
    SELECT pid FROM pg_stat_activity WHERE ${pid}::int = ANY (pg_blocking_pids(pid)) AND query LIKE '%INTO alert_subjects%'`
  return rows.map((row) => row.pid)
}

/** Resolves when each of these connections has ended what it does. */
async function ended(pids: readonly number[]): Promise<void> {
  const left = new Set(pids)
  await until(async () => {
    const busy = await sql<{ pid: number }[]>`
      SELECT pid FROM pg_stat_activity WHERE pid = ANY (${[...left]}::int[]) AND state <> 'idle'`
    for (const pid of left) if (!busy.some((row) => row.pid === pid)) left.delete(pid)
    return left.size === 0 ? true : undefined
  }, WAIT_MS)
}

test("four proxies that see 80 % at once write one message, which arrives once although all are killed as it is sent", async () => {
  const { organizationId, limitId, keyId, key } = await stageAlert()
  const released = Promise.withResolvers<void>()
  onTestFinished(() => released.resolve())
  const subject = await holdSubject(organizationId, limitId, keyId, released.promise)
  expect(await Promise.all([0, 1, 0, 1].map((place) => call(place, key)))).toEqual([200, 200, 200, 200])
  // Two that run and two that start look at what was used.
  await Promise.all([2, 3].map((place) => fleet.start(place)))
  // Each has found that nobody told of it yet, and stands before the row that decides who does.
  const racing = await until(async () => {
    const pids = await waitingFor(subject.pid)
    return pids.length === PLACES.length ? pids : undefined
  }, WAIT_MS)
  released.resolve()
  await subject.gone
  await ended(racing)

  const alerts = () => sql`SELECT threshold_percent, state FROM alerts WHERE limit_id = ${limitId} ORDER BY 1`
  const outbox = () => sql`
    SELECT id, state, attempts FROM alert_deliveries WHERE organization_id = ${organizationId} ORDER BY id`
  expect(await alerts()).toEqual([{ threshold_percent: 80, state: "told" }])
  const told = PLACES.filter((place) => fleet.running(place).output().includes(limitId))
  expect(told).toHaveLength(1)

  await until(async () => (receiver.received.length > 0 ? true : undefined), WAIT_MS)
  await Promise.all(PLACES.map((place) => fleet.kill(place)))
  const [delivery, ...others] = await outbox()
  expect([delivery?.state, others]).toEqual(["waiting", []])

  const accepted: string[] = []
  receiver.answer = (response, hook) => {
    accepted.push(String(hook.headers["webhook-id"]))
    response.writeHead(204).end()
  }
  // The minute is over for which a dead process had taken it; meanwhile the rest of the limit was used up.
  await sql`UPDATE alert_deliveries SET next_attempt_at = now() WHERE id = ${String(delivery?.id)}`
  await sql`UPDATE limit_usage SET settled = ${5 * CALL.tokens}, updated_at = now() WHERE limit_id = ${limitId}`
  await fleet.start(0)
  // What comes for 100 % says that all that was raised before has been looked at again.
  await until(async () => (accepted.length >= 2 ? true : undefined), WAIT_MS)
  expect(await alerts()).toEqual([
    { threshold_percent: 80, state: "told" },
    { threshold_percent: 100, state: "told" },
  ])
  const sent = await until(async () => {
    const rows = await outbox()
    return rows.every(({ state }) => state === "delivered") ? rows : undefined
  }, WAIT_MS)
  expect(accepted.toSorted()).toEqual(sent.map(({ id }) => String(id)).toSorted())
  expect(accepted).toContain(String(delivery?.id))
  expect(receiver.received.map(idOf).toSorted()).toEqual([...accepted, String(delivery?.id)].toSorted())
}, 180_000)

/** A limit that four calls use to 80 %, and a channel whose receiver takes messages and never answers. */
async function stageAlert() {
  receiver.answer = (_response: ServerResponse) => undefined
  const limit = { kind: "tokens", cap: 5 * CALL.tokens, enforcement: "soft", thresholds: [80, 100] }
  const { keyId, key, limitId } = await keyWith(limit)
  const organizationId = String((await admin(0, "GET", `limits/${limitId}`)).organization_id)
  const channel = { scope: { organization_id: organizationId }, kind: "webhook", name: "ops", url: receiver.url }
  await admin(0, "POST", "alert-channels", channel)
  return { organizationId, limitId, keyId, key }
}

function idOf({ headers }: ReceivedHook): string {
  return String(headers["webhook-id"])
}

/** The outbox: what is written in it arrives, once where its receiver can say so, whoever dies and whatever fails. */
import { pino } from "pino"
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from "vitest"
import { sampleMessage } from "../../src/alerts/alert-message.ts"
import { createChannel, deleteChannel } from "../../src/alerts/channel-registry.ts"
import { claimDue, readDelivery, redeliver, writeOutcome } from "../../src/alerts/deliveries.ts"
import { LEASE_MS, retryDelayMs } from "../../src/alerts/delivery-delay.ts"
import { DeliveryWorker } from "../../src/alerts/delivery-worker.ts"
import { isSigningSecret, webhookHeaders } from "../../src/alerts/webhook-signature.ts"
import { install } from "../../src/identity/first-run.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { newEncryptionKey, readEncryptionKey, SecretBox } from "../../src/platform/secret-box.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts"

const ACTOR = { name: "t", ip: "" }
const box = new SecretBox(readEncryptionKey(newEncryptionKey()))
const lines: string[] = []
const log = pino({}, { write: (line: string) => void lines.push(line) })
const mintId = uuidv7Mint()
let sql: Sql
let receiver: WebhookReceiver
let nowMs = Date.UTC(2026, 10, 23, 12)
let channelId: string
let secret: string

beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 6, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  await install(sql)
})
afterAll(() => sql?.end())
beforeEach(async () => {
  await sql`DELETE FROM alert_deliveries`
  receiver = await startWebhookReceiver()
  const wanted = { organizationId: "", kind: "webhook", name: "hook", recipients: [], signingSecret: null } as const
  const made = await createChannel(sql, box, ACTOR, { ...wanted, url: `${receiver.url}/token-canary` })
  if (made.kind !== "done") throw new Error(made.kind)
  channelId = made.row.id
  secret = made.madeSecret ?? ""
})
afterEach(() => receiver.close())

const worker = (with_: SecretBox = box) =>
  new DeliveryWorker({
    sql,
    clock: { nowMs: () => nowMs },
    log,
    box: with_,
    mail: null,
    allowPrivate: true,
    timeoutMs: 2_000,
    random: () => 0,
  })

async function write(count = 1): Promise<string[]> {
  const message = sampleMessage({ id: "", name: "" }, null, nowMs)
  const ids = Array.from({ length: count }, () => mintId(nowMs))
  for (const id of ids) {
    await sql`
      INSERT INTO alert_deliveries (id, organization_id, rule_id, channel_id, message, next_attempt_at, retry_until)
      VALUES (${id}, '', 'rule_default', ${channelId}, ${JSON.stringify(message)}::text::jsonb, ${new Date(nowMs)},
              ${new Date(nowMs + 24 * 3_600_000)})`
  }
  return ids
}
const stateOf = async (id = "") => (await readDelivery(sql, id))?.state

test("each message arrives once, signed, whichever of four workers sends it", async () => {
  const ids = await write(25)
  const attempts = await Promise.all([worker(), worker(), worker(), worker()].map((one) => one.deliverDue()))
  expect(attempts.reduce((sum, count) => sum + count, 0)).toBe(25)
  expect(receiver.received.map(({ headers }) => headers["webhook-id"]).sort()).toEqual(ids.sort())
  expect(isSigningSecret(secret)).toBe(true)
  for (const { headers, body } of receiver.received) {
    const expected = webhookHeaders(secret, String(headers["webhook-id"]), nowMs, body)
    expect(headers).toMatchObject(expected)
    expect(JSON.parse(body)).toMatchObject({ type: "alert.threshold", data: { threshold_percent: 80 } })
  }
  expect(await worker().deliverDue()).toBe(0)
})

test("a process that dies between state and delivery leaves the message to the next one, under the same id", async () => {
  const [id = ""] = await write()
  expect(await claimDue(sql, nowMs, 10)).toHaveLength(1)
  expect(await worker().deliverDue()).toBe(0)
  nowMs += LEASE_MS
  expect(await worker().deliverDue()).toBe(1)
  expect(receiver.received.map(({ headers }) => headers["webhook-id"])).toEqual([id])
  nowMs += LEASE_MS
  expect(await worker().deliverDue()).toBe(0)
})

test("only where the receiver's answer was lost does a message arrive twice, and then under the same id", async () => {
  const [id = ""] = await write()
  receiver.answer = (response) => response.destroy()
  await worker().deliverDue()
  receiver.answer = (response) => response.writeHead(200).end()
  nowMs += retryDelayMs(1, 0)
  await worker().deliverDue()
  expect(receiver.received.map(({ headers }) => headers["webhook-id"])).toEqual([id, id])
  expect(await stateOf(id)).toBe("delivered")
})

test("what fails is tried again, later each time, for a day, and then stands as failed with the reason", async () => {
  const [id = ""] = await write()
  receiver.answer = (response) => response.writeHead(503).end("answer-canary")
  const endsMs = nowMs + 24 * 3_600_000
  let tries = 0
  while ((await stateOf(id)) === "waiting") {
    tries += await worker().deliverDue()
    nowMs = (await readDelivery(sql, id))?.next_attempt_at.getTime() ?? 0
  }
  expect(await readDelivery(sql, id)).toMatchObject({
    state: "failed",
    last_error: "the receiver answered 503",
    attempts: tries,
  })
  expect(tries).toBeGreaterThan(20)
  expect(nowMs).toBeGreaterThan(endsMs)
  expect(await worker().deliverDue()).toBe(0)
  receiver.answer = (response) => response.writeHead(200).end()
  await redeliver(sql, id, nowMs)
  expect(await worker().deliverDue()).toBe(1)
  expect(await readDelivery(sql, id)).toMatchObject({ state: "delivered", last_error: "", attempts: 1 })
})

test("a late outcome does not undo what a later attempt has reached", async () => {
  const [id = ""] = await write()
  const [early] = await claimDue(sql, nowMs, 1)
  nowMs += LEASE_MS
  const [late] = await claimDue(sql, nowMs, 1)
  if (early === undefined || late === undefined) throw new Error("nothing was claimed")
  await writeOutcome(sql, early, { kind: "refused", reason: "too late" }, nowMs, 0)
  expect(await stateOf(id)).toBe("waiting")
  await writeOutcome(sql, late, { kind: "delivered" }, nowMs, 0)
  await writeOutcome(sql, late, { kind: "failed", reason: "x" }, nowMs, 0)
  expect(await stateOf(id)).toBe("delivered")
})

test("a channel that is gone, or that this process cannot open, is told and not tried again", async () => {
  const [unreadable] = await write()
  await worker(new SecretBox(readEncryptionKey(newEncryptionKey()))).deliverDue()
  expect((await readDelivery(sql, unreadable ?? ""))?.last_error).toContain("does not open")
  const [orphan] = await write()
  await deleteChannel(sql, ACTOR, channelId)
  await worker().deliverDue()
  expect(await readDelivery(sql, orphan ?? "")).toMatchObject({
    state: "failed",
    last_error: "the channel was deleted",
  })
  expect(receiver.received).toEqual([])
})

test("neither address nor signing secret stands in a log, in a table in the clear, or in the audit log", async () => {
  await write()
  receiver.answer = (response) => response.writeHead(500).end()
  await worker().deliverDue()
  const tables = ["alert_channels", "alert_deliveries", "alerts", "audit_log"]
  const rows = await Promise.all(tables.map((table) => sql`SELECT t::text AS row FROM ${sql(table)} t`))
  const written = JSON.stringify(rows) + lines.join("")
  expect(written).toContain(new URL(receiver.url).host)
  for (const canary of [
    "token-canary",
    secret,
    secret.slice("whsec_".length),
    Buffer.from("token-canary").toString("hex"),
  ]) {
    expect(written).not.toContain(canary)
  }
})

test("waits grow from seconds to an hour, and spread", () => {
  expect([1, 2, 3, 20].map((attempts) => retryDelayMs(attempts, 0))).toEqual([5_000, 10_000, 20_000, 3_600_000])
  expect(retryDelayMs(20, 0.999)).toBeGreaterThanOrEqual(1_800_000)
})

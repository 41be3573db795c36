/** What becomes of messages whose receivers fail, hang, redirect, drip or answer late, beside one that does as it should. */
import type { ServerResponse } from "node:http"
import { pino } from "pino"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { sampleMessage } from "../../src/alerts/alert-message.ts"
import { createChannel } from "../../src/alerts/channel-registry.ts"
import { readDelivery, writeDelivery } from "../../src/alerts/deliveries.ts"
import { DeliveryWorker } from "../../src/alerts/delivery-worker.ts"
import { install } from "../../src/identity/first-run.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { newEncryptionKey, readEncryptionKey, SecretBox } from "../../src/platform/secret-box.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts"

const TIMEOUT_MS = 2_000
const START_MS = Date.UTC(2026, 10, 23, 12)
const box = new SecretBox(readEncryptionKey(newEncryptionKey()))
let sql: Sql
let elsewhere: WebhookReceiver
const receivers: WebhookReceiver[] = []
let nowMs = START_MS

beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 6, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  await install(sql)
  elsewhere = await startWebhookReceiver()
})
afterAll(async () => {
  for (const receiver of [...receivers, elsewhere]) await receiver?.close()
  await sql?.end()
})

const deliver = () =>
  new DeliveryWorker({
    sql,
    clock: { nowMs: () => nowMs },
    log: pino({ level: "silent" }),
    box,
    mail: null,
    allowPrivate: true,
    timeoutMs: TIMEOUT_MS,
    random: () => 0,
  }).deliverDue()

/** A message that waits for a receiver that answers so. */
async function message(answer: (response: ServerResponse) => void) {
  const receiver = await startWebhookReceiver()
  receivers.push(receiver)
  receiver.answer = answer
  const channel = { organizationId: "", kind: "webhook", name: "hook", recipients: [], signingSecret: null } as const
  const made = await createChannel(sql, box, { name: "t", ip: "" }, { ...channel, url: receiver.url })
  if (made.kind !== "done") throw new Error(made.kind)
  const delivery = { organizationId: "", ruleId: "rule_default", digestId: "", userId: "", channelId: made.row.id }
  const about = sampleMessage({ id: "", name: "" }, null, nowMs)
  const id = await sql.begin((transaction) => writeDelivery(transaction, { ...delivery, message: about }, nowMs))
  const standing = async () => {
    const row = await readDelivery(sql, id)
    return row === null ? null : [row.state, row.attempts, row.last_error]
  }
  return { id, receiver, standing, ids: () => receiver.received.map(({ headers }) => headers["webhook-id"]) }
}

test("each is told by its own words, tried again under the same id and followed nowhere, and keeps no other from its own", async () => {
  const redirect = (status: number) => (response: ServerResponse) =>
    response.writeHead(status, { location: `${elsewhere.url}/stolen` }).end()
  const drip = ({ socket }: ServerResponse) => {
    socket?.write("HTTP/1.1 200 OK\r\nx: ")
    const timer = setInterval(() => socket?.write("a"), 50)
    socket?.once("close", () => clearInterval(timer))
  }
  const lateAnswers: ServerResponse[] = []
  const hanging = await message(() => undefined)
  const late = await message((response) => void lateAnswers.push(response))
  const dripping = await message(drip)
  const failing = await message((response) => response.writeHead(500).end("secret of the receiver"))
  const busy = await message((response) => response.writeHead(429, { "retry-after": "3600" }).end())
  const gone = await message((response) => response.writeHead(410).end())
  const dropping = await message((response) => response.destroy())
  const redirecting = await Promise.all([301, 302, 303, 307, 308].map((status) => message(redirect(status))))
  const good = await message((response) => response.writeHead(204).end())

  await deliver()
  expect(await good.standing()).toEqual(["delivered", 1, ""])
  const tooLate = `no answer within ${TIMEOUT_MS} ms`
  for (const one of [hanging, late, dripping]) expect(await one.standing()).toEqual(["waiting", 1, tooLate])
  expect(await failing.standing()).toEqual(["waiting", 1, "the receiver answered 500"])
  expect(await busy.standing()).toEqual(["waiting", 1, "the receiver answered 429"])
  expect(await gone.standing()).toEqual(["failed", 1, "the receiver answered 410: it wants no more messages"])
  expect(await dropping.standing()).toEqual(["waiting", 1, expect.stringContaining("ECONNRESET")])
  for (const [index, status] of [301, 302, 303, 307, 308].entries()) {
    const said = `the receiver answered ${status}, a redirect, which is not followed`
    expect(await redirecting[index]?.standing()).toEqual(["waiting", 1, said])
  }
  expect(elsewhere.received).toEqual([])

  const tried = [hanging, late, dripping, failing, busy, dropping, ...redirecting]
  // What is answered now nobody hears.
  for (const response of lateAnswers) response.writeHead(200).end()

  // All of them have come to their senses by the time of the next attempt, but for those that want no more.
  for (const { receiver } of tried) {
    receiver.answer = (response) => response.writeHead(200).end()
  }
  nowMs += 10_000
  await deliver()
  for (const one of tried) {
    expect([await one.standing(), one.ids()]).toEqual([
      ["delivered", 2, ""],
      [one.id, one.id],
    ])
  }
  expect([good.ids(), gone.ids()]).toEqual([[good.id], [gone.id]])
  nowMs += 24 * 3_600_000
  expect(await deliver()).toBe(0)
})

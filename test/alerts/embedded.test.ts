/** State and outbox on the embedded Postgres: no session state, and one connection behind all of them. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { pino } from "pino"
import { afterAll, beforeAll, expect, test } from "vitest"
import { AlertWatch } from "../../src/alerts/alert-watch.ts"
import { createChannel } from "../../src/alerts/channel-registry.ts"
import { DeliveryWorker } from "../../src/alerts/delivery-worker.ts"
import { createDigest } from "../../src/alerts/digest-rows.ts"
import { DigestSchedule } from "../../src/alerts/digest-schedule.ts"
import { AlertRetention } from "../../src/alerts/retention.ts"
import { createLimit } from "../../src/identity/limit-registry.ts"
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { newEncryptionKey, readEncryptionKey, SecretBox } from "../../src/platform/secret-box.ts"
import { openUsageDatabase } from "../reporting/usage-database.ts"
import { startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts"

const ACTOR = { name: "t", ip: "" }
const NOW_MS = Date.UTC(2026, 10, 12, 15)
let embedded: EmbeddedPostgres
let folder: string
let sql: Sql
let receiver: WebhookReceiver

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "tallygate-alerts-"))
  embedded = await startEmbeddedPostgres({ dataDir: folder })
  ;({ sql } = await openUsageDatabase([{ id: "org_a", timeZone: "UTC" }], embedded.url))
  receiver = await startWebhookReceiver()
})
afterAll(async () => {
  await receiver?.close()
  await sql?.end()
  await embedded?.stop()
  await rm(folder, { recursive: true, force: true })
})

test("watches, schedules and workers side by side raise once and deliver once", async () => {
  const box = new SecretBox(readEncryptionKey(newEncryptionKey()))
  const wanted = {
    organizationId: "org_a",
    kind: "webhook",
    name: "hook",
    recipients: [],
    signingSecret: null,
  } as const
  await createChannel(sql, box, ACTOR, { ...wanted, url: receiver.url })
  const of = { organizationId: "org_a", scope: "organization", subject: "org_a" } as const
  const limit = await createLimit(sql, ACTOR, of, { kind: "usd", window: "month", cap: 100n })
  if (limit.kind !== "created") throw new Error(limit.kind)
  await sql`
    INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
    VALUES ('org_a', ${limit.row.id}, 'org_a', '2026-11', 85)`
  const options = { sql, clock: { nowMs: () => NOW_MS }, log: pino({ level: "silent" }) }
  const process = { storesUp: () => ({}), backlogRows: () => 0 }
  const watch = () => new AlertWatch({ ...options, findSheet: () => undefined, process, baseUrl: null })
  const raised = await Promise.all([watch().look(), watch().look(), watch().look()])
  expect(raised.reduce((sum, count) => sum + count, 0)).toBe(2)
  const digest = { organizationId: "org_a", name: "d", schedule: "0 8 * * *", timeZone: "UTC", channelIds: null }
  await createDigest(sql, ACTOR, { ...digest, period: "daily" }, NOW_MS - 24 * 3_600_000)
  const schedule = () => new DigestSchedule({ ...options, findSheet: () => undefined, baseUrl: null })
  const sent = await Promise.all([schedule().sendDue(), schedule().sendDue(), schedule().sendDue()])
  expect(sent.reduce((sum, count) => sum + count, 0)).toBe(1)
  const worker = () => new DeliveryWorker({ ...options, box, mail: null, allowPrivate: true })
  await Promise.all([worker().deliverDue(), worker().deliverDue()])
  expect(receiver.received.map(({ body }) => JSON.parse(body).type).sort()).toEqual(["alert.threshold", "digest.daily"])
  expect(await new AlertRetention(options).deleteOld()).toBe(0)
})

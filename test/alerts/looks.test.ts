/** Rules beyond thresholds: what each finds, what it does not, and that it is told once. */
import { pino } from "pino"
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest"
import { listAlerts } from "../../src/alerts/alert-log.ts"
import type { RuleKind } from "../../src/alerts/alert-rule.ts"
import { AlertWatch } from "../../src/alerts/alert-watch.ts"
import { createChannel } from "../../src/alerts/channel-registry.ts"
import { listDeliveries } from "../../src/alerts/deliveries.ts"
import { createRule } from "../../src/alerts/rule-registry.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { SecretBox } from "../../src/platform/secret-box.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { bring, openUsageDatabase } from "../reporting/usage-database.ts"

const ACTOR = { name: "t", ip: "" }
const START_MS = Date.UTC(2026, 10, 23, 12)
const MINUTE_MS = 60_000
let sql: Sql
let nowMs = START_MS
let stores: Record<string, boolean> = {}
let backlog = 0
let watch: AlertWatch

beforeAll(async () => {
  ;({ sql } = await openUsageDatabase(["acme", "other"].map((id) => ({ id, timeZone: "UTC" }))))
  for (const [organizationId, recipient] of [
    ["", "ops"],
    ["acme", "acme"],
    ["other", "other"],
  ] as const) {
    const wanted = { organizationId, kind: "email", name: recipient, url: "", signingSecret: null } as const
    await createChannel(sql, new SecretBox(null), ACTOR, { ...wanted, recipients: [`${recipient}@example.com`] })
  }
  watch = new AlertWatch({
    sql,
    clock: { nowMs: () => nowMs },
    log: pino({ level: "silent" }),
    findSheet: () => undefined,
    process: { storesUp: () => stores, backlogRows: () => backlog },
    baseUrl: null,
  })
})
afterAll(() => sql?.end())
beforeEach(async () => {
  await sql`DELETE FROM alert_rules`
  await sql`DELETE FROM alert_deliveries`
  nowMs = START_MS
  stores = {}
  backlog = 0
})

const rule = (kind: RuleKind, parameters: object = {}, over: { organizationId?: string; projectId?: string } = {}) =>
  createRule(sql, ACTOR, {
    organizationId: "",
    projectId: "",
    kind,
    name: kind,
    channelIds: null,
    ...over,
    parameters: { ...parameters },
  })
/** Whom messages went to, and what about. */
const told = async () => {
  const rows = await listDeliveries(sql, {
    visibility: { kind: "all" },
    channelId: null,
    state: null,
    after: null,
    max: 100,
  })
  const channels = await sql<{ id: string; name: string }[]>`SELECT id, name FROM alert_channels`
  return rows
    .map(({ channel_id, message }) => `${channels.find(({ id }) => id === channel_id)?.name}: ${message.title}`)
    .sort()
}
const calls = (organization: string, project: string, outcomes: readonly ("ok" | "error")[]) =>
  bring(
    sql,
    outcomes.map((outcome, index) =>
      sampleRecord({
        time: new Date(START_MS - MINUTE_MS - index).toISOString(),
        organization_id: organization,
        project_id: project,
        outcome,
      }),
    ),
  )

test("an error rate is that of the last minutes, over enough calls, of each organization or of one project", async () => {
  await calls("acme", "acme_p0", [...Array(18).fill("ok"), "error", "error"])
  await calls("acme", "acme_p1", Array(30).fill("ok"))
  await calls("other", "other_p0", ["error", "error"])
  await rule("error_rate", { percent: 5 })
  await rule("error_rate", { percent: 4 })
  await rule("error_rate", { percent: 10 }, { organizationId: "acme", projectId: "acme_p0" })
  await rule("error_rate", { percent: 11 }, { organizationId: "acme", projectId: "acme_p0" })
  await rule("error_rate", { percent: 5, calls_min: 3 }, { organizationId: "other" })
  expect(await watch.look()).toBe(2)
  expect(await told()).toEqual([
    "acme: 10 % of the calls of project project 0 failed in the last 15 minutes",
    "acme: 4 % of the calls of organization Name of acme failed in the last 15 minutes",
  ])
  expect(await watch.look()).toBe(0)
  nowMs += 20 * MINUTE_MS
  expect(await watch.look()).toBe(0)
})

test("a model without a price is told once a month to the organization that called it", async () => {
  const record = { time: new Date(START_MS).toISOString(), organization_id: "acme", project_id: "acme_p0" }
  const unpriced = { price_state: "unpriced", cost_usd: null, provider: "vllm", model_served: "llama" } as const
  await bring(sql, [sampleRecord({ ...record, ...unpriced }), sampleRecord({ ...record, ...unpriced })])
  await rule("unpriced")
  expect(await watch.look()).toBe(1)
  expect(await told()).toEqual([
    "acme: vllm/llama has no price: calls of organization Name of acme are not in any sum of money",
  ])
  expect(await watch.look()).toBe(0)
})

test("a key that expires is told once for its expiry, and again for another one; revoked ones are not", async () => {
  const expires = (id: string, days: number) =>
    sql`UPDATE virtual_keys SET expires_at = ${new Date(START_MS + days * 24 * 60 * MINUTE_MS)} WHERE id = ${id}`
  await expires("acme_k0", 13)
  await expires("acme_k1", 15)
  await expires("other_k0", 3)
  await sql`UPDATE virtual_keys SET revoked_at = now() WHERE id = 'other_k0'`
  await rule("key_expiry")
  expect(await watch.look()).toBe(1)
  expect(await told()).toEqual(["acme: Key key 0 of project project 0 expires at 2026-12-06T12:00:00.000Z"])
  expect(await watch.look()).toBe(0)
  await expires("acme_k0", 14)
  nowMs += 25 * 60 * MINUTE_MS
  expect(await watch.look()).toBe(2)
})

test("a store that is down is told to the installation once it was down for a while, and a backlog from its size on", async () => {
  await rule("store_degraded")
  await rule("journal_backlog", { rows: 500 })
  stores = { limits: false, ledger: true }
  backlog = 499
  expect(await watch.look()).toBe(0)
  stores = { limits: true, ledger: true }
  nowMs += MINUTE_MS
  expect(await watch.look()).toBe(0)
  stores = { limits: false, ledger: true }
  expect(await watch.look()).toBe(0)
  nowMs += MINUTE_MS
  backlog = 500
  expect(await watch.look()).toBe(2)
  expect(await told()).toEqual([
    "ops: 500 records wait for the ledger",
    "ops: The store limits does not serve since 2026-11-23T12:01:00.000Z",
  ])
  expect(await watch.look()).toBe(0)
  const log = await listAlerts(sql, {
    visibility: { kind: "within", organizationIds: ["acme"], projectIds: [] },
    after: null,
    max: 100,
  })
  expect(log.map(({ organization_id }) => organization_id).filter((id) => id !== "acme")).toEqual([])
})

/** Digests are sent once for each period, whoever looks and whoever dies, and say what reports say. */
import { pino } from "pino"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { createChannel } from "../../src/alerts/channel-registry.ts"
import { discordBody, slackBody, teamsBody, webhookBody } from "../../src/alerts/chat-bodies.ts"
import { listDeliveries } from "../../src/alerts/deliveries.ts"
import { makeDigest } from "../../src/alerts/digest-content.ts"
import { digestMail } from "../../src/alerts/digest-mail.ts"
import type { DigestMessage } from "../../src/alerts/digest-message.ts"
import {
  changeDigest,
  createDigest,
  type DigestRow,
  deleteDigest,
  type NewDigest,
} from "../../src/alerts/digest-rows.ts"
import { queueDigest, readDigestCsv } from "../../src/alerts/digest-runs.ts"
import { DigestSchedule } from "../../src/alerts/digest-schedule.ts"
import { AlertRetention } from "../../src/alerts/retention.ts"
import { createLimit } from "../../src/identity/limit-registry.ts"
import { RefusalCounts } from "../../src/ledger/refusal-counts.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { newEncryptionKey, readEncryptionKey, SecretBox } from "../../src/platform/secret-box.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { bring, openUsageDatabase } from "../reporting/usage-database.ts"

const ACTOR = { name: "t", ip: "" }
const DAY_MS = 24 * 3_600_000
const HOSTILE = `<img src=x> & "q"`
const log = pino({ level: "silent" })
const box = new SecretBox(readEncryptionKey(newEncryptionKey()))
const mintId = uuidv7Mint()
/** A Monday, nine o'clock in Berlin. */
const MONDAY = Date.parse("2026-11-23T08:00:00Z")
let sql: Sql
let nowMs = MONDAY

const call = (at: string, more: object) => {
  const timeMs = Date.parse(at)
  const owner = { organization_id: "a", project_id: "a_p0", key_id: "a_k0", user_id: "" }
  return sampleRecord({
    id: mintId(timeMs),
    time: at,
    ...owner,
    provider: "openai",
    model_served: "gpt-5-mini",
    ...more,
  })
}

beforeAll(async () => {
  const organizations = [
    { id: "a", timeZone: "Europe/Berlin" },
    { id: "b", timeZone: "UTC" },
  ]
  sql = (await openUsageDatabase(organizations)).sql
  await sql`UPDATE projects SET name = ${HOSTILE} WHERE id = 'a_p1'`
  await bring(sql, [
    call("2026-11-12T12:00:00.000Z", { cost_usd: "10" }),
    call("2026-11-16T00:30:00.000Z", { cost_usd: "4" }),
    call("2026-11-18T12:00:00.000Z", { cost_usd: "6.5", project_id: "a_p1", key_id: "a_k1" }),
    // Sunday in Berlin and in the week, and Monday in Berlin and out of it.
    call("2026-11-22T22:59:00.000Z", { cost_usd: "1.5" }),
    call("2026-11-22T23:01:00.000Z", { cost_usd: "100" }),
    call("2026-11-19T12:00:00.000Z", {
      cost_usd: null,
      price_state: "unpriced",
      price_row: "",
      model_served: "of-no-book",
    }),
    call("2026-11-18T12:00:00.000Z", { cost_usd: "7", organization_id: "b", project_id: "b_p0", key_id: "b_k0" }),
  ])
  const counts = new RefusalCounts({ sql, log })
  for (const at of ["2026-11-17T10:00:00Z", "2026-11-17T10:01:00Z", "2026-11-23T01:00:00Z"]) {
    counts.add({ id: "a_k0", organizationId: "a" }, "budget_exceeded", Date.parse(at))
  }
  counts.add({ id: "a_k1", organizationId: "a" }, "model_not_allowed", Date.parse("2026-11-20T10:00:00Z"))
  counts.add({ id: "a_k1", organizationId: "a" }, "model_not_allowed", Date.parse("2026-11-13T10:00:00Z"))
  await Promise.all([counts.write(), counts.write()])
})
afterAll(() => sql?.end())
beforeEach(async () => {
  await sql`DELETE FROM digests`
  await sql`DELETE FROM alert_deliveries`
  await sql`DELETE FROM alert_channels`
  nowMs = MONDAY
})

const options = () => ({ sql, findSheet: () => undefined, baseUrl: "https://tallygate.example/" })
const schedule = () => new DigestSchedule({ ...options(), clock: { nowMs: () => nowMs }, log })
const digest = (more: Partial<NewDigest> = {}, madeAtMs = MONDAY - 30 * DAY_MS) =>
  createDigest(
    sql,
    ACTOR,
    {
      ...{
        organizationId: "a",
        name: "for finance",
        period: "weekly",
        schedule: "0 8 * * 1",
        timeZone: "Europe/Berlin",
      },
      ...{ channelIds: null, ...more },
    },
    madeAtMs,
  )
async function channel(organizationId = "a", recipients: readonly string[] = ["ada@example.com"]): Promise<string> {
  const wanted = { organizationId, kind: "email", name: "mail", recipients, url: "", signingSecret: null } as const
  const made = await createChannel(sql, box, ACTOR, wanted)
  if (made.kind !== "done") throw new Error(made.kind)
  return made.row.id
}
const deliveries = () =>
  listDeliveries(sql, { visibility: { kind: "all" }, channelId: null, state: null, after: null, max: 100 })
const sent = async () => (await deliveries()).map(({ message }) => message as DigestMessage)
const periods = async () => (await sent()).map(({ stretch }) => stretch.id).sort()

describe("the schedule", () => {
  test("four processes that look at once send a digest once, to each channel of its organization", async () => {
    const ids = [await channel(), await channel()]
    await channel("b")
    await channel("")
    const { id } = await digest()
    const counts = await Promise.all([1, 2, 3, 4].map(() => schedule().sendDue()))
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1)
    const rows = await deliveries()
    expect(rows.map(({ channel_id }) => channel_id).sort()).toEqual(ids.sort())
    for (const row of rows) {
      expect(row).toMatchObject({ digest_id: id, rule_id: "", user_id: "", state: "waiting", organization_id: "a" })
    }
    expect(await schedule().sendDue()).toBe(0)
  })

  test("what is written is both, the period and its messages, or neither", async () => {
    await channel()
    await digest()
    await sql`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$`
    await sql`CREATE TRIGGER refuse BEFORE INSERT ON alert_deliveries FOR EACH ROW EXECUTE FUNCTION refuse()`
    await expect(schedule().sendDue()).rejects.toThrow("no")
    await sql`DROP TRIGGER refuse ON alert_deliveries`
    expect(await sql`SELECT 1 FROM digest_runs`).toHaveLength(0)
    expect(await schedule().sendDue()).toBe(1)
    expect(await periods()).toEqual(["2026-W47"])
  })

  test("a digest that fails keeps no other from being sent", async () => {
    await channel()
    await digest()
    await digest()
    await sql`UPDATE digests SET schedule = 'of a newer version' WHERE id = (SELECT min(id) FROM digests)`
    await expect(schedule().sendDue()).rejects.toThrow()
    expect(await periods()).toEqual(["2026-W47"])
  })

  test("what was missed while nobody ran is sent at the next start, the last period of it, up to seven days late", async () => {
    await channel()
    await digest()
    await digest({ period: "daily", schedule: "0 8 * * *" })
    await digest({ period: "monthly", schedule: "0 8 1 * *" })
    nowMs = MONDAY + 3 * DAY_MS
    expect(await schedule().sendDue()).toBe(2)
    expect(await periods()).toEqual(["2026-11-25", "2026-W47"])
    nowMs = Date.parse("2026-12-09T08:00:00Z")
    await schedule().sendDue()
    expect(await periods()).not.toContain("2026-11")
  })

  test("a digest that is new, was changed or was off makes up for nothing that was due before", async () => {
    await channel()
    const { id } = await digest({}, MONDAY)
    expect(await schedule().sendDue()).toBe(0)
    await sql`UPDATE digests SET due_from = '2026-01-01'`
    await changeDigest(sql, ACTOR, id, { isDisabled: true }, nowMs)
    expect(await schedule().sendDue()).toBe(0)
    await changeDigest(sql, ACTOR, id, { isDisabled: false }, nowMs)
    expect(await schedule().sendDue()).toBe(0)
    await changeDigest(sql, ACTOR, id, { name: "another name" }, nowMs)
    nowMs += 7 * DAY_MS
    expect(await schedule().sendDue()).toBe(1)
    expect(await periods()).toEqual(["2026-W48"])
  })

  test("in the night in which an hour comes twice, and in the one that lacks it, it is sent once", async () => {
    await channel()
    await digest({ period: "daily", schedule: "30 2 * * *" }, Date.parse("2026-10-20T00:00:00Z"))
    for (let ms = Date.parse("2026-10-24T23:50:00Z"); ms < Date.parse("2026-10-25T04:00:00Z"); ms += 10 * 60_000) {
      nowMs = ms
      await schedule().sendDue()
    }
    expect(await periods()).toEqual(["2026-10-23", "2026-10-24"])
    await sql`DELETE FROM alert_deliveries`
    for (let ms = Date.parse("2027-03-28T00:20:00Z"); ms < Date.parse("2027-03-28T04:00:00Z"); ms += 10 * 60_000) {
      nowMs = ms
      await schedule().sendDue()
    }
    expect(await periods()).toEqual(["2027-03-26", "2027-03-27"])
  })

  test("what was sent by hand does not use up the period, and a digest that is gone is not sent", async () => {
    await channel()
    const row = await digest()
    const made = await makeDigest(options(), row, { dueMs: nowMs, nowMs, occasion: "by-hand" })
    expect(await queueDigest(sql, row, made, nowMs)).toHaveLength(1)
    expect(await schedule().sendDue()).toBe(1)
    await deleteDigest(sql, ACTOR, row.id)
    expect(await queueDigest(sql, row, { ...made, message: { ...made.message, occasion: "again" } }, nowMs)).toBeNull()
  })
})

describe("what a digest says", () => {
  const made = async (more: Partial<NewDigest> = {}) =>
    makeDigest(options(), await digest(more), { dueMs: nowMs, nowMs, occasion: "" })

  test("is the last whole week of its own zone against the week before, with who spent it", async () => {
    const { message } = await made()
    expect(message.title).toBe("16 to 22 November 2026: $12.00 spent, +20 % against the week before")
    expect(message.stretch).toEqual({
      ...{ id: "2026-W47", from: "2026-11-15T23:00:00.000Z", until: "2026-11-22T23:00:00.000Z" },
      timeZone: "Europe/Berlin",
    })
    expect(message.calls).toEqual({ now: "4", before: "1" })
    expect(message.bars.map(({ label, usd }) => `${label} ${Number(usd)}`)).toEqual([
      ...["Mon 4", "Tue 0", "Wed 6.5", "Thu 0", "Fri 0", "Sat 0", "Sun 1.5"],
    ])
    const top = message.top.projects.map(({ name, usd, previousUsd }) => [name, Number(usd), Number(previousUsd)])
    expect(top).toEqual([
      [HOSTILE, 6.5, 0],
      ["project 0", 5.5, 10],
    ])
    expect(message.top.models.map(({ name }) => name)).toEqual(["gpt-5-mini"])
    expect(message.top.organizations).toEqual([])
    expect(message.refused).toEqual({
      ...{ now: "3", before: "1" },
      reasons: [
        { code: "budget_exceeded", calls: "2" },
        { code: "model_not_allowed", calls: "1" },
      ],
    })
    expect(message.unpriced).toEqual({ calls: "1", models: [{ name: "openai/of-no-book", calls: "1" }] })
    expect(Number(message.month.usd)).toBe(122)
    expect(message.link).toContain("https://tallygate.example/dashboard/usage?from=2026-11-15T23%3A00%3A00.000Z")
  })

  test("has budgets with percent and projection, and a table that adds up to the same", async () => {
    const of = { organizationId: "a", scope: "project", subject: "a_p0" } as const
    const limit = await createLimit(sql, ACTOR, of, { kind: "usd", window: "month", cap: 200_000_000_000n })
    if (limit.kind !== "created") throw new Error(limit.kind)
    await sql`
      INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
      VALUES ('a', ${limit.row.id}, 'a_p0', '2026-11', 115500000000)`
    const { message, csv } = await made()
    expect(message.budgets).toEqual([
      expect.objectContaining({
        ...{ name: "project project 0", kind: "usd", used: "115.5", cap: "200", percent: 57, window: "month" },
        projected: expect.stringMatching(/^\d+(\.\d+)?$/),
      }),
    ])
    const [head = "", ...lines] = csv.trim().split("\r\n")
    const costAt = head.split(",").indexOf("cost_usd")
    expect(lines.reduce((sum, line) => sum + Number(line.split(",").at(costAt - head.split(",").length) || 0), 0)).toBe(
      12,
    )
    expect(csv).toContain("gpt-5-mini")
    await sql`DELETE FROM limits`
  })

  test("of the installation is over all organizations, and names them", async () => {
    const { message } = await made({ organizationId: "", timeZone: "UTC" })
    expect(message.organization).toEqual({ id: "", name: "" })
    expect(message.top.organizations.map(({ name, usd }) => [name, Number(usd)])).toEqual([
      ["Name of a", 112],
      ["Name of b", 7],
    ])
  })

  test("is nothing but text where a user chose it, in mail and in chats, and short in chats", async () => {
    const { message } = await made()
    const { subject, html, text } = digestMail(message)
    expect(subject).toBe(`[Name of a] ${message.title}`)
    expect(html).not.toContain("<img")
    expect(html).toContain("&lt;img src=x&gt;")
    expect(html).not.toMatch(/<svg|<script|<link|url\(/)
    expect(text).toContain(`  - ${HOSTILE}: $6.50, new`)
    expect(text).toContain("Refused calls: 3 (the week before: 1)")
    const [header, section, actions] = JSON.parse(slackBody(message)).blocks
    expect(header.text.text).toBe(message.title)
    expect(section.text.text).not.toContain("gpt-5-mini")
    expect(actions.elements[0]).toMatchObject({ url: message.link, text: { text: "Open the report" } })
    expect(JSON.parse(discordBody(message)).embeds[0].description).toContain("Spent")
    expect(JSON.stringify(JSON.parse(teamsBody(message)))).toContain("Open the report")
    expect(JSON.parse(webhookBody(message))).toMatchObject({
      ...{ type: "digest.weekly", timestamp: new Date(nowMs).toISOString() },
      data: { stretch: { id: "2026-W47" }, usd: { now: expect.any(String) } },
    })
  })

  test("of a stretch in which nothing happened says so, and divides by nothing", async () => {
    nowMs = Date.parse("2025-03-03T08:00:00Z")
    const { message } = await made({ period: "daily", organizationId: "b" })
    expect(message.title).toBe("2 March 2025: $0.00 spent")
    expect(digestMail(message).text).toContain("it is too early to say where it goes")
    expect(message.bars).toHaveLength(24)
  })
})

test("what is old goes, but for what keeps something from being told twice", async () => {
  const at = (days: number) => new Date(nowMs - days * DAY_MS)
  await channel()
  const row: DigestRow = await digest()
  const insertAlert = (subject: string, window: string, days: number) => sql`
    INSERT INTO alerts (organization_id, rule_id, limit_id, subject, window_id, threshold_percent, settled, cap, raised_at)
    VALUES ('a', 'rule_default', '', ${subject}, ${window}, 50, 1, 2, ${at(days)})`
  await insertAlert("old", "2025-01", 401)
  await insertAlert("young", "2025-12", 399)
  await insertAlert("for-ever", "lifetime", 800)
  const insertDelivery = (state: string, days: number) => sql`
    INSERT INTO alert_deliveries (id, organization_id, rule_id, channel_id, message, state, next_attempt_at, retry_until, created_at)
    VALUES (${mintId(at(days).getTime())}, 'a', 'rule_default', 'chan', '{}', ${state}, now(), now(), ${at(days)})`
  await insertDelivery("delivered", 91)
  await insertDelivery("failed", 91)
  await insertDelivery("waiting", 91)
  await insertDelivery("delivered", 89)
  const made = await makeDigest(options(), row, { dueMs: nowMs, nowMs, occasion: "" })
  await queueDigest(sql, row, made, at(91).getTime())
  expect(await readDigestCsv(sql, made.message)).toBe(made.csv)
  const retention = new AlertRetention({ sql, clock: { nowMs: () => nowMs }, log })
  expect(await retention.deleteOld()).toBe(4)
  const subjects = await sql<{ subject: string }[]>`SELECT subject FROM alerts ORDER BY subject`
  expect(subjects.map(({ subject }) => subject)).toEqual(["for-ever", "young"])
  const states = await sql<{ state: string }[]>`SELECT state FROM alert_deliveries ORDER BY state`
  expect(states.map(({ state }) => state)).toEqual(["delivered", "waiting", "waiting"])
  expect(await readDigestCsv(sql, made.message)).toBeNull()
  expect(await retention.deleteOld()).toBe(0)
})

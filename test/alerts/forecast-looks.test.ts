/** Rules that look ahead or compare: forecasts of limits, spending out of the usual, providers that do not serve. */
import { pino } from "pino"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { listAlerts } from "../../src/alerts/alert-log.ts"
import type { AlertMessage } from "../../src/alerts/alert-message.ts"
import type { RuleKind } from "../../src/alerts/alert-rule.ts"
import { AlertWatch } from "../../src/alerts/alert-watch.ts"
import { createChannel } from "../../src/alerts/channel-registry.ts"
import { listDeliveries } from "../../src/alerts/deliveries.ts"
import { createRule } from "../../src/alerts/rule-registry.ts"
import { changeLimit, createLimit } from "../../src/identity/limit-registry.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { SecretBox } from "../../src/platform/secret-box.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { bring, openUsageDatabase } from "../reporting/usage-database.ts"

const ACTOR = { name: "t", ip: "" }
const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
/** A Wednesday at noon; ten days of the month are over. */
const START_MS = Date.UTC(2026, 10, 11, 12)
const EVERYTHING = { visibility: { kind: "all" }, after: null, max: 100 } as const
let sql: Sql
let nowMs = START_MS

beforeAll(async () => {
  ;({ sql } = await openUsageDatabase(["acme", "other", "bare"].map((id) => ({ id, timeZone: "UTC" }))))
  for (const [organizationId, recipient] of [
    ["", "ops"],
    ["acme", "acme"],
    ["other", "other"],
  ] as const) {
    const wanted = { organizationId, kind: "email", name: recipient, url: "", signingSecret: null } as const
    await createChannel(sql, new SecretBox(null), ACTOR, { ...wanted, recipients: [`${recipient}@example.com`] })
  }
})
afterAll(() => sql?.end())
beforeEach(async () => {
  for (const table of ["alert_rules", "alert_deliveries", "alerts", "alert_subjects", "limits", "limit_usage"]) {
    await sql`DELETE FROM ${sql(table)}`
  }
  for (const table of ["usage_records", "usage_rollups"]) await sql`DELETE FROM ${sql(table)}`
  nowMs = START_MS
})

const watch = () =>
  new AlertWatch({
    sql,
    clock: { nowMs: () => nowMs },
    log: pino({ level: "silent" }),
    findSheet: () => undefined,
    process: { storesUp: () => ({}), backlogRows: () => 0 },
    baseUrl: null,
  })
const rule = (kind: RuleKind, parameters: object = {}, more: object = {}) =>
  createRule(sql, ACTOR, {
    ...{ organizationId: "", projectId: "", kind, name: kind, channelIds: null, ...more },
    parameters: { ...parameters },
  })
/** Whom messages went to, and the messages, the latest first. */
async function told(): Promise<{ to: string; message: AlertMessage }[]> {
  const rows = await listDeliveries(sql, { ...EVERYTHING, channelId: null, state: null })
  const channels = await sql<{ id: string; name: string }[]>`SELECT id, name FROM alert_channels`
  return rows.map(({ channel_id, message }) => {
    if (!("facts" in message)) throw new Error("A digest was sent.")
    return { to: channels.find(({ id }) => id === channel_id)?.name ?? "", message }
  })
}
const titles = async () => (await told()).map(({ to, message }) => `${to}: ${message.title}`).sort()

async function theOnlyMessage(): Promise<AlertMessage> {
  const [first, ...more] = await told()
  if (first === undefined || more.length > 0) throw new Error(`There are ${more.length + 1} messages or none.`)
  return first.message
}

/** A call of the first key, so many days before now. */
const call = (daysAgo: number, changes: Partial<UsageRecord> = {}) =>
  sampleRecord({
    ...{ organization_id: "acme", project_id: "acme_p0", key_id: "acme_k0", charges: [], cost_usd: "10" },
    ...{ time: new Date(nowMs - daysAgo * DAY_MS).toISOString(), provider: "openai", provider_account: "main" },
    ...changes,
  })
const daysOf = (from: number, until: number) => Array.from({ length: until - from }, (_, index) => from + index)

describe("forecasts", () => {
  const USD = 1_000_000_000n
  async function limit(window: "day" | "month" | "lifetime", cap: bigint): Promise<string> {
    const of = { organizationId: "acme", scope: "project", subject: "acme_p0" } as const
    const created = await createLimit(sql, ACTOR, of, { kind: "usd", window, cap, thresholds: [50, 80, 100] })
    if (created.kind !== "created") throw new Error(created.kind)
    return created.row.id
  }
  const settle = (limitId: string, window: string, settled: bigint) => sql`
    INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
    VALUES ('acme', ${limitId}, 'acme_p0', ${window}, ${settled.toString()})
    ON CONFLICT (organization_id, limit_id, subject, window_id)
    DO UPDATE SET settled = excluded.settled, updated_at = now()`

  test("a limit on its way to its cap is told once, with where it goes and when the cap is reached", async () => {
    await bring(
      sql,
      daysOf(1, 21).map((day) => call(day)),
    )
    const id = await limit("month", 250n * USD)
    await settle(id, "2026-11", 100n * USD)
    await rule("threshold")
    const raised = await Promise.all([watch().look(), watch().look(), watch().look()])
    expect(raised.reduce((sum, count) => sum + count, 0)).toBe(1)
    expect(await watch().look()).toBe(0)
    const message = await theOnlyMessage()
    // Ten dollars each noon: today's is still to come, and nineteen days.
    expect(message.title).toBe("Project project 0 is on its way to 120 % of its limit of $250 a month")
    expect(message.facts.map(({ name, value }) => `${name}: ${value}`)).toEqual([
      "Spent: $100",
      "Cap: $250",
      "Used in percent: 40 %",
      "Threshold: 100 %",
      "Window: month 2026-11, until 2026-12-01T00:00:00.000Z",
      "Projected at the window's end: $300, most likely between $300 and $300",
      "Cap reached at this pace: 2026-11-26T00:00:00.000Z",
    ])
    expect(message.data).toMatchObject({
      ...{ on: "forecast", threshold_percent: 100, percent: 40, projected: "300000000000" },
      ...{ projected_low: "300000000000", projected_high: "300000000000", exhausted_at: "2026-11-26T00:00:00.000Z" },
    })
    expect(message.contributors[0]).toEqual({ name: "key key 0", value: "$100" })
    expect(await listAlerts(sql, EVERYTHING)).toMatchObject([{ is_forecast: true, threshold_percent: 100 }])
  })

  test("what is reached is told at once after what was forecast; what is forecast after it waits", async () => {
    await bring(
      sql,
      daysOf(1, 21).map((day) => call(day)),
    )
    const first = await limit("month", 250n * USD)
    await settle(first, "2026-11", 100n * USD)
    await rule("threshold")
    expect(await watch().look()).toBe(1)
    nowMs += MINUTE_MS
    await settle(first, "2026-11", 130n * USD)
    expect(await watch().look()).toBe(1)
    expect((await told())[0]?.message.title).toContain("has used 52 %")
    expect((await told())[0]?.message.data).toMatchObject({ on: "actual", projected: "330000000000" })
    nowMs += MINUTE_MS
    const second = await limit("month", 260n * USD)
    await settle(second, "2026-11", 135n * USD)
    expect(await watch().look()).toBe(2)
    expect(await told()).toHaveLength(3)
    expect((await told())[0]?.message.title).toContain("has used 51 %")
    nowMs += DAY_MS
    await watch().look()
    expect((await told())[0]?.message.title).toContain("is on its way to")
  })

  test("another cap and another window arm it again; a cap that is not reached is not told", async () => {
    await bring(
      sql,
      daysOf(1, 21).map((day) => call(day)),
    )
    const id = await limit("month", 310n * USD)
    await settle(id, "2026-11", 100n * USD)
    await rule("threshold", { thresholds: [100] })
    expect(await watch().look()).toBe(0)
    await changeLimit(sql, ACTOR, id, { cap: 290n * USD })
    expect(await watch().look()).toBe(1)
    expect(await watch().look()).toBe(0)
    await changeLimit(sql, ACTOR, id, { cap: 280n * USD })
    expect(await watch().look()).toBe(1)
    nowMs = Date.UTC(2026, 11, 11, 12)
    await bring(
      sql,
      daysOf(1, 21).map((day) => call(day)),
    )
    await settle(id, "2026-12", 100n * USD)
    expect(await watch().look()).toBe(1)
  })

  test("less than three days of usage, windows of a day or without an end, and a rule without forecasts tell none", async () => {
    await bring(
      sql,
      [1, 2].map((day) => call(day)),
    )
    const month = await limit("month", 250n * USD)
    await settle(month, "2026-11", 100n * USD)
    const kept = await rule("threshold")
    expect(await watch().look()).toBe(0)
    await bring(
      sql,
      daysOf(3, 21).map((day) => call(day)),
    )
    await sql`UPDATE alert_rules SET parameters = '{"forecast_thresholds": []}' WHERE id = ${kept.id}`
    expect(await watch().look()).toBe(0)
    await sql`UPDATE alert_rules SET parameters = '{}' WHERE id = ${kept.id}`
    for (const [window, id] of [
      ["day", "2026-11-11"],
      ["lifetime", "lifetime"],
    ] as const) {
      await settle(await limit(window, 11n * USD), id, 5n * USD)
    }
    expect(await watch().look()).toBe(1)
    const log = await listAlerts(sql, EVERYTHING)
    expect(log.map(({ limit_id }) => limit_id)).toEqual([month])
  })

  test("whom a limit counts apart is named, and what contributes is of its own calls alone", async () => {
    const byUsers = (day: number) =>
      ["acme_u0", "acme_u1"].map((user_id) => call(day, { user_id, key_id: `${user_id}k` }))
    await bring(sql, daysOf(1, 21).flatMap(byUsers))
    const of = { organizationId: "acme", scope: "project", subject: "acme_p0", each: "user" } as const
    const created = await createLimit(sql, ACTOR, of, { kind: "usd", window: "month", cap: 250n * USD })
    if (created.kind !== "created") throw new Error(created.kind)
    await sql`
      INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
      VALUES ('acme', ${created.row.id}, 'acme_p0 acme_u1', '2026-11', ${(100n * USD).toString()})`
    await rule("threshold")
    expect(await watch().look()).toBe(1)
    const { title, contributors, path, data } = await theOnlyMessage()
    expect(title).toBe("Project project 0, user User 1 is on its way to 120 % of its limit of $250 a month")
    expect(contributors).toEqual([{ name: "key acme_u1k", value: "$100" }])
    expect(path).toContain("project=acme_p0&user=acme_u1")
    expect(data.projected).toBe("300000000000")
  })

  test("how the message says it where the ledger cannot: on at the average rate, without an interval", async () => {
    const id = await limit("month", 250n * USD)
    await settle(id, "2026-11", 150n * USD)
    await rule("threshold")
    expect(await watch().look()).toBe(1)
    const message = await theOnlyMessage()
    expect(message.facts.at(-1)?.value).toBe("$428.57")
    expect(message.data).toMatchObject({ on: "actual", projected_low: null, exhausted_at: null })
  })
})

describe("spending out of the usual", () => {
  test("is told of key, project and tool once a day, with what of it has spent most", async () => {
    const usual = daysOf(1, 15).map((day) => call(day, { cost_usd: "2", tool: "crawler" }))
    const today = ["40", "20", "0.5"].map((cost_usd, index) => {
      return call(0, { cost_usd, tool: "crawler", model_served: `model-${index}` })
    })
    await bring(sql, [...usual, ...today])
    await rule("anomaly")
    const looking = watch()
    expect(await looking.look()).toBe(3)
    expect(await looking.look()).toBe(0)
    expect(await watch().look()).toBe(0)
    expect(await titles()).toEqual([
      "acme: Key key 0 has spent $60.50 on 2026-11-11; a usual Wednesday has $2",
      "acme: Project project 0 has spent $60.50 on 2026-11-11; a usual Wednesday has $2",
      "acme: Tool crawler has spent $60.50 on 2026-11-11; a usual Wednesday has $2",
    ])
    const message = (await told()).find(({ message: { title } }) => title.startsWith("Key"))?.message
    expect(message?.facts).toContainEqual({ name: "Top contributor", value: "model model-0, $40" })
    expect(message?.contributors).toHaveLength(3)
    expect((await told()).find(({ message: { title } }) => title.startsWith("Tool"))?.message.contributors).toEqual([
      { name: "key key 0", value: "$60.50" },
    ])
    nowMs += DAY_MS
    await bring(sql, [call(0, { cost_usd: "60", tool: "crawler" })])
    expect(await watch().look()).toBe(3)
  })

  test("is none of cents, of what is new, of what is large but usual, and of what each Wednesday does", async () => {
    await bring(sql, [
      ...daysOf(1, 15).map((day) => call(day, { cost_usd: "0.01" })),
      call(0, { cost_usd: "9.99" }),
      ...daysOf(1, 6).map((day) => call(day, { key_id: "acme_k1", project_id: "acme_p1", cost_usd: "1" })),
      call(0, { key_id: "acme_k1", project_id: "acme_p1", cost_usd: "900" }),
      ...daysOf(0, 15).map((day) =>
        call(day, { organization_id: "other", project_id: "other_p0", cost_usd: `${95 + (day % 3) * 20}` }),
      ),
      ...daysOf(0, 22).map((day) =>
        call(day, {
          organization_id: "bare",
          project_id: "bare_p0",
          key_id: "bare_k0",
          cost_usd: day % 7 === 0 ? "50" : "1",
        }),
      ),
    ])
    await rule("anomaly")
    expect(await watch().look()).toBe(0)
    await rule("anomaly", { usd_min: 9, by: ["key"] }, { organizationId: "acme", projectId: "acme_p0" })
    expect(await watch().look()).toBe(1)
    expect(await titles()).toEqual(["acme: Key key 0 has spent $9.99 on 2026-11-11; a usual Wednesday has $0.01"])
  })

  test("of a day that is just over is still told in the first hour of the next one", async () => {
    nowMs = Date.UTC(2026, 10, 12, 0, 20)
    await bring(sql, [
      ...daysOf(2, 16).map((day) => call(day, { cost_usd: "2" })),
      call(0, { cost_usd: "70", time: "2026-11-11T23:50:00.000Z" }),
    ])
    await rule("anomaly", { by: ["key"] })
    nowMs += 60 * MINUTE_MS
    expect(await watch().look()).toBe(0)
    nowMs -= 60 * MINUTE_MS
    expect(await watch().look()).toBe(1)
    expect(await titles()).toEqual(["acme: Key key 0 has spent $70 on 2026-11-11; a usual Wednesday has $2"])
  })
})

describe("a provider that does not serve", () => {
  const failing = {
    outcome: "error",
    end_state: "upstream_error",
    error_code: "upstream_error",
    http_status: 502,
  } as const
  const unavailable = { outcome: "error", end_state: "complete", error_code: "", http_status: 503 } as const
  const refused = { outcome: "error", end_state: "complete", error_code: "", http_status: 401 } as const
  const of = (organization: string, changes: Partial<UsageRecord> = {}) =>
    call(1 / (24 * 60), { organization_id: organization, project_id: `${organization}_p0`, ...changes })

  test("is told to the installation, and to organizations concerned that have channels, once a day", async () => {
    await bring(sql, [
      ...Array.from({ length: 6 }, () => of("acme", unavailable)),
      ...Array.from({ length: 4 }, () => of("bare", failing)),
      ...Array.from({ length: 5 }, () => of("other")),
      ...Array.from({ length: 20 }, () => of("acme", { provider_account: "spare" })),
    ])
    await rule("provider_down", { percent: 60 })
    expect(await watch().look()).toBe(2)
    expect(await titles()).toEqual([
      "acme: Provider account openai/main does not serve: 6 of 6 calls of organization Name of acme failed in the last 5 minutes",
      "ops: Provider account openai/main does not serve: 10 of 15 calls failed in the last 5 minutes",
    ])
    const message = (await told()).find(({ to }) => to === "ops")?.message
    expect(message?.facts).toContainEqual({ name: "Most often", value: "HTTP 503" })
    expect(message?.facts).toContainEqual({ name: "Last answer", value: "2026-11-11T11:59:00.000Z" })
    nowMs += MINUTE_MS
    expect(await watch().look()).toBe(0)
    nowMs += 10 * MINUTE_MS
    expect(await watch().look()).toBe(0)
  })

  test("that serves again is told of once, to whom it was told that it does not, and only after enough answers", async () => {
    await bring(
      sql,
      Array.from({ length: 4 }, () => of("acme", failing)),
    )
    await rule("provider_down")
    expect(await watch().look()).toBe(2)
    nowMs += 10 * MINUTE_MS
    await bring(sql, [of("acme"), of("acme"), of("other"), of("other", failing)])
    expect(await watch().look()).toBe(1)
    await bring(sql, [of("acme")])
    expect(await watch().look()).toBe(1)
    expect(await watch().look()).toBe(0)
    expect((await titles()).filter((title) => title.includes("again"))).toEqual([
      "acme: Provider account openai/main serves again: 3 of 3 calls of organization Name of acme were answered in the last 5 minutes",
      "ops: Provider account openai/main serves again: 3 of 4 calls were answered in the last 5 minutes",
    ])
    nowMs += DAY_MS
    expect(await watch().look()).toBe(0)
  })

  test("is not one that refuses, that failed too few calls, or none of them for its own reasons", async () => {
    await bring(sql, [
      ...Array.from({ length: 20 }, () => of("acme", refused)),
      of("other", { ...failing, provider_account: "spare" }),
      of("other", { ...failing, provider_account: "spare" }),
      ...Array.from({ length: 9 }, () =>
        of("other", { provider: "anthropic", ...failing, error_code: "shutting_down" }),
      ),
      ...Array.from({ length: 9 }, () =>
        of("bare", { provider: "vllm", outcome: "aborted", end_state: "client_abort" }),
      ),
    ])
    await rule("provider_down")
    expect(await watch().look()).toBe(0)
    await bring(sql, [of("other", { ...failing, provider_account: "spare" })])
    expect(await watch().look()).toBe(2)
    expect((await titles()).map((title) => title.slice(0, 60))).toEqual([
      "ops: Provider account openai/spare does not serve: 3 of 3 ca",
      "other: Provider account openai/spare does not serve: 3 of 3 ",
    ])
  })

  test("a rule of an organization goes by its own calls, and one with channels tells each of them once", async () => {
    await bring(sql, [
      ...Array.from({ length: 4 }, () => of("acme", failing)),
      ...Array.from({ length: 40 }, () => of("other")),
    ])
    await rule("provider_down")
    expect(await watch().look()).toBe(0)
    await rule("provider_down", {}, { organizationId: "acme" })
    expect(await watch().look()).toBe(1)
    expect(await titles()).toEqual([
      "acme: Provider account openai/main does not serve: 4 of 4 calls of organization Name of acme failed in the last 5 minutes",
    ])
    const [{ id } = { id: "" }] = await sql<{ id: string }[]>`SELECT id FROM alert_channels WHERE name = 'acme'`
    await rule("provider_down", { percent: 5 }, { channelIds: [id] })
    expect(await watch().look()).toBe(1)
  })
})

/** Alerts where windows do odd things: nights on which clocks are set, and caps that are raised for a time. The clock is the test's. */
import { pino } from "pino"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { AlertWatch } from "../../src/alerts/alert-watch.ts"
import { createChannel } from "../../src/alerts/channel-registry.ts"
import { defaultOrganization, install } from "../../src/identity/first-run.ts"
import type { NewLimit } from "../../src/identity/limit-registry.ts"
import { createLimit, endRaise, raiseLimit } from "../../src/identity/limit-registry.ts"
import { createProject } from "../../src/identity/project-registry.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { newEncryptionKey, readEncryptionKey, SecretBox } from "../../src/platform/secret-box.ts"
import { createDatabase } from "../support/real-postgres.ts"

const ACTOR = { name: "t", ip: "" }
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

let sql: Sql
let organizationId: string
let nowMs = 0
let made = 0

beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 3, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  await install(sql)
  organizationId = await defaultOrganization(sql)
  const box = new SecretBox(readEncryptionKey(newEncryptionKey()))
  const channel = { organizationId, kind: "webhook", name: "ops", recipients: [], signingSecret: null } as const
  const { kind } = await createChannel(sql, box, ACTOR, { ...channel, url: "https://hooks.example/x" })
  if (kind !== "done") throw new Error(kind)
})
afterAll(() => sql?.end())

const look = () =>
  new AlertWatch({
    sql,
    clock: { nowMs: () => nowMs },
    log: pino({ level: "silent" }),
    findSheet: () => undefined,
    process: { storesUp: () => ({}), backlogRows: () => 0 },
    baseUrl: null,
  }).look()

/** A limit of a project of its own, and what sets the use of one of its windows. */
async function newLimit(wanted: Partial<NewLimit>) {
  const project = await createProject(sql, ACTOR, organizationId, { name: `p${made++}` })
  if (project.kind !== "done") throw new Error(project.kind)
  const of = { organizationId, scope: "project", subject: project.row.id } as const
  const created = await createLimit(sql, ACTOR, of, { kind: "tokens", window: "day", cap: 100n, ...wanted })
  if (created.kind !== "created") throw new Error(created.kind)
  const { id } = created.row
  const use = (window: string, settled: number) => sql`
    INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
    VALUES (${organizationId}, ${id}, ${project.row.id}, ${window}, ${settled})
    ON CONFLICT (organization_id, limit_id, subject, window_id) DO UPDATE SET settled = excluded.settled, updated_at = now()`
  return { id, use }
}

const alertsOf = (limitId: string) =>
  sql<{ window_id: string; threshold_percent: number; told_at: Date | null }[]>`
    SELECT window_id, threshold_percent, told_at FROM alerts WHERE limit_id = ${limitId}
    ORDER BY window_id, threshold_percent`
const messagesOf = (limitId: string) =>
  sql<{ created_at: Date }[]>`
    SELECT created_at FROM alert_deliveries WHERE message -> 'data' ->> 'limit_id' = ${limitId} ORDER BY id`

describe("a night on which clocks are set neither doubles nor loses a day's alerts", () => {
  test.each([
    ["Europe/Berlin", "2026-10-25T00:00:00Z", 25],
    ["Europe/Berlin", "2027-03-28T00:00:00Z", 23],
    // Whose day without midnight begins at one o'clock, and whose last hour before midnight comes twice.
    ["America/Santiago", "2026-09-06T12:00:00Z", 23],
    ["America/Santiago", "2026-04-04T12:00:00Z", 25],
    ["Australia/Lord_Howe", "2026-10-04T00:00:00Z", 23.5],
  ])("%s, around %s", async (timeZone, aroundIso, hours) => {
    const calendar = new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" })
    const { id, use } = await newLimit({ timeZone })
    const fromMs = Date.parse(aroundIso) - 36 * HOUR_MS
    const dates = new Map<string, { firstMs: number; raised: number }>()
    const wrong: unknown[] = []
    let turned = 0
    for (let atMs = fromMs; atMs < fromMs + 3 * DAY_MS; atMs += HOUR_MS / 2) {
      const date = calendar.format(atMs)
      const isNew = !dates.has(date)
      // Nothing happens between most looks: every fourth hour, and whenever the date has just changed or is about to.
      const isDue = isNew || atMs % (4 * HOUR_MS) === 0 || calendar.format(atMs + HOUR_MS / 2) !== date
      if (!isDue) continue
      if (isNew) {
        dates.set(date, { firstMs: atMs, raised: 0 })
        await use(date, 85)
        turned++
      }
      nowMs = atMs
      const raised = await look()
      if (raised !== (isNew ? 2 : 0)) wrong.push([new Date(atMs).toISOString(), date, raised])
    }
    expect(wrong).toEqual([])
    expect(turned).toBeGreaterThanOrEqual(3)
    const firsts = [...dates.values()].map(({ firstMs }) => firstMs)
    expect(firsts.slice(1).map((firstMs, index) => (firstMs - (firsts[index] ?? 0)) / HOUR_MS)).toContain(hours)
    nowMs += DAY_MS
    await look()
    const alerts = await alertsOf(id)
    expect(alerts.map((row) => `${row.window_id} ${row.threshold_percent}`)).toEqual(
      [...dates.keys()].flatMap((date) => [`${date} 50`, `${date} 80`]),
    )
    expect(alerts.filter(({ told_at: toldAt }) => toldAt === null)).toEqual([])
    const sentMs = (await messagesOf(id)).map(({ created_at: sentAt }) => sentAt.getTime())
    expect(sentMs.length).toBeGreaterThanOrEqual(3)
    expect(sentMs.slice(1).every((atMs, index) => atMs - (sentMs[index] ?? 0) >= DAY_MS)).toBe(true)
  })
})

describe("a raise", () => {
  const start = Date.parse("2026-11-10T12:00:00Z")
  const told = async (limitId: string) => (await messagesOf(limitId)).length

  test("arms the limit by its cap while it lasts, and its end tells nothing that was told before", async () => {
    nowMs = start
    const { id, use } = await newLimit({ window: "month" })
    await use("2026-11", 85)
    expect([await look(), await told(id)]).toEqual([2, 1])
    await raiseLimit(sql, ACTOR, id, { cap: 200n, until: new Date(start + 2 * HOUR_MS) })
    expect([await look(), await told(id)]).toEqual([0, 1])
    await use("2026-11", 165)
    nowMs = start + HOUR_MS
    // 50 and 80 % of the raised cap; neither is worse than what was told within the day.
    expect([await look(), await told(id)]).toEqual([2, 1])
    nowMs = start + 2 * HOUR_MS - 1
    expect(await look()).toBe(0)
    nowMs = start + 2 * HOUR_MS
    // The own cap is used up, which nobody was told of; what was raised meanwhile goes with it.
    expect([await look(), await told(id)]).toEqual([1, 2])
    nowMs += HOUR_MS
    expect([await look(), await told(id)]).toEqual([0, 2])
    expect((await alertsOf(id)).map((row) => row.threshold_percent)).toEqual([50, 50, 80, 80, 100])
  })

  test("that is ended early counts no longer with the next look", async () => {
    nowMs = start
    const { id, use } = await newLimit({ window: "month" })
    await raiseLimit(sql, ACTOR, id, { cap: 1_000n, until: new Date(Date.now() + DAY_MS) })
    await use("2026-11", 100)
    expect(await look()).toBe(0)
    expect((await endRaise(sql, ACTOR, id)).kind).toBe("ended")
    expect([await look(), await told(id)]).toEqual([3, 1])
    expect(await look()).toBe(0)
  })
})

test("the turn of a window arms it again at its first moment and no sooner, a rolling one each day that it is full", async () => {
  const endMs = Date.parse("2026-11-14T23:00:00Z")
  const month = await newLimit({ window: "month", anchorDay: 15, timeZone: "Europe/Berlin" })
  const rolling = await newLimit({ window: "rolling", anchorDay: 3, timeZone: "Europe/Berlin" })
  nowMs = endMs - 1
  await month.use("2026-10@15", 60)
  await month.use("2026-11@15", 60)
  await rolling.use("2026-11-14~3", 60)
  expect(await look()).toBe(2)
  nowMs = endMs
  expect(await look()).toBe(1)
  await rolling.use("2026-11-15~3", 5)
  expect(await look()).toBe(1)
  expect((await alertsOf(month.id)).map((row) => row.window_id)).toEqual(["2026-10@15", "2026-11@15"])
  expect((await alertsOf(rolling.id)).map((row) => row.window_id)).toEqual(["2026-11-14~3", "2026-11-15~3"])
  nowMs = endMs + 3 * DAY_MS
  await rolling.use("2026-11-18~3", 5)
  expect(await look()).toBe(0)
})

import { pino } from "pino"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { earlierWindows, windowAt } from "../../src/admission/window.ts"
import { AlertWatch } from "../../src/alerts/alert-watch.ts"
import { createChannel } from "../../src/alerts/channel-registry.ts"
import { listDeliveries } from "../../src/alerts/deliveries.ts"
import { changeRule } from "../../src/alerts/rule-registry.ts"
import { crossedThresholds } from "../../src/alerts/thresholds.ts"
import { defaultOrganization, install } from "../../src/identity/first-run.ts"
import { createVirtualKey } from "../../src/identity/key-registry.ts"
import { changeLimit, createLimit, deleteLimit } from "../../src/identity/limit-registry.ts"
import { createProject } from "../../src/identity/project-registry.ts"
import { createUser } from "../../src/identity/user-registry.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { newEncryptionKey, readEncryptionKey, SecretBox } from "../../src/platform/secret-box.ts"
import { alertOf } from "../support/alert-messages.ts"
import { createDatabase } from "../support/real-postgres.ts"

let sql: Sql
let limitId: string
let counter = 0
let keyId: string
let organizationId: string
let nowMs = Date.UTC(2026, 10, 23, 12)
const lines: string[] = []
const log = pino({}, { write: (line: string) => void lines.push(line) })

beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 3, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  await install(sql)
  organizationId = await defaultOrganization(sql)
  const wanted = { name: "k", organizationId, projectId: null, userId: null, allowedModels: null, expiresAt: null }
  const created = await createVirtualKey(
    sql,
    { name: "t", ip: "" },
    { ...wanted, limits: [{ kind: "usd", window: "day", cap: 1_000_000_000n }] },
  )
  if (created.kind !== "created") throw new Error(created.kind)
  keyId = created.row.id
  limitId = created.row.limits[0]?.id ?? ""
})
afterAll(() => sql?.end())

const use = (window: string, settled: string) => sql`
  INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
  VALUES (${organizationId}, ${limitId}, ${keyId}, ${window}, ${settled})
  ON CONFLICT (organization_id, limit_id, subject, window_id) DO UPDATE SET settled = excluded.settled, updated_at = now()`
const watch = () =>
  new AlertWatch({
    sql,
    clock: { nowMs: () => nowMs },
    log,
    findSheet: () => undefined,
    process: { storesUp: () => ({}), backlogRows: () => 0 },
    baseUrl: "https://tallygate.example",
  })
const deliveries = () =>
  listDeliveries(sql, { visibility: { kind: "all" }, channelId: null, state: null, after: null, max: 100 })

test("thresholds are crossed at exactly their share of the cap", () => {
  expect(crossedThresholds(499n, 1000n)).toEqual([])
  expect(crossedThresholds(500n, 1000n)).toEqual([50])
  expect(crossedThresholds(1000n, 1000n)).toEqual([50, 80, 100])
  expect(crossedThresholds(0n, 0n)).toEqual([])
})

test("each threshold is told once, whoever sees it first, and again in the next window", async () => {
  await use("2026-11-23", "490000000")
  expect(await watch().look()).toBe(0)
  await use("2026-11-23", "850000000")
  const raised = await Promise.all([watch().look(), watch().look(), watch().look()])
  expect(raised.reduce((sum, count) => sum + count, 0)).toBe(2)
  expect(await watch().look()).toBe(0)
  await use("2026-11-23", "1000000000")
  expect(await watch().look()).toBe(1)
  nowMs += 24 * 3_600_000
  expect(await watch().look()).toBe(0)
  await use("2026-11-24", "600000000")
  expect(await watch().look()).toBe(1)
  expect(lines.map((line) => JSON.parse(line)).map(({ percent, window }) => [percent, window])).toEqual(
    expect.arrayContaining([
      [50, "2026-11-23"],
      [80, "2026-11-23"],
      [100, "2026-11-23"],
      [50, "2026-11-24"],
    ]),
  )
  expect(lines).toHaveLength(4)
})

test("limits of every scope are told with their subject, against the cap as it is now, and no longer when they are deleted", async () => {
  const actor = { name: "t", ip: "" }
  const project = await createProject(sql, actor, organizationId, { name: "search" })
  const user = await createUser(sql, actor, { organizationId, kind: "person", name: "Ada", projectIds: [] })
  if (project.kind !== "done" || user.kind !== "done") throw new Error("taken")
  const subjects = { organization: organizationId, project: project.row.id, user: user.row.id } as const
  lines.length = 0
  for (const scope of ["organization", "project", "user"] as const) {
    const of = { organizationId, scope, subject: subjects[scope] }
    const created = await createLimit(sql, actor, of, { kind: "tokens", window: "month", cap: 1_000n })
    if (created.kind !== "created") throw new Error(created.kind)
    const { id } = created.row
    const spend = (settled: number) => sql`
      INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
      VALUES (${organizationId}, ${id}, ${subjects[scope]}, '2026-11', ${settled})
      ON CONFLICT (organization_id, limit_id, subject, window_id) DO UPDATE SET settled = excluded.settled`
    await spend(490)
    expect(await watch().look()).toBe(0)
    await changeLimit(sql, actor, id, { cap: 600n })
    expect(await watch().look()).toBe(2)
    await deleteLimit(sql, actor, id)
    await spend(600)
    expect(await watch().look()).toBe(0)
  }
  const told = lines.map((line) => JSON.parse(line)).map(({ scope, subject, cap }) => [scope, subject, cap])
  expect(told).toEqual(Object.entries(subjects).flatMap((named) => Array(2).fill([...named, "600"])))
})

describe("messages", () => {
  const box = new SecretBox(readEncryptionKey(newEncryptionKey()))
  const actor = { name: "t", ip: "" }
  const channel = async (organization: string, name: string) => {
    const wanted = { organizationId: organization, kind: "webhook", name, recipients: [], signingSecret: null } as const
    const made = await createChannel(sql, box, actor, { ...wanted, url: "https://hooks.example/x" })
    if (made.kind !== "done") throw new Error(made.kind)
    return made.row.id
  }
  const newLimit = async (cap: bigint) => {
    const project = await createProject(sql, actor, organizationId, { name: `p${counter++}` })
    if (project.kind !== "done") throw new Error("taken")
    const of = { organizationId, scope: "project", subject: project.row.id } as const
    const created = await createLimit(sql, actor, of, { kind: "usd", window: "month", cap })
    if (created.kind !== "created") throw new Error(created.kind)
    const spend = (settled: number, window = "2026-11") => sql`
      INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
      VALUES (${organizationId}, ${created.row.id}, ${project.row.id}, ${window}, ${settled})
      ON CONFLICT (organization_id, limit_id, subject, window_id) DO UPDATE SET settled = excluded.settled`
    return { id: created.row.id, projectId: project.row.id, spend }
  }
  const fresh = async () => {
    await sql`DELETE FROM alert_deliveries`
    await sql`DELETE FROM alert_channels`
    await sql`DELETE FROM alerts`
    await sql`DELETE FROM limit_usage`
    return channel(organizationId, "own")
  }

  test("a limit's own thresholds, the cap of a raise in force, and all days of a rolling window are what counts", async () => {
    await fresh()
    const { id, spend } = await newLimit(100n)
    await changeLimit(sql, actor, id, { thresholds: [30, 90] })
    await spend(50)
    expect(await watch().look()).toBe(1)
    const [{ threshold_percent: percent } = { threshold_percent: 0 }] = await sql<{ threshold_percent: number }[]>`
      SELECT threshold_percent FROM alerts WHERE limit_id = ${id}`
    expect(percent).toBe(30)
    await sql`UPDATE limits SET raised_cap = 1000, raised_until = ${new Date(nowMs + 3_600_000)} WHERE id = ${id}`
    await spend(95)
    expect(await watch().look()).toBe(0)

    const of = { organizationId, scope: "organization", subject: organizationId } as const
    const made = await createLimit(sql, actor, of, { kind: "tokens", window: "rolling", anchorDay: 7, cap: 100n })
    if (made.kind !== "created") throw new Error(made.kind)
    const today = windowAt("rolling", "UTC", 7, nowMs).id
    const [yesterday = ""] = earlierWindows(today)
    const used = (window: string, settled: number) => sql`
      INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
      VALUES (${organizationId}, ${made.row.id}, ${organizationId}, ${window}, ${settled})`
    await used(yesterday, 70)
    await used(today, 15)
    expect(await watch().look()).toBe(2)
  })

  test("four watches that see 80 % at once write one message, which says what was spent, where and what to do", async () => {
    const channelId = await fresh()
    await channel("", "the installation's, which is not asked while there is one of the organization")
    const { id, projectId, spend } = await newLimit(500_000_000_000n)
    await spend(410_000_000_000)
    await Promise.all([watch().look(), watch().look(), watch().look(), watch().look()])
    const [delivery, ...others] = await deliveries()
    expect(others).toEqual([])
    expect(delivery).toMatchObject({ channel_id: channelId, organization_id: organizationId, state: "waiting" })
    const message = alertOf(delivery?.message)
    expect(message.title).toMatch(/^Project .* has used 82 % of its limit of \$500 a month$/)
    expect(message.folded).toHaveLength(1)
    expect(message.facts).toEqual(
      expect.arrayContaining([
        { name: "Spent", value: "$410" },
        { name: "Cap", value: "$500" },
        { name: "Threshold", value: "80 %" },
      ]),
    )
    expect(message.data).toMatchObject({ limit_id: id, threshold_percent: 80, settled: "410000000000" })
    expect(message.link).toMatch(/^https:\/\/tallygate\.example\/dashboard\/usage\?from=2026-11-01/)
    expect(message.link).toContain(`project=${projectId}`)
    const states = await sql`SELECT threshold_percent, state FROM alerts WHERE limit_id = ${id} ORDER BY 1`
    expect(states.map((row) => [row.threshold_percent, row.state])).toEqual([
      [50, "folded"],
      [80, "told"],
    ])
  })

  test("a raised cap arms the limit again; what is not worse waits a day, and is told although the month is over", async () => {
    await fresh()
    const { id, spend } = await newLimit(100n)
    await spend(85)
    await watch().look()
    await changeLimit(sql, actor, id, { cap: 150n })
    expect(await watch().look()).toBe(1)
    expect(await deliveries()).toHaveLength(1)
    nowMs += 1_000
    await spend(150)
    expect(await watch().look()).toBe(2)
    const [last, ...before] = await deliveries()
    expect(before).toHaveLength(1)
    expect(last?.message.title).toContain("used up its limit of $0.00000015")
    expect(alertOf(last?.message).folded).toHaveLength(2)
    await changeLimit(sql, actor, id, { cap: 200n })
    expect(await watch().look()).toBe(1)
    expect(await deliveries()).toHaveLength(2)
    nowMs += 9 * 24 * 3_600_000
    expect(await watch().look()).toBe(0)
    expect(await deliveries()).toHaveLength(3)
    expect(await watch().look()).toBe(0)
    expect(await deliveries()).toHaveLength(3)
  })

  test("the next window is told of anew, and an organization without channels tells the installation's", async () => {
    await fresh()
    await sql`DELETE FROM alert_channels`
    const installation = await channel("", "ops")
    const { spend } = await newLimit(100n)
    await spend(60, "2026-12")
    await watch().look()
    nowMs += 31 * 24 * 3_600_000
    await spend(60, "2027-01")
    await watch().look()
    expect((await deliveries()).map(({ channel_id }) => channel_id)).toEqual([installation, installation])
  })

  test("what nobody was there to be told of does not keep the next from being told at once", async () => {
    await fresh()
    await sql`DELETE FROM alert_channels`
    const { spend } = await newLimit(100n)
    await spend(85, "2027-01")
    expect(await watch().look()).toBe(2)
    const late = await channel(organizationId, "late")
    nowMs += 1_000
    await sql`UPDATE limits SET cap = 101 WHERE cap = 100`
    expect(await watch().look()).toBe(2)
    expect((await deliveries()).map(({ channel_id }) => channel_id)).toEqual([late])
  })

  test("a rule that cannot be followed keeps no other one from it", async () => {
    await fresh()
    await sql`
      INSERT INTO alert_rules (id, kind, name, parameters, created_at)
      VALUES ('rule_broken', 'threshold', 'of a newer version', '{"unheard_of": 1}', '2000-01-01')`
    const { spend } = await newLimit(100n)
    await spend(60, "2027-01")
    await expect(watch().look()).rejects.toThrow("rule_broken: unheard_of")
    expect(await deliveries()).toHaveLength(1)
    await sql`DELETE FROM alert_rules WHERE id = 'rule_broken'`
  })

  test("a rule that was switched off raises nothing", async () => {
    await fresh()
    await changeRule(sql, actor, "rule_default", { isDisabled: true })
    const { spend } = await newLimit(100n)
    await spend(100, "2027-01")
    expect(await watch().look()).toBe(0)
    await changeRule(sql, actor, "rule_default", { isDisabled: false })
    expect(await watch().look()).toBe(3)
  })
})

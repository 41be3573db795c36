/** A look at budgets that only asks writes nothing, and says what the look that tells will do. */
import { pino } from "pino"
import { afterAll, beforeAll, beforeEach, expect, inject, test } from "vitest"
import { foreseeAlerts, raiseNow } from "../../src/alerts/budget-check.ts"
import { createChannel } from "../../src/alerts/channel-registry.ts"
import { readDeliveries } from "../../src/alerts/deliveries.ts"
import { defaultOrganization, install } from "../../src/identity/first-run.ts"
import { createLimit } from "../../src/identity/limit-registry.ts"
import { createOrganization } from "../../src/identity/organization-registry.ts"
import { createProject } from "../../src/identity/project-registry.ts"
import type { Visibility } from "../../src/identity/role.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { SecretBox } from "../../src/platform/secret-box.ts"
import { createDatabase } from "../support/real-postgres.ts"

const ACTOR = { name: "t", ip: "" }
const NOW_MS = Date.UTC(2026, 10, 24, 12)
const ALL: Visibility = { kind: "all" }
const lines: string[] = []
const log = pino({}, { write: (line: string) => void lines.push(line) })
let sql: Sql
let own: string
let other: string
let counter = 0

beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 4, applicationName: "test" })
  await migrate(sql, "migrations", { codeVersion: "test" })
  await install(sql)
  own = await defaultOrganization(sql)
  const made = await createOrganization(sql, ACTOR, { name: "other" })
  if (made.kind !== "done") throw new Error("taken")
  other = made.row.id
  // Forecasts are tested where they are made.
  await sql`UPDATE alert_rules SET parameters = '{"forecast_thresholds": []}'`
})
afterAll(() => sql?.end())
beforeEach(async () => {
  for (const table of ["alerts", "alert_subjects", "alert_deliveries", "alert_channels", "limit_usage", "limits"]) {
    await sql`DELETE FROM ${sql(table)}`
  }
})

const options = (nowMs = NOW_MS) => ({
  sql,
  nowMs,
  findSheet: () => undefined,
  baseUrl: "https://tallygate.example",
  log,
})
async function channel(organizationId: string): Promise<string> {
  const wanted = { organizationId, kind: "email", name: "mail", recipients: ["ada@example.com"], url: "" } as const
  const made = await createChannel(sql, new SecretBox(null), ACTOR, { ...wanted, signingSecret: null })
  if (made.kind !== "done") throw new Error(made.kind)
  return made.row.id
}
async function limit(organizationId: string, settled: number) {
  const project = await createProject(sql, ACTOR, organizationId, { name: `p${counter++}` })
  if (project.kind !== "done") throw new Error("taken")
  const of = { organizationId, scope: "project", subject: project.row.id } as const
  const made = await createLimit(sql, ACTOR, of, { kind: "tokens", window: "month", cap: 1_000n })
  if (made.kind !== "created") throw new Error(made.kind)
  const use = (amount: number) => sql`
    INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled)
    VALUES (${organizationId}, ${made.row.id}, ${project.row.id}, '2026-11', ${amount})
    ON CONFLICT (organization_id, limit_id, subject, window_id) DO UPDATE SET settled = excluded.settled`
  await use(settled)
  return { id: made.row.id, projectId: project.row.id, use }
}
const written = async () =>
  sql`SELECT (SELECT count(*) FROM alerts) AS alerts, (SELECT count(*) FROM alert_subjects) AS subjects,
             (SELECT count(*) FROM alert_deliveries) AS deliveries`
const within = (organizationIds: string[], projectIds: string[] = []): Visibility => ({
  ...{ kind: "within", organizationIds, projectIds },
})
const shown = (alerts: readonly { finding: { limitId: string }; threshold: number }[]) =>
  alerts.map(({ finding, threshold }) => [finding.limitId, threshold])

test("asking writes nothing and says what telling then raises, to whom, once", async () => {
  const channelId = await channel(own)
  const { id } = await limit(own, 850)
  await limit(own, 400)
  const before = await written()
  const foreseen = await foreseeAlerts(options(), ALL)
  expect(await written()).toEqual(before)
  expect(shown(foreseen)).toEqual([
    [id, 50],
    [id, 80],
  ])
  expect(foreseen.map(({ channels }) => channels?.map((one) => one.id))).toEqual([[channelId], [channelId]])
  const looks = await Promise.all([1, 2, 3, 4].map(() => raiseNow(options(), ALL)))
  expect(shown(looks.flatMap(({ alerts }) => alerts))).toEqual(shown(foreseen))
  const deliveries = await readDeliveries(
    sql,
    looks.flatMap(({ deliveryIds }) => [...deliveryIds]),
  )
  expect(deliveries.map(({ channel_id, message }) => [channel_id, message.title])).toEqual([
    [channelId, foreseen[1]?.facts.title],
  ])
  expect(await foreseeAlerts(options(), ALL)).toEqual([])
  expect(lines.filter((line) => line.includes(id))).toHaveLength(2)
})

test("what waits for the next message is said to wait, and a threshold that escalates is not", async () => {
  await channel(own)
  const { id, use } = await limit(own, 850)
  await raiseNow(options(), ALL)
  await sql`UPDATE limits SET cap = 1001 WHERE id = ${id}`
  expect((await foreseeAlerts(options(), ALL)).map(({ channels }) => channels)).toEqual([null, null])
  await use(1_001)
  expect((await foreseeAlerts(options(), ALL)).map(({ channels }) => channels?.length)).toEqual([1, 1, 1])
  const dayAfter = NOW_MS + 24 * 3_600_000
  await use(900)
  expect((await foreseeAlerts(options(dayAfter), ALL)).map(({ channels }) => channels?.length)).toEqual([1, 1])
})

test("whoever sees only some organizations or projects looks at no other limit, and raises none", async () => {
  await channel("")
  const [mine, theirs, beside] = [await limit(own, 600), await limit(other, 600), await limit(own, 600)]
  expect(shown(await foreseeAlerts(options(), within([other])))).toEqual([[theirs.id, 50]])
  expect(shown(await foreseeAlerts(options(), within([], [mine.projectId])))).toEqual([[mine.id, 50]])
  expect(shown((await raiseNow(options(), within([other]))).alerts)).toEqual([[theirs.id, 50]])
  const left = shown(await foreseeAlerts(options(), ALL)).map(([id]) => id)
  expect(left.sort()).toEqual([mine.id, beside.id].sort())
})

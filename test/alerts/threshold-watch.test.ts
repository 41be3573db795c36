import { pino } from "pino"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { ThresholdWatch } from "../../src/alerts/threshold-watch.ts"
import { crossedThresholds } from "../../src/alerts/thresholds.ts"
import { defaultOrganization, install } from "../../src/identity/first-run.ts"
import { createVirtualKey } from "../../src/identity/key-registry.ts"
import { changeLimit, createLimit, deleteLimit } from "../../src/identity/limit-registry.ts"
import { createProject } from "../../src/identity/project-registry.ts"
import { createUser } from "../../src/identity/user-registry.ts"
import { migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"

let sql: Sql
let limitId: string
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
const watch = () => new ThresholdWatch({ sql, clock: { nowMs: () => nowMs }, log })

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

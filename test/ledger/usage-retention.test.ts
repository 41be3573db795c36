/** Records go when their organization wants them gone, and what was added up of them stays. On a real Postgres. */
import { pino } from "pino"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { ingest } from "../../src/ledger/ingest.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import { type Shipping, shipRows } from "../../src/ledger/ship-rows.ts"
import { foldDay } from "../../src/ledger/usage-day.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { previewRetention, UsageRetention } from "../../src/ledger/usage-retention.ts"
import { uuidv7Mint } from "../../src/platform/ids.ts"
import { isDataError, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { openLedger } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

const DAY_MS = 86_400_000
const NOW_MS = Date.UTC(2026, 10, 24, 12)
const mintId = uuidv7Mint()
const log = pino({ level: "silent" })
const clock = { nowMs: () => NOW_MS }
const journalId = mintId(NOW_MS)
/** Ages in days; of the three organizations one keeps 62, one 120, and one everything. */
const AGES = [1, 61, 63, 100, 121, 150, 180]

let sql: Sql
let seq = 0

beforeAll(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
  await sql`
    INSERT INTO organizations (id, name, usage_retention_days)
    VALUES ('org_short', 's', 62), ('org_long', 'l', 120), ('org_ever', 'e', NULL)`
  await ensurePartitions(sql, NOW_MS - 400 * DAY_MS, NOW_MS)
  for (const organization_id of ["org_short", "org_long"])
    await write(AGES.map((age) => recordOf(organization_id, age)))
  await write([recordOf("org_ever", 150)])
})
afterAll(() => sql.end())

const recordOf = (organization_id: string, ageDays: number): UsageRecord =>
  sampleRecord({ organization_id, time: new Date(NOW_MS - ageDays * DAY_MS).toISOString() })
const write = (records: readonly UsageRecord[]) =>
  ingest(
    sql,
    journalId,
    records.map((record) => ({ seq: ++seq, body: JSON.stringify(record) })),
  )
const retention = (defaultDays: number | null = null) =>
  new UsageRetention({ sql, clock, log, defaultDays, lockMsMax: 200 })

async function sums() {
  const [row] = await sql`
    SELECT (SELECT sum(records)::text FROM usage_rollups) AS records, (SELECT sum(cost_usd)::text FROM usage_rollups) AS cost,
           (SELECT sum(records)::text FROM usage_day) AS days, (SELECT sum(settled)::text FROM limit_usage) AS settled`
  return { ...row }
}
async function agesOf(organizationId: string): Promise<number[]> {
  const rows = await sql<{ time: Date }[]>`
    SELECT time FROM usage_records WHERE organization_id = ${organizationId} ORDER BY time DESC`
  return rows.map(({ time }) => Math.round((NOW_MS - time.getTime()) / DAY_MS))
}
const months = async () =>
  (
    await sql<{ name: string }[]>`
      SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'usage_records'::regclass ORDER BY 1`
  ).map(({ name }) => name)

test("a retention shorter than two whole months is refused, by the database too", async () => {
  await expect(sql`UPDATE organizations SET usage_retention_days = 61`).rejects.toThrow(/check constraint/)
})

test("a preview tells what would go, and nothing goes", async () => {
  expect(await previewRetention(sql, "org_short", 62, NOW_MS)).toMatchObject({ records: 5 })
  expect((await previewRetention(sql, "org_long", 120, NOW_MS)).oldest?.toISOString()).toBe(
    new Date(NOW_MS - 180 * DAY_MS).toISOString(),
  )
  expect(await agesOf("org_short")).toEqual(AGES)
})

test("records go where their organization's time has passed, and all sums stay", async () => {
  const startsAtMs = Math.floor(NOW_MS / DAY_MS) * DAY_MS - 150 * DAY_MS
  await foldDay(sql, "org_short", "UTC", { date: "2026-06-27", startsAtMs, endsAtMs: startsAtMs + DAY_MS })
  const before = await sums()
  const monthsBefore = await months()
  // Two processes at once: what one is deleting the other leaves to it.
  const done = await Promise.all([retention().enforce(), retention().enforce()])
  expect(await agesOf("org_short")).toEqual([1, 61])
  expect(await agesOf("org_long")).toEqual([1, 61, 63, 100])
  expect(await agesOf("org_ever")).toEqual([150])
  expect(await sums()).toEqual(before)
  const dropped = new Set(done.flatMap(({ droppedMonths }) => droppedMonths))
  expect(monthsBefore.filter((month) => !dropped.has(month))).toEqual(await months())
  // The month of the one who keeps all is there, one of those whose time has passed for all is not.
  expect(await months()).toContain("usage_records_2026_06")
  expect(dropped).toContain("usage_records_2026_05")
  expect((await retention().enforce()).deletedRecords).toBe(0)
})

test("a record from before comes too late: it is set aside, and neither kept nor counted", async () => {
  const before = await sums()
  const old = recordOf("org_short", 70)
  await expect(write([old])).rejects.toSatisfy(isDataError)
  const aside: string[] = []
  const shipping: Shipping = {
    ingest: (id, rows) => ingest(sql, id, rows),
    makeMonths: async () => undefined,
    setAside: (_id, row, { message }) => void aside.push(`${JSON.parse(row.body).id} ${message}`),
    pause: async (_attempt, error) => {
      throw error
    },
    answered: () => undefined,
  }
  const rows = [old, recordOf("org_long", 70), recordOf("org_short", 2)].map((record) => {
    return { seq: ++seq, body: JSON.stringify(record) }
  })
  await shipRows(shipping, journalId, rows)
  expect(aside).toEqual([expect.stringContaining(`${old.id} `)])
  expect(aside[0]).toContain("older than what is kept of its organization")
  expect(await agesOf("org_short")).toEqual([1, 2, 61])
  expect(Number((await sums()).records)).toBe(Number(before.records) + 2)
})

test("the configuration's days are for those who say nothing, and a longer time brings nothing back", async () => {
  await sql`UPDATE organizations SET usage_retention_days = 300 WHERE id = 'org_short'`
  expect(await retention(100).enforce()).toMatchObject({ deletedRecords: 0, droppedMonths: ["usage_records_2026_06"] })
  expect(await agesOf("org_ever")).toEqual([])
  await expect(write([recordOf("org_short", 70)])).rejects.toSatisfy(isDataError)
})

test("a month that a backup is reading is dropped when it is done", async () => {
  await write([recordOf("org_long", 95)])
  await sql`UPDATE organizations SET usage_retention_days = 62`
  let release: () => void = () => undefined
  const reading = sql.begin(async (transaction) => {
    await transaction`LOCK TABLE usage_records IN ACCESS SHARE MODE`
    await new Promise<void>((resolve) => {
      release = resolve
    })
  })
  await expect
    .poll(
      async () =>
        (
          await sql`SELECT 1 FROM pg_locks WHERE mode = 'AccessShareLock' AND relation = 'usage_records'::regclass AND granted`
        ).length,
    )
    .toBeGreaterThan(0)
  expect((await retention().enforce()).droppedMonths).toEqual([])
  release()
  await reading
  expect((await retention().enforce()).droppedMonths).toEqual(["usage_records_2026_08"])
})

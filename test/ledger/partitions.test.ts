import { afterEach, beforeEach, expect, inject, test } from "vitest"
import { ingest } from "../../src/ledger/ingest.ts"
import { ensurePartitions, ensureUpcomingPartitions, monthOf } from "../../src/ledger/partitions.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { openLedger } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

let url: string
let sql: Sql

beforeEach(async () => {
  url = await createDatabase(inject("postgresUrl"))
  sql = await openLedger(url)
})
afterEach(() => sql.end())

test.each([
  ["a time that is none", Number.NaN],
  ["the epoch", 0],
  ["a far future", Date.UTC(2101, 0)],
  ["what no Date can hold", 9e15],
])("there is no month for %s", (_, timeMs) => {
  expect(monthOf(timeMs)).toBeNull()
})

test("a month begins and ends at midnight UTC, across the turn of the year", () => {
  expect(monthOf(Date.UTC(2026, 11, 31, 23, 59, 59, 999))).toEqual({
    table: "usage_records_2026_12",
    from: "2026-12-01T00:00:00.000Z",
    to: "2027-01-01T00:00:00.000Z",
  })
})

test("this month and the next two are made ahead, once", async () => {
  const months = ["usage_records_2026_12", "usage_records_2027_01", "usage_records_2027_02"]
  expect(await ensureUpcomingPartitions(sql, Date.UTC(2026, 11, 31))).toEqual(months)
  expect(await ensureUpcomingPartitions(sql, Date.UTC(2026, 11, 31))).toEqual([])
  expect(await ensureUpcomingPartitions(sql, Date.UTC(2027, 0, 1))).toEqual(["usage_records_2027_03"])
})

test("many processes that make the same partitions at once all succeed, and each month is made once", async () => {
  const starters = Array.from({ length: 8 }, () => openPostgres(url, { max: 1, applicationName: "test" }))
  const made = await Promise.all(starters.map((one) => ensurePartitions(one, Date.UTC(2026, 0), Date.UTC(2026, 5))))
  await Promise.all(starters.map((one) => one.end()))
  expect(made.flat().sort()).toEqual([1, 2, 3, 4, 5, 6].map((month) => `usage_records_2026_0${month}`))
})

test("a partition can be made while another transaction has written and not yet committed", async () => {
  await ensurePartitions(sql, Date.UTC(2026, 10), Date.UTC(2026, 10))
  await sql.begin(async (transaction) => {
    await transaction`INSERT INTO usage_records (id, time, organization_id) VALUES (gen_random_uuid(), '2026-11-05', 'org_a')`
    expect(await ensurePartitions(sql, Date.UTC(2026, 11), Date.UTC(2026, 11))).toEqual(["usage_records_2026_12"])
  })
})

test("a partition has the table's key, defaults and indexes", async () => {
  await ensurePartitions(sql, Date.UTC(2026, 10), Date.UTC(2026, 10))
  const indexes = async (table: string) =>
    (await sql`SELECT 1 FROM pg_index WHERE indrelid = ${table}::regclass`).length
  expect(await indexes("usage_records_2026_11")).toBe(await indexes("usage_records"))
  const body = JSON.stringify(sampleRecord())
  expect(await ingest(sql, "019a0000-0000-7000-8000-000000000001", [{ seq: 1, body }])).toBe(1)
  const [row] =
    await sql`SELECT tableoid::regclass::text AS partition, ingested_at IS NOT NULL AS "isDated" FROM usage_records`
  expect(row).toEqual({ partition: "usage_records_2026_11", isDated: true })
})

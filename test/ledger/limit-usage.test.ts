import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { readLimitUsage } from "../../src/ledger/limit-usage.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { openLedger } from "./ledger-database.ts"

let sql: Sql

beforeAll(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
  await sql`INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled) VALUES
    ('org_a', 'lim_1', 'key_a', '2026-11', 9007199254740993),
    ('org_a', 'lim_1', 'key_a', '2026-10', 7),
    ('org_b', 'lim_2', 'key_b', 'lifetime', 5)`
})
afterAll(() => sql.end())

test("settled amounts come back exactly, beyond what a float holds", async () => {
  expect(await readLimitUsage(sql, "all", ["2026-11", "lifetime"])).toEqual([
    { limitId: "lim_1", subject: "key_a", window: "2026-11", settled: 9007199254740993n },
    { limitId: "lim_2", subject: "key_b", window: "lifetime", settled: 5n },
  ])
})

test("one organization sees its own counters only, of all windows where none is named", async () => {
  const windows = (await readLimitUsage(sql, "org_a")).map((row) => row.window)
  expect(windows).toEqual(["2026-10", "2026-11"])
  expect(await readLimitUsage(sql, "org_a", ["lifetime"])).toEqual([])
  expect(await readLimitUsage(sql, "all", [])).toEqual([])
})

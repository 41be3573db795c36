import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { readLimitSnapshot, readLimitUsage } from "../../src/ledger/limit-usage.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { openLedger } from "./ledger-database.ts"

const JOURNALS = ["019a0000-0000-7000-8000-00000000000a", "019a0000-0000-7000-8000-00000000000b"] as const
let sql: Sql

beforeAll(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
  await sql`INSERT INTO limit_usage (organization_id, limit_id, subject, window_id, settled, updated_at) VALUES
    ('org_a', 'lim_1', 'key_a', '2026-11', 9007199254740993, now()),
    ('org_a', 'lim_1', 'key_a', '2026-10', 7, now() - interval '40 days'),
    ('org_a', 'lim_1', 'key_a', '2026-08', 6, now() - interval '100 days'),
    ('org_a', 'lim_3', 'key_a', '2026-08@31', 6, now() - interval '100 days'),
    ('org_a', 'lim_3', 'key_a', '2026-W33', 6, now() - interval '100 days'),
    ('org_b', 'lim_2', 'key_b', 'lifetime', 5, now() - interval '3 years'),
    ('org_q', 'lim_4', 'key_q', '2026-Q3@15', 4, now() - interval '90 days'),
    ('org_q', 'lim_4', 'key_q', '2026', 3, now() - interval '360 days'),
    ('org_q', 'lim_4', 'key_q', '2025@31', 2, now() - interval '401 days')`
  await sql`INSERT INTO journal_ack (journal_id, last_seq) VALUES (${JOURNALS[0]}, 41), (${JOURNALS[1]}, 7)`
  await sql`INSERT INTO proxy_instances (id, journal_id) VALUES ('proxy_a', ${JOURNALS[0]})`
})
afterAll(() => sql.end())

test("settled amounts come back exactly, beyond what a float holds, and only of windows that may still count", async () => {
  expect(await readLimitUsage(sql, "all")).toEqual([
    { limitId: "lim_1", subject: "key_a", window: "2026-10", settled: 7n },
    { limitId: "lim_1", subject: "key_a", window: "2026-11", settled: 9007199254740993n },
    { limitId: "lim_2", subject: "key_b", window: "lifetime", settled: 5n },
    { limitId: "lim_4", subject: "key_q", window: "2026", settled: 3n },
    { limitId: "lim_4", subject: "key_q", window: "2026-Q3@15", settled: 4n },
  ])
})

test("one organization sees its own counters only", async () => {
  expect((await readLimitUsage(sql, "org_b")).map((row) => row.window)).toEqual(["lifetime"])
  expect(await readLimitUsage(sql, "org_none")).toEqual([])
})

test("a snapshot has an organization's counters and how far the journals of running proxies are in them", async () => {
  const snapshot = await readLimitSnapshot(sql, "org_a")
  expect(snapshot.settled.map(({ window, settled }) => [window, settled]).sort()).toEqual([
    ["2026-10", 7n],
    ["2026-11", 9007199254740993n],
  ])
  expect(snapshot.acks).toEqual(new Map([[JOURNALS[0], 41]]))
  expect(await readLimitSnapshot(sql, "org_none")).toMatchObject({ settled: [] })
})

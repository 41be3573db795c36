/** Refused calls are counted once, by quarter of an hour, whoever writes and however often Postgres is away. */
import { pino } from "pino"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { RefusalCounts } from "../../src/ledger/refusal-counts.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { openLedger } from "./ledger-database.ts"

const log = pino({ level: "silent" })
const NOON = Date.UTC(2026, 10, 24, 12)
const KEY = { id: "key_a", organizationId: "org_a" }
let sql: Sql

beforeAll(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
})
afterAll(() => sql?.end())

const counted = async () => {
  const rows = await sql<{ bucket: Date; code: string; refusals: string }[]>`
    SELECT bucket, code, refusals FROM refusal_counts ORDER BY bucket, code`
  return rows.map(({ bucket, code, refusals }) => `${bucket.toISOString().slice(11, 16)} ${code} ${refusals}`)
}

test("processes add to the same row, a quarter of an hour and code each, and what cannot be written waits", async () => {
  const [one, other] = [new RefusalCounts({ sql, log }), new RefusalCounts({ sql, log })]
  one.add(KEY, "budget_exceeded", NOON + 899_999)
  one.add(KEY, "budget_exceeded", NOON)
  one.add(KEY, "budget_exceeded", NOON + 900_000)
  other.add(KEY, "budget_exceeded", NOON + 1)
  other.add(KEY, "model_not_allowed", NOON + 1)
  await sql`ALTER TABLE refusal_counts RENAME TO away`
  await expect(one.write()).rejects.toThrow("refusal_counts")
  one.add(KEY, "budget_exceeded", NOON)
  await sql`ALTER TABLE away RENAME TO refusal_counts`
  await Promise.all([one.write(), other.write(), one.write(), one.stop()])
  expect(await counted()).toEqual(["12:00 budget_exceeded 4", "12:00 model_not_allowed 1", "12:15 budget_exceeded 1"])
  await Promise.all([one.write(), other.stop()])
  expect(await counted()).toHaveLength(3)
})

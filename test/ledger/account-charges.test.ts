/** What calls charge on a provider account's limits, in the ledger and read back from journals. */
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { accountHoldId } from "../../src/admission/limits.ts"
import { chargedCalls } from "../../src/ledger/charged-calls.ts"
import { ingest } from "../../src/ledger/ingest.ts"
import { readLimitSnapshot, readLimitUsage } from "../../src/ledger/limit-usage.ts"
import { keepPartitions } from "../../src/ledger/partitions.ts"
import { recordText } from "../../src/ledger/record-text.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { systemClock } from "../../src/platform/clock.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { openLedger } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

const JOURNAL = "019a0000-0000-7000-8000-00000000000a"
const COUNTERS = "acct:openai/default"

let sql: Sql
beforeAll(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const partitions = await keepPartitions({ sql, clock: systemClock, log: log as never })
  partitions.stop()
})
afterAll(() => sql.end())

function call(organizationId: string, amount: string): UsageRecord {
  const time = new Date().toISOString()
  return sampleRecord({
    time,
    organization_id: organizationId,
    charges: [
      { limit_id: "lim_own", subject: organizationId, window: "lifetime", amount },
      { limit_id: "lim_acct", subject: "openai/default", window: "lifetime", amount, organization_id: COUNTERS },
      { limit_id: "lim_each", subject: "openai/default key_a", window: "lifetime", amount, organization_id: COUNTERS },
    ],
  })
}

test("an account's limits add up over organizations, and stand among the account's own counters alone", async () => {
  const records = [call("org_a", "9007199254740993"), call("org_b", "7"), call("org_a", "1")]
  const rows = records.map((record, index) => ({ seq: index + 1, body: recordText(record) }))
  expect(await ingest(sql, JOURNAL, rows)).toBe(3)
  expect(await ingest(sql, JOURNAL, rows)).toBe(0)
  expect(await readLimitUsage(sql, COUNTERS)).toEqual([
    { limitId: "lim_acct", subject: "openai/default", window: "lifetime", settled: 9007199254741001n },
    { limitId: "lim_each", subject: "openai/default key_a", window: "lifetime", settled: 9007199254741001n },
  ])
  expect(await readLimitUsage(sql, "org_a")).toEqual([
    { limitId: "lim_own", subject: "org_a", window: "lifetime", settled: 9007199254740994n },
  ])
  const { settled } = await readLimitSnapshot(sql, COUNTERS)
  expect(settled.map(({ limitId }) => limitId).sort()).toEqual(["lim_acct", "lim_each"])
})

test("a journal row tells of two: the organization's call, and the account's under the id of its second hold", () => {
  const record = call("org_a", "5")
  const [own, account] = [record.charges.slice(0, 1), record.charges.slice(1)]
  expect(chargedCalls([{ body: recordText(record) }])).toEqual([
    { id: record.id, organizationId: "org_a", charges: own },
    { id: accountHoldId(record.id), organizationId: COUNTERS, charges: account },
  ])
  const plain = sampleRecord({ charges: own })
  expect(chargedCalls([{ body: recordText(plain) }, { body: "no record" }, { body: '{"id":1}' }])).toEqual([
    { id: plain.id, organizationId: "org_a", charges: own },
  ])
})

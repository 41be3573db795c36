/** The same layer on the embedded Postgres: what is asked most, and the folding of days. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { pino } from "pino"
import { afterAll, beforeAll, expect, test } from "vitest"
import { UsageDayJob } from "../../src/ledger/usage-day-job.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { recordsQuestion, usageQuestion } from "../../src/reporting/question.ts"
import { usageRecords } from "../../src/reporting/usage-records.ts"
import { usageReport } from "../../src/reporting/usage-report.ts"
import { naiveSums, picos } from "./naive-report.ts"
import { bring, openUsageDatabase, randomFrom, randomRecord } from "./usage-database.ts"

const ORGANIZATIONS = [{ id: "org_a", timeZone: "Europe/Berlin" }]
const NOW_MS = Date.UTC(2026, 10, 12, 15)
let embedded: EmbeddedPostgres
let folder: string
let sql: Sql
let records: UsageRecord[]

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "tallygate-reporting-"))
  embedded = await startEmbeddedPostgres({ dataDir: folder })
  ;({ sql } = await openUsageDatabase(ORGANIZATIONS, embedded.url))
  const random = randomFrom(9)
  records = Array.from({ length: 300 }, () => randomRecord(random, ORGANIZATIONS, NOW_MS - 8 * 86_400_000, NOW_MS))
  await bring(sql, records)
})
afterAll(async () => {
  await sql?.end()
  await embedded?.stop()
  await rm(folder, { recursive: true, force: true })
})

test("sums before and after days are folded are those of the records, for several askers at once", async () => {
  const ask = () =>
    usageReport(
      { sql, findSheet: () => undefined },
      usageQuestion.parse({ range: "28d", group_by: "model,key", bucket: "day", compare: "weeks", latency: true }),
      { kind: "all" },
      NOW_MS,
    )
  const before = await ask()
  const log = pino({ level: "silent" })
  expect(await new UsageDayJob({ sql, clock: { nowMs: () => NOW_MS }, log }).foldDue()).toBeGreaterThan(6)
  for (const report of [before, ...(await Promise.all([ask(), ask(), ask()]))]) {
    if (report.kind === "refused") throw new Error(report.reason)
    const naive = naiveSums(records)
    expect([BigInt(report.totals.records), BigInt(report.totals.tokens)]).toEqual([naive.records, naive.tokens])
    expect(picos(report.totals.cost_usd)).toBe(naive.picos)
  }
})

test("records come in pages", async () => {
  const page = await usageRecords(sql, recordsQuestion.parse({ limit: 200 }), { kind: "all" }, NOW_MS)
  if (page.kind === "refused") throw new Error(page.reason)
  const rest = await usageRecords(
    sql,
    recordsQuestion.parse({ limit: 200, after: page.next ?? "" }),
    { kind: "all" },
    NOW_MS,
  )
  if (rest.kind === "refused") throw new Error(rest.reason)
  expect(new Set([...page.records, ...rest.records].map(({ id }) => id)).size).toBe(300)
})

import path from "node:path"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { RECORD_COLUMNS, ROLLUP_HISTOGRAMS, ROLLUP_KEY, ROLLUP_SUMS } from "../../src/ledger/columns.ts"
import { ingest } from "../../src/ledger/ingest.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { priceUsage } from "../../src/pricing/cost.ts"
import { formatUsd } from "../../src/pricing/money.ts"
import { loadPriceBook } from "../../src/pricing/price-book.ts"
import { readPriceFiles } from "../../src/pricing/price-files.ts"
import { sheetFinder } from "../../src/reporting/token-classes.ts"
import { openLedger } from "../ledger/ledger-database.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { seedHours } from "./calendar.ts"
import { seedUsage } from "./seed.ts"

const RECORDS = 1_500
const NOW_MS = Date.UTC(2026, 10, 24, 9, 30)
let sql: Sql

beforeAll(async () => {
  sql = openPostgres(await createDatabase(inject("postgresUrl")), { max: 4, applicationName: "test" })
  await seedUsage(sql, { records: RECORDS, days: 40, nowMs: NOW_MS, seed: 1, tell: () => undefined })
})
afterAll(() => sql?.end())

const rollupOf = (database: Sql) =>
  database.unsafe(
    `SELECT ${[...Object.keys(ROLLUP_KEY), ...Object.keys(ROLLUP_SUMS), ...Object.keys(ROLLUP_HISTOGRAMS)].join(", ")}
     FROM usage_rollups ORDER BY ${Object.keys(ROLLUP_KEY).join(", ")}`,
  )

test("a year has exactly as many calls as were asked for", () => {
  const hours = seedHours(12_345, Date.UTC(2025, 10, 24), Date.UTC(2026, 10, 24))
  expect(hours.reduce((sum, { calls }) => sum + calls, 0)).toBe(12_345)
  expect(hours.every(({ calls }) => calls >= 0)).toBe(true)
})

test("the seeded rollup is the one that ingest would have made of the same records", async () => {
  const columns = Object.keys(RECORD_COLUMNS)
  const rows = await sql.unsafe<{ body: string }[]>(
    `SELECT to_jsonb(r)::text AS body FROM (SELECT ${columns.join(", ")} FROM usage_records ORDER BY id) r`,
  )
  expect(rows).toHaveLength(RECORDS)
  const other = await openLedger(await createDatabase(inject("postgresUrl")))
  try {
    await ensurePartitions(other, Date.UTC(2026, 9, 1), NOW_MS)
    const journalled = rows.map(({ body }, index) => ({ seq: index + 1, body }))
    for (let at = 0; at < RECORDS; at += 500) {
      await ingest(other, "019a0000-0000-7000-8000-00000000000c", journalled.slice(at, at + 500))
    }
    expect(await rollupOf(sql)).toEqual(await rollupOf(other))
  } finally {
    await other.end()
  }
})

test("the days are folded to the last one, and hold every record", async () => {
  const [row] = await sql<{ folded: string; rolled: string; unfolded: string }[]>`
    SELECT (SELECT sum(records) FROM usage_day WHERE time_zone = 'UTC') AS folded,
      (SELECT sum(records) FROM usage_rollups) AS rolled,
      (SELECT coalesce(sum(r.records), 0) FROM usage_rollups r WHERE NOT EXISTS (
         SELECT 1 FROM usage_day_fold f
         WHERE f.organization_id = r.organization_id AND f.time_zone = 'UTC'
           AND r.bucket >= f.starts_at AND r.bucket < f.ends_at)) AS unfolded`
  expect(Number(row?.folded) + Number(row?.unfolded)).toBe(RECORDS)
  expect(row?.rolled).toBe(String(RECORDS))
  expect(Number(row?.unfolded)).toBeLessThan(RECORDS / 10)
})

test("every call costs what the price book says", async () => {
  const loaded = loadPriceBook(await readPriceFiles(path.join(import.meta.dirname, "../../config/prices")))
  if (loaded.kind !== "loaded") throw new Error("the shipped prices are wrong")
  const findSheet = sheetFinder(loaded.book)
  const rows = await sql<Record<string, string>[]>`
    SELECT price_row, input_uncached_tokens, cache_read_tokens, cache_write_5m_tokens, output_tokens,
      trim_scale(cost_usd)::text AS cost FROM usage_records WHERE price_state = 'priced'`
  expect(rows.length).toBeGreaterThan(RECORDS / 2)
  for (const row of rows) {
    const sheet = findSheet(row.price_row ?? "")
    const priced =
      sheet &&
      priceUsage(sheet, {
        ...ZERO_USAGE,
        inputUncachedTokens: Number(row.input_uncached_tokens),
        cacheReadTokens: Number(row.cache_read_tokens),
        cacheWrite5mTokens: Number(row.cache_write_5m_tokens),
        outputTokens: Number(row.output_tokens),
      })
    expect(priced?.kind === "priced" ? formatUsd(priced.costPicos) : priced).toBe(row.cost)
  }
})

test("it looks like real usage: failures, retries, caches, estimates, unpriced calls, quiet weekends", async () => {
  const [row] = await sql<Record<string, string>[]>`
    SELECT count(*) FILTER (WHERE outcome = 'error') AS errors, count(*) FILTER (WHERE jsonb_array_length(attempts) = 2) AS retries,
      count(*) FILTER (WHERE cache_read_tokens > 0) AS cached, count(*) FILTER (WHERE usage_source = 'estimated') AS estimated,
      count(*) FILTER (WHERE price_state = 'unpriced') AS unpriced, count(DISTINCT key_id) AS keys,
      count(*) FILTER (WHERE extract(isodow FROM time) > 5) AS weekend FROM usage_records`
  for (const [what, n] of Object.entries(row ?? {})) expect(Number(n), what).toBeGreaterThan(0)
  expect(Number(row?.weekend)).toBeLessThan(RECORDS / 5)
})

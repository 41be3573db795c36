import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest"
import {
  HISTOGRAM_BOUNDS_MS,
  RECORD_COLUMNS,
  ROLLUP_HISTOGRAMS,
  ROLLUP_KEY,
  ROLLUP_SUMS,
} from "../../src/ledger/columns.ts"
import { ingest, type LedgerRow } from "../../src/ledger/ingest.ts"
import { ensurePartitions } from "../../src/ledger/partitions.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { ledgerTotals, openLedger } from "./ledger-database.ts"
import { sampleRecord } from "./sample-record.ts"

const JOURNAL = "019a0000-0000-7000-8000-000000000001"
const NOVEMBER_MS = Date.UTC(2026, 10, 1)

function rows(records: readonly Partial<UsageRecord>[], firstSeq = 1): LedgerRow[] {
  return records.map((changes, index) => ({ seq: firstSeq + index, body: JSON.stringify(sampleRecord(changes)) }))
}

describe.each(["a Postgres server", "the embedded Postgres"])("ingest on %s", (where) => {
  let sql: Sql
  let embedded: EmbeddedPostgres | null = null
  let folder = ""

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "tallygate-ingest-"))
    if (where === "the embedded Postgres") embedded = await startEmbeddedPostgres({ dataDir: folder })
    sql = await openLedger(embedded?.url ?? (await createDatabase(inject("postgresUrl"))))
    await ensurePartitions(sql, NOVEMBER_MS, NOVEMBER_MS)
  })
  beforeEach(async () => {
    await sql`TRUNCATE usage_records, usage_rollups, limit_usage, journal_ack`
  })
  afterAll(async () => {
    await sql.end()
    await embedded?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  test("the statement names every column of the records and of the rollup", async () => {
    const columnsOf = async (table: string) =>
      (
        await sql<{ name: string }[]>`
        SELECT attname AS name FROM pg_attribute WHERE attrelid = ${table}::regclass AND attnum > 0 AND NOT attisdropped`
      )
        .map((row) => row.name)
        .sort()
    expect(await columnsOf("usage_records")).toEqual(
      [...Object.keys(RECORD_COLUMNS), "journal_id", "journal_seq", "ingested_at"].sort(),
    )
    expect(await columnsOf("usage_rollups")).toEqual(
      [...Object.keys(ROLLUP_KEY), ...Object.keys(ROLLUP_SUMS), ...Object.keys(ROLLUP_HISTOGRAMS)].sort(),
    )
    const [key] = await sql<{ definition: string }[]>`
      SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint
      WHERE conrelid = 'usage_rollups'::regclass AND contype = 'p'`
    expect(key?.definition).toBe(`PRIMARY KEY (${Object.keys(ROLLUP_KEY).join(", ")})`)
  })

  test("a record comes out of the ledger as it went in", async () => {
    const record = sampleRecord({
      metadata: { 'quoted "and" \\': "ü ☃ 𝄞", nested: "{}" },
      tags: ["with,comma", 'with "quote"', "{}", "NULL", ""],
      adjusts_id: "019a0000-0000-7000-8000-0000000000aa",
      provider_cost_usd: "0.000000000001",
      cost_usd: "123456789012.123456789012",
    })
    await ingest(sql, JOURNAL, [{ seq: 7, body: JSON.stringify(record) }])
    const [row] = await sql<{ found: Record<string, unknown>; cost: string; provider_cost: string }[]>`
      SELECT to_jsonb(r) AS found, cost_usd::text AS cost, provider_cost_usd::text AS provider_cost FROM usage_records r`
    const { ingested_at, time, cost_usd, provider_cost_usd, ...found } = row?.found ?? {}
    const { time: wantedTime, cost_usd: wantedCost, provider_cost_usd: wantedProviderCost, ...wanted } = record
    expect(found).toEqual({ ...wanted, journal_id: JOURNAL, journal_seq: 7 })
    expect(new Date(String(time)).toISOString()).toBe(wantedTime)
    expect([row?.cost, row?.provider_cost]).toEqual([wantedCost, wantedProviderCost])
    expect(Date.parse(String(ingested_at))).toBeGreaterThan(0)
    expect([cost_usd, provider_cost_usd].every((value) => value !== null)).toBe(true)
  })

  test("a batch that is sent again adds nothing anywhere", async () => {
    const batch = rows([{}, { key_id: "key_b" }, { organization_id: "org_b" }])
    expect(await ingest(sql, JOURNAL, batch)).toBe(3)
    const once = await ledgerTotals(sql)
    expect(await ingest(sql, JOURNAL, batch)).toBe(0)
    expect(await ingest(sql, "019a0000-0000-7000-8000-000000000002", batch)).toBe(0)
    expect(await ledgerTotals(sql)).toEqual(once)
    expect(once).toMatchObject({ records: 3, rolled: 3, timed: 3, settled: String(3 * 855_001) })
    expect(once.rolledCost).toBe(once.recordCost)
  })

  test("only the new rows of a batch that was partly there are counted", async () => {
    const batch = rows([{}, {}, {}, {}])
    await ingest(sql, JOURNAL, batch.slice(0, 2))
    expect(await ingest(sql, JOURNAL, batch)).toBe(2)
    expect(await ledgerTotals(sql)).toMatchObject({ records: 4, rolled: 4, timed: 4, settled: String(4 * 855_001) })
  })

  test("a row that stands twice in one batch is counted once", async () => {
    const [row] = rows([{}])
    expect(
      await ingest(
        sql,
        JOURNAL,
        [row, row].flatMap((one) => one ?? []),
      ),
    ).toBe(1)
    expect(await ledgerTotals(sql)).toMatchObject({ records: 1, rolled: 1, settled: "855001" })
  })

  test("a refused row keeps the whole batch out, sums and acknowledgement included", async () => {
    const batch = rows([{}, { output_tokens: Number.MAX_VALUE }])
    await expect(ingest(sql, JOURNAL, batch)).rejects.toMatchObject({ code: expect.stringMatching(/^22/) })
    expect(await ledgerTotals(sql)).toMatchObject({ records: 0, rolled: 0, settled: "0" })
    expect(await sql`SELECT * FROM journal_ack`).toEqual([])
  })

  test.each([
    ["no id", { id: undefined }],
    ["no time", { time: undefined }],
    ["no organization", { organization_id: undefined }],
    ["a zero character", { tool: "a\u0000b" }],
    ["half a surrogate pair", { tool: "a\ud800" }],
    ["a cost that is no number", { cost_usd: "free" }],
  ])("a record with %s is refused as a data error", async (_, changes) => {
    const body = JSON.stringify({ ...sampleRecord(), ...changes })
    await expect(ingest(sql, JOURNAL, [{ seq: 1, body }])).rejects.toMatchObject({
      code: expect.stringMatching(/^2[23]/),
    })
  })

  test("a record of an older version that lacks members gets their defaults", async () => {
    const { id, time, kind, organization_id } = sampleRecord()
    await ingest(sql, JOURNAL, [{ seq: 1, body: JSON.stringify({ id, time, kind, organization_id, unheard_of: 1 }) }])
    const [row] = await sql<Record<string, unknown>[]>`SELECT * FROM usage_records`
    expect(row).toMatchObject({
      tool: "",
      tags: [],
      metadata: {},
      charges: [],
      billing: "account",
      price_state: "unpriced",
    })
    expect(row).toMatchObject({ output_tokens: "0", cost_usd: null, ttft_ms: null, stream: false })
  })

  test("records of a quarter of an hour fall into its bucket, at any edge", async () => {
    const times = ["10:00:00.000", "10:14:59.999", "10:15:00.000", "10:29:59.999"]
    await ingest(sql, JOURNAL, rows(times.map((time) => ({ time: `2026-11-23T${time}Z` }))))
    const buckets = await sql<
      { bucket: Date; records: string }[]
    >`SELECT bucket, records FROM usage_rollups ORDER BY bucket`
    expect(buckets.map((row) => [row.bucket.toISOString(), row.records])).toEqual([
      ["2026-11-23T10:00:00.000Z", "2"],
      ["2026-11-23T10:15:00.000Z", "2"],
    ])
  })

  test("the rollup adds tokens, exact cost, cost rounded up per record, and counts what has no price", async () => {
    await ingest(sql, JOURNAL, rows([{ cost_usd: "0.0000000011" }, { cost_usd: "0.0000000011" }]))
    await ingest(sql, JOURNAL, rows([{ cost_usd: null, price_state: "unpriced", usage_mismatch: true }], 3))
    const [row] = await sql<Record<string, string>[]>`SELECT * FROM usage_rollups`
    expect(row).toMatchObject({ records: "3", unpriced_records: "1", mismatch_records: "1", adjustments: "0" })
    expect(row).toMatchObject({ input_uncached_tokens: "3000", cache_read_tokens: "600", output_tokens: "900" })
    expect(row).toMatchObject({ cost_usd: "0.000000002200", charged_nanos: "4", duration_ms: "5520", ttft_ms: "1236" })
  })

  test("an adjustment changes the sums and is not a call", async () => {
    await ingest(sql, JOURNAL, rows([{ cost_usd: "2" }, { kind: "adjustment", cost_usd: "-0.5", duration_ms: 0 }]))
    const [row] = await sql<Record<string, string>[]>`SELECT records, adjustments, cost_usd FROM usage_rollups`
    expect(row).toEqual({ records: "1", adjustments: "1", cost_usd: "1.500000000000" })
  })

  test("every latency is counted in the bin below the first bound above it; no first byte, no count", async () => {
    const bounds = HISTOGRAM_BOUNDS_MS
    const latencies = [0, ...bounds.flatMap((bound) => [bound - 1, bound, bound + 0.4])]
    await ingest(sql, JOURNAL, rows(latencies.map((duration_ms) => ({ duration_ms, ttft_ms: null }))))
    await ingest(
      sql,
      JOURNAL,
      rows(
        latencies.map((ttft_ms) => ({ duration_ms: 0, ttft_ms })),
        100,
      ),
    )
    const [row] = await sql<{ duration_histogram: string[]; ttft_histogram: string[] }[]>`SELECT * FROM usage_rollups`
    const expected = Array.from({ length: bounds.length + 1 }, () => 0)
    for (const latency of latencies) {
      const bin = bounds.findIndex((bound) => Math.round(latency) < bound)
      const place = bin === -1 ? bounds.length : bin
      expected[place] = (expected[place] ?? 0) + 1
    }
    expect(row?.ttft_histogram.map(Number)).toEqual(expected)
    expect(row?.duration_histogram.map(Number)).toEqual(
      expected.map((count, place) => (place === 0 ? count + latencies.length : count)),
    )
  })

  test("a limit's windows are added up apart; rates and concurrency leave no sum", async () => {
    const charge = (limit_id: string, window: string, amount: string) => ({
      limit_id,
      subject: "key_a",
      window,
      amount,
    })
    await ingest(
      sql,
      JOURNAL,
      rows([
        {
          charges: [
            charge("lim_1", "2026-11", "9007199254740993"),
            charge("lim_1", "lifetime", "1"),
            charge("lim_2", "now", "1"),
          ],
        },
        { charges: [charge("lim_1", "2026-11", "1"), charge("lim_3", "rate", "5"), charge("lim_4", "2026-11", "0")] },
      ]),
    )
    const settled = await sql`SELECT limit_id, window_id, settled FROM limit_usage ORDER BY window_id`
    expect([...settled]).toEqual([
      { limit_id: "lim_1", window_id: "2026-11", settled: "9007199254740994" },
      { limit_id: "lim_1", window_id: "lifetime", settled: "1" },
    ])
  })

  test("the acknowledgement is the newest row of the journal and never goes back", async () => {
    await ingest(sql, JOURNAL, rows([{}, {}], 41))
    await ingest(sql, JOURNAL, rows([{}], 3))
    const [ack] = await sql`SELECT journal_id, last_seq FROM journal_ack`
    expect(ack).toEqual({ journal_id: JOURNAL, last_seq: "42" })
  })

  test("a tool's name of any length is written down whole and rolled up by its beginning", async () => {
    const tool = Array.from({ length: 5000 }, (_, index) =>
      String.fromCodePoint(0x4e00 + ((index * 7919) % 20_000)),
    ).join("")
    await ingest(sql, JOURNAL, rows([{ tool }]))
    const [row] = await sql<{ whole: string; rolled: string }[]>`
      SELECT (SELECT tool FROM usage_records) AS whole, (SELECT tool FROM usage_rollups) AS rolled`
    expect(row).toEqual({ whole: tool, rolled: tool.slice(0, 120) })
  })

  test("four writers that send the same batches at once count each row once, without a deadlock", async () => {
    const batches = Array.from({ length: 8 }, (_, batch) =>
      rows(
        Array.from({ length: 25 }, (_, index) => ({ key_id: `key_${(index * 7 + batch) % 10}` })),
        batch * 25 + 1,
      ),
    )
    const writer = async (order: readonly LedgerRow[][]) => {
      let inserted = 0
      for (const batch of order) inserted += await ingest(sql, JOURNAL, batch)
      return inserted
    }
    const inserted = await Promise.all([batches, batches.toReversed(), batches, batches.toReversed()].map(writer))
    expect(inserted.reduce((sum, count) => sum + count)).toBe(200)
    expect(await ledgerTotals(sql)).toMatchObject({
      records: 200,
      rolled: 200,
      timed: 200,
      settled: String(200 * 855_001),
    })
  })
})

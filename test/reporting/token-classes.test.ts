import path from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { priceUsage } from "../../src/pricing/cost.ts"
import { formatUsd } from "../../src/pricing/money.ts"
import { loadPriceBook, type PriceBook } from "../../src/pricing/price-book.ts"
import { readPriceFiles } from "../../src/pricing/price-files.ts"
import { usageQuestion } from "../../src/reporting/question.ts"
import { NOT_SPLIT, sheetFinder } from "../../src/reporting/token-classes.ts"
import { type UsageReport, usageReport } from "../../src/reporting/usage-report.ts"
import { sampleRecord } from "../ledger/sample-record.ts"
import { picos } from "./naive-report.ts"
import { bring, openUsageDatabase, randomFrom } from "./usage-database.ts"

const NOW_MS = Date.UTC(2026, 10, 12)
const MODELS = [
  ["openai", "gpt-5-mini"],
  ["anthropic", "claude-sonnet-4-5"],
  ["google", "gemini-2.5-pro"],
  ["google", "gemini-2.5-flash"],
] as const

let sql: Sql
let book: PriceBook
/** What each class cost, added up call by call. */
const exact = new Map<string, bigint>()

beforeAll(async () => {
  const loaded = loadPriceBook(await readPriceFiles(path.join(import.meta.dirname, "../../config/prices")))
  if (loaded.kind !== "loaded") throw new Error("the shipped prices are wrong")
  book = loaded.book
  ;({ sql } = await openUsageDatabase([{ id: "org_a", timeZone: "UTC" }]))
  const random = randomFrom(11)
  await bring(
    sql,
    Array.from({ length: 200 }, (_, index) => pricedRecord(random, index)),
  )
})
afterAll(() => sql?.end())

/** A call at the price that the book has for it; every fifth has so much input that the next threshold's rates hold. */
function pricedRecord(random: () => number, index: number): UsageRecord {
  const [provider, model] = MODELS[index % MODELS.length] ?? MODELS[0]
  const timeMs = Date.UTC(2026, 10, 1) + index * 3_600_000
  const count = (max: number) => Math.floor(random() * max)
  const usage = {
    ...ZERO_USAGE,
    inputUncachedTokens: count(2_000) + (index % 5 === 0 ? 250_000 : 0),
    cacheReadTokens: count(900),
    outputTokens: count(700),
    webSearches: provider === "anthropic" ? count(3) : 0,
    audioInputTokens: model === "gemini-2.5-flash" ? 40 : 0,
  }
  const found = book.find({ provider, model, tier: "", atMs: timeMs })
  if (found.kind !== "found") throw new Error(found.reason)
  const priced = priceUsage(found.row, {
    ...usage,
    audioInputTokens: Math.min(usage.audioInputTokens, usage.inputUncachedTokens),
  })
  if (priced.kind !== "priced") throw new Error(priced.reason)
  for (const line of priced.lines) exact.set(line.class, (exact.get(line.class) ?? 0n) + line.picos)
  return sampleRecord({
    time: new Date(timeMs).toISOString(),
    provider,
    model_served: model,
    input_uncached_tokens: usage.inputUncachedTokens,
    cache_read_tokens: usage.cacheReadTokens,
    output_tokens: usage.outputTokens,
    reasoning_tokens: 0,
    audio_input_tokens: Math.min(usage.audioInputTokens, usage.inputUncachedTokens),
    web_searches: usage.webSearches,
    cost_usd: formatUsd(priced.costPicos),
    price_row: priced.priceRow,
    charges: [],
  })
}

async function byClass(asked: Record<string, unknown> = {}): Promise<UsageReport> {
  const question = usageQuestion.parse({ from: "2026-11-01", until: "2026-11-11", group_by: "token_class", ...asked })
  const report = await usageReport({ sql, findSheet: sheetFinder(book) }, question, { kind: "all" }, NOW_MS)
  if (report.kind === "refused") throw new Error(report.reason)
  return report
}

describe("the cost by token class", () => {
  test("is what the calls' own lines add up to, thresholds and fees included", async () => {
    const { classes } = await byClass()
    const found = new Map(classes?.map(({ tokenClass, sums }) => [tokenClass, picos(sums.cost_usd)]))
    expect(found).toEqual(exact)
    expect([...found.keys()]).toEqual(
      expect.arrayContaining(["input", "cache_read", "output", "input_audio", "fee:web_search"]),
    )
  })

  test("adds up to the total, in every bucket", async () => {
    const { classes, series, totals } = await byClass({ bucket: "day" })
    const sum = (values: (string | undefined)[]) => values.reduce((total, usd) => total + picos(usd ?? "0"), 0n)
    expect(sum(classes?.map(({ sums }) => sums.cost_usd) ?? [])).toBe(picos(totals.cost_usd))
    series?.forEach((bucket, index) => {
      expect(sum(classes?.map((one) => one.series?.[index]?.cost_usd) ?? [])).toBe(picos(bucket.cost_usd))
    })
  })

  test("of a correction, and of a price row that the book does not have, is not split", async () => {
    const before = await byClass()
    const at = { time: "2026-11-05T10:00:00.000Z", charges: [] }
    await bring(sql, [
      sampleRecord({ ...at, price_row: "openai/gone@2020-01-01/standard", cost_usd: "0.5" }),
      sampleRecord({
        ...at,
        kind: "adjustment",
        ...{ input_uncached_tokens: 0, cache_read_tokens: 0, output_tokens: 0, reasoning_tokens: 0 },
        cost_usd: "-0.125",
        price_row: "openai/gpt-5-mini@2025-11-13/standard",
      }),
    ])
    const { classes, totals } = await byClass()
    expect(classes?.find(({ tokenClass }) => tokenClass === NOT_SPLIT)?.sums).toEqual({
      tokens: "0",
      cost_usd: "0.375",
    })
    expect(picos(totals.cost_usd) - picos(before.totals.cost_usd)).toBe(picos("0.375"))
  })
})

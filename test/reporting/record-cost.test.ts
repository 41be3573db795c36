/** What one call's cost consists of: lines that add up to it, or words for why they cannot. */
import path from "node:path"
import { beforeAll, describe, expect, test } from "vitest"
import { openPriceBook } from "../../src/app/price-book.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { priceUsage } from "../../src/pricing/cost.ts"
import { formatUsd, parseUsd } from "../../src/pricing/money.ts"
import type { PriceBook } from "../../src/pricing/price-book.ts"
import { recordCostLines } from "../../src/reporting/record-cost.ts"
import { type FindSheet, sheetFinder } from "../../src/reporting/token-classes.ts"
import type { ShownRecord } from "../../src/reporting/usage-records.ts"
import { sampleRecord } from "../ledger/sample-record.ts"

let book: PriceBook
let findSheet: FindSheet

beforeAll(async () => {
  book = await openPriceBook(path.join(import.meta.dirname, "../.."), [])
  findSheet = sheetFinder(book)
})

/** A record of a call of claude-opus-5, priced as the proxy would. */
function pricedRecord(): ShownRecord {
  const usage = { ...ZERO_USAGE, inputUncachedTokens: 27_640, cacheReadTokens: 39_337, outputTokens: 2_952 }
  const found = book.find({
    provider: "anthropic",
    model: "claude-opus-5",
    tier: "standard",
    atMs: Date.UTC(2026, 10, 1),
  })
  if (found.kind !== "found") throw new Error(found.reason)
  const priced = priceUsage(found.row, usage)
  if (priced.kind !== "priced") throw new Error(priced.reason)
  return sampleRecord({
    input_uncached_tokens: 27_640,
    cache_read_tokens: 39_337,
    output_tokens: 2_952,
    reasoning_tokens: 0,
    cost_usd: formatUsd(priced.costPicos),
    price_row: priced.priceRow,
  })
}

function picosOf(usd: string): bigint {
  const parsed = parseUsd(usd)
  if (parsed.kind === "invalid") throw new Error(`${usd}: ${parsed.reason}`)
  return parsed.picos
}

describe("the lines of a record's cost", () => {
  test("there are none where no price is known", () => {
    expect(
      recordCostLines(sampleRecord({ cost_usd: null, price_state: "unpriced", price_row: "" }), findSheet),
    ).toEqual([])
  })

  test("a cost whose price row is not in the book any more stands as one line that is not split", () => {
    const lines = recordCostLines(
      sampleRecord({ cost_usd: "0.25", price_row: "gone/model@2020-01-01/standard" }),
      findSheet,
    )
    expect(lines).toEqual([{ class: "not_split", count: "0", rate_usd: null, cost_usd: "0.25" }])
  })

  test("each class has its tokens and its rate, and together they are the cost to the last decimal", () => {
    const record = pricedRecord()
    const lines = recordCostLines(record, findSheet)
    expect(lines.map((line) => [line.class, line.count])).toEqual([
      ["input", "27640"],
      ["cache_read", "39337"],
      ["output", "2952"],
    ])
    expect(lines.every(({ rate_usd }) => rate_usd !== null && Number(rate_usd) > 0)).toBe(true)
    expect(lines.reduce((sum, line) => sum + picosOf(line.cost_usd), 0n)).toBe(picosOf(String(record.cost_usd)))
  })

  test("what a correction moved the cost by is not put on a class", () => {
    const record = pricedRecord()
    const moved = formatUsd(picosOf(String(record.cost_usd)) + 1_000n)
    const lines = recordCostLines({ ...record, cost_usd: moved }, findSheet)
    expect(lines.at(-1)).toEqual({ class: "not_split", count: "0", rate_usd: null, cost_usd: "0.000000001" })
  })
})

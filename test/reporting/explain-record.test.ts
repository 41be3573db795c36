/** The explanation of a record adds up to its cost, whatever was used at whatever price, and says in words what it cannot. */
import path from "node:path"
import fc from "fast-check"
import { beforeAll, describe, expect, test } from "vitest"
import { openPriceBook } from "../../src/app/price-book.ts"
import { type Prices, priceRecord, putUsage } from "../../src/ledger/priced-record.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type Usage, ZERO_USAGE } from "../../src/metering/usage.ts"
import { formatUsd } from "../../src/pricing/money.ts"
import { loadPriceBook } from "../../src/pricing/price-book.ts"
import type { PriceTerms } from "../../src/pricing/price-terms.ts"
import { NO_STORED_PRICES, StoredPrices } from "../../src/pricing/stored-prices.ts"
import { explainRecord } from "../../src/reporting/explain-record.ts"
import { picosOf, sheetFinder } from "../../src/reporting/token-classes.ts"
import { sampleRecord } from "../ledger/sample-record.ts"

const TERMS: PriceTerms = {
  ...{ id: "trm_x", organizationId: "org_terms", provider: "", markupPpm: 123_400n, discountPpm: 50_001n },
  ...{ ceiling: null, fromMs: 0, untilMs: null },
}

let prices: Prices
let models: readonly { readonly provider: string; readonly model: string; readonly tiers: readonly string[] }[]

beforeAll(async () => {
  const priceBook = await openPriceBook(path.join(import.meta.dirname, "../.."), [])
  prices = { priceBook, storedPrices: new StoredPrices([], [TERMS]), router: { providers: new Map() } }
  models = priceBook.providers().flatMap((provider) =>
    priceBook.models(provider).map((model) => {
      const found = priceBook.tiers({ provider, model, atMs: Date.UTC(2026, 10, 1) })
      return { provider, model, tiers: found.kind === "found" ? found.rows.map(({ tier }) => tier) : [] }
    }),
  )
})

function explain(record: UsageRecord, adjustments: readonly UsageRecord[] = [], using = prices) {
  const findSheet = sheetFinder(using.priceBook, using.storedPrices)
  return explainRecord(record as never, adjustments as never, { findSheet, prices: using })
}

/** A record as a call of this usage would be booked. */
function booked(changes: Partial<UsageRecord>, usage: Partial<Usage>, using = prices): UsageRecord {
  const record = sampleRecord({ usage_raw: null, ...changes })
  putUsage(record, { ...ZERO_USAGE, ...usage }, { source: "provider", estimator: "", raw: null, isMismatch: false })
  priceRecord(using, record, { ...ZERO_USAGE, ...usage }, Date.parse(record.time))
  return record
}

const sumOfLines = (lines: readonly { readonly amount_usd: string }[]) =>
  lines.reduce((sum, { amount_usd: usd }) => sum + picosOf(usd), 0n)

const tokens = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 500 }), fc.integer({ min: 0, max: 3_000_000 }))
const usages = fc
  .record({
    input: tokens,
    read: tokens,
    write5m: tokens,
    write1h: tokens,
    output: tokens,
    searches: fc.nat(3),
    share: fc.nat(100),
  })
  .map(({ input, read, write5m, write1h, output, searches, share }) => ({
    ...{ inputUncachedTokens: input, cacheReadTokens: read, cacheWrite5mTokens: write5m, cacheWrite1hTokens: write1h },
    ...{ outputTokens: output, reasoningTokens: Math.floor((output * share) / 200), webSearches: searches },
    audioInputTokens: Math.floor((input * share) / 300),
    audioOutputTokens: Math.floor((output * share) / 300),
  }))
const units = fc
  .record({
    millionths: fc.integer({ min: 1, max: 900_000_000 }),
    unitType: fc.constantFrom("seconds", "characters", "images", "pages"),
  })
  .map(({ millionths, unitType }) => ({ units: millionths / 1e6, unitType }))

describe("the lines", () => {
  test("add up to the record's cost exactly, with every shipped price in every tier, with and without terms", () => {
    let explained = 0
    fc.assert(
      fc.property(fc.oneof(usages, units), fc.nat(), fc.boolean(), (usage, seed, hasTerms) => {
        // Every run goes through another ninth of all prices.
        for (let index = seed % 9; index < models.length; index += 9) {
          const { provider, model, tiers } = models[index] ?? { provider: "", model: "", tiers: [] }
          const tier = tiers[seed % Math.max(1, tiers.length)] ?? ""
          const of = {
            organization_id: hasTerms ? TERMS.organizationId : "org_a",
            tier_served: tier,
            time: "2026-11-01T00:00:00Z",
          }
          const record = booked({ ...of, provider, model_served: model, model_routed: model }, usage)
          if (record.cost_usd === null) continue
          const { lines, price, total_usd: total } = explain(record)
          if (sumOfLines(lines) !== picosOf(record.cost_usd)) throw new Error(`${record.price_row} ${record.cost_usd}`)
          if (price?.is_in_book !== true || total !== record.cost_usd) throw new Error(record.price_row)
          const classes = lines.map((line) => line.class)
          if (classes.includes("not_split") || classes.includes("terms") !== (record.base_cost_usd !== null))
            throw new Error(`${record.price_row}: ${classes}`)
          explained += lines.length
        }
      }),
      { numRuns: 60 },
    )
    expect(explained).toBeGreaterThan(1_000)
  })

  test("say class, count, unit, rate, tier, context threshold, multiplier and fee", () => {
    const of = { provider: "openai", model_served: "gpt-5.4", model_routed: "gpt-5.4", tier_served: "standard" }
    const record = booked(of, { inputUncachedTokens: 300_000, outputTokens: 10, webSearches: 2 })
    const { lines, price, says } = explain(record)
    expect(price).toMatchObject({ row: record.price_row, is_in_book: true, tier: "standard", context_over: 272_000 })
    const shared = { tier: "standard", context_over: 272_000, multiplier: "1" }
    expect(lines).toEqual([
      expect.objectContaining({
        ...shared,
        class: "input",
        rated_as: "input",
        count: "300000",
        unit: "token",
        per: 1_000_000,
        is_fee: false,
      }),
      expect.objectContaining({ ...shared, class: "output", count: "10" }),
      expect.objectContaining({
        ...shared,
        class: "fee:web_search",
        count: "2",
        unit: "call",
        per: 1,
        rate_usd: "0.01",
        is_fee: true,
        amount_usd: "0.02",
      }),
    ])
    expect(says.join(" ")).toMatch(
      /Priced by the row openai\/gpt-5\.4@.*The whole request is billed at the rates for more than 272000/,
    )
  })

  test("show markup and discount as one line, with what they multiply by", () => {
    const of = {
      organization_id: TERMS.organizationId,
      provider: "openai",
      model_served: "gpt-4o",
      model_routed: "gpt-4o",
    }
    const record = booked(of, { inputUncachedTokens: 1_000 })
    const { lines, price, says } = explain(record)
    expect(lines.at(-1)).toMatchObject({ class: "terms", multiplier: "1.0672288766" })
    expect(price?.terms).toEqual({ id: "trm_x", markup_percent: "12.34", discount_percent: "5.0001" })
    expect(says.join(" ")).toContain("a markup of 12.34 % and a discount of 5.0001 %")
    const forgotten = explain(record, [], { ...prices, storedPrices: NO_STORED_PRICES })
    expect(forgotten.lines.at(-1)).toMatchObject({ class: "terms", multiplier: null })
    expect(sumOfLines(forgotten.lines)).toBe(picosOf(String(record.cost_usd)))
  })
})

test("a region's multiplier stands beside the listed rate", () => {
  const text =
    "provider: acme\nmodels:\n  m: { rates: { standard: { input: 2 } }, regions: { eu: 1.1 }, source: s, checked: 2026-01-01 }\n"
  const loaded = loadPriceBook([{ name: "acme.yaml", text }])
  if (loaded.kind === "invalid") throw new Error(JSON.stringify(loaded.problems))
  const regional = { ...prices, priceBook: loaded.book }
  const of = { provider: "acme", model_served: "m", model_routed: "m", tier_served: "", region: "eu" }
  const record = booked(of, { inputUncachedTokens: 1_000 }, regional)
  const { lines, price, says } = explain(record, [], regional)
  expect(lines).toEqual([expect.objectContaining({ rate_usd: "2", multiplier: "1.1", amount_usd: "0.0022" })])
  expect([record.cost_usd, price?.region]).toEqual(["0.0022", "eu"])
  expect(says.join(" ")).toContain("Token rates of the region eu")
})

describe("in words", () => {
  test("a price row that is gone is said to be gone, and the cost stays the one that was booked", () => {
    const record = sampleRecord({ cost_usd: "0.25", price_row: "gone/model@2020-01-01/standard" })
    const { lines, price, says } = explain(record)
    expect(lines).toEqual([expect.objectContaining({ class: "not_split", amount_usd: "0.25", rate_usd: null })])
    expect(price).toMatchObject({ row: "gone/model@2020-01-01/standard", is_in_book: false, source: null })
    expect(says).toEqual([expect.stringMatching(/is not in the price book any more, so its rates cannot be shown/)])
  })

  test("a price row that says something else today is told with the difference and what books it", () => {
    const of = { provider: "openai", model_served: "gpt-4o", model_routed: "gpt-4o" }
    const record = booked(of, { inputUncachedTokens: 1_000 })
    record.cost_usd = formatUsd(picosOf(String(record.cost_usd)) + 7n)
    const { lines, says, next } = explain(record)
    expect(lines.at(-1)).toMatchObject({ class: "not_split", amount_usd: "0.000000000007" })
    expect(says[0]).toMatch(/says something else today/)
    expect(next).toContain("tallygate prices reprice --from 2026-11-23 --to 2026-11-24")
  })

  test.each([
    [
      "a reported cost",
      { cost_usd: "0.25", cost_source: "reported", price_row: "", book_cost_usd: "0.2", kind: "report" },
      "reported",
      /named by whoever reported this usage.*would have said 0\.2 dollars/,
      null,
    ],
    [
      "nothing used",
      {
        price_state: "free",
        cost_usd: "0",
        cost_source: "",
        price_row: "",
        usage_source: "none",
        end_state: "upstream_error",
      },
      "free",
      /Nothing was billed: the call ended as `upstream_error`/,
      null,
    ],
    [
      "nothing that could be metered",
      {
        price_state: "unpriced",
        cost_usd: null,
        cost_source: "",
        price_row: "",
        usage_source: "unmetered",
        endpoint: "/v1/files",
      },
      "unmetered",
      /Calls to \/v1\/files cannot be metered/,
      /unmetered: deny/,
    ],
    [
      "a model without a price",
      {
        price_state: "unpriced",
        cost_usd: null,
        cost_source: "",
        price_row: "",
        model_served: "gpt-99",
        model_routed: "gpt-99",
      },
      "unpriced",
      /no price, because openai\/gpt-99 is not in the price book/,
      /Set a price for openai\/gpt-99, then run `tallygate prices reprice --from 2026-11-23/,
    ],
    [
      "a price that came later",
      { price_state: "unpriced", cost_usd: null, cost_source: "", price_row: "" },
      "unpriced",
      /There is one by now: 0\.[0-9]+ dollars by openai\/gpt-5-mini@/,
      /Book it with `tallygate prices reprice/,
    ],
    [
      "a ceiling",
      {
        price_state: "unpriced",
        cost_usd: null,
        cost_source: "ceiling",
        price_row: "ceiling+trm_x",
        model_served: "gpt-99",
        model_routed: "gpt-99",
      },
      "unpriced",
      /charged for it by the organization's ceiling/,
      /Set a price/,
    ],
    [
      "a process that died",
      {
        price_state: "unpriced",
        cost_usd: null,
        cost_source: "",
        price_row: "",
        end_state: "interrupted",
        model_served: "gpt-99",
        model_routed: "gpt-99",
      },
      "unpriced",
      /Tallygate was stopped while the call ran/,
      /Set a price/,
    ],
    [
      "an entry that corrects",
      { kind: "adjustment", adjusts_id: "the-record", metadata: { reason: "twice" } },
      "correction",
      /corrects the record the-record: twice/,
      /explanation of that record/,
    ],
  ] as const)("%s is told as what it is, with what to do", (_, changes, state, says, next) => {
    const record = sampleRecord(changes as Partial<UsageRecord>)
    const explained = explain(record)
    expect(explained).toMatchObject({ state, cost_usd: record.cost_usd })
    expect(explained.says.join(" ")).toMatch(says)
    if (next === null) expect(explained.next).toBeNull()
    else expect(explained.next).toMatch(next)
    expect(sumOfLines(explained.lines)).toBe(picosOf(explained.cost_usd ?? "0"))
  })

  test("an estimate is called one, and a tier that was not served is told", () => {
    const of = {
      provider: "openai",
      model_served: "gpt-5-mini",
      model_routed: "gpt-5-mini",
      tier_requested: "flex",
      tier_served: "standard",
    }
    const record = {
      ...booked(of, { inputUncachedTokens: 10 }),
      usage_source: "estimated" as const,
      estimator: "o200k×1.2",
    }
    const { is_estimated: isEstimated, says } = explain(record)
    expect(isEstimated).toBe(true)
    expect(says.join(" ")).toMatch(/estimated here \(o200k×1\.2\).*Tier flex was asked for and standard was served/)
  })
})

test("what was corrected since stands below, with the sum that counts", () => {
  const record = sampleRecord({ cost_usd: "1.000000000001" })
  const entry = (changes: object) =>
    ({
      ...sampleRecord({
        kind: "adjustment",
        adjusts_id: record.id,
        input_uncached_tokens: 0,
        cache_read_tokens: 0,
        output_tokens: 0,
        reasoning_tokens: 0,
        ...changes,
      }),
      ingested_at: "2026-11-24T10:00:00+00:00",
    }) as unknown as UsageRecord
  const {
    adjustments,
    cost_usd: cost,
    total_usd: total,
  } = explain(record, [
    entry({ cost_usd: "-0.5", cost_source: "reported", metadata: { reason: "credit" }, output_tokens: -100 }),
    entry({
      cost_usd: "0.25",
      cost_source: "book",
      price_row: "p/m@2026/standard",
      metadata: { source: "reprice", reason: "Priced again." },
    }),
  ])
  expect([cost, total]).toEqual(["1.000000000001", "0.750000000001"])
  expect(adjustments).toEqual([
    expect.objectContaining({
      reason: "credit",
      source: "correction",
      price_row: "",
      counts: { output_tokens: "-100" },
      cost_usd: "-0.5",
      booked_at: "2026-11-24T10:00:00.000Z",
    }),
    expect.objectContaining({ source: "reprice", price_row: "p/m@2026/standard", counts: {}, cost_usd: "0.25" }),
  ])
})

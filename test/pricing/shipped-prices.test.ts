/** The price files that are shipped: they load, and well-known calls cost what they are known to cost. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { beforeAll, describe, expect, it } from "vitest"
import { type Usage, ZERO_USAGE } from "../../src/metering/usage.ts"
import { priceUsage } from "../../src/pricing/cost.ts"
import { formatUsd, nanosRoundedUp } from "../../src/pricing/money.ts"
import { loadPriceBook, type PriceBook } from "../../src/pricing/price-book.ts"
import { readPriceFiles } from "../../src/pricing/price-files.ts"

const shipped = fileURLToPath(new URL("../../config/prices", import.meta.url))
const now = Date.parse("2026-11-01T00:00:00Z")
let book: PriceBook

beforeAll(async () => {
  const loaded = loadPriceBook(await readPriceFiles(shipped))
  if (loaded.kind === "invalid") throw new Error(JSON.stringify(loaded.problems.slice(0, 5)))
  book = loaded.book
})

function cost(provider: string, model: string, usage: Partial<Usage>, tier = "standard", atMs = now): string {
  const price = book.find({ provider, model, tier, atMs })
  if (price.kind === "unpriced") return price.kind
  const priced = priceUsage(price.row, { ...ZERO_USAGE, ...usage })
  return priced.kind === "priced" ? formatUsd(priced.costPicos) : priced.kind
}

it("a folder that cannot be read is a fault with its cause", async () => {
  const missing = readPriceFiles(`${shipped}/nowhere`)
  await expect(missing).rejects.toThrow(/nowhere cannot be read/)
  await expect(missing).rejects.toHaveProperty("cause.code", "ENOENT")
})

describe("models that nobody has listed are unpriced, not priced as a relative", () => {
  it.each([
    ["openai", "gpt-6"],
    ["openai", "gpt-4.1-ultra"],
    ["openai", "not-gpt-4o"],
    ["anthropic", "claude-opus-5-5"],
    ["anthropic", "claude-fable-5-2"],
    ["google", "gemini-3.6-flash-lite"],
    ["google", "gemini-2.5-pro-preview-tts"],
    ["nobody", "gpt-4o"],
  ])("%s/%s", (provider, model) => {
    expect(cost(provider, model, { outputTokens: 1 })).toBe("unpriced")
  })

  it("a tier without a price", () => {
    expect(cost("openai", "gpt-4o", { outputTokens: 1 }, "scale")).toBe("unpriced")
    expect(cost("openai", "gpt-4o", { outputTokens: 1 }, "flex")).toBe("unpriced")
  })
})

describe("known calls", () => {
  it.each<[string, string, string, Partial<Usage>, string]>([
    ["openai", "gpt-4o", "standard", { inputUncachedTokens: 1_000, outputTokens: 500 }, "0.0075"],
    ["openai", "gpt-4o-2024-11-20", "default", { inputUncachedTokens: 1_000, outputTokens: 500 }, "0.0075"],
    ["openai", "gpt-4o", "priority", { inputUncachedTokens: 1_000, outputTokens: 500 }, "0.01275"],
    ["openai", "gpt-4o", "batch", { inputUncachedTokens: 1_000, outputTokens: 500 }, "0.00375"],
    ["openai", "gpt-4o-mini", "", { inputUncachedTokens: 1, outputTokens: 1 }, "0.00000075"],
    ["openai", "gpt-4", "", { inputUncachedTokens: 1_000, outputTokens: 1_000 }, "0.09"],
    ["openai", "gpt-4-turbo", "", { inputUncachedTokens: 1_000, outputTokens: 1_000 }, "0.04"],
    ["openai", "gpt-3.5-turbo", "", { inputUncachedTokens: 1_000, outputTokens: 1_000 }, "0.002"],
    [
      "openai",
      "gpt-5-2025-08-07",
      "flex",
      { inputUncachedTokens: 100, cacheReadTokens: 40, outputTokens: 10 },
      "0.000115",
    ],
    ["openai", "gpt-5-nano", "", { inputUncachedTokens: 20, webSearches: 1 }, "0.010001"],
    ["openai", "gpt-5.4", "", { inputUncachedTokens: 272_000, outputTokens: 1_000 }, "0.695"],
    ["openai", "gpt-5.4", "", { inputUncachedTokens: 272_001, outputTokens: 1_000 }, "1.382505"],
    ["openai", "text-embedding-3-small", "", { inputUncachedTokens: 8 }, "0.00000016"],
    ["openai", "omni-moderation-latest", "", { inputUncachedTokens: 500 }, "0"],
    ["openai", "whisper-1", "", { units: 90.5, unitType: "seconds" }, "0.00905"],
    ["openai", "tts-1-hd", "", { units: 1_000, unitType: "characters" }, "0.03"],
    ["openai", "dall-e-3", "", { units: 2, unitType: "images:hd:1024x1792" }, "0.24"],
    ["openai", "gpt-4o-transcribe", "", { inputUncachedTokens: 20, audioInputTokens: 20, outputTokens: 5 }, "0.00017"],
    ["anthropic", "claude-3-opus-20240229", "", { inputUncachedTokens: 100, outputTokens: 10 }, "0.00225"],
    ["anthropic", "claude-3-5-sonnet-20241022", "", { inputUncachedTokens: 100, outputTokens: 10 }, "0.00045"],
    ["anthropic", "claude-haiku-4-5-20251001", "", { cacheReadTokens: 1_000, cacheWrite5mTokens: 100 }, "0.000225"],
    ["anthropic", "claude-sonnet-4-5", "batch", { cacheWrite1hTokens: 1_000, outputTokens: 100 }, "0.00375"],
    ["anthropic", "claude-sonnet-4-20250514", "", { inputUncachedTokens: 1_000, webSearches: 3 }, "0.033"],
    ["google", "gemini-pro", "", { inputUncachedTokens: 1_000, outputTokens: 1_000 }, "0.0005"],
    [
      "google",
      "models/gemini-2.5-flash",
      "",
      { inputUncachedTokens: 1_200, audioInputTokens: 1_000, outputTokens: 100 },
      "0.00131",
    ],
    ["google", "gemini-2.5-pro", "", { inputUncachedTokens: 190_000, cacheReadTokens: 10_000 }, "0.23875"],
    ["google", "gemini-2.5-pro", "", { inputUncachedTokens: 190_000, cacheReadTokens: 10_001 }, "0.47750025"],
    ["google", "veo-3.0-generate-001", "", { units: 8, unitType: "seconds" }, "3.2"],
    ["google", "gemini-2.5-flash-image", "batch", { outputTokens: 1_290, imageOutputTokens: 1_290 }, "0.01935"],
    ["sandbox", "echo", "", { inputUncachedTokens: 10, cacheReadTokens: 10, outputTokens: 10 }, "0.0000205"],
    ["sandbox", "reasoner", "", { inputUncachedTokens: 10, outputTokens: 10, reasoningTokens: 8 }, "0.00005"],
  ])("%s/%s %s %j", (provider, model, tier, usage, dollars) => {
    expect(cost(provider, model, usage, tier)).toBe(dollars)
  })

  it("o3 before and after its cut of 10 June 2025", () => {
    const usage = { inputUncachedTokens: 100, outputTokens: 900 }
    expect(cost("openai", "o3", usage, "", Date.parse("2025-06-09T23:59:59.999Z"))).toBe("0.037")
    expect(cost("openai", "o3", usage, "", Date.parse("2025-06-10T00:00:00.000Z"))).toBe("0.0074")
  })
})

it("each file is named after its provider, so that it can wait until that is asked for", async () => {
  for (const { name, text } of await readPriceFiles(shipped)) {
    expect(text).toMatch(new RegExp(`^provider: ${name.replace(".yaml", "")}$`, "m"))
  }
})

it("at least 1,000 models of at least 15 providers are priced, the older ones among them", () => {
  const counts = book.providers().map((provider) => book.models(provider).length)
  expect(counts.length).toBeGreaterThanOrEqual(15)
  expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(1_000)
  for (const [provider, model] of [
    ...[
      ["openai", "gpt-4"],
      ["openai", "gpt-4-turbo"],
      ["openai", "gpt-3.5-turbo"],
      ["google", "gemini-pro"],
    ],
    ...[
      ["anthropic", "claude-3-opus-20240229"],
      ["azure", "gpt-4"],
      ["bedrock", "anthropic.claude-3-haiku-20240307-v1:0"],
    ],
  ] as const) {
    expect(cost(provider, model, { outputTokens: 1 })).not.toBe("unpriced")
  }
})

/** Models of the list that have no price here, and why. */
const ABSENT: Readonly<Record<string, string>> = {
  "cerebras/qwen-3-coder-480b": "the catalogs list it without a single rate; Cerebras does not serve it any more",
}

it("every model that public catalogs know is priced, or stands here with the reason why not", () => {
  const lines = readFileSync(new URL("../fixtures/prices/known-models.txt", import.meta.url), "utf8").split("\n")
  const known = lines.filter((line) => line !== "" && !line.startsWith("#"))
  expect(known.length).toBeGreaterThan(1_200)
  const absent = known.filter((line) => {
    const slash = line.indexOf("/")
    const tiers = book.tiers({ provider: line.slice(0, slash), model: line.slice(slash + 1), atMs: now })
    return tiers.kind === "unpriced"
  })
  expect(absent).toEqual(Object.keys(ABSENT))
})

it("every shipped id finds a price, and every rate is whole picos per token", () => {
  let rates = 0
  for (const provider of book.providers()) {
    for (const model of book.models(provider)) {
      const tiers = book.tiers({ provider, model, atMs: now })
      expect(tiers.kind).toBe("found")
      const sheets = tiers.kind === "found" ? tiers.rows.flatMap((row) => row.sheets) : []
      for (const rate of sheets.flatMap((sheet) => Object.values(sheet.rates))) {
        expect(rate % 1_000_000n).toBe(0n)
        rates += 1
      }
    }
  }
  expect(rates).toBeGreaterThan(1_500)
})

it("a limit is charged at least the cost of the smallest call", () => {
  const price = book.find({ provider: "openai", model: "gpt-5-nano", tier: "", atMs: now })
  const priced = price.kind === "found" ? priceUsage(price.row, { ...ZERO_USAGE, cacheReadTokens: 1 }) : price
  expect(priced).toMatchObject({ kind: "priced", costPicos: 5_000n })
  expect(nanosRoundedUp(5_000n)).toBe(5n)
  expect(nanosRoundedUp(5_001n)).toBe(6n)
})

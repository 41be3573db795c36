/** Public catalogs are taken to the last digit, what cannot be said here is named, and one figure that is none refuses all. */
import { readFileSync } from "node:fs"
import path from "node:path"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { movedPoint, parseExactJson } from "../../src/platform/exact-json.ts"
import { compareCatalog } from "../../src/pricing/compare-catalog.ts"
import { loadPriceBook } from "../../src/pricing/price-book.ts"
import { readPublicCatalog } from "../../src/pricing/public-catalog.ts"
import { NO_STORED_PRICES } from "../../src/pricing/stored-prices.ts"

const fixture = readFileSync(path.join(import.meta.dirname, "../fixtures/prices/litellm.json"), "utf8")

function read(text: string) {
  const catalog = readPublicCatalog(text)
  if (catalog.kind === "invalid") throw new Error(`${catalog.entry}: ${catalog.message}`)
  return catalog
}

/** One entry of LiteLLM's catalog. */
function entry(members: object) {
  return read(JSON.stringify({ m: { litellm_provider: "openai", mode: "chat", ...members } }))
}

describe("figures", () => {
  test("that are none are no decimals", () => {
    for (const text of ["", "1.", ".5", "1e", "NaN", "0x1", "1_000", "1e1000"])
      expect(movedPoint(text, 6), text).toBeNull()
  })

  test("keep every digit, however they are written", () => {
    expect(parseExactJson('{"a": [1.50e-07, 12345678901234567890.1, "x", null, true]}')).toEqual({
      a: ["1.50e-07", "12345678901234567890.1", "x", null, true],
    })
    expect(["1.5e-07", "3E-6", "0.0", "-2.50", "1e+2", "0.00000100"].map((text) => movedPoint(text, 6))).toEqual([
      ...["0.15", "3", "0", "-2500000", "100000000", "1"],
    ])
  })

  test("moved there and back are the same number", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 30n), fc.integer({ min: -40, max: 40 }), (digits, places) => {
        const moved = movedPoint(`${digits}e${places}`, -places)
        expect(moved).toBe(digits.toString())
      }),
    )
  })
})

describe("a catalog that cannot be believed", () => {
  test.each([
    ["text", '{"m": {"litellm_provider": "openai", "input_cost_per_token": "cheap"}}', "m", "input_cost_per_token"],
    ["less than nothing", '{"m": {"litellm_provider": "openai", "input_cost_per_token": -1e-7}}', "m", "-1e-7"],
    ["a truth", '{"m": {"litellm_provider": "openai", "output_cost_per_image": true}}', "m", "found true"],
    ["no object", '{"a": {"litellm_provider": "openai"}, "m": 7}', "m", "is no object"],
    ["text", '{"acme": {"models": {"m": {"cost": {"input": "free"}}}}}', "acme/m", "cost.input"],
    ["no JSON", '{"m": {"litellm_provider": "openai",', "", "the catalog is no JSON"],
    ["another thing", '{"data": []}', "", "no catalog that is known here"],
    ["a list", "[]", "", "no JSON object"],
  ])("for %s is refused with the entry", (_, text, at, message) => {
    expect(readPublicCatalog(text)).toEqual({ kind: "invalid", entry: at, message: expect.stringContaining(message) })
  })
})

describe("LiteLLM's catalog", () => {
  test("tiers, thresholds, cache classes and fees stand where our files have them", () => {
    const price = read(fixture).prices.find(({ entry: name }) => name === "new-model")
    expect(price).toMatchObject({ provider: "openai", model: "new-model", leftOut: ["file_search_cost_per_1k_calls"] })
    const standard = {
      ...{ input: "0.15", cache_read: "0.015", cache_write_5m: "0.1875", cache_write_1h: "0.3", output: "40" },
    }
    expect(price?.price).toEqual({
      rates: {
        standard,
        "standard>272000": { ...standard, input: "0.3" },
        priority: { output: "80", input: "0.3" },
        batch: { input: "0.075" },
      },
      fees: { web_search: "0.01" },
    })
  })

  test("what is not taken is named, with its reason", () => {
    const reasons = new Map(read(fixture).skipped.map(({ entry: name, reason }) => [name, reason]))
    expect(reasons.get("finer")).toMatch(/rates\.standard\.input: not .*12/)
    expect(reasons.get("azure/eu/gpt-4o")).toBe("it is the price of one region")
    expect(reasons.get("plain")).toBe("it has no price")
    expect([...reasons.keys()].sort()).toEqual(["azure/eu/gpt-4o", "finer", "plain", "sample_spec"])
    expect(entry({ input_cost_per_token: 1e-6, input_cost_per_video_token: 2e-6 }).skipped).toEqual([
      { entry: "m", reason: "input_cost_per_video_token is a price that cannot be said here" },
    ])
  })

  test("what is sold by units is priced by them, where its mode says that they are what is sold", () => {
    const units = (members: object) => entry(members).prices[0]?.price
    expect(units({ mode: "audio_transcription", input_cost_per_second: 1e-4, output_cost_per_second: 0 })).toEqual({
      units: { second: "0.0001" },
    })
    expect(units({ mode: "image_generation", output_cost_per_image: 0.04, input_cost_per_token: 0 })).toEqual({
      units: { image: "0.04" },
    })
    const chat = entry({ input_cost_per_token: 1e-6, output_cost_per_token: 2e-6, input_cost_per_image: 0.001 })
    expect(chat.prices[0]).toMatchObject({ leftOut: ["input_cost_per_image"] })
    const two = entry({ mode: "audio_transcription", input_cost_per_second: 1, output_cost_per_second: 2 })
    expect(two.skipped[0]?.reason).toBe("it has two prices per second, 1 and 2")
  })
})

test("models.dev's api.json: dollars per million tokens, with a threshold", () => {
  const cost = { input: 1.25, output: 10, cache_read: 0.125, context_over_200k: { input: 2.5, output: 15 } }
  const models = { "gemini-x": { id: "gemini-x", cost }, free: { id: "free" } }
  const { format, prices, skipped } = read(JSON.stringify({ google: { models } }))
  expect([format, skipped]).toEqual(["models.dev", [{ entry: "google/free", reason: "it has no price" }]])
  expect(prices[0]?.price.rates).toEqual({
    standard: { input: "1.25", output: "10", cache_read: "0.125" },
    "standard>200000": { input: "2.5", output: "15", cache_read: "0.125" },
  })
})

test("beside the prices there are, a catalog overwrites nothing unless that is asked for", () => {
  const text = `provider: openai
models:
  same: { rates: { standard: { input: 1, output: 2 } }, source: s, checked: 2026-01-01 }
  other: { rates: { standard: { input: 1, output: 2 } }, source: s, checked: 2026-01-01 }
`
  const loaded = loadPriceBook([{ name: "openai.yaml", text }])
  if (loaded.kind === "invalid") throw new Error("no book")
  const one = (output: number) => ({
    litellm_provider: "openai",
    input_cost_per_token: 1e-6,
    output_cost_per_token: output,
  })
  const catalog = {
    same: one(2e-6),
    other: one(3e-6),
    fresh: one(1e-6),
    far: { ...one(1e-6), litellm_provider: "far" },
  }
  const { prices } = read(JSON.stringify(catalog))
  const compare = (isOverwriting: boolean) =>
    compareCatalog({ priceBook: loaded.book, storedPrices: NO_STORED_PRICES }, prices, {
      ...{ organizationId: "", atMs: 0, isOverwriting, providers: new Set(["openai"]) },
    }).map(({ entry: name, status }) => [name, status])
  const expected = [
    ["same", "unchanged"],
    ["other", "kept"],
    ["fresh", "added"],
    ["far", "foreign"],
  ]
  expect(compare(false)).toEqual(expected)
  expect(compare(true)).toEqual(expected.map(([name, status]) => [name, name === "other" ? "replaced" : status]))
})

/** A cost is exact, is explained by its lines to the last pico, and is never guessed. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { inputTokens, type Usage, ZERO_USAGE } from "../../src/metering/usage.ts"
import { priceUsage } from "../../src/pricing/cost.ts"
import { formatUsd } from "../../src/pricing/money.ts"
import { loadPriceBook } from "../../src/pricing/price-book.ts"
import type { PriceRow } from "../../src/pricing/price-row.ts"

function rowOf(body: string): PriceRow {
  const text = `provider: acme\nmodels:\n  big:\n${body}\n    source: list\n    checked: 2025-07-04\n`
  const loaded = loadPriceBook([{ name: "acme.yaml", text }])
  if (loaded.kind === "invalid") throw new Error(JSON.stringify(loaded.problems))
  const price = loaded.book.find({ provider: "acme", model: "big", tier: "", atMs: 0 })
  if (price.kind === "unpriced") throw new Error(price.reason)
  return price.row
}

function cost(row: PriceRow, usage: Partial<Usage>): string {
  const priced = priceUsage(row, { ...ZERO_USAGE, ...usage })
  return priced.kind === "priced" ? formatUsd(priced.costPicos) : `unpriced: ${priced.reason}`
}

const CLAUDE = rowOf(
  "    rates: { standard: { input: 3, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6, output: 15 } }",
)

describe("what has no rate is unpriced, never 0", () => {
  it.each<[string, string, Partial<Usage>, string]>([
    ["output of an embedding model", "    rates: { standard: { input: 0.02 } }", { outputTokens: 1 }, "output"],
    [
      "input of a row that only rates output",
      "    rates: { standard: { output: 1 } }",
      { inputUncachedTokens: 1 },
      "input",
    ],
    ["tokens of a model billed by the second", "    units: { second: 0.1 }", { inputUncachedTokens: 1 }, "input"],
    [
      "seconds of a model billed by tokens",
      "    rates: { standard: { input: 1 } }",
      { units: 3, unitType: "seconds" },
      "3 seconds",
    ],
    [
      "a size that the row does not list",
      "    units: { image: { default: 0.1, hd: { 1x1: 0.2 } } }",
      { units: 1, unitType: "images:hd:9x9" },
      "1 images:hd:9x9",
    ],
    [
      "a search without a listed fee",
      "    rates: { standard: { input: 1 } }",
      { inputUncachedTokens: 1, webSearches: 1 },
      "web_search",
    ],
  ])("%s", (_what, body, usage, missing) => {
    expect(cost(rowOf(body), usage)).toBe(`unpriced: acme/big@2025-07-04/standard has no rate for ${missing}`)
  })

  it("a count that is no whole number of tokens is a fault", () => {
    expect(() => cost(CLAUDE, { outputTokens: Number.NaN })).toThrow(RangeError)
    expect(() => cost(CLAUDE, { outputTokens: 1.5 })).toThrow(RangeError)
  })
})

describe("the context threshold", () => {
  const row = rowOf(
    `    rates:
      standard: { input: 2, cache_read: 0.2, output: 8 }
      standard>500000: { input: 8, cache_read: 0.8, output: 32 }
      standard>200000: { input: 4, cache_read: 0.4, output: 12 }`,
  )

  it("holds for the whole request from the first token over it, cached tokens counted", () => {
    // 150000 × 2 + 50000 × 0.2 + 1000 × 8 per million.
    expect(cost(row, { inputUncachedTokens: 150_000, cacheReadTokens: 50_000, outputTokens: 1_000 })).toBe("0.318")
    // 150000 × 4 + 50001 × 0.4 + 1000 × 12 per million.
    expect(cost(row, { inputUncachedTokens: 150_000, cacheReadTokens: 50_001, outputTokens: 1_000 })).toBe("0.6320004")
  })

  it("is not reached by output, and the highest one exceeded wins", () => {
    const long = priceUsage(row, { ...ZERO_USAGE, inputUncachedTokens: 500_001 })
    expect(long).toMatchObject({ contextOver: 500_000, priceRow: "acme/big@2025-07-04/standard>500000" })
    expect(priceUsage(row, { ...ZERO_USAGE, inputUncachedTokens: 500_000 })).toMatchObject({ contextOver: 200_000 })
    const talkative = priceUsage(row, { ...ZERO_USAGE, inputUncachedTokens: 1, outputTokens: 900_000 })
    expect(talkative).toMatchObject({ contextOver: 0, priceRow: "acme/big@2025-07-04/standard" })
  })
})

describe("classes", () => {
  it("each cache class has its own rate", () => {
    // 10 × 3 + 100 × 0.3 + 1000 × 3.75 + 10000 × 6 + 7 × 15 = 63915 millionths.
    const usage = {
      inputUncachedTokens: 10,
      cacheReadTokens: 100,
      cacheWrite5mTokens: 1_000,
      cacheWrite1hTokens: 10_000,
      outputTokens: 7,
    }
    expect(cost(CLAUDE, usage)).toBe("0.063915")
  })

  it("cached tokens go at the input rate where no cache rate is quoted, and the line says so", () => {
    const row = rowOf("    rates: { standard: { input: 1.25, output: 5 } }")
    const priced = priceUsage(row, { ...ZERO_USAGE, cacheReadTokens: 1_000, cacheWrite5mTokens: 8 })
    expect(priced).toMatchObject({
      costPicos: 1_260_000_000n,
      lines: [
        { class: "cache_read", ratedAs: "input", count: 1_000 },
        { class: "cache_write_5m", ratedAs: "input", count: 8 },
      ],
    })
  })

  it("audio and images are taken out of their whole where they have a rate of their own", () => {
    const row = rowOf(
      "    rates: { standard: { input: 4, output: 16, input_audio: 32, output_audio: 64, input_image: 5 } }",
    )
    const usage = {
      inputUncachedTokens: 50,
      audioInputTokens: 27,
      imageInputTokens: 9,
      outputTokens: 164,
      audioOutputTokens: 136,
    }
    // 14 × 4 + 27 × 32 + 9 × 5 + 28 × 16 + 136 × 64 = 10117 millionths.
    expect(cost(row, usage)).toBe("0.010117")
  })

  it("audio and images go at the text rate where they have none", () => {
    const usage = {
      inputUncachedTokens: 50,
      audioInputTokens: 27,
      imageInputTokens: 9,
      outputTokens: 10,
      imageOutputTokens: 10,
    }
    expect(cost(CLAUDE, usage)).toBe(cost(CLAUDE, { inputUncachedTokens: 50, outputTokens: 10 }))
  })

  it("a subset that claims more than its whole bills no token twice", () => {
    const row = rowOf("    rates: { standard: { input: 4, output: 16, input_audio: 32, input_image: 5 } }")
    expect(cost(row, { inputUncachedTokens: 10, audioInputTokens: 30, imageInputTokens: 30 })).toBe("0.00032")
  })

  it("reasoning is output, and apart only where it has its own rate", () => {
    expect(cost(CLAUDE, { outputTokens: 100, reasoningTokens: 90 })).toBe("0.0015")
    const apart = rowOf("    rates: { standard: { input: 2, output: 8, reasoning: 3 } }")
    expect(cost(apart, { outputTokens: 100, reasoningTokens: 90 })).toBe("0.00035")
  })
})

describe("units and fees", () => {
  const image = "    units: { image: { default: 0.167, low: { default: 0.011, 1024x1536: 0.016 } } }"

  it("seconds, also broken ones, and characters", () => {
    const row = rowOf("    units: { second: 0.0001, character: 0.000015 }")
    expect(cost(row, { units: 37, unitType: "seconds" })).toBe("0.0037")
    expect(cost(row, { units: 37.5, unitType: "seconds" })).toBe("0.00375")
    expect(cost(row, { units: 4_096, unitType: "characters" })).toBe("0.06144")
  })

  it("images by quality and size", () => {
    const row = rowOf(image)
    expect(cost(row, { units: 3, unitType: "images" })).toBe("0.501")
    expect(cost(row, { units: 2, unitType: "images:low" })).toBe("0.022")
    expect(cost(row, { units: 2, unitType: "images:low:1024x1536" })).toBe("0.032")
    expect(cost(rowOf("    units: { image: 0.04 }"), { units: 1, unitType: "images:hd:9x9" })).toBe("0.04")
  })

  it("an image whose tokens are reported is not billed a second time by the piece", () => {
    const row = rowOf(`    rates: { standard: { input: 5, input_image: 10, output_image: 40 } }\n${image}`)
    const usage = { inputUncachedTokens: 50, imageInputTokens: 40, outputTokens: 4_160, imageOutputTokens: 4_160 }
    expect(cost(row, { ...usage, units: 1, unitType: "images" })).toBe("0.16685")
    expect(cost(row, { units: 1, unitType: "images" })).toBe("0.167")
  })

  it("a web search costs its fee beside the tokens", () => {
    const row = rowOf("    rates: { standard: { input: 3, output: 15 } }\n    fees: { web_search: 0.01 }")
    expect(cost(row, { inputUncachedTokens: 15_665, outputTokens: 795, webSearches: 2 })).toBe("0.07892")
  })
})

describe("exactness", () => {
  const count = fc.nat({ max: 2_000_000_000 })
  const usage = fc.record({
    ...Object.fromEntries(Object.keys(ZERO_USAGE).map((key) => [key, fc.constant(0)])),
    inputUncachedTokens: count,
    cacheReadTokens: count,
    cacheWrite5mTokens: count,
    cacheWrite1hTokens: count,
    outputTokens: count,
    unitType: fc.constant(""),
  }) as fc.Arbitrary<Usage>
  const millionths = fc.nat({ max: 999_999_999 })
  const decimal = (value: number) => `${Math.trunc(value / 1e6)}.${String(value % 1e6).padStart(6, "0")}`

  it("is the sum of count × rate, to the last digit, whatever the rates", () => {
    fc.assert(
      fc.property(usage, fc.tuple(millionths, millionths, millionths, millionths, millionths), (used, rates) => {
        const [input, read, write5m, write1h, output] = rates.map(decimal)
        const row = rowOf(
          `    rates: { standard: { input: ${input}, cache_read: ${read}, cache_write_5m: ${write5m}, cache_write_1h: ${write1h}, output: ${output} } }`,
        )
        // A rate of v millionths of a dollar per million tokens is v picos per token.
        const counts = [
          used.inputUncachedTokens,
          used.cacheReadTokens,
          used.cacheWrite5mTokens,
          used.cacheWrite1hTokens,
          used.outputTokens,
        ]
        const expected = counts.reduce((sum, tokens, index) => sum + BigInt(tokens) * BigInt(rates[index] ?? 0), 0n)
        const priced = priceUsage(row, used)
        expect(priced.kind === "priced" && priced.costPicos).toBe(expected)
      }),
      { numRuns: 50 },
    )
  })

  it("adds up across calls, and across the lines of one call", () => {
    const picosOf = (used: Usage) => {
      const priced = priceUsage(CLAUDE, used)
      if (priced.kind === "unpriced") throw new Error(priced.reason)
      expect(priced.lines.reduce((sum, line) => sum + line.picos, 0n)).toBe(priced.costPicos)
      const linedInput = priced.lines
        .filter((line) => line.class !== "output")
        .reduce((sum, line) => sum + line.count, 0)
      expect(linedInput).toBe(inputTokens(used))
      return priced.costPicos
    }
    fc.assert(
      fc.property(usage, usage, (a, b) => {
        const both = {
          ...ZERO_USAGE,
          inputUncachedTokens: a.inputUncachedTokens + b.inputUncachedTokens,
          cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
          cacheWrite5mTokens: a.cacheWrite5mTokens + b.cacheWrite5mTokens,
          cacheWrite1hTokens: a.cacheWrite1hTokens + b.cacheWrite1hTokens,
          outputTokens: a.outputTokens + b.outputTokens,
        }
        expect(picosOf(both)).toBe(picosOf(a) + picosOf(b))
      }),
    )
  })

  it("a rate finer than a pico per token is rounded once per line, to the nearest", () => {
    const row = rowOf("    rates: { standard: { input: 0.0000004, output: 0.0000005 } }")
    expect(cost(row, { inputUncachedTokens: 1 })).toBe("0")
    expect(cost(row, { outputTokens: 1 })).toBe("0.000000000001")
    expect(cost(row, { inputUncachedTokens: 1_000_000, outputTokens: 3 })).toBe("0.000000400002")
  })
})

/** A hold by the worst case is never less than what the call then costs. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type Usage, ZERO_USAGE } from "../../src/metering/usage.ts"
import { priceUsage } from "../../src/pricing/cost.ts"
import { formatUsd } from "../../src/pricing/money.ts"
import { loadPriceBook } from "../../src/pricing/price-book.ts"
import type { PriceRow } from "../../src/pricing/price-row.ts"
import { type CostBound, worstCaseCost } from "../../src/pricing/worst-case.ts"

const ACME = `provider: acme
models:
  big:
    rates:
      standard: { input: 3, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6, output: 15, output_audio: 60.0000001 }
      standard>200000: { input: 6, cache_read: 0.6, cache_write_5m: 7.5, cache_write_1h: 12, output: 22.5 }
      batch: { input: 1.5, output: 7.5 }
    fees: { web_search: 0.01 }
    source: list
    checked: 2025-07-04
  embed:
    rates: { standard: { input: 0.02 } }
    source: list
    checked: 2025-07-04
`

function rowsOf(model: string): readonly [PriceRow, ...PriceRow[]] {
  const loaded = loadPriceBook([{ name: "acme.yaml", text: ACME }])
  if (loaded.kind === "invalid") throw new Error(JSON.stringify(loaded.problems))
  const tiers = loaded.book.tiers({ provider: "acme", model, atMs: 0 })
  if (tiers.kind === "unpriced") throw new Error(tiers.reason)
  return tiers.rows
}

function worst(model: string, bound: CostBound): string {
  const cost = worstCaseCost(rowsOf(model), bound)
  return cost.kind === "bounded" ? formatUsd(cost.costPicos) : cost.kind
}

describe("what cannot be bounded is unpriced", () => {
  it("output of a model that rates none", () => {
    expect(worst("embed", { inputTokensMax: 10, outputTokensMax: 1 })).toBe("unpriced")
    expect(worst("embed", { inputTokensMax: 10, outputTokensMax: 0 })).toBe("0.0000002")
  })

  it("a tool without a listed fee", () => {
    expect(worst("big", { inputTokensMax: 1, outputTokensMax: 1, fees: { code_interpreter: 1 } })).toBe("unpriced")
  })
})

describe("the dearest that can happen", () => {
  it("takes the dearest class and tier, and adds the fees", () => {
    // 1000 × 6 + 100 × 60.000001 (rounded up to a whole pico per token) per million, and two searches.
    const bound = { inputTokensMax: 1_000, outputTokensMax: 100, fees: { web_search: 2 } }
    expect(worst("big", bound)).toBe("0.0320000001")
  })

  it("takes only classes that the request admits", () => {
    const bound = { inputTokensMax: 1_000, outputTokensMax: 100 }
    expect(worst("big", { ...bound, inputClasses: ["input", "cache_read"], outputClasses: ["output"] })).toBe("0.0045")
  })

  it("looks over a context threshold only if the input can exceed it", () => {
    const text = { inputClasses: ["input"], outputClasses: ["output"] } as const
    expect(worst("big", { inputTokensMax: 200_000, outputTokensMax: 0, ...text })).toBe("0.6")
    expect(worst("big", { inputTokensMax: 200_001, outputTokensMax: 0, ...text })).toBe("1.200006")
  })

  it("is never less than the cost of any usage within the bound", () => {
    const count = fc.nat({ max: 150_000 })
    const usage: fc.Arbitrary<Usage> = fc
      .tuple(count, count, count, count, count, fc.nat(1_000), fc.nat({ max: 3 }))
      .map(([uncached, read, write5m, write1h, output, audio, searches]) => ({
        ...ZERO_USAGE,
        inputUncachedTokens: uncached,
        cacheReadTokens: read,
        cacheWrite5mTokens: write5m,
        cacheWrite1hTokens: write1h,
        outputTokens: output,
        audioOutputTokens: Math.min(audio, output),
        webSearches: searches,
      }))
    const rows = rowsOf("big")
    fc.assert(
      fc.property(usage, fc.nat({ max: 1_000 }), (used, spare) => {
        const input =
          used.inputUncachedTokens + used.cacheReadTokens + used.cacheWrite5mTokens + used.cacheWrite1hTokens
        const bound = {
          inputTokensMax: input + spare,
          outputTokensMax: used.outputTokens + spare,
          fees: { web_search: 3 },
        }
        const most = worstCaseCost(rows, bound)
        for (const row of rows) {
          const priced = priceUsage(row, used)
          expect(most.kind === "bounded" && priced.kind === "priced" && most.costPicos >= priced.costPicos).toBe(true)
        }
      }),
    )
  })
})

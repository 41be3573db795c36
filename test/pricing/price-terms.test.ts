/** What an organization is charged: exact against rational numbers, additive line by line, and never more than was held. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { type Usage, ZERO_USAGE } from "../../src/metering/usage.ts"
import { effectiveCost, effectivePrice } from "../../src/pricing/effective-price.ts"
import { loadPriceBook } from "../../src/pricing/price-book.ts"
import {
  charged,
  chargedAtMost,
  formatPercent,
  type PriceTerms,
  percentToPpm,
  pinned,
  readPinned,
} from "../../src/pricing/price-terms.ts"
import { StoredPrices } from "../../src/pricing/stored-prices.ts"

const loaded = loadPriceBook([
  {
    name: "acme.yaml",
    text: `provider: acme
models:
  fine: { rates: { standard: { input: 0.000001, cache_read: 0.0000001, output: 3.333333333333 } }, source: s, checked: 2026-01-01 }
`,
  },
])
if (loaded.kind === "invalid") throw new Error(JSON.stringify(loaded.problems))
const priceBook = loaded.book

const ppm = fc.bigInt({ min: 0n, max: 10_000_000n })
const discount = fc.bigInt({ min: 0n, max: 1_000_000n })
const picos = fc.bigInt({ min: 0n, max: 10n ** 18n })

function terms(markupPpm: bigint, discountPpm: bigint): PriceTerms {
  const of = { id: "trm_a", organizationId: "org_a", provider: "", ceiling: null, fromMs: 0, untilMs: null }
  return { ...of, markupPpm, discountPpm }
}

/** The nearest whole number to a fraction, halves up, worked out by comparing and not by dividing once. */
function nearest(numerator: bigint, denominator: bigint): bigint {
  const below = numerator / denominator
  const rest = numerator - below * denominator
  return rest * 2n >= denominator ? below + 1n : below
}

describe("percentages", () => {
  test("are plain decimals of at most four places, and nothing else", () => {
    for (const text of ["", "1e2", "-1", "+1", "01", "1.", ".5", "1.23456", "10000", "12,5", " 1"])
      expect(percentToPpm(text), text).toBeNull()
    expect(["0", "0.0001", "12.5", "100", "1000"].map(percentToPpm)).toEqual([
      0n,
      1n,
      125_000n,
      1_000_000n,
      10_000_000n,
    ])
  })

  test("are written as they were read", () => {
    fc.assert(fc.property(ppm, (value) => percentToPpm(formatPercent(value)) === value))
  })
})

test("a charge is the cost raised by the markup and lowered by the discount, to the nearest pico, halves up", () => {
  fc.assert(
    fc.property(picos, ppm, discount, (cost, markupPpm, discountPpm) => {
      const exact = cost * (1_000_000n + markupPpm) * (1_000_000n - discountPpm)
      expect(charged(cost, { markupPpm, discountPpm })).toBe(nearest(exact, 10n ** 12n))
    }),
  )
  expect(charged(1n, { markupPpm: 500_000n, discountPpm: 0n })).toBe(2n)
  expect(charged(1n, { markupPpm: 499_999n, discountPpm: 0n })).toBe(1n)
})

test("what is held is never less than what is charged for anything up to it", () => {
  fc.assert(
    fc.property(picos, picos, ppm, discount, (one, other, markupPpm, discountPpm) => {
      const [less, more] = one < other ? [one, other] : [other, one]
      expect(chargedAtMost(more, { markupPpm, discountPpm })).toBeGreaterThanOrEqual(
        charged(less, { markupPpm, discountPpm }),
      )
    }),
  )
})

test("the lines of a call add up to its cost before the terms, and the charge follows from that sum alone", () => {
  const count = fc.integer({ min: 0, max: 10 ** 9 })
  fc.assert(
    fc.property(count, count, count, ppm, discount, (input, cached, output, markupPpm, discountPpm) => {
      const storedPrices = new StoredPrices([], [terms(markupPpm, discountPpm)])
      const of = { organizationId: "org_a", provider: "acme", model: "fine", tier: "", region: "", atMs: 0 }
      const usage: Usage = {
        ...ZERO_USAGE,
        inputUncachedTokens: input,
        cacheReadTokens: cached,
        outputTokens: output,
      }
      const cost = effectiveCost(effectivePrice({ priceBook, storedPrices }, of), usage)
      if (cost.kind === "unpriced") throw new Error(cost.reason)
      const sum = cost.lines.reduce((so, line) => so + line.picos, 0n)
      const rates = [
        [input, 1_000_000n],
        [cached, 100_000n],
        [output, 3_333_333_333_333n],
      ] as const
      expect(sum).toBe(rates.reduce((so, [tokens, rate]) => so + nearest(BigInt(tokens) * rate, 1_000_000n), 0n))
      const isUnchanged = (1_000_000n + markupPpm) * (1_000_000n - discountPpm) === 10n ** 12n
      expect(cost.baseCostPicos ?? cost.costPicos).toBe(sum)
      expect(cost.baseCostPicos === null).toBe(isUnchanged)
      expect(cost.costPicos).toBe(charged(sum, { markupPpm, discountPpm }))
      expect(readPinned(cost.pin).termsId).toBe(isUnchanged ? "" : "trm_a")
    }),
  )
})

test("a pin tells its parts apart, also where a model's name has a plus", () => {
  const row = "acme/a+trm@2026-01-01/standard>200"
  expect(readPinned(pinned(row, terms(1n, 0n)))).toEqual({ priceRow: row, termsId: "trm_a" })
  expect(readPinned(pinned(row, terms(0n, 0n)))).toEqual({ priceRow: row, termsId: "" })
})

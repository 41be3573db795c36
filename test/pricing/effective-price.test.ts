/** Whose price applies: the organization's, the installation's, the files', tier by tier and instant by instant. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { effectiveCost, effectivePrice, effectiveTiers } from "../../src/pricing/effective-price.ts"
import { loadPriceBook } from "../../src/pricing/price-book.ts"
import type { PriceTerms } from "../../src/pricing/price-terms.ts"
import { type StoredPrice, StoredPrices } from "../../src/pricing/stored-prices.ts"
import { sheetFinder } from "../../src/reporting/token-classes.ts"

const loaded = loadPriceBook([
  {
    name: "acme.yaml",
    text: `provider: acme
models:
  big:
    rates: { standard: { input: 1, output: 1 }, batch: { input: 0.5, output: 0.5 } }
    source: s
    checked: 2026-01-01
`,
  },
])
if (loaded.kind === "invalid") throw new Error(JSON.stringify(loaded.problems))
const priceBook = loaded.book

let made = 0
function price(wanted: Partial<StoredPrice> & { usd?: string; tier?: string }): StoredPrice {
  const { usd = "2", tier = "standard", ...members } = wanted
  const names = { aliases: wanted.aliases ?? [], prefixes: wanted.prefixes ?? [] }
  return {
    ...{ id: `prc_${++made}`, organizationId: "", provider: "acme", model: "big", source: "s", ...names },
    ...{ fromMs: 0, untilMs: null, createdMs: made, price: { rates: { [tier]: { input: usd, output: usd } } } },
    ...members,
  }
}

/** As the registry hands them over: newest first. */
function stored(prices: StoredPrice[], terms: PriceTerms[] = []): StoredPrices {
  const newest = prices.toSorted((a, b) => b.fromMs - a.fromMs || b.createdMs - a.createdMs)
  return new StoredPrices(
    newest,
    terms.toSorted((a, b) => b.fromMs - a.fromMs),
  )
}

/** Dollars per million input tokens, or why there is no price. */
function rate(
  storedPrices: StoredPrices,
  asked: { of?: string; model?: string; tier?: string; region?: string; atMs?: number } = {},
) {
  const { of: organizationId = "org_a", model = "big", tier = "", region = "", atMs = 0 } = asked
  const found = effectivePrice(
    { priceBook, storedPrices },
    { organizationId, provider: "acme", model, tier, region, atMs },
  )
  return found.kind === "found" ? Number(found.row.sheets[0].rates.input ?? 0n) / 1e12 : found.reason
}

function terms(wanted: Partial<PriceTerms>): PriceTerms {
  const none = { markupPpm: 0n, discountPpm: 0n, ceiling: null, provider: "", fromMs: 0, untilMs: null }
  return { id: `trm_${++made}`, organizationId: "org_a", ...none, ...wanted }
}

describe("which price", () => {
  test("a price that another version stored and this one cannot read prices nothing, and is not passed over", () => {
    const prices = stored([price({ price: { rates: { standard: { input: 2.5 } } } })])
    expect(rate(prices)).toMatch(/^the price prc_\d+ cannot be read: rates\.standard\.input: /)
    const of = { organizationId: "org_a", provider: "acme", model: "big", atMs: 0 }
    expect(effectiveTiers({ priceBook, storedPrices: prices }, of).kind).toBe("unpriced")
  })

  test("the organization's own stands before the installation's, and that before the files'", () => {
    const prices = stored([price({ usd: "2" }), price({ usd: "3", organizationId: "org_a" })])
    expect([rate(prices), rate(prices, { of: "org_b" }), rate(stored([]))]).toEqual([3, 2, 1])
  })

  test("each tier is decided by itself: what a price does not name stays as it was", () => {
    const prices = stored([price({ usd: "2" }), price({ usd: "9", tier: "flex", organizationId: "org_a" })])
    expect(["standard", "batch", "flex"].map((tier) => rate(prices, { tier }))).toEqual([2, 0.5, 9])
    expect(rate(prices, { tier: "flex", of: "org_b" })).toBe("acme/big has no price for tier flex")
    const of = { organizationId: "org_a", provider: "acme", model: "big", atMs: 0 }
    const all = effectiveTiers({ priceBook, storedPrices: prices }, of)
    expect(all.kind === "found" && all.prices.map(({ row, origin }) => [row.tier, origin])).toEqual([
      ["standard", "installation"],
      ["batch", "book"],
      ["flex", "organization"],
    ])
  })

  test("an exact id before a prefix, the longer prefix before the shorter, and never a sibling", () => {
    const prices = stored([
      price({ model: "large", usd: "2", prefixes: ["large"], fromMs: 5 }),
      price({ model: "large-7", usd: "3", prefixes: ["large-7"] }),
      price({ model: "exact", usd: "4", aliases: ["large-7-20260101"] }),
    ])
    const at = (model: string) => rate(prices, { model, atMs: 10 })
    expect(["large-7-20260101", "large-7-v1", "large-20260101"].map(at)).toEqual([4, 3, 2])
    expect(at("large-7-mini")).toBe("acme/large-7-mini is not in the price book")
  })

  test("a later beginning takes over, an end uncovers what stood before, and both hold to the millisecond", () => {
    const prices = stored([
      price({ usd: "2" }),
      price({ usd: "3", fromMs: 100 }),
      price({ usd: "4", fromMs: 200, untilMs: 300 }),
      price({ usd: "5", fromMs: 200, untilMs: 250 }),
    ])
    const at = (atMs: number) => rate(prices, { atMs })
    expect([99, 100, 199, 200, 249, 250, 299, 300].map(at)).toEqual([2, 3, 3, 5, 5, 4, 4, 3])
  })
})

test("a region multiplies token rates alone, exactly, and what is pinned of it is found again", () => {
  const asked = { rates: { standard: { input: "2.5", output: "1" } }, units: { second: "3" }, regions: { us: "1.1" } }
  const one = price({ price: asked })
  const prices = stored([one])
  expect(["us", "eu", ""].map((region) => rate(prices, { region }))).toEqual([2.75, 2.5, 2.5])
  const question = { organizationId: "", provider: "acme", model: "big", tier: "", region: "us", atMs: 0 }
  const found = effectivePrice({ priceBook, storedPrices: prices }, question)
  if (found.kind === "unpriced") throw new Error(found.reason)
  expect(found.row.units.get("second")).toBe(3_000_000_000_000n)
  const priced = effectiveCost(found, { ...ZERO_USAGE, inputUncachedTokens: 3 })
  expect(priced).toMatchObject({ costPicos: 8_250_000n, pin: `acme/big@${one.id}/standard~us` })
  expect(sheetFinder(priceBook, prices)(`acme/big@${one.id}/standard~us`)?.sheets[0].rates.input).toBe(
    2_750_000_000_000n,
  )
  for (const wrong of ["0", "1.00001", "-1", "1e1", "100"]) {
    expect(rate(stored([price({ price: { ...asked, regions: { us: wrong } } })]))).toMatch(
      /cannot be read: regions\.us/,
    )
  }
})

test("one organization's prices and terms never touch another's cost", () => {
  const usd = fc.integer({ min: 0, max: 10 ** 6 }).map(String)
  const own = fc.record({ usd, fromMs: fc.nat(50), tier: fc.constantFrom("standard", "batch", "flex") })
  const marked = fc.record({ markupPpm: fc.bigInt(0n, 10n ** 6n), discountPpm: fc.bigInt(0n, 10n ** 6n) })
  fc.assert(
    fc.property(fc.array(own), fc.array(marked), fc.array(own), fc.nat(60), (ours, pays, theirs, atMs) => {
      const of = (organizationId: string) => (one: object) => price({ ...one, organizationId })
      const termsOf = (id: string) => pays.map((one) => terms({ ...one, organizationId: id }))
      const both = stored([...ours.map(of("org_a")), ...theirs.map(of("org_b"))], termsOf("org_a"))
      const alone = stored(theirs.map(of("org_b")))
      for (const tier of ["standard", "batch", "flex"]) {
        const cost = (storedPrices: StoredPrices) => {
          const question = { organizationId: "org_b", provider: "acme", model: "big", tier, region: "", atMs }
          const usage = { ...ZERO_USAGE, inputUncachedTokens: 1_000_000 }
          const found = effectiveCost(effectivePrice({ priceBook, storedPrices }, question), usage)
          return found.kind === "priced" ? found.costPicos : found
        }
        expect(cost(both)).toEqual(cost(alone))
      }
    }),
  )
})

describe("terms", () => {
  const usage = { ...ZERO_USAGE, inputUncachedTokens: 1_000_000, webSearches: 2 }
  const costOf = (storedPrices: StoredPrices, model = "big", atMs = 0, used = { ...usage, webSearches: 0 }) => {
    const question = { organizationId: "org_a", provider: "acme", model, tier: "", region: "", atMs }
    return effectiveCost(effectivePrice({ priceBook, storedPrices }, question), used)
  }

  test("of the provider stand before those of all, while they are in force", () => {
    const prices = stored(
      [],
      [
        terms({ markupPpm: 100_000n }),
        terms({ markupPpm: 200_000n, provider: "acme", fromMs: 10, untilMs: 20 }),
        terms({ markupPpm: 300_000n, provider: "other", fromMs: 10 }),
      ],
    )
    const costs = [0, 10, 19, 20].map((atMs) => costOf(prices, "big", atMs))
    const at = costs.map((cost) => cost.kind === "priced" && cost.costPicos)
    expect(at).toEqual([1_100_000_000_000n, 1_200_000_000_000n, 1_200_000_000_000n, 1_100_000_000_000n])
  })

  test("leave the organization's own price as it is", () => {
    const prices = stored([price({ organizationId: "org_a", usd: "7" })], [terms({ markupPpm: 500_000n })])
    expect(costOf(prices)).toMatchObject({ costPicos: 7_000_000_000_000n, baseCostPicos: null })
  })

  test("a ceiling charges tokens without markup, and says nothing of units and tools", () => {
    const ceiling = { inputPicos: 4_000_000_000_000n, outputPicos: 1n }
    const prices = stored([], [terms({ id: "trm_c", ceiling, markupPpm: 500_000n })])
    const pin = "ceiling+trm_c"
    expect(costOf(prices, "unheard-of", 0, usage)).toMatchObject({
      kind: "unpriced",
      ceiling: { costPicos: 4_000_000_000_000n, pin },
    })
    const seconds = { ...ZERO_USAGE, units: 7, unitType: "seconds" }
    expect(costOf(prices, "unheard-of", 0, seconds as typeof usage)).toMatchObject({ kind: "unpriced", ceiling: null })
    expect(costOf(stored([]), "unheard-of")).toMatchObject({ kind: "unpriced", ceiling: null })
  })
})

test("what a record pins finds the very sheet again, when its price has long ended and others have taken its place", () => {
  const sheet = { input: "3", output: "4" }
  const before = price({
    untilMs: 10,
    price: { rates: { standard: { input: "2", output: "2" }, "standard>100": sheet } },
  })
  const prices = stored([before, price({ usd: "9", fromMs: 10 })])
  const row = sheetFinder(priceBook, prices)(`acme/big@${before.id}/standard>100+trm_x`)
  expect(row?.sheets).toMatchObject([{ contextOver: 0, rates: { input: 3_000_000_000_000n } }])
  expect(sheetFinder(priceBook, prices)("acme/big@prc_none/standard")).toBeUndefined()
})

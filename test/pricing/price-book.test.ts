/** The book answers with the price in force, or with a reason; a bad catalog is refused with its line. */
import { describe, expect, it } from "vitest"
import { loadPriceBook, type PriceBook, type PriceProblem } from "../../src/pricing/price-book.ts"

function book(...texts: string[]): PriceBook {
  const loaded = loadPriceBook(texts.map((text, index) => ({ name: `${index}.yaml`, text })))
  if (loaded.kind === "invalid") throw new Error(JSON.stringify(loaded.problems))
  return loaded.book
}

function problemsOf(...texts: string[]): readonly PriceProblem[] {
  const loaded = loadPriceBook(texts.map((text, index) => ({ name: `${index}.yaml`, text })))
  return loaded.kind === "invalid" ? loaded.problems : []
}

function rowId(prices: PriceBook, model: string, tier = "", at = "2026-01-01T00:00:00Z"): string {
  const price = prices.find({ provider: "acme", model, tier, atMs: Date.parse(at) })
  return price.kind === "found" ? price.row.id : price.kind
}

const ACME = `provider: acme
models:
  big:
    aliases: [big-latest]
    prefixes: [big-]
    rates:
      standard: { input: 2, output: 8 }
      standard>1000: { input: 4, output: 12 }
      flex: { input: 1, output: 4 }
    source: list
    checked: 2025-07-04
  big-preview:
    prefixes: [big-preview]
    rates: { standard: { input: 3, output: 9 } }
    source: list
    checked: 2025-07-04
  moving:
    periods:
      - rates: { standard: { input: 10, output: 40 } }
      - from: 2025-06-10
        rates: { standard: { input: 2, output: 8 }, batch: { input: 1, output: 4 } }
      - from: 2025-09-01T12:30:00Z
        rates: { standard: { input: 1, output: 4 } }
    source: list
    checked: 2025-09-02
  coming:
    from: 2026-06-01
    rates: { standard: { input: 1, output: 4 } }
    source: list
    checked: 2025-09-02
`

describe("a bad catalog is refused, with the place and what was expected", () => {
  const entry = (body: string) =>
    `provider: acme\nmodels:\n  big:\n${body}\n    source: list\n    checked: 2025-07-04\n`

  it.each([
    ["an exponent", entry("    rates:\n      standard: { input: 1e-6 }"), 5, "models.big.rates.standard.input", "1e-6"],
    ["a negative rate", entry("    rates:\n      standard: { input: -1 }"), 5, "models.big.rates.standard.input", "-1"],
    [
      "a class that does not exist",
      entry("    rates:\n      standard: { inptu: 1 }"),
      5,
      "models.big.rates.standard.inptu",
      "1",
    ],
    ["no rate at all", entry("    rates:\n      standard: {}"), 5, "models.big.rates.standard", "{}"],
    ["no rates and no units", entry("    aliases: [a]"), 4, "models.big", ""],
    [
      "long-context rates alone",
      entry("    rates:\n      batch>1000: { input: 1 }"),
      5,
      "models.big.rates.batch>1000",
      "input",
    ],
    [
      "a key that does not exist",
      entry("    colour: red\n    rates: { standard: { input: 1 } }"),
      4,
      "models.big.colour",
      "red",
    ],
    [
      "a day that does not exist",
      entry("    from: 2025-02-30\n    rates: { standard: { input: 1 } }"),
      4,
      "models.big.from",
      "2025-02-30",
    ],
    [
      "a unit price that is no number",
      entry("    units:\n      image: { high: { default: cheap } }"),
      5,
      "models.big.units.image.high.default",
      "cheap",
    ],
    ["text that is not a catalog", "just words\n", 1, "", "just words"],
    ["an empty file", "", 1, "", "nothing"],
  ])("%s", (_mistake, text, line, path, found) => {
    const [problem] = problemsOf(text)
    expect(problem).toMatchObject({ file: "0.yaml", line, path })
    expect(problem?.found).toContain(found)
    expect(problem?.expected).not.toBe("")
  })

  it("broken YAML", () => {
    const [problem] = problemsOf("provider: acme\nmodels:\n  big: { rates: [\n")
    expect(problem).toMatchObject({ file: "0.yaml", expected: "well-formed YAML" })
    expect(problem?.line).toBeGreaterThanOrEqual(3)
  })

  it("a YAML alias, which could grow without bound", () => {
    expect(problemsOf("provider: acme\nmodels: &m\n  big: *m\n")).toHaveLength(1)
  })

  it("one id claimed by two models, across files", () => {
    const twin = entry("    aliases: [big-latest]\n    rates: { standard: { input: 1 } }")
    expect(problemsOf(ACME, twin)).toMatchObject([
      { file: "1.yaml", line: 4, path: "models.big", found: "big", expected: expect.stringContaining("0.yaml:4") },
      { file: "1.yaml", path: "models.big.aliases", found: "big-latest" },
    ])
  })

  it("periods out of order", () => {
    const text = ACME.replace("from: 2025-09-01T12:30:00Z", "from: 2025-06-10")
    expect(problemsOf(text)).toMatchObject([{ path: "models.moving.periods.2.from", found: "2025-06-10" }])
  })

  it("one bad figure refuses every file", () => {
    expect(
      loadPriceBook([
        { name: "good.yaml", text: ACME },
        { name: "bad.yaml", text: "provider: x" },
      ]).kind,
    ).toBe("invalid")
  })
})

describe("a file that waits until its provider is asked for", () => {
  const OTHER = ACME.replace("provider: acme", "provider: other")
  const asked = { model: "big", tier: "standard", atMs: Date.parse("2026-01-01T00:00:00Z") }
  const loaded = (later: { name: string; text: string }[], own: { name: string; text: string }[] = []) => {
    const result = loadPriceBook(own, later)
    if (result.kind === "invalid") throw new Error(JSON.stringify(result.problems))
    return result.book
  }

  it("prices as if it had been read at once, and is among the providers before", () => {
    const lazy = loaded([{ name: "acme.yaml", text: ACME }])
    expect(lazy.providers()).toEqual(["acme"])
    expect(lazy.find({ provider: "acme", ...asked })).toEqual(book(ACME).find({ provider: "acme", ...asked }))
    expect(lazy.models("acme")).toEqual(book(ACME).models("acme"))
  })

  it("that is wrong leaves its provider unpriced and says where, and the others as they are", () => {
    const lazy = loaded([
      { name: "acme.yaml", text: ACME },
      { name: "other.yaml", text: OTHER.replace("provider: other", "provider: acme") },
    ])
    expect(lazy.prepare("other")).toMatchObject([{ file: "other.yaml", path: "provider", found: "acme" }])
    const found = lazy.find({ provider: "other", ...asked })
    expect(found).toMatchObject({
      kind: "unpriced",
      reason: expect.stringMatching(/^the prices of other cannot be read: other\.yaml:1/),
    })
    expect(lazy.find({ provider: "acme", ...asked }).kind).toBe("found")
  })

  it("is read at once where another file has models of its provider, since they may not share a name", () => {
    const shipped = [{ name: "acme.yaml", text: ACME }]
    expect(loadPriceBook([{ name: "own.yaml", text: ACME }], shipped)).toMatchObject({ kind: "invalid" })
    const own = {
      name: "own.yaml",
      text: OTHER.replace("provider: other", "provider: acme").replace(/^ {2}big:/m, "  bigger:"),
    }
    expect(loadPriceBook([own], shipped).kind).toBe("invalid")
  })
})

describe("what is not listed is unpriced, with a reason", () => {
  const prices = book(ACME)

  it.each([
    ["another provider", { provider: "other", model: "big" }],
    ["an unknown model", { model: "huge" }],
    ["a name that merely contains a listed one", { model: "my-big" }],
    ["a sibling of a listed prefix", { model: "big-mini" }],
    ["a tier without rates", { tier: "priority" }],
    ["a time before the first price", { model: "coming" }],
    ["a name of the object's own machinery", { model: "__proto__" }],
  ])("%s", (_what, asked) => {
    const price = prices.find({ provider: "acme", model: "big", tier: "", atMs: Date.parse("2026-01-01"), ...asked })
    expect(price.kind).toBe("unpriced")
    expect(price.kind === "unpriced" && price.reason).toMatch(/price/)
  })

  it("a reason quotes a bounded part of what the caller sent", () => {
    const price = prices.find({ provider: "acme", model: "x".repeat(100_000), tier: "", atMs: 0 })
    expect(price.kind === "unpriced" && price.reason.length).toBeLessThan(300)
  })
})

describe("a model finds its row", () => {
  const prices = book(ACME)

  it("by id, by alias, without date and region, then by the longest prefix", () => {
    expect(rowId(prices, "big")).toBe("acme/big@2025-07-04/standard")
    expect(rowId(prices, "big-latest")).toBe("acme/big@2025-07-04/standard")
    expect(rowId(prices, "eu.big-2025-10-01")).toBe("acme/big@2025-07-04/standard")
    expect(rowId(prices, "big@20251001")).toBe("acme/big@2025-07-04/standard")
    expect(rowId(prices, "big-001")).toBe("acme/big@2025-07-04/standard")
    expect(rowId(prices, "big-preview-0925")).toBe("acme/big-preview@2025-07-04/standard")
  })

  it("in the served tier; '', default, auto and on_demand are standard", () => {
    for (const tier of ["", "default", "auto", "on_demand", "ON_DEMAND", "standard"]) {
      expect(rowId(prices, "big", tier)).toBe("acme/big@2025-07-04/standard")
    }
    expect(rowId(prices, "big", "flex")).toBe("acme/big@2025-07-04/flex")
    expect(rowId(prices, "big", "ON_DEMAND_FLEX")).toBe("acme/big@2025-07-04/flex")
  })

  it.each(["0", "-1", "much", "1,1"])("a factor of %s for a region is refused", (factor) => {
    const [problem] = problemsOf(ACME.replace("    prefixes: [big-]\n", `    regions: { us: "${factor}" }\n`))
    expect(problem).toMatchObject({ path: "models.big.regions.us", line: 5 })
  })

  it("at the instant of the call: the millisecond before a change still has the old price", () => {
    expect(rowId(prices, "moving", "", "2025-06-09T23:59:59.999Z")).toBe("acme/moving@before-2025-06-10/standard")
    expect(rowId(prices, "moving", "", "2025-06-10T00:00:00.000Z")).toBe("acme/moving@2025-06-10/standard")
    expect(rowId(prices, "moving", "", "2025-09-01T12:29:59.999Z")).toBe("acme/moving@2025-06-10/standard")
    expect(rowId(prices, "moving", "", "2025-09-01T12:30:00.000Z")).toBe("acme/moving@2025-09-01T12:30:00Z/standard")
    expect(rowId(prices, "coming", "", "2026-06-01T00:00:00Z")).toBe("acme/coming@2026-06-01/standard")
  })

  it("a tier that a later period dropped is unpriced from then on", () => {
    expect(rowId(prices, "moving", "batch", "2025-08-01T00:00:00Z")).toBe("acme/moving@2025-06-10/batch")
    expect(rowId(prices, "moving", "batch", "2025-10-01T00:00:00Z")).toBe("unpriced")
    const tiers = prices.tiers({ provider: "acme", model: "moving", atMs: Date.parse("2025-10-01") })
    expect(tiers.kind === "found" && tiers.rows.map((row) => row.tier)).toEqual(["standard"])
  })

  it("the same after more names than the book remembers", () => {
    for (let index = 0; index < 10_000; index++) rowId(prices, `unknown-${index}`)
    expect(rowId(prices, "big-001")).toBe("acme/big@2025-07-04/standard")
    expect(rowId(prices, "unknown-1")).toBe("unpriced")
  })
})

it("lists ids and aliases of a provider, for the model list", () => {
  expect(book(ACME).models("acme")).toEqual(["big", "big-latest", "big-preview", "coming", "moving"])
  expect(book(ACME).models("other")).toEqual([])
})

it("lists every tier that a model can be served in, for holds", () => {
  const tiers = book(ACME).tiers({ provider: "acme", model: "big", atMs: Date.parse("2026-01-01") })
  expect(tiers.kind === "found" && tiers.rows.map((row) => row.id)).toEqual([
    "acme/big@2025-07-04/standard",
    "acme/big@2025-07-04/flex",
  ])
})

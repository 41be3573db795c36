/** Money is exact: what is read is what is written, and a limit is never charged less than a call cost. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { formatUsd, nanosRoundedUp, parseUsd, proRata } from "../../src/pricing/money.ts"

const storable = fc.bigInt({ min: -(10n ** 24n - 1n), max: 10n ** 24n - 1n })

describe("reading dollars", () => {
  it.each([
    ["1e-6"],
    ["0.0000000000001"],
    ["1234567890123"],
    ["+1"],
    ["01"],
    [".5"],
    ["5."],
    ["1,5"],
    ["0x10"],
    ["NaN"],
    ["Infinity"],
    [""],
    [" 1"],
    ["1 USD"],
    ["9".repeat(10_000)],
  ])("refuses %j and says what it wants instead", (text) => {
    const money = parseUsd(text)
    expect(money.kind).toBe("invalid")
    expect(money.kind === "invalid" && money.reason).toMatch(/digit|decimal/)
  })

  it("reads the twelfth decimal", () => {
    expect(parseUsd("0.000000000001")).toEqual({ kind: "parsed", picos: 1n })
    expect(parseUsd("999999999999.999999999999")).toEqual({ kind: "parsed", picos: 10n ** 24n - 1n })
    expect(parseUsd("-2.50")).toEqual({ kind: "parsed", picos: -2_500_000_000_000n })
  })

  it("gives back every amount that the ledger can store", () => {
    fc.assert(
      fc.property(storable, (picos) => {
        const text = formatUsd(picos)
        expect(text).toMatch(/^-?\d{1,12}(\.\d{0,11}[1-9])?$/)
        expect(parseUsd(text)).toEqual({ kind: "parsed", picos })
      }),
    )
  })
})

describe("rounding", () => {
  it("charges a limit the smallest nano that is not less than the cost", () => {
    fc.assert(
      fc.property(storable, (picos) => {
        const nanos = nanosRoundedUp(picos)
        expect(nanos * 1_000n >= picos).toBe(true)
        expect((nanos - 1n) * 1_000n < picos).toBe(true)
      }),
    )
  })

  it("takes a share to the nearest pico, halves up", () => {
    expect(proRata(1n, 499_999n, 1_000_000n)).toBe(0n)
    expect(proRata(1n, 500_000n, 1_000_000n)).toBe(1n)
    expect(proRata(3n, 500_000n, 1_000_000n)).toBe(2n)
  })
})

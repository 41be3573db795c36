/** Figures as people read them: the table of the design, case by case. */
import { describe, expect, test } from "vitest"
import {
  axisCount,
  axisMoney,
  change,
  compact,
  cost,
  count,
  counted,
  duration,
  exact,
  isZero,
  rate,
  share,
  spend,
  total,
} from "../../src/dashboard/format/format.ts"

/** Between figure and unit. */
const _ = "\u00a0"

describe("money", () => {
  test.each([
    ["18773.54", "$18,773.54"],
    ["0", "$0.00"],
    ["0.005", "$0.01"],
    ["0.0049", "< $0.01"],
    ["999.995", "$1,000.00"],
    ["1234567890123.999999999999", "$1,234,567,890,124.00"],
    ["-12.345", "\u2212$12.35"],
  ])("a total of %s reads %s", (usd, shown) => expect(total(usd)).toBe(shown))

  test.each([
    ["0", "191", "No price"],
    ["0.000000000000", "2", "No price"],
    ["0", "0", "$0.00"],
    ["1.5", "2", "$1.50"],
  ])("a sum of %s with %s calls without a price reads %s", (cost_usd, unpriced_records, shown) => {
    expect(spend({ cost_usd, unpriced_records })).toBe(shown)
  })

  test.each([
    ["0.0214", "$0.0214"],
    ["0.02144999", "$0.0214"],
    ["12.5", "$12.50"],
    ["0.000942", "$0.000942"],
    ["0.00000012345", "$0.000000123"],
    ["0.0000000001", "< $0.000000001"],
    ["0", "$0.00"],
    ["0.000", "$0.00"],
    [null, "No price"],
  ])("a call of %s reads %s: what is cheap is never shown as free, what is unknown never as cheap", (usd, shown) =>
    expect(cost(usd)).toBe(shown),
  )

  test.each([
    ["2331.60371", "$2,331.603710"],
    ["0.000000000001", "$0.000000000001"],
    ["5", "$5.000000"],
  ])("%s in full reads %s", (usd, shown) => expect(exact(usd)).toBe(shown))

  test.each([
    ["2", "$2.00"],
    ["0.125", "$0.125"],
    ["10.5", "$10.50"],
  ])("a rate of %s reads %s", (usd, shown) => expect(rate(usd)).toBe(shown))

  test.each([
    [0, "$0"],
    [1_500, "$1,500"],
    [12_000, `$12${_}K`],
    [2.5, "$2.5"],
  ])("an axis says %s as %s", (value, shown) => expect(axisMoney(value)).toBe(shown))
})

describe("counts", () => {
  test.each([
    ["1284906", "1,284,906"],
    ["9999999", "9,999,999"],
    ["10000000", `10.0${_}M`],
    ["0", "0"],
  ])("%s in a total reads %s", (whole, shown) => expect(count(whole)).toBe(shown))

  test.each([
    ["4280000000", `4.28${_}B`],
    ["96400000", `96.4${_}M`],
    ["12900", `12.9${_}K`],
    ["9999", "9,999"],
    ["999950", `1.00${_}M`],
    ["1500000000000", `1.50${_}T`],
  ])("%s in a table reads %s", (whole, shown) => expect(compact(whole)).toBe(shown))

  test("an axis of counts stays short", () => {
    expect([0, 500, 2_000_000].map(axisCount)).toEqual(["0", "500", `2.00${_}M`])
  })

  test.each([
    [1, "1 request"],
    [0, "0 requests"],
    ["1204", "1,204 requests"],
  ])("%s of a word reads %s", (whole, shown) => expect(counted(whole, "request")).toBe(shown))
})

describe("shares and changes", () => {
  test.each([
    ["35.1", "100", "35.1 %"],
    ["1", "3", "33.3 %"],
    ["0.000000000001", "0.000000000002", "50.0 %"],
    ["5", "0", "–"],
  ])("%s of %s is %s", (part, whole, shown) => expect(share(part, whole)).toBe(shown))

  test.each([
    ["110.7", "100", "+10.7 %"],
    ["82", "100", "\u221218.0 %"],
    ["100", "100", "+0.0 %"],
    ["99.99", "100", "+0.0 %"],
    ["5", "0", "new"],
    ["0", "0.00", "0.0 %"],
    ["1200", "100", "12×"],
  ])("%s against %s is %s", (now, before, shown) => expect(change(now, before)).toBe(shown))
})

test.each([
  [84, "84 ms"],
  [620, "620 ms"],
  [1_620, "1.62 s"],
  [124_000, "2 min 4 s"],
])("%s milliseconds read %s", (ms, shown) => expect(duration(ms)).toBe(shown))

test("nothing is nothing in every way of writing it", () => {
  expect(["0", "0.00", "-0", "0.000000000000"].every(isZero)).toBe(true)
  expect(["0.000000000001", "1", "-0.1"].some(isZero)).toBe(false)
})

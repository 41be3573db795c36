/** When digests are due, which stretch each is about, and how amounts are written. */
import { expect, test } from "vitest"
import { dueAfter, dueBefore, SCHEDULE_DEFAULTS, scheduleFault, stretchBefore } from "../../src/alerts/digest-period.ts"
import { changeText, shareOf, shortCount, shortUsd, stretchText } from "../../src/alerts/digest-words.ts"

const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())

test.each([
  ["@daily", "must be five fields"],
  ["0 8 * *", "must be five fields"],
  ["0 0 8 * * *", "must be five fields"],
  ["2027-01-01T08:00:00", "must be five fields"],
  ["61 8 * * *", "Invalid value for minute: 61"],
  ["0 8 * * funday", "must be five fields"],
  ["0 8 30 2 *", "is never due"],
])("%s is no schedule, and the reason says why", (schedule, reason) => {
  expect(scheduleFault(schedule)).toContain(reason)
})

test.each(Object.values(SCHEDULE_DEFAULTS))("%s is one", (schedule) => {
  expect(scheduleFault(schedule)).toBeNull()
})

test("a digest is about the last whole day, week or month of its zone, however its clocks change", () => {
  const monday = Date.parse("2026-11-23T07:00:00Z")
  const of = (period: "daily" | "weekly" | "monthly", zone: string, atMs = monday) => {
    const { id, fromMs, toMs } = stretchBefore(period, zone, atMs)
    return [id, iso(fromMs), iso(toMs)]
  }
  expect(of("daily", "Europe/Berlin")).toEqual(["2026-11-22", "2026-11-21T23:00:00.000Z", "2026-11-22T23:00:00.000Z"])
  expect(of("weekly", "UTC")).toEqual(["2026-W47", "2026-11-16T00:00:00.000Z", "2026-11-23T00:00:00.000Z"])
  expect(of("monthly", "America/New_York")).toEqual(["2026-10", "2026-10-01T04:00:00.000Z", "2026-11-01T04:00:00.000Z"])
  // The day on which clocks are set back has 25 hours.
  const [, from, until] = of("daily", "Europe/Berlin", Date.parse("2026-10-26T07:00:00Z"))
  expect(Date.parse(String(until)) - Date.parse(String(from))).toBe(25 * 3_600_000)
})

test("due is at the minute itself, and once in a night that has its hour twice or not at all", () => {
  const at = Date.parse("2026-11-23T07:00:00Z")
  expect(iso(dueBefore("0 8 * * 1", "Europe/Berlin", at))).toBe("2026-11-23T07:00:00.000Z")
  expect(iso(dueBefore("0 8 * * 1", "Europe/Berlin", at - 1))).toBe("2026-11-16T07:00:00.000Z")
  expect(iso(dueAfter("0 8 * * 1", "Europe/Berlin", at))).toBe("2026-11-30T07:00:00.000Z")
  const daysOf = (fromMs: number, hours: number) => {
    const seen = new Set<string>()
    for (let ms = fromMs; ms < fromMs + hours * 3_600_000; ms += 600_000) {
      const due = dueBefore("30 2 * * *", "Europe/Berlin", ms)
      if (due !== null && due >= fromMs) seen.add(stretchBefore("daily", "Europe/Berlin", due).id)
    }
    return [...seen]
  }
  expect(daysOf(Date.parse("2026-10-24T22:00:00Z"), 24)).toEqual(["2026-10-24"])
  expect(daysOf(Date.parse("2027-03-27T23:00:00Z"), 23)).toEqual(["2027-03-27"])
})

test("amounts are rounded once and never to nothing, counts of any length, changes by what was before", () => {
  expect(["0", "0.004", "0.005", "1234567.895", "-3.5", "12.500000000000"].map(shortUsd)).toEqual([
    "$0.00",
    "<$0.01",
    "<$0.01",
    "$1,234,567.90",
    "−$3.50",
    "$12.50",
  ])
  expect(["999", "9999", "12345", "1250000", "178900000", "98765432109876"].map(shortCount)).toEqual([
    "999",
    "9,999",
    "12.3 k",
    "1.3 M",
    "179 M",
    "98.8 T",
  ])
  const change = (now: string, before: string) => changeText({ now, before })
  expect([
    change("112", "100"),
    change("97", "100"),
    change("100.1", "100"),
    change("3", "0"),
    change("0", "0"),
  ]).toEqual(["+12 %", "−3 %", "±0 %", "new", ""])
  expect(change("0", "5")).toBe("−100 %")
  expect([shareOf("50", "100"), shareOf("0.001", "100"), shareOf("0", "100"), shareOf("0", "0")]).toEqual([50, 1, 0, 0])
})

test("a stretch is named as people name it", () => {
  const named = (period: "daily" | "weekly" | "monthly", at: string) => {
    const stretch = stretchBefore(period, "Europe/Berlin", Date.parse(at))
    return stretchText(period, stretch, "Europe/Berlin")
  }
  expect(named("daily", "2026-11-24T07:00:00Z")).toBe("23 November 2026")
  expect(named("weekly", "2026-11-23T07:00:00Z")).toBe("16 to 22 November 2026")
  expect(named("weekly", "2026-11-02T07:00:00Z")).toBe("26 October to 1 November 2026")
  expect(named("weekly", "2027-01-04T07:00:00Z")).toBe("28 December 2026 to 3 January 2027")
  expect(named("monthly", "2026-11-01T07:00:00Z")).toBe("October 2026")
})

/** Instants as people read them, in the zone of the report. */
import { describe, expect, test } from "vitest"
import { bucketTick, bucketTitle, clockTime, dayRange, isWeekend, zoneName } from "../../src/dashboard/format/moment.ts"

const BERLIN = "Europe/Berlin"

describe("a day is one of the report's zone", () => {
  test("an instant shortly before midnight in UTC is the next day in Berlin", () => {
    expect(bucketTitle("2026-11-18T23:00:00Z", "day", BERLIN)).toBe("Thu 19 Nov")
    expect(clockTime("2026-11-18T23:05:09Z", BERLIN)).toBe("00:05:09")
  })

  test("weekends are those of the zone", () => {
    expect(isWeekend("2026-11-20T23:00:00Z", BERLIN)).toBe(true)
    expect(isWeekend("2026-11-20T23:00:00Z", "UTC")).toBe(false)
  })

  test("zones say their name at that time of the year, also those of half hours", () => {
    expect(zoneName(BERLIN, "2026-07-01T00:00:00Z")).toBe("CEST")
    expect(zoneName("Asia/Kolkata", "2026-07-01T00:00:00Z")).toBe("GMT+5:30")
  })
})

describe("a range", () => {
  test.each([
    ["2026-10-31T23:00:00Z", "2026-11-23T23:00:00Z", "1–23 Nov 2026"],
    ["2026-11-22T23:00:00Z", "2026-11-23T13:15:00Z", "23 Nov 2026"],
    ["2026-10-27T23:00:00Z", "2026-11-23T23:00:00Z", "28 Oct – 23 Nov 2026"],
    ["2025-12-30T23:00:00Z", "2026-01-02T23:00:00Z", "31 Dec 2025 – 2 Jan 2026"],
  ])("from %s until %s reads %s: its end is not part of it", (from, until, shown) =>
    expect(dayRange(from, until, BERLIN)).toBe(shown),
  )
})

test("the first tick carries the month, hours are those of the day", () => {
  expect(bucketTick("2026-10-31T23:00:00Z", "day", BERLIN, true)).toBe("1 Nov")
  expect(bucketTick("2026-11-01T23:00:00Z", "day", BERLIN, false)).toBe("2")
  expect(bucketTick("2026-11-01T12:00:00Z", "hour", BERLIN, false)).toBe("13")
})

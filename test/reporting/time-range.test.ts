import { describe, expect, test } from "vitest"
import { cutRange, fittingBucket } from "../../src/reporting/buckets.ts"
import {
  type Comparison,
  comparedRange,
  type RangeQuestion,
  resolveRange,
  type TimeRange,
} from "../../src/reporting/time-range.ts"

const NOW_MS = Date.parse("2026-11-18T14:07:30Z")

function resolved(question: RangeQuestion, zone: string, nowMs = NOW_MS): TimeRange {
  const range = resolveRange(question, zone, nowMs, Date.parse("2026-03-05T08:10:00Z"))
  if (range.kind === "refused") throw new Error(range.reason)
  return range
}

const iso = ({ fromMs, toMs }: TimeRange) =>
  [fromMs, toMs].map((ms) => new Date(ms).toISOString().replace(":00.000Z", "Z"))

describe("named ranges, on a Wednesday afternoon", () => {
  test.each([
    ["today", "Europe/Berlin", "2026-11-17T23:00Z", "2026-11-18T14:15Z"],
    ["today", "Asia/Kathmandu", "2026-11-17T18:15Z", "2026-11-18T14:15Z"],
    ["today", "Pacific/Auckland", "2026-11-18T11:00Z", "2026-11-18T14:15Z"],
    ["yesterday", "Europe/Berlin", "2026-11-16T23:00Z", "2026-11-17T23:00Z"],
    ["7d", "UTC", "2026-11-12T00:00Z", "2026-11-18T14:15Z"],
    ["28d", "Europe/Berlin", "2026-10-21T22:00Z", "2026-11-18T14:15Z"],
    ["30d", "UTC", "2026-10-20T00:00Z", "2026-11-18T14:15Z"],
    ["90d", "UTC", "2026-08-21T00:00Z", "2026-11-18T14:15Z"],
    ["this_week", "Europe/Berlin", "2026-11-15T23:00Z", "2026-11-18T14:15Z"],
    ["last_week", "Europe/Berlin", "2026-11-08T23:00Z", "2026-11-15T23:00Z"],
    ["this_month", "Australia/Lord_Howe", "2026-10-31T13:00Z", "2026-11-18T14:15Z"],
    ["last_month", "Europe/Berlin", "2026-09-30T22:00Z", "2026-10-31T23:00Z"],
    ["this_quarter", "America/New_York", "2026-10-01T04:00Z", "2026-11-18T14:15Z"],
    ["last_quarter", "UTC", "2026-07-01T00:00Z", "2026-10-01T00:00Z"],
    ["all", "UTC", "2026-03-05T08:00Z", "2026-11-18T14:15Z"],
  ] as const)("%s in %s", (range, zone, from, to) => {
    expect(iso(resolved({ range }, zone))).toEqual(
      [from, to].map((text) => new Date(text).toISOString().replace(":00.000Z", "Z")),
    )
  })

  test("on the first of a year the last quarter is of the year before", () => {
    const nowMs = Date.parse("2027-01-01T05:00:00Z")
    expect(iso(resolved({ range: "last_quarter" }, "UTC", nowMs))).toEqual(["2026-10-01T00:00Z", "2027-01-01T00:00Z"])
    // In New York the old year has five minutes left.
    const earlierMs = Date.parse("2027-01-01T04:55:00Z")
    expect(iso(resolved({ range: "this_month" }, "America/New_York", earlierMs))[0]).toBe("2026-12-01T05:00Z")
  })
})

describe("two ends", () => {
  test.each([
    [{ from: "2026-03-28", until: "2026-03-29" }, "Europe/Berlin", "2026-03-27T23:00Z", "2026-03-29T22:00Z"],
    [{ from: "2026-04-04", until: "2026-04-05" }, "Australia/Lord_Howe", "2026-04-03T13:00Z", "2026-04-05T13:30Z"],
    [
      { from: "2026-03-28T10:07:00+01:00", until: "2026-03-28T10:31:00+01:00" },
      "UTC",
      "2026-03-28T09:00Z",
      "2026-03-28T09:45Z",
    ],
    [{ from: "2026-11-17" }, "UTC", "2026-11-17T00:00Z", "2026-11-18T14:15Z"],
    [{ until: "2026-11-10" }, "UTC", "2026-10-12T00:00Z", "2026-11-11T00:00Z"],
  ])("%j in %s: dates are whole, instants are widened to quarters of an hour", (question, zone, from, to) => {
    expect(iso(resolved(question, zone))).toEqual([from, to])
  })
})

describe("the earlier range", () => {
  const compared = (question: RangeQuestion, comparison: Comparison, zone = "Europe/Berlin", now = NOW_MS) => {
    const range = comparedRange(comparison, question, resolved(question, zone, now), zone)
    return range && iso(range)
  }
  test.each([
    [{ range: "today" }, "previous", "2026-11-16T23:00Z", "2026-11-17T14:15Z"],
    [{ range: "yesterday" }, "previous", "2026-11-15T23:00Z", "2026-11-16T23:00Z"],
    [{ range: "7d" }, "previous", "2026-11-04T23:00Z", "2026-11-11T14:15Z"],
    [{ range: "this_week" }, "previous", "2026-11-08T23:00Z", "2026-11-11T14:15Z"],
    [{ range: "this_month" }, "previous", "2026-09-30T22:00Z", "2026-10-18T13:15Z"],
    [{ range: "last_month" }, "previous", "2026-08-31T22:00Z", "2026-09-30T22:00Z"],
    [{ range: "last_quarter" }, "previous", "2026-03-31T22:00Z", "2026-06-30T22:00Z"],
    [{ range: "30d" }, "weeks", "2026-09-14T22:00Z", "2026-10-14T13:15Z"],
    [{ range: "this_month" }, "weeks", "2026-10-10T22:00Z", "2026-10-28T14:15Z"],
    [{ from: "2026-11-01", until: "2026-11-03" }, "previous", "2026-10-28T23:00Z", "2026-10-31T23:00Z"],
    [
      { from: "2026-11-01T10:00:00Z", until: "2026-11-01T13:00:00Z" },
      "previous",
      "2026-11-01T07:00Z",
      "2026-11-01T10:00Z",
    ],
  ] as const)("of %j by %s", (question, comparison, from, to) => {
    expect(compared(question, comparison)).toEqual([from, to])
  })

  test("a running month never reaches beyond the end of a shorter one", () => {
    const now = Date.parse("2026-03-31T12:00:00Z")
    expect(compared({ range: "this_month" }, "previous", "UTC", now)).toEqual([
      "2026-02-01T00:00Z",
      "2026-03-01T00:00Z",
    ])
  })

  test("there is none before everything, and none where none is asked for", () => {
    expect(compared({ range: "all" }, "previous")).toBeNull()
    expect(compared({ range: "7d" }, "none")).toBeNull()
  })
})

describe("buckets", () => {
  const labels = (range: TimeRange, bucket: "hour" | "day" | "week" | "month", zone: string) => {
    const buckets = cutRange(range, bucket, zone)
    if ("kind" in buckets) throw new Error(buckets.reason)
    expect(buckets[0]?.fromMs).toBe(range.fromMs)
    expect(buckets.at(-1)?.toMs).toBe(range.toMs)
    for (const [index, { fromMs }] of buckets.entries()) if (index > 0) expect(fromMs).toBe(buckets[index - 1]?.toMs)
    return buckets.map(({ label, fromMs, toMs }) => `${label} ${(toMs - fromMs) / 60_000}`)
  }

  test.each([
    ["Europe/Berlin", "2026-03-28", "2026-03-30", [1440, 1380, 1440]],
    ["Europe/Berlin", "2026-10-24", "2026-10-26", [1440, 1500, 1440]],
    ["America/New_York", "2026-03-07", "2026-03-09", [1440, 1380, 1440]],
    ["America/New_York", "2026-10-31", "2026-11-02", [1440, 1500, 1440]],
    ["Australia/Lord_Howe", "2026-04-04", "2026-04-06", [1440, 1470, 1440]],
    ["Australia/Lord_Howe", "2026-10-03", "2026-10-05", [1440, 1410, 1440]],
    ["Asia/Kathmandu", "2026-12-31", "2027-01-02", [1440, 1440, 1440]],
    // Midnight itself is skipped.
    ["America/Santiago", "2026-09-05", "2026-09-07", [1440, 1380, 1440]],
  ])("days of %s from %s to %s have so many minutes", (zone, from, until, minutes) => {
    const range = resolved({ from, until }, zone)
    expect(labels(range, "day", zone).map((label) => Number(label.split(" ")[1]))).toEqual(minutes)
  })

  test("hours follow the clock on the wall, also where it changes by half an hour", () => {
    const autumn = {
      kind: "range",
      fromMs: Date.parse("2026-04-04T14:00Z"),
      toMs: Date.parse("2026-04-04T16:30Z"),
    } as const
    expect(labels(autumn, "hour", "Australia/Lord_Howe")).toEqual([
      "2026-04-05T01:00+11:00 60",
      "2026-04-05T01:00+10:30 30",
      "2026-04-05T02:00+10:30 60",
    ])
    const spring = {
      kind: "range",
      fromMs: Date.parse("2026-10-03T14:30Z"),
      toMs: Date.parse("2026-10-03T17:00Z"),
    } as const
    expect(labels(spring, "hour", "Australia/Lord_Howe")).toEqual([
      "2026-10-04T01:00+10:30 60",
      "2026-10-04T02:00+11:00 30",
      "2026-10-04T03:00+11:00 60",
    ])
  })

  test("weeks begin on Monday and are numbered by ISO 8601 across the year", () => {
    const range = resolved({ from: "2026-12-24", until: "2027-01-05" }, "Europe/Berlin")
    expect(labels(range, "week", "Europe/Berlin")).toEqual(["2026-W52 5760", "2026-W53 10080", "2027-W01 2880"])
  })

  test("months end where they end", () => {
    const range = resolved({ from: "2026-01-15", until: "2026-03-01" }, "UTC")
    expect(labels(range, "month", "UTC").map((label) => label.split(" ")[0])).toEqual(["2026-01", "2026-02", "2026-03"])
  })

  test.each([
    [3, "hour"],
    [4, "day"],
    [93, "day"],
    [94, "week"],
    [800, "month"],
  ])("%s days are cut by %s", (days, bucket) => {
    expect(fittingBucket({ kind: "range", fromMs: 0, toMs: days * 86_400_000 })).toBe(bucket)
  })
})

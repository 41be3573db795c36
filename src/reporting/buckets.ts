/**
 * Cuts a range into hours, days, weeks or months of a zone. Buckets tile the range: none is missing where nothing was
 * called, none overlaps where clocks are set back. Weeks begin on Monday, and are numbered by ISO 8601.
 */
import { Temporal } from "temporal-polyfill"
import { windowAt } from "../admission/window.ts"
import { type Refused, refused } from "./refused.ts"
import type { TimeRange } from "./time-range.ts"

export const BUCKETS = ["hour", "day", "week", "month"] as const
export type BucketName = (typeof BUCKETS)[number]

export type Bucket = {
  /** Its part of the range: the first and the last bucket may be cut. Epoch milliseconds. */
  readonly fromMs: number
  readonly toMs: number
  /** `2026-11-23T14:00+01:00`, `2026-11-23`, `2026-W48` or `2026-11`. */
  readonly label: string
}

/** Three years of days, or six weeks of hours: more than a chart can show. */
export const BUCKETS_MAX = 1_100

const DAY_MS = 24 * 3_600_000

export function cutRange(range: TimeRange, bucket: BucketName, timeZone: string): readonly Bucket[] | Refused {
  const buckets: Bucket[] = []
  for (let fromMs = range.fromMs; fromMs < range.toMs; ) {
    if (buckets.length === BUCKETS_MAX) {
      return refused(
        "bucket",
        `the range has more than ${BUCKETS_MAX} of them; take a longer bucket or a shorter range`,
      )
    }
    const { label, endsAtMs } = bucketAt(bucket, timeZone, fromMs)
    const toMs = Math.min(endsAtMs, range.toMs)
    buckets.push({ fromMs, toMs, label })
    fromMs = toMs
  }
  return buckets
}

/** Hours up to three days, days up to a quarter, weeks up to two years, then months: at most a few dozen marks. */
export function fittingBucket({ fromMs, toMs }: TimeRange): BucketName {
  const days = (toMs - fromMs) / DAY_MS
  if (days <= 3) return "hour"
  if (days <= 93) return "day"
  return days <= 731 ? "week" : "month"
}

function bucketAt(bucket: BucketName, timeZone: string, atMs: number): { label: string; endsAtMs: number } {
  switch (bucket) {
    case "hour":
      return hourAt(timeZone, atMs)
    case "week":
      return weekAt(timeZone, atMs)
    case "day":
    case "month": {
      const { id, endsAtMs } = windowAt(bucket, timeZone, 1, atMs)
      if (endsAtMs === null) throw new Error(`A ${bucket} has no end.`)
      return { label: id, endsAtMs }
    }
  }
}

/** An hour of the clock on the wall. It ends early where clocks change within it, which in some zones they do by half an hour. */
function hourAt(timeZone: string, atMs: number): { label: string; endsAtMs: number } {
  const at = Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone)
  const start = at.toPlainDateTime().with({ minute: 0, second: 0, millisecond: 0 })
  const endsAtMs = atMs + 3_600_000 - (at.minute * 60_000 + at.second * 1_000 + at.millisecond)
  const changesAtMs = at.getTimeZoneTransition("next")?.epochMilliseconds ?? Number.POSITIVE_INFINITY
  return { label: start.toString({ smallestUnit: "minute" }) + at.offset, endsAtMs: Math.min(endsAtMs, changesAtMs) }
}

function weekAt(timeZone: string, atMs: number): { label: string; endsAtMs: number } {
  const { id } = windowAt("day", timeZone, 1, atMs)
  const day = Temporal.PlainDate.from(id)
  const nextMonday = day.add({ days: 8 - day.dayOfWeek })
  const label = `${day.yearOfWeek}-W${String(day.weekOfYear).padStart(2, "0")}`
  return { label, endsAtMs: nextMonday.toZonedDateTime(timeZone).epochMilliseconds }
}

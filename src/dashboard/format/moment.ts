/**
 * Instants as people read them, always in the zone of the report and never silently in the viewer's own. Days are those
 * of that zone.
 */
type Parts = Readonly<Record<"year" | "month" | "day" | "hour" | "minute" | "second" | "weekday", string>>

const formats = new Map<string, Intl.DateTimeFormat>()

function partsOf(at: Date, timeZone: string): Parts {
  let format = formats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-GB", {
      timeZone,
      year: "numeric",
      month: "short",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      weekday: "short",
      hourCycle: "h23",
    })
    formats.set(timeZone, format)
  }
  const parts = format.formatToParts(at).map(({ type, value }) => [type, type === "month" ? value.slice(0, 3) : value])
  return Object.fromEntries(parts) as Parts
}

/** `14:05:09` */
export function clockTime(at: string | Date, timeZone: string): string {
  const { hour, minute, second } = partsOf(new Date(at), timeZone)
  return `${hour}:${minute}:${second}`
}

/** `23 Nov, 14:05` */
export function dayAndTime(at: string | Date, timeZone: string): string {
  const { day, month, hour, minute } = partsOf(new Date(at), timeZone)
  return `${day} ${month}, ${hour}:${minute}`
}

/** `23 Nov 2026` */
export function fullDay(at: string | Date, timeZone: string): string {
  const { day, month, year } = partsOf(new Date(at), timeZone)
  return `${day} ${month} ${year}`
}

/** `Thu 19 Nov` */
export function weekdayAndDay(at: string | Date, timeZone: string): string {
  const { weekday, day, month } = partsOf(new Date(at), timeZone)
  return `${weekday} ${day} ${month}`
}

/** `in 40 min`, `in 5 h` of what comes within a day; null of what does not, or is over. */
export function inTime(at: string, now: string | Date): string | null {
  const minutes = Math.round((Date.parse(at) - new Date(now).getTime()) / 60_000)
  if (minutes < 0 || minutes >= 24 * 60) return null
  return minutes < 90 ? `in ${Math.max(minutes, 1)} min` : `in ${Math.round(minutes / 60)} h`
}

/** `1–23 Nov 2026`, `28 Oct – 23 Nov 2026`; with times where an end is no midnight and the range is short. */
export function dayRange(from: string, until: string, timeZone: string): string {
  const first = partsOf(new Date(from), timeZone)
  // The end is not part of the range: its last moment tells the day.
  const last = partsOf(new Date(Date.parse(until) - 1), timeZone)
  if (first.year !== last.year)
    return `${first.day} ${first.month} ${first.year} – ${last.day} ${last.month} ${last.year}`
  if (first.month !== last.month) return `${first.day} ${first.month} – ${last.day} ${last.month} ${last.year}`
  return first.day === last.day
    ? `${last.day} ${last.month} ${last.year}`
    : `${first.day}–${last.day} ${last.month} ${last.year}`
}

/** The same without its year, for what stands beside a range that has one. */
export function shortDayRange(from: string, until: string, timeZone: string): string {
  return dayRange(from, until, timeZone).replace(/ \d{4}$/, "")
}

/** `CET`, `GMT+5:30`. */
export function zoneName(timeZone: string, at: string | Date): string {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, timeZoneName: "short" })
  return format.formatToParts(new Date(at)).find(({ type }) => type === "timeZoneName")?.value ?? timeZone
}

/** The instant at which a day (`2026-11-30`) of the zone is over. */
export function endOfDay(day: string, timeZone: string): string {
  const wallMs = Date.parse(`${day}T00:00:00Z`) + DAY_MS
  // Twice: the offset at the first guess may be another than the one at the instant itself.
  const nearMs = wallMs - offsetMs(wallMs, timeZone)
  return new Date(wallMs - offsetMs(nearMs, timeZone)).toISOString()
}
const DAY_MS = 24 * 3_600_000

/** How far the zone's clocks are ahead of UTC at an instant. */
function offsetMs(atMs: number, timeZone: string): number {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, timeZoneName: "longOffset" })
  const name = format.formatToParts(new Date(atMs)).find(({ type }) => type === "timeZoneName")?.value ?? ""
  const [, sign, hours = "0", minutes = "0"] = /([+-])(\d\d):(\d\d)/.exec(name) ?? []
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000
}

/** True on Saturday and Sunday of the zone. */
export function isWeekend(at: string | Date, timeZone: string): boolean {
  return partsOf(new Date(at), timeZone).weekday.startsWith("S")
}

/** What a tick of the time axis says: month with the first, then days; hours within a day. */
export function bucketTick(from: string, bucket: string, timeZone: string, isFirst: boolean): string {
  const { day, month, hour, year } = partsOf(new Date(from), timeZone)
  switch (bucket) {
    case "hour":
      return isFirst || hour === "00" ? `${day} ${month}` : hour
    case "month":
      return isFirst || month === "Jan" ? `${month} ${year}` : month
    default:
      return isFirst || day === "1" || bucket === "week" ? `${day} ${month}` : day
  }
}

/** A bucket in words: `Thu 19 Nov`, `Thu 19 Nov, 14:00`, `Week of 16 Nov`, `Nov 2026`. */
export function bucketTitle(from: string, bucket: string, timeZone: string): string {
  const { day, month, year, weekday, hour, minute } = partsOf(new Date(from), timeZone)
  switch (bucket) {
    case "hour":
      return `${weekday} ${day} ${month}, ${hour}:${minute}`
    case "week":
      return `Week of ${day} ${month}`
    case "month":
      return `${month} ${year}`
    default:
      return `${weekday} ${day} ${month}`
  }
}

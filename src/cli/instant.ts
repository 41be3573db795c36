/** Moments as they are typed on the command line. */
import { WrongUsage } from "./command.ts"

const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 }
const SPAN = /^([1-9]\d{0,4})([mhdw])$/
const DATE = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/

/** Epoch milliseconds of `2026-03-13` (midnight UTC) or an ISO 8601 instant with its zone. @throws WrongUsage */
export function readInstant(option: string, text: string): number {
  const ms = DATE.test(text) ? Date.parse(text) : Number.NaN
  // Date.parse rolls 30 February over into March.
  const isReal = !Number.isNaN(ms) && (text.length > 10 || new Date(ms).toISOString().startsWith(text))
  if (isReal) return ms
  throw new WrongUsage(`--${option} takes a date such as 2026-03-13, or an instant such as 2026-03-13T16:00:00Z`)
}

/** Milliseconds of `30m`, `12h`, `7d` or `4w`, or of `0`. @throws WrongUsage */
export function readSpan(option: string, text: string): number {
  if (text === "0") return 0
  const [, count, unit = ""] = SPAN.exec(text) ?? []
  if (count !== undefined) return Number(count) * (UNITS_MS[unit] ?? 0)
  throw new WrongUsage(`--${option} takes a time span such as 30m, 12h, 7d or 4w`)
}

/** Epoch milliseconds of an instant, or of so long before now. @throws WrongUsage */
export function readInstantOrSpan(option: string, text: string, nowMs: number): number {
  if (SPAN.test(text)) return nowMs - readSpan(option, text)
  if (DATE.test(text)) return readInstant(option, text)
  throw new WrongUsage(`--${option} takes a time span such as 12h, 7d or 4w, a date, or an instant with its zone`)
}

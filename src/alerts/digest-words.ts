/** How a digest writes amounts, changes and stretches. Pure, without floats: what is rounded is rounded once, here. */
import { Temporal } from "temporal-polyfill"
import { PICOS_PER_USD } from "../pricing/money.ts"
import { picosOf } from "../reporting/token-classes.ts"
import type { Compared, DigestMessage } from "./digest-message.ts"
import type { DigestPeriod, Stretch } from "./digest-period.ts"

const PICOS_PER_CENT = 10_000_000_000n
const DAY_OF = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", timeZone: "UTC" })

/** Dollars in whole cents with groups of thousands: `$1,234.50`; `<$0.01` of what is less than one. */
export function shortUsd(usd: string): string {
  const picos = unitsOf(usd)
  const [sign, amount] = picos < 0n ? ["−", -picos] : ["", picos]
  if (amount > 0n && amount < PICOS_PER_CENT) return `${sign === "" ? "<" : ""}${sign}$0.01`
  const cents = (amount + PICOS_PER_CENT / 2n) / PICOS_PER_CENT
  return `${sign}$${grouped((cents / 100n).toString())}.${(cents % 100n).toString().padStart(2, "0")}`
}

/** A whole number with groups of thousands. */
export function grouped(count: string): string {
  return BigInt(count).toLocaleString("en-US")
}

/** A large count in three digits: `12.3 M`. */
export function shortCount(count: string): string {
  const value = BigInt(count)
  const unit = [
    [10n ** 12n, "T"],
    [10n ** 9n, "B"],
    [10n ** 6n, "M"],
    [10n ** 4n, "k"],
  ].find(([least]) => value >= (least as bigint)) as readonly [bigint, string] | undefined
  if (unit === undefined) return grouped(count)
  const per = unit[1] === "k" ? 1_000n : unit[0]
  const tenths = (value * 10n + per / 2n) / per
  if (tenths >= 1_000n) return `${grouped(((value + per / 2n) / per).toString())} ${unit[1]}`
  return `${tenths / 10n}.${tenths % 10n} ${unit[1]}`
}

/** `+12 %`, `−3 %`, `±0 %`, or `new` where there was nothing before; '' where there is nothing at all. */
export function changeText({ now, before }: Compared): string {
  const [present, past] = [unitsOf(now), unitsOf(before)]
  if (past <= 0n) return present > 0n ? "new" : ""
  const percent = ((present - past) * 200n + (present >= past ? past : -past)) / (past * 2n)
  return percent === 0n
    ? "±0 %"
    : `${percent > 0n ? "+" : "−"}${grouped((percent < 0n ? -percent : percent).toString())} %`
}

/** How much of the largest a part is, in whole percent; at least 1 of what is not nothing. */
export function shareOf(part: string, largest: string): number {
  const [one, all] = [unitsOf(part), unitsOf(largest)]
  if (one <= 0n || all <= 0n) return 0
  return Math.max(1, Number((one * 100n) / all))
}

/** The largest of the amounts; "0" where there is none. */
export function largestOf(amounts: readonly string[]): string {
  return amounts.reduce((most, amount) => (unitsOf(amount) > unitsOf(most) ? amount : most), "0")
}

/** `23 November 2026`, `16 to 22 November 2026`, `October 2026`. */
export function stretchText(
  period: DigestPeriod,
  { fromMs, toMs }: Pick<Stretch, "fromMs" | "toMs">,
  timeZone: string,
): string {
  const dateOf = (ms: number) => Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(timeZone).toPlainDate()
  const [first, last] = [dateOf(fromMs), dateOf(toMs - 1)]
  const shown = (date: Temporal.PlainDate) => DAY_OF.format(date.toZonedDateTime("UTC").epochMilliseconds)
  if (period === "daily") return `${shown(first)} ${first.year}`
  if (period === "monthly") return `${shown(first).replace(/^\d+ /, "")} ${first.year}`
  if (first.month === last.month) return `${first.day} to ${shown(last)} ${last.year}`
  return `${shown(first)}${first.year === last.year ? "" : ` ${first.year}`} to ${shown(last)} ${last.year}`
}

const BEFORE = { daily: "the day before", weekly: "the week before", monthly: "the month before" } as const

export function beforeText(period: DigestPeriod): string {
  return BEFORE[period]
}

/** `16 to 22 November 2026: $1,234.50 spent, +12 % against the week before`. */
export function digestTitle(
  period: DigestPeriod,
  stretch: Stretch,
  timeZone: string,
  usd: DigestMessage["usd"],
): string {
  const change = changeText(usd)
  const against = change === "" || change === "new" ? "" : `, ${change} against ${BEFORE[period]}`
  return `${stretchText(period, stretch, timeZone)}: ${shortUsd(usd.now)} spent${against}`
}

/** Of dollars the pico-dollars; a count, which may be longer than dollars ever are, on the same scale. */
function unitsOf(amount: string): bigint {
  return /^\d+$/.test(amount) ? BigInt(amount) * PICOS_PER_USD : picosOf(amount)
}

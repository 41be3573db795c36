/** What a message says of a limit that was used up to a threshold, or is on its way to one. Pure. */
import type { WindowSpan } from "../admission/window.ts"
import type { Enforcement, LimitKind, LimitScope, LimitWindow } from "../identity/limit.ts"
import { formatUsd, PICOS_PER_NANO } from "../pricing/money.ts"
import type { LimitForecast } from "../reporting/limit-forecast.ts"
import type { AlertFacts, Named } from "./alert-message.ts"

export type UsedLimit = {
  readonly limitId: string
  readonly scope: LimitScope
  /** Whose usage is counted: an id, or a provider account as people write it. */
  readonly subject: string
  readonly subjectName: string
  /** Filters of usage that leave what is counted of the subject's: of one user or key, of one tool or tag. */
  readonly narrowedBy: Readonly<Record<string, string>>
  readonly kind: LimitKind
  readonly window: LimitWindow
  readonly span: WindowSpan
  readonly settled: bigint
  readonly cap: bigint
  readonly enforcement: Enforcement
}

/** What was reached, or will be by the window's end. */
export type LimitReason = { readonly threshold: number; readonly isForecast: boolean }

/** Less of the window than this says nothing about its end. */
const PROJECTED_FROM_PERCENT = 5n
const NANOS_PER_CENT = 10_000_000n

/** `forecast`: where it goes; null where nobody can say, and then on at its average rate. */
export function limitFacts(
  used: UsedLimit,
  { threshold, isForecast }: LimitReason,
  contributors: readonly Named[],
  forecast: LimitForecast | null,
  nowMs: number,
): AlertFacts {
  const { limitId, scope, subject, kind, window, span, settled, cap } = used
  const percent = percentOf(settled, cap)
  const projection = forecast?.projection ?? null
  const projectedEnd = projection?.projected ?? projected(used, nowMs)
  const facts: Named[] = [
    { name: kind === "usd" ? "Spent" : "Used", value: amountText(kind, settled) },
    { name: "Cap", value: amountText(kind, cap) },
    { name: "Used in percent", value: percent === null ? "the cap is nothing" : `${percent} %` },
    { name: "Threshold", value: `${threshold} %` },
    { name: "Window", value: windowText(window, span) },
    ...goingFacts(kind, projectedEnd, forecast),
  ]
  return {
    kind: "threshold",
    title: isForecast ? forecastTitle(used, projectedEnd) : titleOf(used, threshold),
    facts,
    contributors,
    advice: adviceFor(used),
    path: pathOf(used),
    data: {
      ...{ limit_id: limitId, scope, subject, limit_kind: kind, window: span.id, threshold_percent: threshold },
      ...{ settled: settled.toString(), cap: cap.toString(), percent: percent === null ? null : Number(percent) },
      on: isForecast ? "forecast" : "actual",
      projected: projectedEnd === null ? null : projectedEnd.toString(),
      projected_low: projection === null ? null : projection.low.toString(),
      projected_high: projection === null ? null : projection.high.toString(),
      exhausted_at: isoOf(forecast?.reachedAtMs ?? null),
    },
  }
}

/** Where it goes, and when the cap is reached. */
function goingFacts(kind: LimitKind, projectedEnd: bigint | null, forecast: LimitForecast | null): Named[] {
  if (projectedEnd === null) return []
  const projection = forecast?.projection ?? null
  const about = (amount: bigint) => amountText(kind, amount)
  const interval = projection && `, most likely between ${about(projection.low)} and ${about(projection.high)}`
  const reachedAt = isoOf(forecast?.reachedAtMs ?? null)
  return [
    { name: "Projected at the window's end", value: `${about(projectedEnd)}${interval ?? ""}` },
    ...(reachedAt === null ? [] : [{ name: "Cap reached at this pace", value: reachedAt }]),
  ]
}

function isoOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}

/** Dollars of nano-dollars in whole cents, exact only below one, as messages to people have them; or a count with its unit. */
export function amountText(kind: LimitKind, amount: bigint): string {
  if (kind !== "usd") return `${amount.toLocaleString("en-US")} ${kind}`
  if (amount < NANOS_PER_CENT) return `$${formatUsd(amount * PICOS_PER_NANO)}`
  const cents = (amount + NANOS_PER_CENT / 2n) / NANOS_PER_CENT
  const rest = cents % 100n
  return `$${cents / 100n}${rest === 0n ? "" : `.${rest.toString().padStart(2, "0")}`}`
}

/**
 * What the window will have used at its end if it goes on at its average rate; null where the window has no end, or has
 * hardly begun.
 */
export function projected({ settled, span }: Pick<UsedLimit, "settled" | "span">, nowMs: number): bigint | null {
  const { startsAtMs, endsAtMs } = span
  if (startsAtMs === null || endsAtMs === null) return null
  const [elapsed, whole] = [BigInt(Math.floor(nowMs - startsAtMs)), BigInt(endsAtMs - startsAtMs)]
  if (elapsed <= 0n || elapsed > whole || elapsed * 100n < whole * PROJECTED_FROM_PERCENT) return null
  return (settled * whole) / elapsed
}

function percentOf(amount: bigint, cap: bigint): bigint | null {
  return cap === 0n ? null : (amount * 100n) / cap
}

function titleOf(used: UsedLimit, threshold: number): string {
  const limit = limitText(used)
  const what = threshold >= 100 ? `has used up ${limit}` : `has used ${percentOf(used.settled, used.cap)} % of ${limit}`
  return `${scopeText(used)} ${what}`
}

function forecastTitle(used: UsedLimit, projectedEnd: bigint | null): string {
  const percent = percentOf(projectedEnd ?? used.settled, used.cap)
  return `${scopeText(used)} is on its way to ${percent} % of ${limitText(used)}`
}

function limitText({ kind, cap, window }: UsedLimit): string {
  return `its limit of ${amountText(kind, cap)}${window === "lifetime" ? "" : ` a ${window}`}`
}

function scopeText({ scope, subject, subjectName }: UsedLimit): string {
  const word = { organization: "Organization", project: "Project", user: "User", key: "Key" } as const
  const name = subjectName || subject
  return scope === "provider_account" ? `Provider account ${name}` : `${word[scope]} ${name}`
}

function windowText(window: LimitWindow, { id, endsAtMs }: WindowSpan): string {
  if (window === "lifetime") return "lifetime"
  return endsAtMs === null ? window : `${window} ${id}, until ${new Date(endsAtMs).toISOString()}`
}

function adviceFor({ settled, cap, span, enforcement }: UsedLimit): string {
  if (enforcement !== "hard") {
    return `See who contributes most, and lower it there or raise the limit. Calls go on: the limit is ${enforcement}.`
  }
  if (settled < cap) {
    return "See who contributes most, and lower it there or raise the limit, before calls are refused."
  }
  const end = span.endsAtMs === null ? "" : ` or the window ends at ${new Date(span.endsAtMs).toISOString()}`
  return `Calls that would go over the limit are refused until it is raised${end}.`
}

/** The explorer over the limit's window, cut to what the limit counts. */
/** What of usage the limit counts, as names and values of the usage filter. */
export function subjectFilter({ scope, subject, narrowedBy }: UsedLimit): [name: string, value: string][] {
  const narrowed = Object.entries(narrowedBy)
  if (scope !== "provider_account") return [[scope, subject], ...narrowed]
  const slash = subject.indexOf("/")
  return [["provider", subject.slice(0, slash)], ["provider_account", subject.slice(slash + 1)], ...narrowed]
}

function pathOf(used: UsedLimit): string {
  const { scope, kind, span } = used
  const query = new URLSearchParams()
  if (span.startsAtMs === null || span.endsAtMs === null) query.set("range", "all")
  else {
    query.set("from", new Date(span.startsAtMs).toISOString())
    query.set("until", new Date(span.endsAtMs).toISOString())
  }
  for (const [name, value] of subjectFilter(used)) query.set(name, value)
  query.set("by", scope === "key" ? "model" : "key")
  if (kind !== "usd") query.set("measure", kind)
  return `/dashboard/usage?${query}`
}

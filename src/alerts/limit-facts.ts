/** What a message says of a limit that was used up to a threshold. Pure. */
import type { WindowSpan } from "../admission/window.ts"
import type { Enforcement, LimitKind, LimitScope, LimitWindow } from "../identity/limit.ts"
import { formatUsd, PICOS_PER_NANO } from "../pricing/money.ts"
import type { AlertFacts, Named } from "./alert-message.ts"

export type UsedLimit = {
  readonly limitId: string
  readonly scope: LimitScope
  /** Whose usage is counted: an id, or a provider account as people write it. */
  readonly subject: string
  readonly subjectName: string
  readonly kind: LimitKind
  readonly window: LimitWindow
  readonly span: WindowSpan
  readonly settled: bigint
  readonly cap: bigint
  readonly enforcement: Enforcement
}

/** Less of the window than this says nothing about its end. */
const PROJECTED_FROM_PERCENT = 5n

export function limitFacts(
  used: UsedLimit,
  threshold: number,
  contributors: readonly Named[],
  nowMs: number,
): AlertFacts {
  const { limitId, scope, subject, kind, window, span, settled, cap } = used
  const percent = usedPercent(used)
  const projection = projected(used, nowMs)
  const facts: Named[] = [
    { name: kind === "usd" ? "Spent" : "Used", value: amountText(kind, settled) },
    { name: "Cap", value: amountText(kind, cap) },
    { name: "Used in percent", value: percent === null ? "the cap is nothing" : `${percent} %` },
    { name: "Threshold", value: `${threshold} %` },
    { name: "Window", value: windowText(window, span) },
    ...(projection === null ? [] : [{ name: "Projected at the window's end", value: amountText(kind, projection) }]),
  ]
  return {
    kind: "threshold",
    title: titleOf(used, threshold),
    facts,
    contributors,
    advice: adviceFor(used),
    path: pathOf(used),
    data: {
      ...{ limit_id: limitId, scope, subject, limit_kind: kind, window: span.id, threshold_percent: threshold },
      ...{ settled: settled.toString(), cap: cap.toString(), percent: percent === null ? null : Number(percent) },
      projected: projection === null ? null : projection.toString(),
    },
  }
}

/** Dollars of nano-dollars, or a count with its unit. */
export function amountText(kind: LimitKind, amount: bigint): string {
  if (kind === "usd") return `$${formatUsd(amount * PICOS_PER_NANO)}`
  return `${amount.toLocaleString("en-US")} ${kind}`
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

function usedPercent({ settled, cap }: UsedLimit): bigint | null {
  return cap === 0n ? null : (settled * 100n) / cap
}

function titleOf(used: UsedLimit, threshold: number): string {
  const { kind, cap, window } = used
  const limit = `its limit of ${amountText(kind, cap)}${window === "lifetime" ? "" : ` a ${window}`}`
  const what = threshold >= 100 ? `has used up ${limit}` : `has used ${usedPercent(used)} % of ${limit}`
  return `${scopeText(used)} ${what}`
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
function pathOf({ scope, subject, kind, span }: UsedLimit): string {
  const query = new URLSearchParams()
  if (span.startsAtMs === null || span.endsAtMs === null) query.set("range", "all")
  else {
    query.set("from", new Date(span.startsAtMs).toISOString())
    query.set("until", new Date(span.endsAtMs).toISOString())
  }
  if (scope !== "provider_account") query.set(scope, subject)
  query.set("by", scope === "key" ? "model" : "key")
  if (kind !== "usd") query.set("measure", kind)
  return `/dashboard/usage?${query}`
}

/**
 * What a refused caller reads, and the rate limit headers that every caller reads: which limit, how full it is, when
 * it has room again, and what to do next. Amounts are exact; durations are rounded up.
 */
import { Temporal } from "temporal-polyfill"
import { shownAccount } from "../identity/account-limit.ts"
import { readSubject } from "../identity/counted-apart.ts"
import type { Limit } from "../identity/limit.ts"
import { formatUsd, PICOS_PER_NANO } from "../pricing/money.ts"
import type { Charge, CounterState } from "./limit-store.ts"
import { counterKind } from "./limits.ts"
import type { LimitWarning } from "./passed-limits.ts"
import type { AwayRefusal, Refusal } from "./refusal.ts"

const NANOS_PER_DOLLAR = 1_000_000_000n
const NANO_DIGITS = 9
/** Kinds of limits that SDKs know headers for. */
const SHOWN_KINDS = ["requests", "tokens"] as const

/** Two or three sentences for the caller of a refused call. */
export function refusalMessage(refusal: Refusal, nowMs: number): string {
  return `${standing(refusal)} ${nextStep(refusal, nowMs)}`
}

/** What the caller reads whose limits cannot be checked, and are not known to be reached. */
export function awayMessage({ limit, reason, retryAfterMs }: AwayRefusal): string {
  const name = `the ${limitTitle(limit)}`
  const why = {
    policy: `${name} lets no call pass without it`,
    unseen: `this proxy has not seen lately how much is left of ${name}`,
    share: `this proxy's share of ${name} is used up until it answers`,
  }[reason]
  const remedy = reason === "policy" ? ", or to set the limit's `on_store_failure` to `local`" : ""
  return (
    `The store that counts limits does not answer, and ${why}. Nothing was forwarded or charged. ` +
    `Retry in ${duration(retryAfterMs)}; if this lasts, ask your Tallygate administrator to check the limit store${remedy}.`
  )
}

/**
 * The headers OpenAI's clients know: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, from the request limit
 * and the token limit with the least room. A reset is a duration such as `6m0s` or `120ms`: until a rate is empty, or
 * until a budget's next window; a lifetime budget has none.
 */
export function rateLimitHeaders(
  charges: readonly Charge[],
  counters: readonly CounterState[],
  nowMs: number,
): [name: string, value: string][] {
  const headers: [string, string][] = []
  for (const kind of SHOWN_KINDS) {
    const tightest = tightestOf(kind, charges, counters)
    if (tightest === null) continue
    const { charge, counter, room } = tightest
    headers.push([`x-ratelimit-limit-${kind}`, charge.limit.cap.toString()])
    headers.push([`x-ratelimit-remaining-${kind}`, room.toString()])
    const resetMs = charge.resetsAtMs === null ? counter.emptyInMs : Math.max(0, charge.resetsAtMs - nowMs)
    if (resetMs !== null) headers.push([`x-ratelimit-reset-${kind}`, duration(resetMs)])
  }
  return headers
}

/** What a caller reads of a soft limit: `lim_…; used=1.25; cap=1.00`, dollars of money, whole numbers of the rest. */
export function warningText({ limit, used }: LimitWarning): string {
  const inUnit = (value: bigint) => (limit.kind === "usd" ? formatUsd(value * PICOS_PER_NANO) : value.toString())
  return `${limit.id}; used=${inUnit(used)}; cap=${inUnit(limit.cap)}`
}

/** The same as Anthropic's API names them, with the instant of the reset (RFC 3339). */
export function anthropicRateLimitHeaders(
  charges: readonly Charge[],
  counters: readonly CounterState[],
  nowMs: number,
): [name: string, value: string][] {
  const headers: [string, string][] = []
  for (const kind of SHOWN_KINDS) {
    const tightest = tightestOf(kind, charges, counters)
    if (tightest === null) continue
    const { charge, counter, room } = tightest
    headers.push([`anthropic-ratelimit-${kind}-limit`, charge.limit.cap.toString()])
    headers.push([`anthropic-ratelimit-${kind}-remaining`, room.toString()])
    const resetsAtMs = charge.resetsAtMs ?? (counter.emptyInMs === null ? null : nowMs + counter.emptyInMs)
    if (resetsAtMs !== null) headers.push([`anthropic-ratelimit-${kind}-reset`, new Date(resetsAtMs).toISOString()])
  }
  return headers
}

function standing(refusal: Refusal): string {
  const { limit, cap, requested } = refusal
  const name = limitTitle(limit)
  const needed = `${counterKind(limit) === "rate" ? "about" : "up to"} ${amount(limit, requested)}`
  if (requested > cap) return `This call needs ${needed}, more than the whole ${name}, which is ${amount(limit, cap)}.`
  const filled = `The ${name} has no room for this call: ${inUse(refusal)} of ${amount(limit, cap)}`
  return isSized(limit) ? `${filled}, and this call needs ${needed}.` : `${filled}.`
}

/** `monthly budget of project proj_… (limit lim_…)`. */
export function limitTitle(limit: Limit): string {
  return `${limitName(limit)} of ${holderOf(limit)} (limit ${limit.id})`
}

/** Whose limit it is: `key key_…`, `provider account openai/default`, the same `for key_…` where each key has its own. */
function holderOf({ scope, subject }: Limit): string {
  const { own, counted } = readSubject(subject)
  const holder = scope === "provider_account" ? `provider account ${shownAccount(own)}` : `${scope} ${own}`
  return counted === "" ? holder : `${holder} for ${counted}`
}

/** Limits on which calls differ in size, so that a smaller call may fit. */
function isSized(limit: Limit): boolean {
  return limit.kind === "tokens" || limit.kind === "usd"
}

function inUse({ limit, used, held }: Refusal): string {
  switch (counterKind(limit)) {
    case "concurrency":
      return `${grouped(held)} running`
    case "rate":
      return `${amount(limit, used)} used`
    case "budget":
      return `${amount(limit, used)} used and ${amount(limit, held)} held by running calls`
  }
}

function nextStep(refusal: Refusal, nowMs: number): string {
  const { limit, resetsAtMs, retryAfterMs } = refusal
  const raise = "ask your Tallygate administrator to raise the limit"
  if (refusal.requested > refusal.cap) {
    return isSized(limit)
      ? `Waiting does not help: lower the call's max tokens or shorten its input, or ${raise}.`
      : `Waiting does not help: ${raise}.`
  }
  if (limit.kind === "concurrency") return `Retry when one of the running calls has ended, or ${raise}.`
  if (!refusal.isBudget) {
    return retryAfterMs === null
      ? `Waiting does not help: ${raise}.`
      : `Retry in ${duration(retryAfterMs)}, or ${raise}.`
  }
  if (resetsAtMs === null) return `It never resets: ${raise}.`
  const what = limit.window === "rolling" ? "Its oldest day ends" : "It resets"
  const resets = `${what} at ${localTime(resetsAtMs, limit.timeZone)}, in ${duration(roundedUpToSecond(resetsAtMs - nowMs))}`
  return `${resets}; until then, ${raise}.`
}

const PERIODS = {
  day: "daily",
  week: "weekly",
  month: "monthly",
  quarter: "quarterly",
  year: "yearly",
  lifetime: "lifetime",
  none: "total",
  second: "per second",
  minute: "per minute",
  hour: "per hour",
  per_day: "per 24 hours",
} as const

/** `monthly budget`, `daily token limit`, `request limit per minute`, `limit of concurrent calls`. */
function limitName(limit: Limit): string {
  if (limit.kind === "concurrency") return "limit of concurrent calls"
  const thing = { requests: "request", tokens: "token", usd: "spend" }[limit.kind]
  const period = limit.window === "rolling" ? `${limit.anchorDay}-day` : PERIODS[limit.window]
  if (counterKind(limit) === "rate") return `${thing} limit ${period}`
  return limit.kind === "usd" ? `${period} budget` : `${period} ${thing} limit`
}

function amount(limit: Limit, value: bigint): string {
  switch (limit.kind) {
    case "usd":
      return dollars(value)
    case "tokens":
      return counted(value, "token")
    case "requests":
      return counted(value, "request")
    case "concurrency":
      return counted(value, "call")
  }
}

function counted(value: bigint, thing: string): string {
  return `${grouped(value)} ${thing}${value === 1n ? "" : "s"}`
}

/** Nano-dollars as dollars, exactly: at least two decimals, and as many as there are. */
function dollars(nanos: bigint): string {
  const fraction = (nanos % NANOS_PER_DOLLAR).toString().padStart(NANO_DIGITS, "0")
  const cents = fraction.slice(0, 2)
  return `$${grouped(nanos / NANOS_PER_DOLLAR)}.${cents}${fraction.slice(2).replace(/0+$/, "")}`
}

function grouped(value: bigint): string {
  return value.toString().replace(/\B(?=(\d{3})+$)/g, ",")
}

/** `2026-12-01T00:00:00+01:00 (Europe/Berlin)`. */
function localTime(atMs: number, timeZone: string): string {
  const local = Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone)
  return `${local.toString({ timeZoneName: "never", smallestUnit: "second" })} (${timeZone})`
}

/** Go's way of writing a duration, which OpenAI's headers use: `0s`, `120ms`, `1.5s`, `6m0s`, `26h0m5s`. */
function duration(totalMs: number): string {
  const ms = Math.ceil(totalMs)
  if (ms > 0 && ms < 1_000) return `${ms}ms`
  const minutes = Math.floor(ms / 60_000)
  const seconds = `${(ms % 60_000) / 1_000}s`
  if (minutes === 0) return seconds
  const hours = Math.floor(minutes / 60)
  return hours === 0 ? `${minutes}m${seconds}` : `${hours}h${minutes % 60}m${seconds}`
}

function roundedUpToSecond(ms: number): number {
  return Math.ceil(Math.max(0, ms) / 1_000) * 1_000
}

type Tightest = { readonly charge: Charge; readonly counter: CounterState; readonly room: bigint }

/** The limit of this kind with the least room; null where there is none. */
function tightestOf(
  kind: (typeof SHOWN_KINDS)[number],
  charges: readonly Charge[],
  counters: readonly CounterState[],
): Tightest | null {
  let tightest: Tightest | null = null
  for (let index = 0; index < charges.length; index += 1) {
    const charge = charges[index]
    const counter = counters[index]
    if (charge?.limit.kind !== kind || counter === undefined) continue
    const left = charge.limit.cap - counter.settled - counter.held
    const room = left > 0n ? left : 0n
    if (tightest === null || room < tightest.room) tightest = { charge, counter, room }
  }
  return tightest
}

/**
 * What a call is charged, limit by limit. A budget (day, month, lifetime) is held at the worst case, since it must not
 * be overspent; a rate is held at the likely case, since holding the worst would refuse calls that fit.
 */
import { type Limit, limitInForce, ratePeriodMs, refuses } from "../identity/limit.ts"
import type { Charge } from "./limit-store.ts"
import { type WindowAt, windowAt } from "./window.ts"

/** What a call may use, known before it is forwarded. Dollars are nano-dollars (1e-9 USD), rounded up. */
export type CallEstimate = {
  readonly requests: bigint
  /** No answer can use more tokens than this. */
  readonly tokensBound: bigint
  readonly tokensLikely: bigint
  /** No answer can cost more than this. */
  readonly costNanosBound: bigint
  /** What a limit with slices holds at first: all but what has to be held again as the stream flows. */
  readonly firstSlice?: SliceBound
}

/** What a stream may use until more is held for it. Dollars are nano-dollars, rounded up. */
export type SliceBound = { readonly tokensBound: bigint; readonly costNanosBound: bigint }

/** What a call really used; `costNanos` in nano-dollars, rounded up. */
export type CallActual = {
  readonly requests: bigint
  readonly tokens: bigint
  readonly costNanos: bigint
}

/** `budget`: a sum that only grows within its window. `rate`: a sum that drains. `concurrency`: calls in flight. */
export type CounterKind = "budget" | "rate" | "concurrency"

/** What one limit takes from a record, in the shape of the ledger's record charges. */
export type DurableCharge = {
  readonly limit_id: string
  readonly subject: string
  readonly window: string
  /** Units of the limit's cap, as a decimal string: JSON has no bigint. */
  readonly amount: string
  /** Among whose counters, where that is not the record's organization: a provider account's. */
  readonly organization_id?: string
}

/** A call that has ended, or was cut off with its process, and what its record charges among one set of counters. */
export type ChargedCall = {
  /** Of the hold. */
  readonly id: string
  /** The organization, or the provider account, that has the counters. */
  readonly organizationId: string
  readonly charges: readonly DurableCharge[]
}

/** How a limit is counted. */
export function counterKind(limit: Limit): CounterKind {
  if (limit.kind === "concurrency") return "concurrency"
  return ratePeriodMs(limit.window) === null ? "budget" : "rate"
}

/** One charge for each limit, in order, in the windows of `atMs`. `windowOf` lets the caller bring a cache. */
export function chargesFor(
  limits: readonly Limit[],
  estimate: CallEstimate,
  atMs: number,
  windowOf: WindowAt = windowAt,
): Charge[] {
  return limits.map((known) => {
    const limit = limitInForce(known, atMs)
    const window = windowOf(limit.window, limit.timeZone, limit.anchorDay, atMs)
    return { limit, window: window.id, resetsAtMs: window.endsAtMs, amount: heldAmount(limit, estimate) }
  })
}

/** What more a stream holds, for each held charge in order: nothing under limits without slices. */
export function extensionCharges(held: readonly Charge[], more: SliceBound): Charge[] {
  return held.map((charge) => ({ ...charge, amount: isSliced(charge.limit) ? boundAmount(charge.limit, more) : 0n }))
}

/** Whether streams hold their output in slices under the limit. */
export function isSliced(limit: Limit): limit is Limit & { readonly sliceTokens: number } {
  return limit.sliceTokens !== null && refuses(limit) && isSumOfOutput(limit)
}

/** The truth for each held charge, in order and in the window of admission, even when midnight has passed since. */
export function actualCharges(held: readonly Charge[], actual: CallActual): Charge[] {
  return held.map(({ limit, window, resetsAtMs }) => ({
    limit,
    window,
    resetsAtMs,
    amount: actualAmount(limit, actual),
  }))
}

/** What the ledger keeps of what a call really used: budgets. Rates and calls in flight mean nothing a minute later. */
export function recordCharges(held: readonly Charge[], actual: CallActual): DurableCharge[] {
  const durable: DurableCharge[] = []
  for (const { limit, window } of held) {
    if (counterKind(limit) !== "budget") continue
    const amount = actualAmount(limit, actual).toString()
    const charge = { limit_id: limit.id, subject: limit.subject, window, amount }
    durable.push(isOnAccount(limit) ? { ...charge, organization_id: limit.organizationId } : charge)
  }
  return durable
}

/** Whether the limit stands among the counters of a provider account, not of the caller's organization. */
function isOnAccount(limit: Limit): boolean {
  return limit.scope === "provider_account"
}

/** The variant digits of a UUID, and in the same order those that no UUID has. */
const VARIANTS = "89ab"
const BESIDE_VARIANTS = "cdef"
const VARIANT_AT = 19

/**
 * The id of what a call holds on its provider account, beside what it holds in its organization: the call's own but for
 * one digit, so that whoever reads the call's record knows it, and of the same time, by which stores forget.
 * @throws RangeError where the call's id is no UUID
 */
export function accountHoldId(callId: string): string {
  const variant = VARIANTS.indexOf(callId.charAt(VARIANT_AT))
  if (callId.length !== 36 || variant < 0) throw new RangeError(`"${callId}" is no call's id`)
  return callId.slice(0, VARIANT_AT) + BESIDE_VARIANTS.charAt(variant) + callId.slice(VARIANT_AT + 1)
}

function heldAmount(limit: Limit, estimate: CallEstimate): bigint {
  switch (limit.kind) {
    case "requests":
      return estimate.requests
    case "concurrency":
      return 1n
    default: {
      if (limit.kind === "tokens" && counterKind(limit) === "rate") return estimate.tokensLikely
      const isInSlices = estimate.firstSlice !== undefined && isSliced(limit)
      return boundAmount(limit, isInSlices ? estimate.firstSlice : estimate)
    }
  }
}

/** Whether it is a sum of tokens or dollars, which the length of an answer decides. */
function isSumOfOutput(limit: Limit): boolean {
  return (limit.kind === "tokens" || limit.kind === "usd") && counterKind(limit) === "budget"
}

function boundAmount({ kind }: Limit, { tokensBound, costNanosBound }: SliceBound): bigint {
  return kind === "usd" ? costNanosBound : tokensBound
}

function actualAmount(limit: Limit, actual: CallActual): bigint {
  switch (limit.kind) {
    case "requests":
      return actual.requests
    case "tokens":
      return actual.tokens
    case "usd":
      return actual.costNanos
    case "concurrency":
      return 0n
  }
}

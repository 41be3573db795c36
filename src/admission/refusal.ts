/** Which limit refuses a call, and what is said of it: the amounts as they stood, and whether waiting helps. */
import { type Limit, refuses } from "../identity/limit.ts"
import type { AwayReason, Charge, CounterState, ReserveReply } from "./limit-store.ts"
import { counterKind } from "./limits.ts"

/** A caller may be told to wait for a budget's next window if it begins within this; beyond, waiting is no advice. */
const RESET_WAIT_MS_MAX = 60_000

/** The limit that refuses a call. Amounts are in the units of the limit's cap. */
export type Refusal = {
  readonly limit: Limit
  readonly windowId: string
  readonly used: bigint
  readonly held: bigint
  readonly cap: bigint
  readonly requested: bigint
  /** When the window ends; null for rates, concurrency and lifetime budgets. */
  readonly resetsAtMs: number | null
  /** Null where waiting does not help, or would have to last longer than a minute on a budget. */
  readonly retryAfterMs: number | null
  /** A day, month or lifetime is used up, as opposed to a rate or the calls in flight. */
  readonly isBudget: boolean
}

/** The limit because of which a call is refused while its store is away. */
export type AwayRefusal = {
  readonly limit: Limit
  readonly reason: AwayReason
  readonly retryAfterMs: number
}

/** What a limit still has room for, in the unit of its cap. */
export type Room = { readonly limit: Limit; readonly left: bigint }

/**
 * The limit to name. A budget without room comes before a rate without room, since a caller who waits for the rate
 * would only meet the budget next.
 */
export function refusalFrom(
  reply: Extract<ReserveReply, { kind: "denied" }>,
  charges: readonly Charge[],
  nowMs: number,
): Refusal {
  const spent = charges.findIndex(({ limit, amount }, index) => {
    const counter = reply.counters[index]
    return (
      refuses(limit) && counterKind(limit) === "budget" && counter !== undefined && !fits(counter, amount, limit.cap)
    )
  })
  const index = spent === -1 ? reply.denied : spent
  const charge = charges[index]
  const counter = reply.counters[index]
  if (charge === undefined || counter === undefined) {
    throw new Error(`the limit store denied charge ${index} of ${charges.length}`)
  }
  const { limit, window, resetsAtMs, amount } = charge
  const isBudget = counterKind(limit) === "budget"
  const retryAfterMs = isBudget ? budgetWaitMs(charge, nowMs) : reply.retryAfterMs
  const { settled: used, held } = counter
  return {
    limit,
    windowId: window,
    used,
    held,
    cap: limit.cap,
    requested: amount,
    resetsAtMs,
    retryAfterMs,
    isBudget,
  }
}

export function awayRefusalFrom(
  { denied, reason, retryAfterMs }: Extract<ReserveReply, { kind: "away" }>,
  charges: readonly Charge[],
): AwayRefusal {
  const charge = charges[denied]
  if (charge === undefined) throw new Error(`the limit store refused charge ${denied} of ${charges.length}`)
  return { limit: charge.limit, reason, retryAfterMs }
}

function fits(counter: CounterState, amount: bigint, cap: bigint): boolean {
  return counter.settled + counter.held + amount <= cap
}

export function roomsOf(charges: readonly Charge[], counters: readonly CounterState[]): Room[] {
  return charges.flatMap(({ limit }, index) => {
    const counter = counters[index]
    return counter === undefined ? [] : [{ limit, left: limit.cap - counter.settled - counter.held }]
  })
}

function budgetWaitMs(charge: Charge, nowMs: number): number | null {
  if (charge.resetsAtMs === null || charge.amount > charge.limit.cap) return null
  const waitMs = Math.max(0, charge.resetsAtMs - nowMs)
  return waitMs < RESET_WAIT_MS_MAX ? waitMs : null
}

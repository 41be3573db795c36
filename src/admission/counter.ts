/**
 * One counter's arithmetic, without clock or store. A budget keeps what is settled and what is held; calls in flight
 * are only held; a rate is a leaky bucket in integers (GCRA with the cap as its burst): its debt grows by each charge and
 * drains by the cap in each period (a second, minute, hour or day), so that a caller at rest has one full cap to burst
 * with and no window edge to exploit.
 */
import { type Limit, ratePeriodMs } from "../identity/limit.ts"
import type { CounterState } from "./limit-store.ts"
import { type CounterKind, counterKind } from "./limits.ts"

/** Nobody knows when a running call ends; a second is a polite time to ask again. */
const CONCURRENCY_RETRY_MS = 1_000

export type Counter = {
  readonly kind: CounterKind
  /** The cap of the latest charge: what a rate drains by. */
  cap: bigint
  settled: bigint
  held: bigint
  /** Rates: milliseconds in which the cap drains; 0 elsewhere. */
  readonly period: bigint
  /** Rates: units × `period` not drained yet, as of `drainedAtMs`: a millisecond drains exactly `cap` of it, nothing is rounded. */
  debt: bigint
  drainedAtMs: number
  /** When a budget's window ends; null where it does not. */
  endsAtMs: number | null
  /** Live holds that point here; a counter that has any is never dropped. */
  liveHolds: number
}

/** A counter of the limit on which nothing has been counted, with the cap that it is to have. */
export function newCounter(limit: Limit, cap: bigint, endsAtMs: number | null, nowMs: number): Counter {
  const period = BigInt(ratePeriodMs(limit.window) ?? 0)
  const kind = counterKind(limit)
  return { kind, cap, settled: 0n, held: 0n, period, debt: 0n, drainedAtMs: nowMs, endsAtMs, liveHolds: 0 }
}

/** A budget's counter that nothing is known of but the end of its window. */
export function newBudgetCounter(endsAtMs: number | null, nowMs: number): Counter {
  const none = { cap: 0n, settled: 0n, held: 0n, period: 0n, debt: 0n, liveHolds: 0 }
  return { kind: "budget", ...none, drainedAtMs: nowMs, endsAtMs }
}

/** Brings a rate's debt up to the present. A clock that was set back drains nothing and loses nothing. */
export function drain(counter: Counter, nowMs: number): void {
  if (counter.kind !== "rate") return
  const elapsedMs = nowMs - counter.drainedAtMs
  counter.drainedAtMs = nowMs
  if (elapsedMs <= 0 || counter.debt === 0n) return
  const left = counter.debt - counter.cap * BigInt(elapsedMs)
  counter.debt = left > 0n ? left : 0n
}

/** Whether `amount` more fits under the counter's cap. A rate must be drained first. */
export function hasRoom(counter: Counter, amount: bigint): boolean {
  if (counter.kind === "rate") return counter.debt + amount * counter.period <= counter.cap * counter.period
  return counter.settled + counter.held + amount <= counter.cap
}

/** Milliseconds until an amount that has no room now could fit; null where no wait on this counter helps. */
export function waitMs(counter: Counter, amount: bigint): number | null {
  if (counter.kind === "budget" || amount > counter.cap || counter.cap <= 0n) return null
  if (counter.kind === "concurrency") return CONCURRENCY_RETRY_MS
  return ceilDivide(counter.debt + (amount - counter.cap) * counter.period, counter.cap)
}

/** Takes an amount for a hold. */
export function take(counter: Counter, amount: bigint): void {
  if (counter.kind === "rate") counter.debt += amount * counter.period
  else counter.held += amount
}

/** Undoes `take`. What a rate has drained meanwhile cannot be given back, so its debt stops at 0. */
export function giveBack(counter: Counter, amount: bigint): void {
  if (counter.kind === "rate") addDebt(counter, -amount)
  else counter.held -= amount
}

/** Replaces what a hold took by what was used. */
export function settle(counter: Counter, heldAmount: bigint, actualAmount: bigint): void {
  if (counter.kind === "rate") {
    addDebt(counter, actualAmount - heldAmount)
    return
  }
  counter.held -= heldAmount
  if (counter.kind === "budget") counter.settled += actualAmount
}

/** Ends a hold whose owner is silent: a budget is charged in full, since the provider was probably called. */
export function expire(counter: Counter, heldAmount: bigint): void {
  if (counter.kind === "budget") settle(counter, heldAmount, heldAmount)
  else giveBack(counter, heldAmount)
}

/** A minute and less have drained what was used before a lease ended; the longer rates still owe it. */
const DRAINED_MS_MAX = 60_000

/** Whether a rate of this limit still owes what a call used that ended long ago: longer than a minute, as stores see it. */
export function owesLate({ window }: Pick<Limit, "window">): boolean {
  return (ratePeriodMs(window) ?? 0) > DRAINED_MS_MAX
}

/** Replaces what expiry did of `heldAmount` by the truth that came after all. What was freed of a short rate stays free. */
export function settleLate(counter: Counter, heldAmount: bigint, actualAmount: bigint): void {
  if (counter.kind === "budget") counter.settled += actualAmount - heldAmount
  else if (counter.kind === "rate" && counter.period > DRAINED_MS_MAX) addDebt(counter, actualAmount)
}

/** What the counter says; a rate's debt counts as settled, rounded up to whole units. A rate must be drained first. */
export function stateOf(counter: Counter): CounterState {
  if (counter.kind !== "rate") return { settled: counter.settled, held: counter.held, emptyInMs: null }
  const emptyInMs = counter.debt === 0n ? 0 : counter.cap > 0n ? ceilDivide(counter.debt, counter.cap) : null
  return { settled: (counter.debt + counter.period - 1n) / counter.period, held: 0n, emptyInMs }
}

/** Whether the counter says the same as one that was never made. A rate must be drained first. */
export function isBlank(counter: Counter): boolean {
  return counter.settled === 0n && counter.held === 0n && counter.debt === 0n
}

function addDebt(counter: Counter, amount: bigint): void {
  const debt = counter.debt + amount * counter.period
  counter.debt = debt > 0n ? debt : 0n
}

function ceilDivide(dividend: bigint, divisor: bigint): number {
  return Number((dividend + divisor - 1n) / divisor)
}

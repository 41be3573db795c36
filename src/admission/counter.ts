/**
 * One counter's arithmetic, without clock or store. A budget keeps what is settled and what is held; calls in flight
 * are only held; a rate is a leaky bucket in integers: its debt grows by each charge and drains by the cap per minute,
 * so that a caller at rest has one full cap to burst with and no window edge to exploit.
 */
import type { CounterState } from "./limit-store.ts"
import type { CounterKind } from "./limits.ts"

/** Debt is kept in units × 60,000, so that one millisecond drains exactly `cap` of it and nothing is ever rounded. */
const DEBT_SCALE = 60_000n

/** Nobody knows when a running call ends; a second is a polite time to ask again. */
const CONCURRENCY_RETRY_MS = 1_000

export type Counter = {
  readonly kind: CounterKind
  /** The cap of the latest charge: what a rate drains by. */
  cap: bigint
  settled: bigint
  held: bigint
  /** Rates: units × 60,000 not drained yet, as of `drainedAtMs`. */
  debt: bigint
  drainedAtMs: number
  /** When a budget's window ends; null where it does not. */
  endsAtMs: number | null
  /** Live holds that point here; a counter that has any is never dropped. */
  liveHolds: number
}

/** A counter on which nothing has been counted. */
export function newCounter(kind: CounterKind, cap: bigint, endsAtMs: number | null, nowMs: number): Counter {
  return { kind, cap, settled: 0n, held: 0n, debt: 0n, drainedAtMs: nowMs, endsAtMs, liveHolds: 0 }
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
  if (counter.kind === "rate") return counter.debt + amount * DEBT_SCALE <= counter.cap * DEBT_SCALE
  return counter.settled + counter.held + amount <= counter.cap
}

/** Milliseconds until an amount that has no room now could fit; null where no wait on this counter helps. */
export function waitMs(counter: Counter, amount: bigint): number | null {
  if (counter.kind === "budget" || amount > counter.cap || counter.cap <= 0n) return null
  if (counter.kind === "concurrency") return CONCURRENCY_RETRY_MS
  return ceilDivide(counter.debt + (amount - counter.cap) * DEBT_SCALE, counter.cap)
}

/** Takes an amount for a hold. */
export function take(counter: Counter, amount: bigint): void {
  if (counter.kind === "rate") counter.debt += amount * DEBT_SCALE
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

/** What the counter says; a rate's debt counts as settled, rounded up to whole units. A rate must be drained first. */
export function stateOf(counter: Counter): CounterState {
  if (counter.kind !== "rate") return { settled: counter.settled, held: counter.held, emptyInMs: null }
  const emptyInMs = counter.debt === 0n ? 0 : counter.cap > 0n ? ceilDivide(counter.debt, counter.cap) : null
  return { settled: (counter.debt + DEBT_SCALE - 1n) / DEBT_SCALE, held: 0n, emptyInMs }
}

/** Whether the counter says the same as one that was never made. A rate must be drained first. */
export function isBlank(counter: Counter): boolean {
  return counter.settled === 0n && counter.held === 0n && counter.debt === 0n
}

function addDebt(counter: Counter, amount: bigint): void {
  const debt = counter.debt + amount * DEBT_SCALE
  counter.debt = debt > 0n ? debt : 0n
}

function ceilDivide(dividend: bigint, divisor: bigint): number {
  return Number((dividend + divisor - 1n) / divisor)
}

/**
 * The counters of the in-process store, by name, and the acts that touch several of them: all or none. They are
 * bounded by the limits in use: counters of past windows are dropped a few at a time, lifetime budgets stay as long as
 * anything is counted on them.
 */
import { readSubject } from "../identity/counted-apart.ts"
import { refuses } from "../identity/limit.ts"
import {
  type Counter,
  drain,
  giveBack,
  hasRoom,
  isBlank,
  newBudgetCounter,
  newCounter,
  stateOf,
  take,
  waitMs,
} from "./counter.ts"
import { type Charge, type CounterState, counterName, type ReserveReply, type SettledAmount } from "./limit-store.ts"
import { counterKind } from "./limits.ts"
import { earlierWindows, lastReadMs, windowMsMax } from "./window.ts"

/** A counter outlives its window by two days, for calls that were admitted in it and still run. */
const KEPT_AFTER_END_MS = 2 * 86_400_000
/** Counters looked at by one sweep: a hundred thousand at once would stop the event loop for milliseconds. */
const COUNTERS_PER_SWEEP = 2_000

export type Taken =
  | { readonly kind: "taken"; readonly counters: Counter[] }
  /** `denied` is the index of the first charge without room. */
  | { readonly kind: "denied"; readonly denied: number }

export class MemoryCounters {
  readonly #counters = new Map<string, Counter>()
  #droppable = this.#counters.entries()

  /** The charge's counter, drained to the present and with the charge's cap; made where there is none. */
  of(charge: Charge, nowMs: number): Counter {
    const name = counterName(charge)
    let counter = this.#counters.get(name)
    if (counter === undefined) {
      counter = newCounter(charge.limit, charge.limit.cap, null, nowMs)
      this.#counters.set(name, counter)
    }
    // Drained by the old cap first: a raised rate does not reach back.
    drain(counter, nowMs)
    counter.cap = charge.limit.cap
    counter.endsAtMs = lastReadMs(charge.window, charge.resetsAtMs)
    return counter
  }

  /** What the charges' counters say; makes none. */
  states(charges: readonly Charge[], nowMs: number): CounterState[] {
    return charges.map((charge) => {
      const counter = this.#counters.get(counterName(charge))
      if (counter !== undefined) drain(counter, nowMs)
      return this.#stateOf(charge, counter)
    })
  }

  /** What the charges' counters say, which are these. */
  statesOf(charges: readonly Charge[], counters: readonly Counter[]): CounterState[] {
    return charges.map((charge, index) => this.#stateOf(charge, counters[index]))
  }

  #stateOf(charge: Charge, counter: Counter | undefined): CounterState {
    const blank = { settled: 0n, held: 0n, emptyInMs: counterKind(charge.limit) === "rate" ? 0 : null }
    const own = counter === undefined ? blank : stateOf(counter)
    if (charge.limit.window !== "rolling") return own
    const { settled, held } = this.#earlier(charge)
    return { settled: own.settled + settled, held: own.held + held, emptyInMs: null }
  }

  /** What the earlier days of a rolling window add to it. */
  #earlier({ limit, window }: Charge): { readonly settled: bigint; readonly held: bigint } {
    let [settled, held] = [0n, 0n]
    for (const day of earlierWindows(window)) {
      const counter = this.#counters.get(counterName({ limit, window: day }))
      if (counter === undefined) continue
      settled += counter.settled
      held += counter.held
    }
    return { settled, held }
  }

  #hasRoom(charge: Charge, counter: Counter): boolean {
    if (charge.limit.window !== "rolling") return hasRoom(counter, charge.amount)
    const { settled, held } = this.#earlier(charge)
    return hasRoom(counter, charge.amount + settled + held)
  }

  /** Takes one charge after the other and undoes them at the first without room, so that charges on one counter add up. */
  takeAll(charges: readonly Charge[], nowMs: number): Taken {
    const counters: Counter[] = []
    for (const charge of charges) {
      const counter = this.of(charge, nowMs)
      if (refuses(charge.limit) && !this.#hasRoom(charge, counter)) {
        this.undo(charges, counters)
        return { kind: "denied", denied: counters.length }
      }
      take(counter, charge.amount)
      counters.push(counter)
    }
    return { kind: "taken", counters }
  }

  /** Undoes `takeAll` within the same moment. */
  undo(charges: readonly Charge[], counters: readonly Counter[]): void {
    counters.forEach((counter, index) => {
      giveBack(counter, charges[index]?.amount ?? 0n)
    })
  }

  /** The wait is the longest of all charges without room whose limits refuse: the call needs every one of them. */
  denied(denied: number, charges: readonly Charge[], nowMs: number): ReserveReply {
    let retryAfterMs: number | null = 0
    const counters = charges.map((charge, index) => {
      const counter = this.of(charge, nowMs)
      if (index === denied || (refuses(charge.limit) && !this.#hasRoom(charge, counter))) {
        const wait = waitMs(counter, charge.amount)
        retryAfterMs = wait === null || retryAfterMs === null ? null : Math.max(wait, retryAfterMs)
      }
      return this.#stateOf(charge, counter)
    })
    return { kind: "denied", denied, counters, retryAfterMs }
  }

  /** Sets what budgets have settled; what is held stays. */
  seed(rows: readonly SettledAmount[], nowMs: number): void {
    for (const row of rows) this.#budget(row, nowMs).settled = row.settled
  }

  addSettled(rows: readonly SettledAmount[], nowMs: number): void {
    for (const row of rows) this.#budget(row, nowMs).settled += row.settled
  }

  /** Gives what is counted apart as `from` to `to`, in every window of every limit. */
  rename(from: string, to: string): void {
    for (const [name, counter] of [...this.#counters]) {
      // What a caller words may have the sign between the parts in it.
      const [, limitId, subject = "", window] = /^([^|]*)\|(.*)\|([^|]*)$/.exec(name) ?? []
      const { own, counted } = readSubject(subject)
      if (counted !== from) continue
      const renamed = `${limitId}|${own} ${to}|${window}`
      const other = this.#counters.get(renamed)
      // Holds that stand know the counter itself: where there are two, both stay until nothing is held on this one.
      if (other === undefined) this.#counters.set(renamed, counter)
      else if (counter.liveHolds > 0) continue
      else other.settled += counter.settled
      this.#counters.delete(name)
    }
  }

  #budget({ limitId, subject, window }: SettledAmount, nowMs: number): Counter {
    const name = `${limitId}|${subject}|${window}`
    let counter = this.#counters.get(name)
    if (counter === undefined) {
      // No charge has told yet when the window ends.
      const msMax = windowMsMax(window)
      counter = newBudgetCounter(msMax === null ? null : nowMs + msMax, nowMs)
      this.#counters.set(name, counter)
    }
    return counter
  }

  /** Looks at the next counters in turn and drops those that say nothing more. */
  dropSome(nowMs: number): void {
    for (let looked = 0; looked < COUNTERS_PER_SWEEP; looked += 1) {
      const next = this.#droppable.next()
      if (next.done) {
        this.#droppable = this.#counters.entries()
        return
      }
      const [name, counter] = next.value
      drain(counter, nowMs)
      const isPast = counter.endsAtMs !== null && nowMs >= counter.endsAtMs + KEPT_AFTER_END_MS
      if (counter.liveHolds === 0 && (isPast || isBlank(counter))) this.#counters.delete(name)
    }
  }

  get size(): number {
    return this.#counters.size
  }
}

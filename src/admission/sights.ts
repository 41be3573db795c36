/**
 * What the store last said of each budget and longer rate that may be spent without it. Every reply is a sight, so noting one has to
 * cost next to nothing: a limit's object leads to its counter's sight, and no name is put together but the first time.
 */
import type { Limit } from "../identity/limit.ts"
import { owesLate } from "./counter.ts"
import { type Charge, type CounterState, counterName } from "./limit-store.ts"
import { counterKind } from "./limits.ts"

/** An older sight says too little about what other proxies have spent since. */
export const SIGHT_AGE_MS_MAX = 5_000

export type Sight = {
  seen: CounterState
  /** Number of the act that brought it: it tells what is older than the act was sent. */
  actNumber: number
  /** When that act was sent. */
  atMs: number
}

export class Sights {
  readonly #countersMax: number
  readonly #byName = new Map<string, Sight>()
  #byLimit = new WeakMap<Limit, { readonly window: string; readonly sight: Sight }>()

  constructor(countersMax: number) {
    this.#countersMax = countersMax
  }

  note(charges: readonly Charge[], counters: readonly CounterState[], actNumber: number, atMs: number): void {
    for (let index = 0; index < charges.length; index += 1) {
      const charge = charges[index]
      const seen = counters[index]
      if (charge === undefined || seen === undefined || !isSeen(charge.limit)) continue
      const known = this.#byLimit.get(charge.limit)
      const sight = known?.window === charge.window ? known.sight : this.#find(charge, seen, actNumber, atMs)
      if (sight.actNumber > actNumber) continue
      sight.seen = seen
      sight.actNumber = actNumber
      sight.atMs = atMs
    }
  }

  of(charge: Charge): Sight | undefined {
    return this.#byName.get(counterName(charge))
  }

  #find(charge: Charge, seen: CounterState, actNumber: number, atMs: number): Sight {
    const name = counterName(charge)
    let sight = this.#byName.get(name)
    if (sight === undefined) {
      if (this.#byName.size >= this.#countersMax) this.#forget(atMs)
      sight = { seen, actNumber, atMs }
      this.#byName.set(name, sight)
    }
    this.#byLimit.set(charge.limit, { window: charge.window, sight })
    return sight
  }

  /** Drops what is too old to be used; where that is not even half, everything, so that it is not done again at once. */
  #forget(nowMs: number): void {
    for (const [name, sight] of this.#byName) if (nowMs - sight.atMs > SIGHT_AGE_MS_MAX) this.#byName.delete(name)
    if (this.#byName.size > this.#countersMax / 2) this.#byName.clear()
    this.#byLimit = new WeakMap()
  }
}

/** Rates per minute and shorter, and calls in flight, are shared out by their caps alone. */
function isSeen(limit: Limit): boolean {
  return limit.onStoreFailure === "local" && (counterKind(limit) === "budget" || owesLate(limit))
}

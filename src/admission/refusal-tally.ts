/**
 * How often each counter of a limit has refused, and how often it would have as a shadow limit: added up here until
 * somebody writes it down. What a limit counts does not depend on it.
 */
import type { Limit } from "../identity/limit.ts"

/** Of one counter in one window, since the last time it was taken. */
export type CounterRefusals = {
  readonly limitId: string
  readonly subject: string
  readonly windowId: string
  /** Calls whose callers were told of this limit as the reason. */
  readonly refused: number
  /** Calls that a shadow limit would have refused. */
  readonly shadowed: number
}

/** Counters that wait while nobody can write them down; what further ones refuse is not counted here. */
const WAITING_MAX = 50_000

export class RefusalTally {
  #waiting = new Map<string, CounterRefusals>()

  add(limit: Pick<Limit, "id" | "subject">, windowId: string, what: "refused" | "shadowed"): void {
    const one = { limitId: limit.id, subject: limit.subject, windowId, refused: 0, shadowed: 0 }
    this.#add({ ...one, [what]: 1 })
  }

  /** What was counted since this was last asked. What cannot be written down is to be given back. */
  take(): readonly CounterRefusals[] {
    const taken = [...this.#waiting.values()]
    this.#waiting = new Map()
    return taken
  }

  giveBack(taken: readonly CounterRefusals[]): void {
    for (const one of taken) this.#add(one)
  }

  #add(one: CounterRefusals): void {
    const name = `${one.limitId} ${one.windowId} ${one.subject}`
    const known = this.#waiting.get(name)
    if (known === undefined && this.#waiting.size >= WAITING_MAX) return
    const { refused = 0, shadowed = 0 } = known ?? {}
    this.#waiting.set(name, { ...one, refused: refused + one.refused, shadowed: shadowed + one.shadowed })
  }
}

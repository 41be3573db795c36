/**
 * Settles that the limit store has not confirmed, oldest first, one for each hold. They are bounded: where there is no
 * place for another one, all those of its organization go, because its counters are then rebuilt from the ledger, where
 * every call is written down; a settle that came after that would count its call twice.
 */
import type { Charge } from "./limit-store.ts"

export type WaitingSettle = {
  readonly id: string
  readonly organizationId: string
  /** What was used; nothing at all for a call that was refused although its hold may have been made. */
  readonly actual: readonly Charge[]
  readonly sinceMs: number
  /** Times the store refused this one again after it had taken others. */
  refusals: number
  /** How many the store had taken when it last refused this one. */
  takenAtRefusal: number | null
}

export class WaitingSettles {
  readonly #max: number
  readonly #byId = new Map<string, WaitingSettle>()

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#byId.size
  }

  has(id: string): boolean {
    return this.#byId.has(id)
  }

  /** False where there is no place. The first settle of a hold counts, as it does in the store. */
  add(settle: WaitingSettle): boolean {
    if (this.#byId.has(settle.id)) return true
    if (this.#byId.size >= this.#max) return false
    this.#byId.set(settle.id, settle)
    return true
  }

  delete(id: string): void {
    this.#byId.delete(id)
  }

  /** All that wait now. */
  all(): readonly WaitingSettle[] {
    return [...this.#byId.values()]
  }

  /** Takes out everything of one organization. */
  takeOrganization(organizationId: string): readonly WaitingSettle[] {
    const taken = this.all().filter((settle) => settle.organizationId === organizationId)
    for (const { id } of taken) this.#byId.delete(id)
    return taken
  }
}

/**
 * Brings a limit store what it misses: one settle as a probe, then all that waited at that moment, oldest first and in
 * batches. Settles that come meanwhile wait for the next time, so that it ends under any load.
 */
import { owesLate } from "./counter.ts"
import { type Deadlines, UnansweredError } from "./deadlines.ts"
import type { AdmissionStore, Charge } from "./limit-store.ts"
import { counterKind } from "./limits.ts"
import type { WaitingSettle, WaitingSettles } from "./waiting-settles.ts"

const BATCH_ACTS = 256
/** Stores forget finished ids after 30 minutes; a settle this old is left to the ledger rather than counted twice. */
const WAITING_MS_MAX = 10 * 60_000
/** A settle that is refused this often by a store that takes others in between is a fault of ours; waiting is no cure. */
const REFUSALS_MAX = 5
const MINUTE_MS = 60_000

export type SendWaitingOptions = {
  readonly store: AdmissionStore
  readonly waiting: WaitingSettles
  readonly deadlines: Deadlines
  readonly elapsedMs: () => number
  readonly onSettled: (id: string, sentMs: number) => void
  readonly onUnanswered: (error: UnansweredError, settle: WaitingSettle, sentMs: number) => void
  /** The ledger has to tell the store, since this settle never will. */
  readonly onGivenUp: (settle: WaitingSettle) => void
}

type Sent = "settled" | "refused" | "unanswered"

export class SendWaiting {
  readonly #options: SendWaitingOptions
  #probesFailed = 0
  /** Settles that the store has taken, these and others. */
  #taken = 0

  constructor(options: SendWaitingOptions) {
    this.#options = options
  }

  /** The store has taken a settle, of whatever call. */
  noteTaken(): void {
    this.#taken += 1
  }

  /** False as soon as the store does not answer, or takes nothing of what it is sent. */
  async send(): Promise<boolean> {
    const { waiting, elapsedMs, onGivenUp } = this.#options
    for (const settle of waiting.all()) {
      if (elapsedMs() - settle.sinceMs <= WAITING_MS_MAX) break
      onGivenUp(settle)
    }
    const settles = waiting.all()
    // Another one each time: a settle that no store would take must not keep the store away for ever.
    const probe = settles[this.#probesFailed % settles.length]
    if (probe === undefined) return true
    if ((await this.#sendOne(probe)) !== "settled") {
      this.#probesFailed += 1
      return false
    }
    this.#probesFailed = 0
    for (let from = 0; from < settles.length; from += BATCH_ACTS) {
      const batch = settles.slice(from, from + BATCH_ACTS).filter(({ id }) => waiting.has(id))
      const sent = await Promise.all(batch.map((settle) => this.#sendOne(settle)))
      const isRefused = sent.length > 1 && !sent.includes("settled")
      if (isRefused || sent.includes("unanswered")) return false
    }
    return true
  }

  #sendOne(settle: WaitingSettle): Promise<Sent> {
    const { store, deadlines, elapsedMs, onSettled, onUnanswered } = this.#options
    const sentMs = elapsedMs()
    const actual = sentMs - settle.sinceMs < MINUTE_MS ? settle.actual : withoutShortRates(settle.actual)
    return new Promise((resolve) => {
      deadlines.watch(
        sentMs,
        store.settle(settle.id, actual),
        () => {
          onSettled(settle.id, sentMs)
          resolve("settled")
        },
        (error) => {
          const isUnanswered = error instanceof UnansweredError
          if (isUnanswered) onUnanswered(error, settle, sentMs)
          else this.#onRefused(settle)
          resolve(isUnanswered ? "unanswered" : "refused")
        },
        () => onSettled(settle.id, sentMs),
      )
    })
  }

  #onRefused(settle: WaitingSettle): void {
    if (settle.takenAtRefusal !== null && this.#taken > settle.takenAtRefusal) settle.refusals += 1
    settle.takenAtRefusal = this.#taken
    if (settle.refusals >= REFUSALS_MAX) this.#options.onGivenUp(settle)
  }
}

/** What a rate per minute counted a minute ago has drained; charged now, an outage's worth would keep its callers out. */
function withoutShortRates(charges: readonly Charge[]): Charge[] {
  return charges.map((charge) => {
    return counterKind(charge.limit) === "rate" && !owesLate(charge.limit) ? { ...charge, amount: 0n } : charge
  })
}

/**
 * Brings a limit store what it misses: one settle as a probe, then all that waited at that moment, oldest first and in
 * batches. Settles that come meanwhile wait for the next time, so that it ends under any load.
 */
import { type Deadlines, UnansweredError } from "./deadlines.ts"
import type { AdmissionStore, Charge } from "./limit-store.ts"
import { counterKind } from "./limits.ts"
import type { WaitingSettle, WaitingSettles } from "./waiting-settles.ts"

const BATCH_ACTS = 256
/** Stores forget finished ids after 30 minutes; a settle this old is left to the ledger rather than counted twice. */
const WAITING_MS_MAX = 10 * 60_000
/** A settle that is refused this often by a store that takes others is a fault of ours, which waiting does not cure. */
const REFUSALS_MAX = 5
const MINUTE_MS = 60_000

export type SendWaitingOptions = {
  readonly store: AdmissionStore
  readonly waiting: WaitingSettles
  readonly deadlines: Deadlines
  readonly elapsedMs: () => number
  readonly onSettled: (id: string, sentMs: number) => void
  readonly onFailure: (error: unknown, settle: WaitingSettle, sentMs: number) => void
  /** The ledger has to tell the store, since this settle never will. */
  readonly onGivenUp: (settle: WaitingSettle) => void
}

type Sent = "settled" | "refused" | "unanswered"

export class SendWaiting {
  readonly #options: SendWaitingOptions
  #probesFailed = 0

  constructor(options: SendWaitingOptions) {
    this.#options = options
  }

  /** False as soon as the store does not answer, or takes nothing of what it is sent. */
  async send(): Promise<boolean> {
    const { waiting, elapsedMs, onGivenUp } = this.#options
    for (const settle of waiting.all()) if (elapsedMs() - settle.sinceMs > WAITING_MS_MAX) onGivenUp(settle)
    const settles = waiting.all()
    // Another one each time: a settle that no store would take must not keep the store away for ever.
    const probe = settles[this.#probesFailed % settles.length]
    if (probe === undefined) return true
    if (!(await this.#sendBatch([probe]))) {
      this.#probesFailed += 1
      return false
    }
    this.#probesFailed = 0
    for (let from = 0; from < settles.length; from += BATCH_ACTS) {
      const batch = settles.slice(from, from + BATCH_ACTS).filter(({ id }) => waiting.has(id))
      if (batch.length > 0 && !(await this.#sendBatch(batch))) return false
    }
    return true
  }

  async #sendBatch(batch: readonly WaitingSettle[]): Promise<boolean> {
    const sent = await Promise.all(batch.map((settle) => this.#sendOne(settle)))
    if (sent.includes("unanswered") || !sent.includes("settled")) return false
    batch.forEach((settle, index) => {
      if (sent[index] !== "refused") return
      settle.refusals += 1
      if (settle.refusals >= REFUSALS_MAX) this.#options.onGivenUp(settle)
    })
    return true
  }

  #sendOne(settle: WaitingSettle): Promise<Sent> {
    const { store, deadlines, elapsedMs, onSettled, onFailure } = this.#options
    const sentMs = elapsedMs()
    const actual = sentMs - settle.sinceMs < MINUTE_MS ? settle.actual : withoutRates(settle.actual)
    return new Promise((resolve) => {
      deadlines.watch(
        sentMs,
        store.settle(settle.id, actual),
        () => {
          onSettled(settle.id, sentMs)
          resolve("settled")
        },
        (error) => {
          onFailure(error, settle, sentMs)
          resolve(error instanceof UnansweredError ? "unanswered" : "refused")
        },
        () => onSettled(settle.id, sentMs),
      )
    })
  }
}

/** What a rate counted a minute ago has drained; charged now, an outage's worth would keep its callers out. */
function withoutRates(charges: readonly Charge[]): Charge[] {
  return charges.map((charge) => (counterKind(charge.limit) === "rate" ? { ...charge, amount: 0n } : charge))
}

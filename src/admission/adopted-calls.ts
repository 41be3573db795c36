/**
 * Counts what calls of dead processes used, once their records are in the ledger: their holds may still stand, or have
 * expired charged in full. Calls that had ended are told apart one by one. A process that died with calls under way has
 * left what no journal tells: a hold whose start was not written yet, a settle that was sent while the end was not. Its
 * organizations' counters are filled anew from the ledger, and so are those of which a settle was dropped, or of whose
 * calls one is so old that the store may have forgotten that it was settled.
 */
import { uuidv7TimeMs } from "../platform/ids.ts"
import type { ChargedCall } from "./limits.ts"
import type { RedisRecoveryActs } from "./redis-recovery-acts.ts"
import type { RedisLimitStore } from "./redis-store.ts"

/** The store remembers finished calls for half an hour after the last one of their time; far within that it can be asked. */
export const KNOWN_MS = 10 * 60_000
/** A snapshot that was loaded this short a time ago may or may not contain what was just written. */
const SNAPSHOT_DOUBT_MS = 60_000
const RETRY_MS = 1_000

export type Adopted =
  /** Of a process that had ended its calls; `writtenAtMs` is when it last wrote one. */
  | { readonly kind: "ended"; readonly calls: readonly ChargedCall[]; readonly writtenAtMs: number }
  /** A process died with calls under way; the organizations of those that the ledger did not have. */
  | { readonly kind: "cut"; readonly organizationIds: readonly string[] }

export type AdoptedCallsOptions = {
  readonly store: Pick<RedisLimitStore, "assertSettled">
  readonly acts: Pick<RedisRecoveryActs, "begin" | "anew">
  /** Has the organization's counters filled, see `Recovery.want`. */
  readonly want: (organizationId: string) => void
  readonly nowMs: () => number
  readonly onFault: (error: unknown, organizationId: string) => void
  readonly retryMs?: number
}

export class AdoptedCalls {
  readonly #options: AdoptedCallsOptions
  #isStopped = false

  constructor(options: AdoptedCallsOptions) {
    this.#options = options
  }

  /** Resolves once the counters have it, or are to be filled from a ledger that has it; never where it is stopped before. */
  async count(adopted: Adopted): Promise<void> {
    if (adopted.kind === "cut") {
      await Promise.all(adopted.organizationIds.map((organizationId) => this.rebuild(organizationId)))
      return
    }
    const nowMs = this.#options.nowMs()
    const isOld = (sinceMs: number) => nowMs - sinceMs >= KNOWN_MS
    const charged = adopted.calls.filter(({ charges }) => charges.length > 0)
    const organizationIds = new Set(charged.map(({ organizationId }) => organizationId))
    await Promise.all(
      [...organizationIds].map((organizationId) => {
        const own = charged.filter((call) => call.organizationId === organizationId)
        const isKnown = !isOld(adopted.writtenAtMs) && !own.some(({ id }) => isOld(uuidv7TimeMs(id)))
        return isKnown ? this.#chargeEach(organizationId, own) : this.rebuild(organizationId)
      }),
    )
  }

  /** Has an organization's counters filled anew; tried again until Redis takes it. */
  async rebuild(organizationId: string): Promise<void> {
    const { acts, want, onFault, retryMs } = this.#options
    for (;;) {
      try {
        await acts.anew(organizationId)
        want(organizationId)
        return
      } catch (error) {
        onFault(error, organizationId)
      }
      await this.#pause(retryMs ?? RETRY_MS)
    }
  }

  stop(): void {
    this.#isStopped = true
  }

  async #chargeEach(organizationId: string, calls: readonly ChargedCall[]): Promise<void> {
    const { acts, store, nowMs, onFault } = this.#options
    try {
      const { state, loadedForMs } = await acts.begin(organizationId)
      const isPlain = state === "open" && loadedForMs !== null && loadedForMs > SNAPSHOT_DOUBT_MS
      if (isPlain) return await store.assertSettled(organizationId, calls, nowMs())
    } catch (error) {
      onFault(error, organizationId)
    }
    await this.rebuild(organizationId)
  }

  /** Does not end where it is stopped: nobody is to hear that something is counted that is not. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      setTimeout(() => {
        if (!this.#isStopped) resolve()
      }, ms).unref()
    })
  }
}

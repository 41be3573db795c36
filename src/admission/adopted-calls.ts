/**
 * Charges what calls of dead processes used, once their records are in the ledger: their holds may still stand, or have
 * expired charged in full. What can no longer be told apart call by call has its organization's counters filled anew from
 * the ledger, and so has everything else that this process knows to be missing in them.
 */
import type { DurableCharge } from "./limits.ts"
import type { RedisRecoveryActs } from "./redis-recovery-acts.ts"
import type { RedisLimitStore } from "./redis-store.ts"

/** The store remembers finished calls for half an hour after the last one of their time; far within that it can be asked. */
const KNOWN_MS = 10 * 60_000
/** A snapshot that was loaded this short a time ago may or may not contain what was just written. */
const SNAPSHOT_DOUBT_MS = 60_000
const RETRY_MS = 1_000

export type AdoptedCall = {
  readonly id: string
  readonly organizationId: string
  readonly charges: readonly DurableCharge[]
}

export type AdoptedCallsOptions = {
  readonly store: Pick<RedisLimitStore, "assertSettled">
  readonly acts: Pick<RedisRecoveryActs, "begin" | "suspect">
  /** Has the organization's counters filled, see `Recovery.want`. */
  readonly want: (organizationId: string) => void
  readonly nowMs: () => number
  readonly onFault: (error: unknown, organizationId: string) => void
}

export class AdoptedCalls {
  readonly #options: AdoptedCallsOptions
  /** Organizations whose counters are to be filled anew. */
  readonly #owed = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: AdoptedCallsOptions) {
    this.#options = options
  }

  /** Calls whose records the ledger has; `writtenAtMs` is when their process last wrote one. */
  async charge(calls: readonly AdoptedCall[], writtenAtMs: number): Promise<void> {
    const isKnown = this.#options.nowMs() - writtenAtMs < KNOWN_MS
    const charged = calls.filter(({ charges }) => charges.length > 0)
    const organizationIds = new Set(charged.map(({ organizationId }) => organizationId))
    await Promise.all(
      [...organizationIds].map((organizationId) => {
        const own = charged.filter((call) => call.organizationId === organizationId)
        return isKnown ? this.#chargeEach(organizationId, own) : this.rebuild(organizationId)
      }),
    )
  }

  /** Has an organization's counters filled anew; tried again until Redis takes it. */
  async rebuild(organizationId: string): Promise<void> {
    this.#owed.add(organizationId)
    try {
      const { loadedForMs, epoch } = await this.#options.acts.begin(organizationId)
      // Where nothing is loaded yet, the snapshot to come is newer than what is missing.
      if (loadedForMs !== null) await this.#options.acts.suspect(organizationId, epoch)
      this.#owed.delete(organizationId)
      this.#options.want(organizationId)
    } catch (error) {
      this.#options.onFault(error, organizationId)
      if (!this.#isStopped) this.#timer ??= setTimeout(() => this.#retry(), RETRY_MS).unref()
    }
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  async #chargeEach(organizationId: string, calls: readonly AdoptedCall[]): Promise<void> {
    const { acts, store, nowMs } = this.#options
    try {
      const { state, loadedForMs } = await acts.begin(organizationId)
      const isPlain = state === "open" && loadedForMs !== null && loadedForMs > SNAPSHOT_DOUBT_MS
      if (isPlain) return await store.assertSettled(organizationId, calls, nowMs())
    } catch (error) {
      this.#options.onFault(error, organizationId)
    }
    await this.rebuild(organizationId)
  }

  #retry(): void {
    this.#timer = undefined
    for (const organizationId of this.#owed) void this.rebuild(organizationId)
  }
}

/**
 * The in-process store with limits that are new to it: no call is admitted under one whose counters are not whole. Such a
 * call waits a moment while the ledger is asked what the limit starts from, and then goes by the limit's
 * `on_store_failure`. Everything else goes through.
 */
import { type Limit, refuses } from "../identity/limit.ts"
import type { AdmissionStore, Charge, ReserveReply, SettledAmount, SettleReply } from "./limit-store.ts"
import type { MemoryLimitStore } from "./memory-store.ts"
import { FILLING_WAIT_MS } from "./store-guard.ts"

const WAIT_STEP_MS = 25
const RETRY_AFTER_MS = 1_000

export type SeededMemoryOptions = {
  readonly store: MemoryLimitStore
  /** The directory's version of which the store's counters are. */
  readonly version: number
  /** The version with which a limit was seeded, where the limit does not say it yet; null: it was not. */
  readonly versionOf: (limitId: string) => number | null
  /** What these limits start from, once all is in the ledger that ended before now. */
  readonly readSeeded: (limitIds: readonly string[]) => Promise<readonly SettledAmount[]>
  readonly onFault: (error: unknown) => void
  readonly waitMsMax?: number
}

export class SeededMemoryStore implements AdmissionStore {
  readonly #options: SeededMemoryOptions
  readonly #whole = new Set<string>()
  #seeding: Promise<void> | null = null

  constructor(options: SeededMemoryOptions) {
    this.#options = options
  }

  reserve(id: string, owner: string, leaseMs: number, charges: readonly Charge[]): Promise<ReserveReply> {
    const { store } = this.#options
    for (const { limit } of charges) {
      if (!this.#isWhole(limit)) return this.#reserveLater(id, owner, leaseMs, charges)
    }
    return store.reserve(id, owner, leaseMs, charges)
  }

  /** Of a call whose limits were whole when it was admitted. */
  extend(id: string, charges: readonly Charge[]): Promise<ReserveReply> {
    return this.#options.store.extend(id, charges)
  }

  settle(id: string, actual: readonly Charge[]): Promise<SettleReply> {
    return this.#options.store.settle(id, actual)
  }

  release(organizationId: string, id: string): Promise<boolean> {
    return this.#options.store.release(organizationId, id)
  }

  renew(organizationId: string, ids: readonly string[], leaseMs: number): Promise<readonly string[]> {
    return this.#options.store.renew(organizationId, ids, leaseMs)
  }

  sweep(): Promise<number> {
    return this.#options.store.sweep()
  }

  /**
   * Makes whole what is not. To be told of new limits when calls that end are charged to them: those that ended before
   * are what the ledger is asked for.
   */
  async seed(limits: readonly Limit[]): Promise<void> {
    while (this.#seeding !== null) await this.#seeding
    const { version, versionOf } = this.#options
    const ids = new Set(limits.map(({ id }) => id))
    // Before a process knows a limit, calls that end are not charged to it, and the ledger is yet to hear of them.
    const missing = [...ids].filter((id) => !this.#whole.has(id) && Math.abs(versionOf(id) ?? 0) > version)
    if (missing.length === 0) return
    this.#seeding = this.#seed(missing).finally(() => {
      this.#seeding = null
    })
    await this.#seeding
  }

  async #seed(ids: readonly string[]): Promise<void> {
    const { store, readSeeded, onFault } = this.#options
    try {
      const rows = await readSeeded(ids)
      store.addSettled(rows)
      for (const id of ids) this.#whole.add(id)
    } catch (error) {
      onFault(error)
    }
  }

  #isWhole({ id, seededVersion = 0 }: Limit): boolean {
    const { version, versionOf } = this.#options
    const seeded = seededVersion ?? versionOf(id)
    return (seeded !== null && seeded <= version) || this.#whole.has(id)
  }

  async #reserveLater(id: string, owner: string, leaseMs: number, charges: readonly Charge[]): Promise<ReserveReply> {
    const { store, waitMsMax = FILLING_WAIT_MS } = this.#options
    const denied = () => charges.findIndex(({ limit }) => !this.#isWhole(limit) && !passes(limit))
    for (let waitedMs = 0; denied() !== -1 && waitedMs < waitMsMax; waitedMs += WAIT_STEP_MS) {
      await this.seed(charges.map(({ limit }) => limit))
      await new Promise((resolve) => setTimeout(resolve, WAIT_STEP_MS))
    }
    const index = denied()
    if (index === -1) return store.reserve(id, owner, leaseMs, charges)
    const reason = charges[index]?.limit.onStoreFailure === "deny" ? "policy" : "unseen"
    return { kind: "away", denied: index, reason, isRecovering: true, retryAfterMs: RETRY_AFTER_MS }
  }
}

/** Whether calls pass under the limit while nobody can say where it stands. */
function passes(limit: Limit): boolean {
  return !refuses(limit) || limit.onStoreFailure === "allow"
}

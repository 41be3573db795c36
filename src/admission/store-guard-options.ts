/** What a store guard works with, and what it knows of a call that asks it. */
import type { Log } from "../platform/log.ts"
import type { AdmissionStore, Charge } from "./limit-store.ts"

export type StoreGuardOptions = {
  readonly store: AdmissionStore
  /** Milliseconds since 1970 UTC. */
  readonly nowMs: () => number
  /** Milliseconds of a clock that never goes back. */
  readonly elapsedMs: () => number
  readonly log: Pick<Log, "warn" | "info" | "error">
  /** How many proxies may share the limits: those that live, and at least as many as are configured. */
  readonly proxiesMax: () => number
  /**
   * Settles of this organization were dropped: its counters are to be rebuilt from the ledger before calls are counted
   * on them again. Called once for each organization and outage.
   */
  readonly onOverflow: (organizationId: string) => void
  readonly deadlineMs?: number
  /** False: a call without a decision is refused at once. */
  readonly isPatient?: boolean
  readonly waitingMax?: number
}

/** A call that asks for a hold. */
export type Asking = {
  readonly id: string
  readonly owner: string
  readonly leaseMs: number
  readonly charges: readonly Charge[]
  /** The store was asked and did not answer: it may have made the hold. Asking again under the same id makes no second one. */
  mayBeHeld: boolean
}

/** How the limit store fares, in the metrics registry. Whether it serves is `tallygate_store_up`, with the other stores. */
import type { Registry } from "prom-client"
import { type Figure, registerFigures } from "../platform/figures.ts"
import type { StoreGuard } from "./store-guard.ts"

/** Sums since the start, but for `isAway`, `awayMs`, `waiting` and `localCalls`. */
export type StoreGuardStats = {
  readonly isAway: boolean
  readonly awayMs: number
  readonly outages: number
  readonly failures: number
  readonly admittedLocally: number
  readonly refusedAway: number
  /** Settles to be sent. */
  readonly waiting: number
  /** Calls admitted here of which the store has not been told. */
  readonly localCalls: number
  readonly dropped: number
}

const GAUGES: readonly Figure<StoreGuardStats>[] = [
  {
    name: "tallygate_limit_settles_waiting",
    help: "Settles that the limit store has not confirmed.",
    read: (stats) => stats.waiting,
  },
  {
    name: "tallygate_limit_local_calls",
    help: "Calls admitted without the limit store of which it has not been told.",
    read: (stats) => stats.localCalls,
  },
]

const COUNTERS: readonly Figure<StoreGuardStats>[] = [
  {
    name: "tallygate_limit_store_outages_total",
    help: "Times that the limit store went away.",
    read: (stats) => stats.outages,
  },
  {
    name: "tallygate_limit_store_failures_total",
    help: "Acts that the limit store failed or did not answer in time.",
    read: (stats) => stats.failures,
  },
  {
    name: "tallygate_limit_local_admits_total",
    help: "Calls admitted within this proxy's share while the limit store was away.",
    read: (stats) => stats.admittedLocally,
  },
  {
    name: "tallygate_limit_away_refusals_total",
    help: "Calls refused because the limit store was away.",
    read: (stats) => stats.refusedAway,
  },
  {
    name: "tallygate_limit_settles_dropped_total",
    help: "Settles left to the ledger because too many waited.",
    read: (stats) => stats.dropped,
  },
]

/** Registers the figures; each exposition reads the guard. */
export function registerStoreMetrics(registry: Registry, guard: Pick<StoreGuard, "stats">): void {
  registerFigures(registry, () => guard.stats(), { gauges: GAUGES, counters: COUNTERS })
}

/** How the limit store fares, in the metrics registry. */
import { Counter, Gauge, type Registry } from "prom-client"
import type { StoreGuard, StoreGuardStats } from "./store-guard.ts"

type Figure = { readonly name: string; readonly help: string; read(stats: StoreGuardStats): number }

const GAUGES: readonly Figure[] = [
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

const COUNTERS: readonly Figure[] = [
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
  const registers = [registry]
  const up: Gauge = new Gauge({
    name: "tallygate_store_up",
    help: "1 while a store answers, 0 while it is away.",
    labelNames: ["store"],
    registers,
    collect: () => up.set({ store: "limits" }, guard.stats().isAway ? 0 : 1),
  })
  for (const { name, help, read } of GAUGES) {
    const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read(guard.stats())) })
  }
  for (const { name, help, read } of COUNTERS) {
    let told = 0
    const counter: Counter = new Counter({
      name,
      help,
      registers,
      collect: () => {
        const total = read(guard.stats())
        counter.inc(total - told)
        told = total
      },
    })
  }
}

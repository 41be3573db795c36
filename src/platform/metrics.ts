/**
 * The metrics registry. Names are `tallygate_<thing>_<unit>` in base units, `_total` for what only grows; each stands in
 * docs/metrics.md. Labels are closed sets, or pass a `SeriesCap`; none names a key or a user.
 */
import { collectDefaultMetrics, Gauge, Registry } from "prom-client"
import { registerSeries } from "./figures.ts"

/** A registry with the process's own figures and the build's. */
export function openMetrics(version: string): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  new Gauge({
    name: "tallygate_build_info",
    help: "Version of the running Tallygate; the value is always 1.",
    labelNames: ["version", "node"],
    aggregator: "first",
    registers: [registry],
  }).set({ version, node: process.versions.node }, 1)
  return registry
}

/** What a call needs beside its provider, and whether it serves; read for each exposition. */
export function registerStoresUp(registry: Registry, stores: Readonly<Record<string, () => boolean>>): void {
  const help =
    "1 while a store serves, 0 while it does not: limits (Redis, or the process), journal (the disk), ledger (Postgres)."
  registerSeries(registry, { name: "tallygate_store_up", help, type: "gauge" }, () =>
    Object.entries(stores).map(([store, isUp]) => ({ labels: { store }, value: isUp() ? 1 : 0 })),
  )
}

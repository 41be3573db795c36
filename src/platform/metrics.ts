/** The metrics registry and what every part may register in it. Names are `tallygate_<thing>_<unit>`, label sets are closed. */
import { collectDefaultMetrics, Gauge, Registry } from "prom-client"

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

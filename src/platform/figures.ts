/**
 * Figures that something keeps for itself in plain numbers, shown in the metrics registry: each exposition reads them
 * once more, so that counting costs an addition and not a labelled call of prom-client, which takes a microsecond.
 * prom-client's registry prints them.
 */
import type { Metric, Registry } from "prom-client"

export type MetricHead = {
  readonly name: string
  readonly help: string
  readonly type: "counter" | "gauge" | "histogram"
}

/** One line of the page; `metricName` differs from the metric's own in histograms alone. */
export type Sample = {
  readonly metricName?: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/** Registers a metric with any number of series. `samples` is called for each exposition. */
export function registerSeries(registry: Registry, head: MetricHead, samples: () => Sample[]): void {
  const { name } = head
  const get = async () => ({ ...head, aggregator: "sum", values: samples() })
  // The registry asks a metric for no more than its name and what `get` resolves with; nothing here resets it.
  registry.registerMetric({ name, get } as unknown as Metric)
}

export type Figure<Stats> = {
  readonly name: string
  readonly help: string
  read(stats: Stats): number
}

/** Registers gauges, and counters whose figures only grow; none of them has labels. */
export function registerFigures<Stats>(
  registry: Registry,
  stats: () => Stats,
  { gauges, counters }: { readonly gauges: readonly Figure<Stats>[]; readonly counters: readonly Figure<Stats>[] },
): void {
  const register = (type: "gauge" | "counter", { name, help, read }: Figure<Stats>) =>
    registerSeries(registry, { name, help, type }, () => [{ labels: {}, value: read(stats()) }])
  for (const figure of gauges) register("gauge", figure)
  for (const figure of counters) register("counter", figure)
}

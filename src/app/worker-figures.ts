/**
 * How the figures of several workers become one page: what counts up is added, and stays added when its worker has
 * gone; what says how late or how old something is, is the worst of them. A metric may name its own aggregator.
 */
import { AggregatorRegistry, type Registry } from "prom-client"
import type { Figures } from "./worker-messages.ts"

type Metric = Figures[number]
type Aggregator = Metric["aggregator"]

/** Gauges of which the sum over processes would say nothing, by their names; the first that fits decides. */
const GAUGE_RULES: readonly (readonly [name: RegExp, aggregator: Aggregator])[] = [
  [/^process_start_time_seconds$|_timestamp_seconds$|_lag_min_seconds$|_up$|_success$/, "min"],
  [/_seconds$/, "max"],
  // Counted in what all processes of a machine share: one file, one ledger.
  [/^tallygate_quarantine_rows$|^tallygate_alert_deliveries_waiting$/, "max"],
]

/** One set of figures out of several. */
export function mergeFigures(all: readonly Figures[]): Promise<Figures> {
  return aggregate(all).getMetricsAsJSON()
}

/** The page in Prometheus' text format. */
export function printFigures(all: readonly Figures[]): Promise<string> {
  return aggregate(all).metrics()
}

/** What must not go backwards when its worker goes: counters and histograms. */
export function countersOf(figures: Figures): Figures {
  return figures.filter((metric) => !isGauge(metric))
}

function aggregate(all: readonly Figures[]): Registry {
  return AggregatorRegistry.aggregate(all.map((figures) => figures.map(withAggregator)))
}

function withAggregator(metric: Metric): Metric {
  const rule = isGauge(metric) ? GAUGE_RULES.find(([name]) => name.test(metric.name)) : undefined
  return rule === undefined ? metric : { ...metric, aggregator: rule[1] }
}

/** prom-client's metrics say their type as text, whatever its declarations say. */
function isGauge({ type }: Metric): boolean {
  return String(type) === "gauge"
}

/**
 * A Prometheus histogram of seconds with one label, counted in plain numbers: it stands on the request path three
 * times, and a labelled observation of prom-client costs as much as pricing the call. prom-client's registry prints it.
 */
import type { Metric, Registry } from "prom-client"

export type SecondsHistogramOptions = {
  readonly name: string
  readonly help: string
  readonly label: string
  /** Upper bounds in seconds, inclusive and rising; +Inf is added. */
  readonly bounds: readonly number[]
}

type Series = { readonly counts: number[]; sum: number; count: number }
type Value = { readonly metricName: string; readonly labels: Record<string, string | number>; readonly value: number }

export class SecondsHistogram {
  readonly #options: SecondsHistogramOptions
  readonly #series = new Map<string, Series>()

  constructor(options: SecondsHistogramOptions, registry: Registry) {
    this.#options = options
    registry.registerMetric(this.#asMetric())
  }

  observe(label: string, seconds: number): void {
    let series = this.#series.get(label)
    if (series === undefined) {
      series = { counts: this.#options.bounds.map(() => 0), sum: 0, count: 0 }
      this.#series.set(label, series)
    }
    series.sum += seconds
    series.count++
    const { bounds } = this.#options
    let bin = 0
    while (bin < bounds.length && seconds > (bounds[bin] ?? 0)) bin++
    if (bin < bounds.length) series.counts[bin] = (series.counts[bin] ?? 0) + 1
  }

  #values(): Value[] {
    const { name, label, bounds } = this.#options
    return [...this.#series].flatMap(([key, { counts, sum, count }]) => {
      let below = 0
      const buckets = bounds.map((bound, bin) => {
        below += counts[bin] ?? 0
        return { metricName: `${name}_bucket`, labels: { le: bound, [label]: key }, value: below }
      })
      return [
        ...buckets,
        { metricName: `${name}_bucket`, labels: { le: "+Inf", [label]: key }, value: count },
        { metricName: `${name}_sum`, labels: { [label]: key }, value: sum },
        { metricName: `${name}_count`, labels: { [label]: key }, value: count },
      ]
    })
  }

  /** The registry asks a metric for no more than its name, what `get` resolves with, and `reset`. */
  #asMetric(): Metric {
    const { name, help } = this.#options
    const get = async () => ({ name, help, type: "histogram", aggregator: "sum", values: this.#values() })
    return { name, help, get, reset: () => this.#series.clear() } as unknown as Metric
  }
}

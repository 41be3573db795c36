/**
 * A Prometheus histogram of seconds with one label, counted in plain numbers: it stands on the request path three
 * times, and a labelled observation of prom-client costs as much as pricing the call. prom-client's registry prints it.
 */
import type { Registry } from "prom-client"
import { registerSeries, type Sample } from "./figures.ts"

export type SecondsHistogramOptions = {
  readonly name: string
  readonly help: string
  readonly label: string
  /** Upper bounds in seconds, inclusive and rising; +Inf is added. */
  readonly bounds: readonly number[]
}

type Series = { readonly counts: number[]; sum: number; count: number }

export class SecondsHistogram {
  readonly #options: SecondsHistogramOptions
  readonly #series = new Map<string, Series>()

  constructor(options: SecondsHistogramOptions, registry: Registry) {
    this.#options = options
    const { name, help } = options
    registerSeries(registry, { name, help, type: "histogram" }, () => this.#samples())
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

  #samples(): Sample[] {
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
}

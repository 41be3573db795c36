/** Figures that something keeps for itself, shown in the metrics registry: each exposition reads them once more. */
import { Counter, Gauge, type Registry } from "prom-client"

export type Figure<Stats> = {
  readonly name: string
  readonly help: string
  read(stats: Stats): number
}

/** Registers gauges, and counters whose figures only grow. */
export function registerFigures<Stats>(
  registry: Registry,
  stats: () => Stats,
  { gauges, counters }: { readonly gauges: readonly Figure<Stats>[]; readonly counters: readonly Figure<Stats>[] },
): void {
  const registers = [registry]
  for (const { name, help, read } of gauges) {
    const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read(stats())) })
  }
  for (const { name, help, read } of counters) {
    let told = 0
    const counter: Counter = new Counter({
      name,
      help,
      registers,
      collect: () => {
        const total = read(stats())
        counter.inc(total - told)
        told = total
      },
    })
  }
}

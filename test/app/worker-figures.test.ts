import fc from "fast-check"
import { Counter, Gauge, Histogram, Registry } from "prom-client"
import { describe, expect, test } from "vitest"
import { countersOf, mergeFigures, printFigures } from "../../src/app/worker-figures.ts"
import type { Figures } from "../../src/app/worker-messages.ts"
import { SecondsHistogram } from "../../src/platform/seconds-histogram.ts"

/** A gauge in a registry of its own, as one worker tells it. */
function gauge(name: string, value: number): Promise<Figures> {
  const registry = new Registry()
  new Gauge({ name, help: "h", registers: [registry] }).set(value)
  return registry.getMetricsAsJSON()
}

async function merged(name: string, ...values: number[]): Promise<string | undefined> {
  const page = await printFigures(await Promise.all(values.map((value) => gauge(name, value))))
  return page.split("\n").find((line) => line.startsWith(`${name} `))
}

type Call = readonly [worker: number, provider: string, seconds: number]

function count(registry: Registry, calls: readonly Call[]): void {
  const registers = [registry]
  const counter = new Counter({ name: "calls_total", help: "h", labelNames: ["provider"], registers })
  const known = new Histogram({
    name: "known_seconds",
    help: "h",
    labelNames: ["provider"],
    buckets: [1, 2],
    registers,
  })
  const own = new SecondsHistogram({ name: "own_seconds", help: "h", label: "provider", bounds: [1, 2] }, registry)
  for (const [, provider, seconds] of calls) {
    counter.inc({ provider })
    known.observe({ provider }, seconds)
    own.observe(provider, seconds)
  }
}

describe("the page of several workers", () => {
  test("counts as one process would have counted that had served all of their calls", async () => {
    const call = fc.tuple(fc.nat(2), fc.constantFrom("a", 'b"\\'), fc.constantFrom(0.5, 1, 1.5, 3))
    await fc.assert(
      fc.asyncProperty(fc.array(call), async (calls) => {
        const alone = new Registry()
        count(alone, calls)
        const workers = [0, 1, 2].map((worker) => {
          const registry = new Registry()
          count(
            registry,
            calls.filter(([by]) => by === worker),
          )
          return registry
        })
        const figures = await Promise.all(workers.map((registry) => registry.getMetricsAsJSON()))
        // Structured clones are what comes over the channel; two have gone, and were folded into one.
        const [here = [], ...gone] = structuredClone(figures)
        const folded = await mergeFigures(gone.map(countersOf))
        const lines = (page: string) =>
          page
            .split("\n")
            .filter((line) => line !== "")
            .sort()
        expect(lines(await printFigures([here, folded]))).toEqual(lines(await alone.metrics()))
      }),
    )
  })

  test("adds what is there, and shows the worst of what is late or old or impaired", async () => {
    expect(await merged("tallygate_active_requests", 2, 3)).toBe("tallygate_active_requests 5")
    expect(await merged("tallygate_journal_rows", 2, 3)).toBe("tallygate_journal_rows 5")
    expect(await merged("tallygate_journal_rows_max", 2, 3)).toBe("tallygate_journal_rows_max 5")
    expect(await merged("tallygate_journal_bytes", 2, 3)).toBe("tallygate_journal_bytes 5")
    expect(await merged("tallygate_journal_oldest_seconds", 2, 3)).toBe("tallygate_journal_oldest_seconds 3")
    expect(await merged("tallygate_ingest_lag_seconds", 3, 2)).toBe("tallygate_ingest_lag_seconds 3")
    expect(await merged("tallygate_quarantine_rows", 4, 4)).toBe("tallygate_quarantine_rows 4")
    expect(await merged("tallygate_store_up", 1, 0, 1)).toBe("tallygate_store_up 0")
    expect(await merged("tallygate_config_reload_success", 1, 0, 1)).toBe("tallygate_config_reload_success 0")
    expect(await merged("tallygate_config_last_reload_timestamp_seconds", 20, 10)).toBe(
      "tallygate_config_last_reload_timestamp_seconds 10",
    )
    expect(await merged("process_start_time_seconds", 20, 10)).toBe("process_start_time_seconds 10")
    expect(await merged("process_resident_memory_bytes", 2, 3)).toBe("process_resident_memory_bytes 5")
    expect(await merged("nodejs_eventloop_lag_p99_seconds", 2, 3)).toBe("nodejs_eventloop_lag_p99_seconds 3")
  })

  test("keeps of those that have gone what must not go backwards, and nothing else", async () => {
    const registry = new Registry()
    count(registry, [[0, "a", 1]])
    new Gauge({ name: "running", help: "h", registers: [registry] }).set(1)
    const kept = countersOf(await registry.getMetricsAsJSON())
    expect(kept.map(({ name }) => name).sort()).toEqual(["calls_total", "known_seconds", "own_seconds"])
  })
})

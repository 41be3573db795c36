/**
 * What the data plane counts. Label sets are closed (providers, endpoints, statuses, token classes); a model becomes a
 * label only up to a bound of series, beyond it `other`, since callers choose model names. Nothing is labelled by key
 * or user: those figures come from the ledger.
 */
import { Counter, Gauge, Histogram, type Registry } from "prom-client"
import type { UsageRecord } from "../ledger/usage-record.ts"
import type { ApiError } from "../platform/error-table.ts"

const DURATION_BUCKETS_S = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
const OVERHEAD_BUCKETS_S = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25]

const TOKEN_CLASSES = [
  ["input", "input_uncached_tokens"],
  ["cached", "cache_read_tokens"],
  ["cache_write", "cache_write_5m_tokens"],
  ["cache_write_1h", "cache_write_1h_tokens"],
  ["output", "output_tokens"],
  ["reasoning", "reasoning_tokens"],
] as const

export class ProxyMetrics {
  readonly #modelsMax: number
  readonly #models = new Set<string>()
  readonly #requests: Counter
  readonly #tokens: Counter
  readonly #cost: Counter
  readonly #unpriced: Counter
  readonly #estimated: Counter
  readonly #mismatches: Counter
  readonly #refusals: Counter
  readonly #duration: Histogram
  readonly #ttft: Histogram
  readonly #overhead: Histogram
  readonly #registry: Registry

  constructor(registry: Registry, seriesMax: number) {
    // Each model has one series a status and a class; a tenth of the bound leaves room for them.
    this.#modelsMax = Math.max(1, Math.floor(seriesMax / 10))
    const registers = [registry]
    this.#registry = registry
    const counter = (name: string, help: string, labelNames: string[]) =>
      new Counter({ name, help, labelNames, registers })
    const seconds = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, labelNames: ["provider"], buckets, registers })
    this.#requests = counter("tallygate_requests_total", "Forwarded calls.", ["provider", "model", "status", "outcome"])
    this.#tokens = counter("tallygate_tokens_total", "Tokens by class; reasoning is part of output.", [
      "provider",
      "model",
      "type",
    ])
    this.#cost = counter("tallygate_cost_usd_total", "Cost of priced calls, in dollars.", ["provider", "model"])
    this.#unpriced = counter("tallygate_unpriced_total", "Calls whose model has no price.", ["provider", "model"])
    this.#estimated = counter("tallygate_estimated_total", "Calls whose usage is an estimate.", ["provider"])
    this.#mismatches = counter(
      "tallygate_usage_mismatch_total",
      "Calls whose classes do not add up to the provider's total.",
      ["provider"],
    )
    this.#refusals = counter("tallygate_limit_denied_total", "Calls that were refused here.", ["reason", "code"])
    this.#duration = seconds(
      "tallygate_request_duration_seconds",
      "Arrival to the end of the answer.",
      DURATION_BUCKETS_S,
    )
    this.#ttft = seconds(
      "tallygate_time_to_first_token_seconds",
      "Arrival to the first content byte.",
      DURATION_BUCKETS_S,
    )
    this.#overhead = seconds(
      "tallygate_overhead_seconds",
      "Arrival to forwarding: what Tallygate adds.",
      OVERHEAD_BUCKETS_S,
    )
  }

  /** Shows how many calls are in flight, read when the metrics are. */
  watchActive(inFlight: () => number): void {
    const registers = [this.#registry]
    new Gauge({
      name: "tallygate_active_requests",
      help: "Calls in flight.",
      registers,
      collect() {
        this.set(inFlight())
      },
    })
  }

  answered(record: UsageRecord): void {
    const provider = record.provider
    const model = this.#modelLabel(record.model_served)
    this.#requests.inc({ provider, model, status: String(record.http_status), outcome: record.outcome })
    for (const [type, column] of TOKEN_CLASSES) {
      if (record[column] > 0) this.#tokens.inc({ provider, model, type }, record[column])
    }
    // A float is good enough for a graph; the ledger holds the money.
    if (record.price_state === "priced") this.#cost.inc({ provider, model }, Number(record.cost_usd))
    if (record.price_state === "unpriced") this.#unpriced.inc({ provider, model })
    if (record.usage_source === "estimated") this.#estimated.inc({ provider })
    if (record.usage_mismatch) this.#mismatches.inc({ provider })
    this.#duration.observe({ provider }, record.duration_ms / 1000)
    if (record.ttft_ms !== null) this.#ttft.observe({ provider }, record.ttft_ms / 1000)
    this.#overhead.observe({ provider }, record.overhead_us / 1e6)
  }

  refused(error: ApiError, reason: string): void {
    this.#refusals.inc({ reason, code: error.code })
  }

  #modelLabel(model: string): string {
    if (this.#models.has(model)) return model
    if (this.#models.size >= this.#modelsMax) return "other"
    this.#models.add(model)
    return model
  }
}

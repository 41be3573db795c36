/**
 * What the data plane counts. Label sets are closed (providers, endpoints, statuses, token classes); a model becomes a
 * label only up to a bound of series, beyond it `other`, since callers choose model names. Nothing is labelled by key
 * or user: those figures come from the ledger.
 */
import { Counter, Gauge, type Registry } from "prom-client"
import type { UsageRecord } from "../ledger/usage-record.ts"
import type { ApiError } from "../platform/error-table.ts"
import { SecondsHistogram } from "../platform/seconds-histogram.ts"

const DURATION_BUCKETS_S = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
const OVERHEAD_BUCKETS_S = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25]

const TOKEN_CLASSES = ["input", "cached", "cache_write", "cache_write_1h", "output", "reasoning"] as const

type Sums = {
  readonly provider: string
  readonly model: string
  readonly httpStatus: number
  readonly outcome: string
  requests: number
  input: number
  cached: number
  cache_write: number
  cache_write_1h: number
  output: number
  reasoning: number
  costUsd: number
  unpriced: number
  estimated: number
  mismatches: number
}
const WAITING_MAX = 64
const NO_TOKENS = { input: 0, cached: 0, cache_write: 0, cache_write_1h: 0, output: 0, reasoning: 0 }
const NO_SUMS = { requests: 0, ...NO_TOKENS, costUsd: 0, unpriced: 0, estimated: 0, mismatches: 0 }

export class ProxyMetrics {
  readonly #waiting: Sums[] = []
  readonly #modelsMax: number
  readonly #models = new Set<string>()
  readonly #requests: Counter
  readonly #tokens: Counter
  readonly #cost: Counter
  readonly #unpriced: Counter
  readonly #estimated: Counter
  readonly #mismatches: Counter
  readonly #refusals: Counter
  readonly #duration: SecondsHistogram
  readonly #ttft: SecondsHistogram
  readonly #overhead: SecondsHistogram
  readonly #registry: Registry

  constructor(registry: Registry, seriesMax: number) {
    // Each model has one series a status and a class; a tenth of the bound leaves room for them.
    this.#modelsMax = Math.max(1, Math.floor(seriesMax / 10))
    const registers = [registry]
    this.#registry = registry
    const counter = (name: string, help: string, labelNames: string[]) =>
      new Counter({ name, help, labelNames, registers })
    const seconds = (name: string, help: string, bounds: readonly number[]) =>
      new SecondsHistogram({ name, help, label: "provider", bounds }, registry)
    const handOver = () => this.#handOver()
    // Registered first, so that what waits is handed over before any of them is read.
    this.#requests = new Counter({
      name: "tallygate_requests_total",
      help: "Forwarded calls.",
      labelNames: ["provider", "model", "status", "outcome"],
      registers,
      collect: handOver,
    })
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

  /** Shows how many values were recorded as `other`, and how many provider objects wait to be entered for their owners. */
  watchAttribution(folded: () => number, objectsWaiting: () => number): void {
    const registers = [this.#registry]
    new Gauge({
      name: "tallygate_attribution_folded",
      help: "Tools, operations and tags recorded as other since the start, because their key named too many new ones.",
      registers,
      collect() {
        this.set(folded())
      },
    })
    new Gauge({
      name: "tallygate_provider_objects_waiting",
      help: "Objects made at providers whose owner is not in Postgres yet.",
      registers,
      collect() {
        this.set(objectsWaiting())
      },
    })
  }

  /** Counts a forwarded call. Sums wait in plain numbers until the metrics are read: a labelled count costs a microsecond. */
  answered(record: UsageRecord): void {
    const { provider } = record
    const model = this.#modelLabel(record.model_served)
    let sums = this.#waiting.find(
      (known) =>
        known.model === model &&
        known.provider === provider &&
        known.httpStatus === record.http_status &&
        known.outcome === record.outcome,
    )
    if (sums === undefined) {
      sums = {
        provider,
        model,
        httpStatus: record.http_status,
        outcome: record.outcome,
        ...NO_SUMS,
      }
      // Few calls differ between two looks at the metrics; where many do, they are handed over before the search gets long.
      if (this.#waiting.length >= WAITING_MAX) this.#handOver()
      this.#waiting.push(sums)
    }
    sums.requests++
    sums.input += record.input_uncached_tokens
    sums.cached += record.cache_read_tokens
    sums.cache_write += record.cache_write_5m_tokens
    sums.cache_write_1h += record.cache_write_1h_tokens
    sums.output += record.output_tokens
    sums.reasoning += record.reasoning_tokens
    // A float is good enough for a graph; the ledger holds the money.
    if (record.price_state === "priced") sums.costUsd += Number(record.cost_usd)
    if (record.price_state === "unpriced") sums.unpriced++
    if (record.usage_source === "estimated") sums.estimated++
    if (record.usage_mismatch) sums.mismatches++
    this.#duration.observe(provider, record.duration_ms / 1000)
    if (record.ttft_ms !== null) this.#ttft.observe(provider, record.ttft_ms / 1000)
    this.#overhead.observe(provider, record.overhead_us / 1e6)
  }

  #handOver(): void {
    for (const { provider, model, httpStatus, outcome, ...sums } of this.#waiting.splice(0)) {
      const status = String(httpStatus)
      this.#requests.inc({ provider, model, status, outcome }, sums.requests)
      for (const type of TOKEN_CLASSES) if (sums[type] > 0) this.#tokens.inc({ provider, model, type }, sums[type])
      if (sums.costUsd > 0) this.#cost.inc({ provider, model }, sums.costUsd)
      if (sums.unpriced > 0) this.#unpriced.inc({ provider, model }, sums.unpriced)
      if (sums.estimated > 0) this.#estimated.inc({ provider }, sums.estimated)
      if (sums.mismatches > 0) this.#mismatches.inc({ provider }, sums.mismatches)
    }
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

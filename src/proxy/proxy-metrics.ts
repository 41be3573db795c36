/**
 * What the data plane counts. Label sets are closed (providers, outcomes, token types) or pass the cap on series
 * (models, statuses, organizations: `CallSums`). Nothing is labelled by key or user: those figures come from the ledger.
 * Nothing here calls prom-client while a call is served; the page reads plain numbers.
 */
import type { Registry } from "prom-client"
import type { UsageRecord } from "../ledger/usage-record.ts"
import type { ApiError } from "../platform/error-table.ts"
import { type Figure, registerFigures, registerSeries, type Sample } from "../platform/figures.ts"
import { SecondsHistogram } from "../platform/seconds-histogram.ts"
import { FOLDED_LABEL, SeriesCap } from "../platform/series-cap.ts"
import { CallSums, TOKEN_TYPES } from "./call-sums.ts"
import type { DataPlane } from "./data-plane.ts"

const DURATION_BUCKETS_S = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
const OVERHEAD_BUCKETS_S = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25]

/** What others keep for the time being, shown beside the sums. */
export type ProxyState = {
  readonly activeRequests: number
  /** Values recorded as `other` since the start. */
  readonly attributionFolded: number
  readonly objectsWaiting: number
  readonly objectsDropped: number
}

const STATE_GAUGES: readonly Figure<ProxyState>[] = [
  { name: "tallygate_active_requests", help: "Calls in flight.", read: (state) => state.activeRequests },
  {
    name: "tallygate_provider_objects_waiting",
    help: "Objects made at providers whose owner is not in Postgres yet.",
    read: (state) => state.objectsWaiting,
  },
]

const STATE_COUNTERS: readonly Figure<ProxyState>[] = [
  {
    name: "tallygate_attribution_folded_total",
    help: "Tools, operations and tags recorded as other, because their key named too many new ones.",
    read: (state) => state.attributionFolded,
  },
  {
    name: "tallygate_provider_objects_dropped_total",
    help: "Objects made at providers whose owner could not be kept.",
    read: (state) => state.objectsDropped,
  },
]

export class ProxyMetrics {
  readonly #cap: SeriesCap
  readonly #sums: CallSums
  readonly #refusals = new Map<string, { readonly reason: string; readonly code: string; calls: number }>()
  readonly #bounds = new Map<string, number>()
  #boundViolations = 0
  readonly #duration: SecondsHistogram
  readonly #ttft: SecondsHistogram
  readonly #overhead: SecondsHistogram
  readonly #registry: Registry

  constructor(registry: Registry, seriesMax: number) {
    this.#registry = registry
    this.#cap = new SeriesCap(seriesMax)
    this.#sums = new CallSums(this.#cap)
    this.#registerCounters()
    const seconds = (name: string, help: string, bounds: readonly number[]) =>
      new SecondsHistogram({ name, help, label: "provider", bounds }, registry)
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

  /** Shows what others keep, read when the metrics are. */
  watch(state: () => ProxyState): void {
    registerFigures(this.#registry, state, { gauges: STATE_GAUGES, counters: STATE_COUNTERS })
  }

  /** From here on so many series may be there; those that are stay. */
  limitSeries(seriesMax: number): void {
    this.#cap.seriesMax = seriesMax
  }

  /** Counts a forwarded call; `costElsewhereUsd` is what another bill than the provider's has of it. */
  answered(record: UsageRecord, costElsewhereUsd: string | null): void {
    this.#sums.add(record, costElsewhereUsd)
    if (record.bound !== "") this.#bounds.set(record.bound, (this.#bounds.get(record.bound) ?? 0) + 1)
    const { provider } = record
    this.#duration.observe(provider, record.duration_ms / 1000)
    if (record.ttft_ms !== null) this.#ttft.observe(provider, record.ttft_ms / 1000)
    this.#overhead.observe(provider, record.overhead_us / 1e6)
  }

  /** Counts a call that used more than it could, by what was known beforehand: a defect of ours. */
  boundViolated(): void {
    this.#boundViolations++
  }

  /** Counts usage that was reported; providers that nobody here knows are counted together. */
  reported(record: UsageRecord, { router, priceBook }: Pick<DataPlane, "router" | "priceBook">): void {
    const { provider } = record
    const isKnown = router.providers.has(provider) || priceBook.providers().includes(provider)
    this.#sums.addReported(record, isKnown ? provider : FOLDED_LABEL)
  }

  /** Counts a call that was refused here. Reasons and codes are words of ours. */
  refused(error: ApiError, reason: string): void {
    const name = `${reason} ${error.code}`
    const known = this.#refusals.get(name)
    if (known === undefined) this.#refusals.set(name, { reason, code: error.code, calls: 1 })
    else known.calls++
  }

  #registerCounters(): void {
    const sums = this.#sums
    const counter = (name: string, help: string, samples: () => Sample[]) =>
      registerSeries(this.#registry, { name, help, type: "counter" }, samples)
    counter("tallygate_requests_total", "Calls that were forwarded to a provider; status 0 is none.", () =>
      sums.answers().map(({ organization, calls, ...labels }) => ({
        labels: { ...labels, org: organization },
        value: calls,
      })),
    )
    counter("tallygate_tokens_total", "Tokens by type, disjoint but for reasoning, which is part of output.", () =>
      sums.byModel((tokens, provider, model) =>
        TOKEN_TYPES.map((type) => ({ labels: { provider, model, type }, value: tokens[type] })),
      ),
    )
    counter("tallygate_cost_usd_total", "Cost of priced calls and reports, in dollars.", () =>
      sums.byModel(({ costUsd }, provider, model) => [{ labels: { provider, model }, value: costUsd }]),
    )
    counter("tallygate_unpriced_requests_total", "Calls and reports whose model has no price.", () =>
      sums.byModel(({ unpriced }, provider, model) => [{ labels: { provider, model }, value: unpriced }]),
    )
    counter("tallygate_estimated_requests_total", "Forwarded calls whose usage is an estimate.", () =>
      sums.byProvider(({ estimated }, provider) => [{ labels: { provider }, value: estimated }]),
    )
    counter(
      "tallygate_mismatched_requests_total",
      "Forwarded calls whose token classes do not add up to the provider's total.",
      () => sums.byProvider(({ mismatched }, provider) => [{ labels: { provider }, value: mismatched }]),
    )
    counter(
      "tallygate_provider_cost_usd_total",
      "What providers themselves say that calls cost, in dollars, what the maker bills for a key of its own included.",
      () => sums.byProvider(({ theirsUsd }, provider) => [{ labels: { provider }, value: theirsUsd }]),
    )
    counter(
      "tallygate_provider_cost_difference_usd_total",
      "How far our cost and the provider's own are apart, call by call, in dollars.",
      () => sums.byProvider(({ apartUsd }, provider) => [{ labels: { provider }, value: apartUsd }]),
    )
    counter(
      "tallygate_reported_records_total",
      "Records of usage that did not pass the proxy, as they were booked.",
      () => sums.byProvider(({ reported }, provider) => [{ labels: { provider }, value: reported }]),
    )
    counter("tallygate_refusals_total", "Calls that were refused here, before a provider saw them.", () =>
      [...this.#refusals.values()].map(({ reason, code, calls }) => ({ labels: { reason, code }, value: calls })),
    )
    counter(
      "tallygate_calls_bound_total",
      "Forwarded calls under a limit on tokens or money: bounded, or why nobody could tell beforehand what they use at most.",
      () => [...this.#bounds].map(([bound, value]) => ({ labels: { bound }, value })),
    )
    counter(
      "tallygate_bound_violations_total",
      "Bounded calls that used more than was held for them, which none should.",
      () => [{ labels: {}, value: this.#boundViolations }],
    )
    counter(
      "tallygate_metrics_folded_total",
      "Forwarded calls counted under other, because metrics.series_max was reached.",
      () => [{ labels: {}, value: sums.folded }],
    )
  }
}

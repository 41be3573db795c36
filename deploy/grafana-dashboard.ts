/**
 * Makes deploy/grafana-dashboard.json: run `npm run grafana` after a change here, and commit both. Importable into any
 * Grafana from 10 on; which data source it reads is chosen on its page.
 */
import { writeFileSync } from "node:fs"
import path from "node:path"

export const DASHBOARD_FILE = path.join(import.meta.dirname, "grafana-dashboard.json")

const COLUMNS = 24
const PANEL_HEIGHT = 8
const STAT_HEIGHT = 4
const SOURCE = { type: "prometheus", uid: "$datasource" }
/** The calls that the page's filters leave. */
const CALLS = 'provider=~"$provider",model=~"$model"'
const OF_PROVIDER = 'provider=~"$provider"'
const RATE = "$__rate_interval"

type Query = readonly [expr: string, legend: string]
type Panel = {
  readonly title: string
  /** What the reader would not guess; shown on the panel's corner. */
  readonly description?: string
  /** A unit of Grafana's: https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options/ */
  readonly unit: string
  readonly queries: readonly Query[]
  readonly kind?: "timeseries" | "stat"
  readonly isStacked?: boolean
  /** From this value on the panel is red. */
  readonly redFrom?: number
  /** Below this value the panel is red. */
  readonly redBelow?: number
}
type Row = { readonly title: string; readonly panels: readonly Panel[] }

function quantiles(metric: string): readonly Query[] {
  return [0.5, 0.95, 0.99].map((quantile) => [
    `histogram_quantile(${quantile}, sum by (le) (rate(${metric}_bucket{${OF_PROVIDER}}[${RATE}])))`,
    `p${quantile * 100}`,
  ])
}

const NOW: Row = {
  title: "Now",
  panels: [
    { kind: "stat", title: "Proxies", unit: "none", redBelow: 1, queries: [['sum(up{job="tallygate"})', "up"]] },
    {
      kind: "stat",
      title: "Calls a second",
      unit: "reqps",
      queries: [[`sum(rate(tallygate_requests_total{${CALLS}}[${RATE}]))`, "calls"]],
    },
    {
      kind: "stat",
      title: "Calls in flight",
      unit: "none",
      queries: [["sum(tallygate_active_requests)", "calls"]],
    },
    {
      kind: "stat",
      title: "Dollars an hour",
      description: "Of priced calls, at the rate of the last minutes. The ledger holds the exact sums.",
      unit: "currencyUSD",
      queries: [[`sum(rate(tallygate_cost_usd_total{${CALLS}}[${RATE}])) * 3600`, "cost"]],
    },
    {
      kind: "stat",
      title: "Stores that serve",
      description: "1 where limits, journal and ledger serve every proxy.",
      unit: "none",
      redBelow: 1,
      queries: [["min by (store) (tallygate_store_up)", "{{store}}"]],
    },
    {
      kind: "stat",
      title: "Records in quarantine",
      unit: "none",
      redFrom: 1,
      queries: [["sum(tallygate_quarantine_rows)", "records"]],
    },
  ],
}

const CALLS_ROW: Row = {
  title: "Calls",
  panels: [
    {
      title: "Calls by model",
      unit: "reqps",
      isStacked: true,
      queries: [[`sum by (model) (rate(tallygate_requests_total{${CALLS}}[${RATE}]))`, "{{model}}"]],
    },
    {
      title: "Calls by outcome and status",
      description: "Status 0: the caller left before one was sent.",
      unit: "reqps",
      isStacked: true,
      queries: [
        [`sum by (outcome, status) (rate(tallygate_requests_total{${CALLS}}[${RATE}]))`, "{{outcome}} {{status}}"],
      ],
    },
    {
      title: "Share of calls that end in an error, by provider",
      unit: "percentunit",
      queries: [
        [
          `sum by (provider) (rate(tallygate_requests_total{${CALLS},outcome="error"}[${RATE}])) / sum by (provider) (rate(tallygate_requests_total{${CALLS}}[${RATE}]))`,
          "{{provider}}",
        ],
      ],
    },
    {
      title: "Refusals",
      description: "Calls that Tallygate refused before a provider saw them, by reason and error code.",
      unit: "reqps",
      isStacked: true,
      queries: [[`sum by (reason, code) (rate(tallygate_refusals_total[${RATE}]))`, "{{reason}} ({{code}})"]],
    },
    {
      title: "Limits that let pass",
      description: "Calls that a soft limit warned of or a shadow limit would have refused, by what the limit counts.",
      unit: "reqps",
      queries: [
        [`sum by (kind) (rate(tallygate_soft_limit_warnings_total[${RATE}]))`, "warned ({{kind}})"],
        [`sum by (kind) (rate(tallygate_shadow_refusals_total[${RATE}]))`, "shadow refusals ({{kind}})"],
      ],
    },
    {
      title: "Bounded calls",
      description:
        "Calls under a limit on tokens or money: bounded, or why nobody could tell beforehand what they use at most.",
      unit: "reqps",
      isStacked: true,
      queries: [
        [`sum by (bound) (rate(tallygate_calls_bound_total[${RATE}]))`, "{{bound}}"],
        [`sum(rate(tallygate_bound_violations_total[${RATE}]))`, "used more than was held"],
      ],
    },
    {
      title: "Calls by organization",
      unit: "reqps",
      isStacked: true,
      queries: [[`sum by (org) (rate(tallygate_requests_total{${CALLS}}[${RATE}]))`, "{{org}}"]],
    },
    {
      title: "Calls in flight, by proxy",
      unit: "none",
      queries: [["tallygate_active_requests", "{{instance}}"]],
    },
  ],
}

const MONEY: Row = {
  title: "Tokens and money",
  panels: [
    {
      title: "Dollars an hour, by model",
      description: "Of priced calls. The ledger holds the exact sums.",
      unit: "currencyUSD",
      isStacked: true,
      queries: [[`sum by (model) (rate(tallygate_cost_usd_total{${CALLS}}[${RATE}])) * 3600`, "{{model}}"]],
    },
    {
      title: "Tokens a second, by type",
      description: "Types are disjoint, but for reasoning, which is part of output.",
      unit: "none",
      queries: [[`sum by (type) (rate(tallygate_tokens_total{${CALLS}}[${RATE}]))`, "{{type}}"]],
    },
    {
      title: "Share of input that was read from a cache",
      unit: "percentunit",
      queries: [
        [
          `sum(rate(tallygate_tokens_total{${CALLS},type="cached"}[${RATE}])) / sum(rate(tallygate_tokens_total{${CALLS},type=~"input|cached|cache_write|cache_write_1h"}[${RATE}]))`,
          "cached",
        ],
      ],
    },
    {
      title: "Our cost and the provider's own, apart by",
      description:
        "Of what providers say that calls cost, those that say it. Models without a price here are left out.",
      unit: "percentunit",
      queries: [
        [
          `sum by (provider) (rate(tallygate_provider_cost_difference_usd_total{${OF_PROVIDER}}[${RATE}])) / sum by (provider) (rate(tallygate_provider_cost_usd_total{${OF_PROVIDER}}[${RATE}]))`,
          "{{provider}}",
        ],
      ],
    },
    {
      title: "Calls that need a look",
      description: "Without a price, booked by estimate, or with classes that do not add up.",
      unit: "reqps",
      queries: [
        [`sum(rate(tallygate_unpriced_requests_total{${CALLS}}[${RATE}]))`, "unpriced"],
        [`sum(rate(tallygate_estimated_requests_total{${OF_PROVIDER}}[${RATE}]))`, "estimated"],
        [`sum(rate(tallygate_mismatched_requests_total{${OF_PROVIDER}}[${RATE}]))`, "mismatched"],
        [`sum(rate(tallygate_reported_records_total{${OF_PROVIDER}}[${RATE}]))`, "reported"],
        [`sum(rate(tallygate_metrics_folded_total[${RATE}]))`, "counted under other"],
        [`sum(rate(tallygate_attribution_folded_total[${RATE}]))`, "attributed to other"],
      ],
    },
  ],
}

const LATENCY: Row = {
  title: "Latency",
  panels: [
    { title: "Whole answer", unit: "s", queries: quantiles("tallygate_request_duration_seconds") },
    { title: "First content byte", unit: "s", queries: quantiles("tallygate_time_to_first_token_seconds") },
    {
      title: "What Tallygate adds",
      description: "Arrival to forwarding.",
      unit: "s",
      queries: quantiles("tallygate_overhead_seconds"),
    },
  ],
}

const STORES: Row = {
  title: "Stores",
  panels: [
    {
      title: "Journal: rows, of the most that it may have",
      unit: "percentunit",
      queries: [["tallygate_journal_rows / tallygate_journal_rows_max", "{{instance}}"]],
    },
    {
      title: "Records that wait for the ledger",
      unit: "none",
      queries: [["tallygate_journal_backlog_rows", "{{instance}}"]],
    },
    {
      title: "How late the ledger is",
      unit: "s",
      queries: [
        ["tallygate_journal_oldest_seconds", "oldest, {{instance}}"],
        ["tallygate_ingest_lag_seconds", "newest shipped, {{instance}}"],
      ],
    },
    {
      title: "Records shipped",
      unit: "cps",
      queries: [[`rate(tallygate_journal_shipped_total[${RATE}])`, "{{instance}}"]],
    },
    {
      title: "Gone by retention",
      description: "Records deleted, and months dropped, for being older than their organizations keep them.",
      unit: "none",
      queries: [
        [`sum(increase(tallygate_retention_deleted_records_total[${RATE}]))`, "records"],
        [`sum(increase(tallygate_retention_dropped_months_total[${RATE}]))`, "months"],
      ],
    },
    { title: "Journal on the disk", unit: "bytes", queries: [["tallygate_journal_bytes", "{{instance}}"]] },
    {
      title: "Limits without their store",
      description: "What was decided while Redis was away, and what it has not been told yet.",
      unit: "none",
      queries: [
        [`sum(rate(tallygate_limit_local_admits_total[${RATE}]))`, "admitted by share, a second"],
        [`sum(rate(tallygate_limit_away_refusals_total[${RATE}]))`, "refused, a second"],
        [`sum(rate(tallygate_limit_store_failures_total[${RATE}]))`, "failed acts, a second"],
        ["sum(tallygate_limit_local_calls)", "local calls"],
        ["sum(tallygate_limit_settles_waiting)", "settles waiting"],
        [`sum(increase(tallygate_limit_settles_dropped_total[${RATE}]))`, "settles dropped"],
        [`sum(increase(tallygate_limit_store_outages_total[${RATE}]))`, "outages"],
      ],
    },
    {
      title: "Counters beside the ledger",
      description: "Of windows that are over. None should differ.",
      unit: "none",
      queries: [
        [`sum(increase(tallygate_limit_counters_compared_total[${RATE}]))`, "compared"],
        [`sum(increase(tallygate_limit_counters_drifted_total[${RATE}]))`, "differed, put right"],
      ],
    },
    {
      title: "Owners of provider objects",
      unit: "none",
      queries: [
        ["sum(tallygate_provider_objects_waiting)", "waiting"],
        [`sum(increase(tallygate_provider_objects_dropped_total[${RATE}]))`, "dropped"],
      ],
    },
  ],
}

const MESSAGES: Row = {
  title: "Alerts and digests",
  panels: [
    {
      title: "Messages that wait",
      description: "The same on every proxy, since they share the outbox.",
      unit: "none",
      queries: [["max(tallygate_alert_deliveries_waiting)", "waiting"]],
    },
    {
      title: "Age of the oldest message that waits",
      unit: "s",
      queries: [["max(tallygate_alert_deliveries_oldest_seconds)", "oldest"]],
    },
    {
      title: "Attempts to deliver",
      unit: "none",
      queries: [[`sum by (outcome) (increase(tallygate_alert_delivery_attempts_total[${RATE}]))`, "{{outcome}}"]],
    },
  ],
}

const PROCESS: Row = {
  title: "Processes",
  panels: [
    { title: "CPU", unit: "percentunit", queries: [[`rate(process_cpu_seconds_total[${RATE}])`, "{{instance}}"]] },
    { title: "Memory", unit: "bytes", queries: [["process_resident_memory_bytes", "{{instance}}"]] },
    { title: "Event loop lag, p99", unit: "s", queries: [["nodejs_eventloop_lag_p99_seconds", "{{instance}}"]] },
    {
      title: "Workers",
      description: "With WORKERS above 1 only.",
      unit: "none",
      queries: [
        ["sum by (instance, state) (tallygate_workers)", "{{state}}, {{instance}}"],
        [`sum by (instance) (increase(tallygate_worker_deaths_total[${RATE}]))`, "died, {{instance}}"],
      ],
    },
    {
      title: "Age of the configuration",
      description: "Since it was loaded last, by a start or a reload.",
      unit: "s",
      queries: [["time() - tallygate_config_last_reload_timestamp_seconds", "{{instance}}"]],
    },
    {
      title: "Versions",
      unit: "none",
      queries: [["count by (version, node) (tallygate_build_info)", "{{version}} on Node {{node}}"]],
    },
  ],
}

const ROWS: readonly Row[] = [NOW, CALLS_ROW, MONEY, LATENCY, STORES, MESSAGES, PROCESS]

/** Every expression that the dashboard asks Prometheus for. */
export function dashboardQueries(): string[] {
  return ROWS.flatMap(({ panels }) => panels.flatMap(({ queries }) => queries.map(([expr]) => expr)))
}

/** The whole file's text. */
export function dashboardText(): string {
  let id = 0
  let y = 0
  const panels = ROWS.flatMap((row) => {
    const placed: object[] = [
      { id: ++id, type: "row", title: row.title, collapsed: false, gridPos: at(0, y, COLUMNS, 1) },
    ]
    y += 1
    const isStats = row.panels.every(({ kind }) => kind === "stat")
    const perLine = isStats ? row.panels.length : 3
    const [width, height] = [Math.floor(COLUMNS / perLine), isStats ? STAT_HEIGHT : PANEL_HEIGHT]
    row.panels.forEach((panel, index) => {
      const [column, line] = [index % perLine, Math.floor(index / perLine)]
      placed.push({ id: ++id, ...panelJson(panel), gridPos: at(column * width, y + line * height, width, height) })
    })
    y += Math.ceil(row.panels.length / perLine) * height
    return placed
  })
  return `${JSON.stringify({ ...HEAD, panels }, null, 2)}\n`
}

function at(x: number, y: number, w: number, h: number): object {
  return { x, y, w, h }
}

function panelJson(panel: Panel): object {
  const { title, description = "", unit, queries, kind = "timeseries", isStacked = false } = panel
  const targets = queries.map(([expr, legendFormat], index) => {
    return { refId: String.fromCharCode(65 + index), datasource: SOURCE, expr, legendFormat, range: true }
  })
  const fieldConfig = {
    defaults: { unit, min: 0, thresholds: thresholdsOf(panel), custom: lineStyle(isStacked) },
    overrides: [],
  }
  const base = { type: kind, title, description, datasource: SOURCE, targets, fieldConfig }
  if (kind === "stat") {
    const reduceOptions = { calcs: ["lastNotNull"], fields: "", values: false }
    const colorMode = panel.redFrom === undefined && panel.redBelow === undefined ? "none" : "value"
    return { ...base, options: { reduceOptions, colorMode, graphMode: "area", textMode: "auto" } }
  }
  const legend = { displayMode: "table", placement: "bottom", calcs: ["lastNotNull", "max"] }
  return { ...base, options: { legend, tooltip: { mode: "multi", sort: "desc" } } }
}

function lineStyle(isStacked: boolean): object {
  if (!isStacked) return { lineWidth: 1, fillOpacity: 0, showPoints: "never" }
  return { lineWidth: 1, fillOpacity: 40, showPoints: "never", stacking: { mode: "normal", group: "A" } }
}

/** The first step has no value in Grafana's model: it begins below everything. */
function thresholdsOf({ redFrom, redBelow }: Panel): object {
  const steps =
    redFrom !== undefined
      ? [
          { color: "green", value: null },
          { color: "red", value: redFrom },
        ]
      : redBelow !== undefined
        ? [
            { color: "red", value: null },
            { color: "green", value: redBelow },
          ]
        : [{ color: "text", value: null }]
  return { mode: "absolute", steps }
}

function filterBy(label: string): object {
  const query = `label_values(tallygate_requests_total, ${label})`
  return {
    name: label,
    label,
    type: "query",
    datasource: SOURCE,
    query: { query, refId: label },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: ".*",
    current: { text: "All", value: "$__all" },
  }
}

const HEAD = {
  uid: "tallygate",
  title: "Tallygate",
  description: "Calls, tokens, money and health of Tallygate. Made by deploy/grafana-dashboard.ts.",
  tags: ["tallygate"],
  timezone: "browser",
  editable: true,
  graphTooltip: 1,
  refresh: "30s",
  schemaVersion: 39,
  version: 1,
  time: { from: "now-3h", to: "now" },
  templating: {
    list: [
      { name: "datasource", label: "Data source", type: "datasource", query: "prometheus", current: {} },
      filterBy("provider"),
      filterBy("model"),
    ],
  },
  annotations: { list: [] },
  links: [],
}

if (import.meta.main) writeFileSync(DASHBOARD_FILE, dashboardText())

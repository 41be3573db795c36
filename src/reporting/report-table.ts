/**
 * A report as a table: exactly the view, one row for each group, or for each bucket of each group. The groups beyond the
 * top are one row named `other`; without groups there is one row, or one for each bucket.
 */
import { MEASURES, type Sums } from "./measures.ts"
import { type Names, NO_NAMES } from "./names.ts"
import type { GroupName } from "./question.ts"
import type { Cell, Column } from "./table.ts"
import type { UsageReport } from "./usage-report.ts"

/** The value of a group in the row of all groups beyond the top. */
export const OTHER = "other"

/** Dimensions whose ids have names. */
const NAMED: ReadonlySet<GroupName> = new Set(["organization", "project", "user", "key"])

type ReportRow = {
  readonly key: Readonly<Partial<Record<GroupName, string>>>
  readonly isOther: boolean
  readonly sums: Partial<Sums>
  readonly previous: Partial<Sums> | null
  readonly series: readonly Partial<Sums>[] | null
}

const SUM_COLUMNS = ["tokens", ...MEASURES] as const

export function reportColumns(report: UsageReport): Column[] {
  const groups = report.groupBy.flatMap((name) => {
    if (name === "project") return ["project_id", "project", "client", "cost_center"]
    return NAMED.has(name) ? [`${name}_id`, name] : [name]
  })
  const texts = ["bucket", ...groups]
  const latencies = report.totals.latency === undefined ? [] : LATENCY_COLUMNS
  const before = report.previous === null ? [] : PREVIOUS_COLUMNS
  return [
    { name: "from", kind: "time" },
    { name: "until", kind: "time" },
    { name: "time_zone", kind: "text" },
    ...texts.map((name): Column => ({ name, kind: "text" })),
    ...[...SUM_COLUMNS, ...latencies, ...before].map((name): Column => ({ name, kind: "number" })),
    { name: "as_of", kind: "time" },
  ]
}

const PREVIOUS_COLUMNS = ["previous_records", "previous_tokens", "previous_cost_usd"]
const LATENCY_COLUMNS = ["duration", "ttft"].flatMap((name) => ["p50", "p95", "p99"].map((p) => `${name}_${p}_ms`))

export function* reportRows(report: UsageReport, names: Names = NO_NAMES): Generator<Cell[]> {
  const asOf = new Date(report.asOfMs).toISOString()
  for (const row of rowsOf(report)) {
    const key = report.groupBy.flatMap((name) => keyCells(name, row, names))
    const shown = (fromMs: number, toMs: number, label: string | null, sums: Partial<Sums>, isWhole: boolean) => [
      new Date(fromMs).toISOString(),
      new Date(toMs).toISOString(),
      report.timeZone,
      label,
      ...key,
      ...sumCells(report, sums),
      ...(report.previous === null ? [] : previousCells(isWhole ? row.previous : null)),
      asOf,
    ]
    if (report.buckets === null) yield shown(report.fromMs, report.toMs, null, row.sums, true)
    // What a group was before is known of the range as a whole, not of each bucket.
    for (const [index, { fromMs, toMs, label }] of (report.buckets ?? []).entries()) {
      yield shown(fromMs, toMs, label, row.series?.[index] ?? {}, false)
    }
  }
}

function rowsOf(report: UsageReport): ReportRow[] {
  if (report.classes !== null) {
    return report.classes.map(({ tokenClass, ...of }) => ({ key: { token_class: tokenClass }, isOther: false, ...of }))
  }
  if (report.groupBy.length === 0) {
    const { totals: sums, series, previous } = report
    return [{ key: {}, isOther: false, sums, series, previous: previous?.totals ?? null }]
  }
  const groups = report.groups.map((group) => ({ ...group, isOther: false }))
  return report.other === null ? groups : [...groups, { key: {}, isOther: true, ...report.other }]
}

function keyCells(name: GroupName, { key, isOther }: ReportRow, names: Names): Cell[] {
  const value = isOther ? OTHER : (key[name] ?? "")
  if (!NAMED.has(name)) return [value]
  const named = isOther ? undefined : names.get(name)?.get(value)
  if (name === "project") return [value, named?.name ?? null, named?.client ?? null, named?.costCenter ?? null]
  return [value, named?.name ?? null]
}

function sumCells(report: UsageReport, sums: Partial<Sums>): Cell[] {
  const cells: Cell[] = SUM_COLUMNS.map((name) => sums[name] ?? null)
  if (report.totals.latency === undefined) return cells
  const latencies = (["duration", "ttft"] as const).flatMap((name) => {
    const found = sums.latency?.[name]
    return [found?.p50, found?.p95, found?.p99].map((ms) => (ms === undefined ? null : String(ms)))
  })
  return [...cells, ...latencies]
}

function previousCells(previous: Partial<Sums> | null): Cell[] {
  return [previous?.records ?? null, previous?.tokens ?? null, previous?.cost_usd ?? null]
}

/** Parts that Overview and Usage share: the chart in its card, and the table of a breakdown. */
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import type { Query } from "../api/client.ts"
import type { Realm } from "../api/realm.ts"
import { type Series, seriesQuery } from "../api/usage.ts"
import type { ChartData, ChartSeries } from "../charts/chart-data.ts"
import { Lines, PlotPlace, StackedBars } from "../charts/lazy.tsx"
import { isZero } from "../format/format.ts"
import { bucketTitle, dayRange, shortDayRange } from "../format/moment.ts"
import { Failure } from "../ui/card.tsx"
import { Swatch } from "../ui/pill.tsx"
import { DataTable } from "../ui/table.tsx"
import { chartOf } from "../view/chart-of.ts"
import type { GroupName, MeasureName } from "../view/view.ts"

const PLOT_HEIGHT = "h-[240px] sm:h-[300px]"

export function useSeries(realm: Realm, query: Query) {
  return useQuery(seriesQuery(realm, query))
}

type SeriesState = ReturnType<typeof useSeries>

/** The plot with its legend, or the same as a table. */
export function SeriesBody({
  state,
  by,
  measure,
  isTable,
  onPick,
}: {
  state: SeriesState
  by: readonly GroupName[]
  measure: MeasureName
  isTable: boolean
  onPick?: ChartData["onPick"]
}) {
  const { data, isError, error, refetch } = state
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set())
  if (isError && data === undefined) return <Failure error={error} what="The chart" retry={() => void refetch()} />
  // Its place is kept, so that nothing jumps when the plot comes.
  if (data === undefined) return <div className={`${PLOT_HEIGHT} rounded-item bg-sunken/50`} data-pending />
  const whole = chartOf(data, by, measure, onPick)
  if (isTable) return <SeriesTable chart={whole} />
  if (isNothing(whole)) return <NoMarks data={data} />
  const chart = without(whole, hidden)
  return (
    <>
      <PlotPlace>{measure === "latency" ? <Lines data={chart} /> : <StackedBars data={chart} />}</PlotPlace>
      <Legend whole={whole} data={data} hidden={hidden} setHidden={setHidden} />
    </>
  )
}

function isNothing({ totals, earlier, series }: ChartData): boolean {
  if (totals === null) return series.every(({ values }) => values.every((value) => value === null))
  return totals.every(isZero) && (earlier ?? []).every(({ total }) => isZero(total))
}

/** In place of an empty plot, of its height. */
function NoMarks({ data: { range } }: { data: Series }) {
  return (
    <div className={`${PLOT_HEIGHT} flex items-center justify-center text-body text-ink2`}>
      Nothing was called in {dayRange(range.from, range.until, range.time_zone)}. What is called is drawn here within a
      second.
    </div>
  )
}

/** A series alone or left out. The totals of what is hidden are not guessed: bars then show what they are made of alone. */
function without(chart: ChartData, hidden: ReadonlySet<string>): ChartData {
  if (hidden.size === 0) return chart
  return { ...chart, series: chart.series.filter(({ id }) => !hidden.has(id)), earlier: null, running: null }
}

function Legend({
  whole,
  data,
  hidden,
  setHidden,
}: {
  whole: ChartData
  data: Series
  hidden: ReadonlySet<string>
  setHidden: (hidden: ReadonlySet<string>) => void
}) {
  const toggle = (one: ChartSeries, isShift: boolean) => {
    const others = whole.series.filter(({ id }) => id !== one.id).map(({ id }) => id)
    if (isShift) return setHidden(hidden.has(one.id) ? minus(hidden, one.id) : new Set([...hidden, one.id]))
    setHidden(hidden.size === others.length && !hidden.has(one.id) ? new Set() : new Set(others))
  }
  const zone = whole.timeZone
  return (
    <div className="mt-3 flex flex-wrap gap-x-4 gap-y-1.5 text-meta text-ink2">
      {whole.series.length > 1 &&
        whole.series.map((one) => (
          <button
            key={one.id}
            type="button"
            aria-pressed={!hidden.has(one.id)}
            title="Click: this one alone. Shift-click: without it."
            onClick={(event) => toggle(one, event.shiftKey)}
            className={`inline-flex max-w-60 items-center rounded-mark max-sm:min-h-8 ${hidden.has(one.id) ? "opacity-50 line-through" : ""}`}
          >
            <Swatch slot={one.slot} />
            <span className="truncate">{one.name}</span>
          </button>
        ))}
      {hidden.size > 0 && <span className="text-ink3">{hidden.size} hidden; totals in tooltips count all</span>}
      {whole.earlier !== null && data.previous !== null && hidden.size === 0 && (
        <span className="inline-flex items-center">
          <svg width="14" height="2" aria-hidden="true" className="mr-1.5">
            <rect width="14" height="2" fill="var(--ink)" />
          </svg>
          {shortDayRange(data.previous.from, data.previous.until, zone)}
        </span>
      )}
      {whole.running !== null && hidden.size === 0 && whole.totals !== null && (
        <span className="inline-flex items-center">
          <svg width="11" height="11" aria-hidden="true" className="mr-1.5">
            <rect x="0.5" y="0.5" width="10" height="10" fill="none" stroke="var(--ink)" strokeDasharray="2.5 2" />
          </svg>
          {whole.bucket === "day" ? "today so far" : `this ${whole.bucket} so far`}
        </span>
      )}
    </div>
  )
}

function SeriesTable({ chart }: { chart: ChartData }) {
  const { buckets, bucket, timeZone, series, totals, say } = chart
  const rows = buckets.map((one, index) => ({ index, from: one.from }))
  return (
    <div className="max-h-[420px] overflow-y-auto">
      <DataTable
        label={chart.label}
        rows={rows}
        rowId={({ from }) => from}
        columns={[
          {
            id: "bucket",
            head: bucket === "hour" ? "Hour" : "Day",
            cell: ({ from }) => bucketTitle(from, bucket, timeZone),
          },
          ...(totals === null
            ? []
            : [
                {
                  id: "total",
                  head: "Total",
                  isFigure: true,
                  className: "font-[550]",
                  cell: ({ index }: { index: number }) => say(totals[index] ?? "0"),
                },
              ]),
          ...series.map((one) => ({
            id: one.id === "" ? "(none)" : one.id,
            head: one.name,
            isFigure: true,
            cell: ({ index }: { index: number }) => {
              const value = one.values[index]
              return value == null ? "–" : say(value)
            },
          })),
        ]}
      />
    </div>
  )
}

function minus(set: ReadonlySet<string>, id: string): ReadonlySet<string> {
  return new Set([...set].filter((one) => one !== id))
}

/** What the limit's windows have used of its cap, each as a bar against the cap that was in force, or as a table. */
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { type LimitWindow, type ScopedLimit, windowsQuery } from "../../api/limits.ts"
import type { ChartData } from "../../charts/chart-data.ts"
import { PlotPlace, StackedBars } from "../../charts/lazy.tsx"
import { axisCount, axisMoney, count, total } from "../../format/format.ts"
import { bucketTitle, shortDayRange } from "../../format/moment.ts"
import { TextButton } from "../../ui/button.tsx"
import { Failure, Skeleton } from "../../ui/card.tsx"
import { Missing, Pill } from "../../ui/pill.tsx"
import { DataTable } from "../../ui/table.tsx"
import { isRate } from "./rows.ts"
import { percentWords, toneOfPercent } from "./words.ts"

const PLOT_HEIGHT = "h-[180px]"
/** Fewer windows than these say more as a table. */
const PLOTTED_MIN = 3

export function History({ limit, counted }: { limit: ScopedLimit; counted: string | null }) {
  const { data, error, refetch } = useQuery(windowsQuery(limit.id, counted))
  const [isTable, setTable] = useState(false)
  const mayPlot = (data?.length ?? 0) >= PLOTTED_MIN && data?.[0]?.from != null
  return (
    <section>
      <div className="mb-2 flex items-center gap-3">
        <h3 className="mr-auto text-body font-semibold">
          Earlier windows <span className="font-normal text-ink3">used, against the cap</span>
        </h3>
        {mayPlot && (
          <TextButton onClick={() => setTable(!isTable)}>{isTable ? "View as chart" : "View as table"}</TextButton>
        )}
      </div>
      {error !== null && data === undefined ? (
        <Failure error={error} what="Earlier windows" retry={() => void refetch()} />
      ) : data === undefined ? (
        <Skeleton lines={4} />
      ) : data.length === 0 ? (
        <p className="text-table text-ink2">{nothingWords(limit)}</p>
      ) : mayPlot && !isTable ? (
        <Plot windows={data} limit={limit} />
      ) : (
        <WindowTable windows={data} limit={limit} />
      )}
    </section>
  )
}

function nothingWords({ window }: ScopedLimit): string {
  if (isRate(window)) return "A rate has no windows to look back on: it fills and drains by the second."
  if (window === "none") return "Calls at once have no windows to look back on."
  return "Nothing was used in any window. The first call shows up here."
}

function Plot({ windows, limit }: { windows: readonly LimitWindow[]; limit: ScopedLimit }) {
  const data = chartOfWindows(windows, limit)
  return (
    <>
      <PlotPlace>
        <StackedBars data={data} heightClass={PLOT_HEIGHT} />
      </PlotPlace>
      <p className="mt-2 flex flex-wrap gap-x-4 text-meta text-ink2">
        <span className="inline-flex items-center">
          <svg width="14" height="2" aria-hidden="true" className="mr-1.5">
            <rect width="14" height="2" fill="var(--ink)" />
          </svg>
          cap in force
        </span>
        {data.running !== null && (
          <span className="inline-flex items-center">
            <svg width="11" height="11" aria-hidden="true" className="mr-1.5">
              <rect x="0.5" y="0.5" width="10" height="10" fill="none" stroke="var(--ink)" strokeDasharray="2.5 2" />
            </svg>
            this window so far
          </span>
        )}
      </p>
    </>
  )
}

function chartOfWindows(windows: readonly LimitWindow[], { kind, window, time_zone: zone }: ScopedLimit): ChartData {
  const inOrder = [...windows].reverse()
  const bucket = window === "day" || window === "rolling" ? "day" : window === "week" ? "week" : "month"
  const running = inOrder.findIndex(({ is_current: isCurrent }) => isCurrent)
  const used = inOrder.map(({ settled }) => settled)
  return {
    label: `Used in each ${window === "rolling" ? "stretch of days" : window}, against the cap`,
    bucket,
    timeZone: zone,
    // Of a rolling window its last day names it, which is the one before its end.
    buckets: inOrder.map(({ from, until }) => {
      const start = window === "rolling" ? new Date(Date.parse(until ?? "") - 1).toISOString() : (from ?? "")
      return { from: start, until: until ?? "" }
    }),
    series: [{ id: "used", name: "Used", slot: "bar", values: used }],
    totals: used,
    earlier: inOrder.map(({ from, cap }) => ({ from: from ?? "", total: cap })),
    earlierName: "Cap",
    running: running === -1 ? null : running,
    axis: kind === "usd" ? axisMoney : axisCount,
    say: kind === "usd" ? total : count,
  }
}

function WindowTable({ windows, limit }: { windows: readonly LimitWindow[]; limit: ScopedLimit }) {
  const say = limit.kind === "usd" ? total : count
  return (
    <div className="max-h-[360px] overflow-y-auto">
      <DataTable
        label="Earlier windows"
        rows={windows}
        rowId={({ id, counted }) => `${id} ${counted ?? ""}`}
        columns={[
          { id: "window", head: "Window", cell: (window) => <WindowName window={window} limit={limit} /> },
          { id: "used", head: "Used", isFigure: true, className: "font-[550]", cell: ({ settled }) => say(settled) },
          { id: "cap", head: "Cap", isFigure: true, cell: ({ cap }) => say(cap) },
          {
            id: "percent",
            head: "Part",
            isFigure: true,
            cell: ({ percent }) => <Pill tone={toneOfPercent(percent)}>{percentWords(percent)}</Pill>,
          },
          {
            id: "refused",
            head: "Refused",
            isFigure: true,
            from: "sm",
            cell: ({ refusals, shadow_refusals: shadowed }) =>
              count(limit.enforcement === "shadow" ? shadowed : refusals),
          },
        ]}
      />
    </div>
  )
}

function WindowName({
  window: { from, until, is_current: isCurrent },
  limit,
}: {
  window: LimitWindow
  limit: ScopedLimit
}) {
  if (from === null || until === null) return <Missing why="It counts for ever" />
  const { window, time_zone: zone } = limit
  const name = window === "day" ? bucketTitle(from, "day", zone) : shortDayRange(from, until, zone)
  return (
    <>
      {name}
      {isCurrent && <span className="text-ink3">, so far</span>}
    </>
  )
}

/** Inside a plot: the columns behind the marks (weekends, midnights) and before them (what is pointed at, earlier totals). */

import { useEffect } from "react"
import { usePlotArea, useXAxisScale, useYAxisScale } from "recharts"
import { lengthOf } from "../format/format.ts"
import { isWeekend } from "../format/moment.ts"
import type { ChartData } from "./chart-data.ts"
import type { Active } from "./chart-frame.tsx"

/** Where a column stands, in pixels of the whole plot. */
export type ColumnPlace = { readonly left: number; readonly right: number; readonly plotWidth: number }

type Column = { readonly index: number; readonly x: number; readonly width: number }

function useColumns(count: number): { columns: readonly Column[]; top: number; height: number; plotWidth: number } {
  const area = usePlotArea()
  const scale = useXAxisScale()
  if (area === undefined || scale === undefined) return { columns: [], top: 0, height: 0, plotWidth: 0 }
  const width = area.width / Math.max(count, 1)
  const columns = Array.from({ length: count }, (_, index) => ({ index, x: area.x + index * width, width }))
  return { columns, top: area.y, height: area.height, plotWidth: area.x + area.width }
}

/** Saturdays and Sundays, in the colour of the page. */
export function Weekends({ data: { buckets, bucket, timeZone } }: { data: ChartData }) {
  const { columns, top, height } = useColumns(buckets.length)
  if (bucket !== "day") return null
  return columns
    .filter(({ index }) => isWeekend(buckets[index]?.from ?? "", timeZone))
    .map(({ index, x, width }) => <rect key={index} x={x} y={top} width={width} height={height} fill="var(--bg)" />)
}

/** The earlier range, as a tick across each column with a halo, so that it shows on every colour. */
export function Ghosts({ data: { buckets, earlier } }: { data: ChartData }) {
  const { columns } = useColumns(buckets.length)
  const scale = useYAxisScale()
  if (earlier === null || scale === undefined) return null
  return columns.map(({ index, x, width }) => {
    const before = earlier[index]
    const y = before === undefined ? undefined : scale(lengthOf(before.total))
    if (y === undefined || before === undefined || lengthOf(before.total) === 0) return null
    const line = { x1: x + width * 0.16, x2: x + width * 0.84, y1: y, y2: y }
    return (
      <g key={index}>
        <line {...line} stroke="var(--surface)" strokeWidth="4" />
        <line {...line} stroke="var(--ink)" strokeWidth="2" />
      </g>
    )
  })
}

/** Whole columns to point at; the one that is, outlined. The running one dashed. */
export function HitColumns({ data, active }: { data: ChartData; active: Active }) {
  const { columns, top, height, plotWidth } = useColumns(data.buckets.length)
  const { index: shown, onPlace } = active
  const at = shown === null ? undefined : columns[shown]
  const [left, right] = at === undefined ? [null, null] : [at.x, at.x + at.width]
  useEffect(() => {
    onPlace(left === null || right === null ? null : { left, right, plotWidth })
  }, [left, right, plotWidth, onPlace])
  return (
    <g>
      {at !== undefined && (
        <rect
          x={at.x + 0.75}
          y={top}
          width={Math.max(at.width - 1.5, 1)}
          height={height}
          rx="2"
          fill="none"
          stroke="var(--accent)"
          strokeWidth="1.5"
        />
      )}
      {columns.map(({ index, x, width }) => (
        // biome-ignore lint/a11y/noStaticElementInteractions: the plot around it takes the keys
        <rect
          key={index}
          x={x}
          y={top}
          width={width}
          height={height}
          fill="transparent"
          onMouseEnter={() => active.onPoint(index)}
          onClick={() => active.onPin(index)}
          onDoubleClick={() => data.onPick?.(index, null)}
        />
      ))}
    </g>
  )
}

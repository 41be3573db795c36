/**
 * Money, tokens, requests over time: bars from zero, stacked in one order everywhere, the largest at the bottom. Segments
 * stand apart by a pixel, so that colour is never the only thing between them.
 */

import { useState } from "react"
import {
  Bar,
  CartesianGrid,
  ComposedChart,
  DefaultZIndexes,
  ResponsiveContainer,
  XAxis,
  YAxis,
  ZIndexLayer,
} from "recharts"
import { lengthOf } from "../format/format.ts"
import { bucketTick } from "../format/moment.ts"
import type { ChartData } from "./chart-data.ts"
import { ChartFrame } from "./chart-frame.tsx"
import { Ghosts, HitColumns, Weekends } from "./columns.tsx"
import { RunningColumn } from "./running-column.tsx"
import { namedColumns, ticksUpTo } from "./ticks.ts"

/** Of the slot; what is left is air. */
const BAR_SHARE = 0.66
const MARGIN = { top: 10, right: 6, bottom: 0, left: 0 }
const TICK = { fontSize: 11, fill: "var(--ink3)" }
const NAME_PX = 24

export function StackedBars({
  data,
  heightClass = "h-[240px] sm:h-[300px]",
}: {
  data: ChartData
  heightClass?: string
}) {
  const [width, setWidth] = useState(600)
  const { buckets, bucket, series, timeZone, axis } = data
  const rows = buckets.map((_, index) => ({
    index,
    ...Object.fromEntries(series.map(({ id, values }) => [id, lengthOf(values[index] ?? "0")])),
  }))
  const heights = [...(data.totals ?? []), ...(data.earlier ?? []).map(({ total }) => total)].map(lengthOf)
  const ticks = ticksUpTo(Math.max(0, ...heights))
  const named = namedColumns(buckets.length, width - 60, bucket === "month" || bucket === "week" ? 52 : NAME_PX)
  return (
    <ChartFrame data={data} heightClass={heightClass}>
      {(active) => (
        <ResponsiveContainer width="100%" height="100%" onResize={setWidth}>
          <ComposedChart
            data={rows}
            margin={MARGIN}
            accessibilityLayer={false}
            barCategoryGap={`${(1 - BAR_SHARE) * 50}%`}
          >
            <Weekends data={data} />
            <CartesianGrid vertical={false} stroke="var(--line)" />
            <XAxis
              dataKey="index"
              scale="band"
              ticks={[...named]}
              tickFormatter={(index: number) => bucketTick(buckets[index]?.from ?? "", bucket, timeZone, index === 0)}
              tick={TICK}
              tickLine={false}
              axisLine={{ stroke: "var(--edge)" }}
              interval={0}
            />
            <YAxis
              ticks={[...ticks]}
              domain={[0, ticks.at(-1) ?? 1]}
              tickFormatter={axis}
              tick={TICK}
              tickLine={false}
              axisLine={false}
              width={50}
            />
            {series.map(({ id, slot }) => (
              <Bar
                key={id}
                dataKey={id}
                stackId="all"
                fill={`var(--${slot})`}
                isAnimationActive={false}
                shape={Segment}
              />
            ))}
            <ZIndexLayer zIndex={DefaultZIndexes.line}>
              <RunningColumn data={data} share={BAR_SHARE} />
              <Ghosts data={data} />
            </ZIndexLayer>
            <ZIndexLayer zIndex={DefaultZIndexes.activeBar}>
              <HitColumns data={data} active={active} />
            </ZIndexLayer>
          </ComposedChart>
        </ResponsiveContainer>
      )}
    </ChartFrame>
  )
}

type SegmentProps = { x?: number; y?: number; width?: number; height?: number; fill?: string }

/** A segment with a gap of a pixel above it. */
function Segment({ x = 0, y = 0, width = 0, height = 0, fill }: SegmentProps) {
  if (height <= 0) return null
  const gap = height > 1.6 ? 1 : 0
  return <rect x={x} y={y + gap} width={width} height={Math.max(height - gap, 0.6)} fill={fill} />
}

/** Rates and latencies over time: lines, never stacked, with a gap where nothing was measured. */

import { useState } from "react"
import {
  CartesianGrid,
  ComposedChart,
  DefaultZIndexes,
  Line,
  ResponsiveContainer,
  XAxis,
  YAxis,
  ZIndexLayer,
} from "recharts"
import { lengthOf } from "../format/format.ts"
import { bucketTick } from "../format/moment.ts"
import type { ChartData } from "./chart-data.ts"
import { ChartFrame } from "./chart-frame.tsx"
import { HitColumns, Weekends } from "./columns.tsx"
import { namedColumns, ticksUpTo } from "./ticks.ts"

const MARGIN = { top: 10, right: 6, bottom: 0, left: 0 }
const TICK = { fontSize: 11, fill: "var(--ink3)" }
const NAME_PX = 24

export function Lines({ data, heightClass = "h-[240px] sm:h-[300px]" }: { data: ChartData; heightClass?: string }) {
  const [width, setWidth] = useState(600)
  const { buckets, bucket, series, timeZone, axis } = data
  const rows = buckets.map((_, index) => ({
    index,
    ...Object.fromEntries(series.map(({ id, values }) => [id, numberOrGap(values[index])])),
  }))
  const largest = Math.max(0, ...series.flatMap(({ values }) => values.map((value) => lengthOf(value ?? "0"))))
  const ticks = ticksUpTo(largest)
  const named = namedColumns(buckets.length, width - 60, bucket === "month" || bucket === "week" ? 52 : NAME_PX)
  return (
    <ChartFrame data={data} heightClass={heightClass}>
      {(active) => (
        <ResponsiveContainer width="100%" height="100%" onResize={setWidth}>
          <ComposedChart data={rows} margin={MARGIN} accessibilityLayer={false}>
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
            {series.map(({ id, slot, isThin = false }) => (
              <Line
                key={id}
                dataKey={id}
                type="linear"
                stroke={`var(--${slot})`}
                strokeWidth={isThin ? 1 : 2}
                dot={buckets.length < 3}
                isAnimationActive={false}
                connectNulls={false}
              />
            ))}
            <ZIndexLayer zIndex={DefaultZIndexes.activeBar}>
              <HitColumns data={data} active={active} />
            </ZIndexLayer>
          </ComposedChart>
        </ResponsiveContainer>
      )}
    </ChartFrame>
  )
}

function numberOrGap(value: string | null | undefined): number | null {
  return value == null ? null : lengthOf(value)
}

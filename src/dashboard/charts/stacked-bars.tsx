/**
 * Money, tokens, requests over time: bars from zero, stacked in one order everywhere, the largest at the bottom. Segments
 * stand apart by a pixel, so that colour is never the only thing between them.
 */

import { useState } from "react"
import { Bar, ComposedChart, DefaultZIndexes, ResponsiveContainer, ZIndexLayer } from "recharts"
import { lengthOf } from "../format/format.ts"
import { Axes, MARGIN } from "./axes.tsx"
import type { ChartData } from "./chart-data.ts"
import { ChartFrame } from "./chart-frame.tsx"
import { Ghosts, HitColumns } from "./columns.tsx"
import { RunningColumn } from "./running-column.tsx"
import { ticksUpTo } from "./ticks.ts"

/** Of the slot; what is left is air. */
const BAR_SHARE = 0.66

export function StackedBars({
  data,
  heightClass = "h-[240px] sm:h-[300px]",
}: {
  data: ChartData
  heightClass?: string
}) {
  const [width, setWidth] = useState(600)
  const { buckets, series } = data
  const rows = buckets.map((_, index) => ({
    index,
    ...Object.fromEntries(series.map(({ id, values }) => [id, lengthOf(values[index] ?? "0")])),
  }))
  const heights = [...(data.totals ?? []), ...(data.earlier ?? []).map(({ total }) => total)].map(lengthOf)
  const ticks = ticksUpTo(Math.max(0, ...heights))
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
            <Axes data={data} ticks={ticks} width={width} />
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

/** Rates and latencies over time: lines, never stacked, with a gap where nothing was measured. */

import { useState } from "react"
import { ComposedChart, DefaultZIndexes, Line, ResponsiveContainer, ZIndexLayer } from "recharts"
import { lengthOf } from "../format/format.ts"
import { Axes, MARGIN } from "./axes.tsx"
import type { ChartData } from "./chart-data.ts"
import { ChartFrame } from "./chart-frame.tsx"
import { HitColumns } from "./columns.tsx"
import { ticksUpTo } from "./ticks.ts"

export function Lines({ data, heightClass = "h-[240px] sm:h-[300px]" }: { data: ChartData; heightClass?: string }) {
  const [width, setWidth] = useState(600)
  const { buckets, series } = data
  const rows = buckets.map((_, index) => ({
    index,
    ...Object.fromEntries(series.map(({ id, values }) => [id, numberOrGap(values[index])])),
  }))
  const largest = Math.max(0, ...series.flatMap(({ values }) => values.map((value) => lengthOf(value ?? "0"))))
  const ticks = ticksUpTo(largest)
  return (
    <ChartFrame data={data} heightClass={heightClass}>
      {(active) => (
        <ResponsiveContainer width="100%" height="100%" onResize={setWidth}>
          <ComposedChart data={rows} margin={MARGIN} accessibilityLayer={false}>
            <Axes data={data} ticks={ticks} width={width} />
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

/** What every plot over time stands on: weekends, lines at the ticks, names of buckets below, amounts at the left. */
import { CartesianGrid, XAxis, YAxis } from "recharts"
import { bucketTick } from "../format/moment.ts"
import type { ChartData } from "./chart-data.ts"
import { Weekends } from "./columns.tsx"
import { namedColumns } from "./ticks.ts"

export const MARGIN = { top: 10, right: 6, bottom: 0, left: 0 }
const TICK = { fontSize: 11, fill: "var(--ink3)" }
/** Widths of a bucket's name: `24`, and `W48` or `Nov 2026`. */
const NAME_PX = 24
const LONG_NAME_PX = 52
const AMOUNTS_PX = 60

/** `ticks` are amounts from 0 on; `width` is the plot's, in pixels. */
export function Axes({ data, ticks, width }: { data: ChartData; ticks: readonly number[]; width: number }) {
  const { buckets, bucket, timeZone, axis } = data
  const isLong = bucket === "month" || bucket === "week"
  const named = namedColumns(buckets.length, width - AMOUNTS_PX, isLong ? LONG_NAME_PX : NAME_PX)
  return (
    <>
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
    </>
  )
}

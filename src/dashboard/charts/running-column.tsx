/** The bucket that still runs: outlined in dashes, so that half a day is not taken for a collapse. */
import { usePlotArea, useYAxisScale } from "recharts"
import { lengthOf } from "../format/format.ts"
import type { ChartData } from "./chart-data.ts"

export function RunningColumn({ data: { buckets, running, totals }, share }: { data: ChartData; share: number }) {
  const area = usePlotArea()
  const scale = useYAxisScale()
  if (running === null || totals === null || area === undefined || scale === undefined) return null
  const slot = area.width / Math.max(buckets.length, 1)
  const width = slot * share + 3
  const top = scale(lengthOf(totals[running] ?? "0"))
  const bottom = scale(0)
  if (top === undefined || bottom === undefined || bottom - top < 1) return null
  return (
    <rect
      x={area.x + running * slot + (slot - width) / 2}
      y={top - 1.5}
      width={width}
      height={bottom - top + 1.5}
      fill="none"
      stroke="var(--ink)"
      strokeDasharray="2.5 2"
    />
  )
}

/** Everything about one bucket: its day, its total, every series from the top of the bar down, and the earlier total. */
import { isZero } from "../format/format.ts"
import { bucketTitle } from "../format/moment.ts"
import { Swatch } from "../ui/pill.tsx"
import type { ChartData } from "./chart-data.ts"
import type { ColumnPlace } from "./columns.tsx"

const WIDTH = 248
const GAP = 10

export function ChartTooltip({ data, index, place }: { data: ChartData; index: number; place: ColumnPlace }) {
  const { buckets, bucket, timeZone, series, totals, earlier, say, running } = data
  const from = buckets[index]?.from ?? ""
  const rows = series
    .map((one) => ({ ...one, value: one.values[index] }))
    .filter(({ value }) => value != null && (totals === null || !isZero(value)))
  if (totals !== null) rows.reverse()
  const before = earlier?.[index]
  return (
    <div
      aria-hidden="true"
      className="pointer-events-none absolute z-10 rounded-control border border-edge bg-surface px-3 py-2 text-meta shadow-float max-sm:inset-x-0 max-sm:top-full max-sm:mt-1"
      style={sideOf(place)}
    >
      <p className="flex justify-between gap-4 font-semibold">
        <span>
          {bucketTitle(from, bucket, timeZone)}
          {index === running ? ", so far" : ""}
        </span>
        {totals !== null && <span>{say(totals[index] ?? "0")}</span>}
      </p>
      {rows.map(({ id, name, slot, value }) => (
        <p key={id} className="mt-1 flex justify-between gap-4">
          <span className="min-w-0 truncate">
            <Swatch slot={slot} />
            {name}
          </span>
          <span>{say(value ?? "0")}</span>
        </p>
      ))}
      {before !== undefined && (
        <p className="mt-2 flex justify-between gap-4 text-ink2">
          <span>{data.earlierName ?? bucketTitle(before.from, bucket, timeZone)}</span>
          <span>{say(before.total)}</span>
        </p>
      )}
    </div>
  )
}

/** Beside its column, never over it: right of it where there is room, else left. Below the plot on phones. */
function sideOf({ left, right, plotWidth }: ColumnPlace): React.CSSProperties {
  if (plotWidth < 460) return {}
  const hasRoomRight = right + GAP + WIDTH <= plotWidth
  return { width: WIDTH, top: 0, left: hasRoomRight ? right + GAP : Math.max(0, left - GAP - WIDTH) }
}

/**
 * What all plots over time share: one tab stop, arrows from bucket to bucket, each move spoken; a tooltip for the whole
 * column that a click pins and Escape closes.
 */
import { type KeyboardEvent, type ReactNode, useState } from "react"
import { bucketTitle } from "../format/moment.ts"
import type { ChartData } from "./chart-data.ts"
import type { ColumnPlace } from "./columns.tsx"
import { ChartTooltip } from "./tooltip.tsx"

export type Active = {
  readonly index: number | null
  readonly isPinned: boolean
  readonly onPlace: (place: ColumnPlace | null) => void
  readonly onPoint: (index: number | null) => void
  readonly onPin: (index: number) => void
}

export function ChartFrame({
  data,
  heightClass,
  children,
}: {
  data: ChartData
  heightClass: string
  children: (active: Active) => ReactNode
}) {
  const [index, setIndex] = useState<number | null>(null)
  const [isPinned, setPinned] = useState(false)
  const [place, setPlace] = useState<ColumnPlace | null>(null)
  const [isActive, setActive] = useState(false)
  const leave = () => {
    setIndex(null)
    setPinned(false)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const last = data.buckets.length - 1
    const next = moved(event.key, index, last)
    if (next !== undefined) {
      event.preventDefault()
      setIndex(next)
      setPinned(false)
    } else if (event.key === "Enter" && index !== null && data.onPick !== undefined) {
      event.preventDefault()
      data.onPick(index, null)
    } else if (event.key === "Escape" && index !== null) {
      event.stopPropagation()
      leave()
    }
  }
  const shown = index !== null && index < data.buckets.length ? index : null
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it is an application while it has the focus
    // biome-ignore lint/a11y/useAriaPropsSupportedByRole: it has one of two roles, and both take a label
    <div
      className={`relative rounded-item ${heightClass}`}
      tabIndex={0}
      role={isActive ? "application" : "img"}
      aria-label={`${data.label}. ${isActive ? "Left and right arrows move between buckets, Enter zooms, Escape leaves." : "Use the table view, or the arrow keys here."}`}
      onKeyDown={onKeyDown}
      onFocus={() => setActive(true)}
      onBlur={() => {
        setActive(false)
        leave()
      }}
      onMouseLeave={() => isPinned || setIndex(null)}
    >
      {children({
        index: shown,
        isPinned,
        onPlace: setPlace,
        onPoint: (pointed) => isPinned || setIndex(pointed),
        onPin: (pinned) => {
          setPinned(!(isPinned && index === pinned))
          setIndex(pinned)
        },
      })}
      {shown !== null && place !== null && <ChartTooltip data={data} index={shown} place={place} />}
      <p className="sr-only" aria-live="polite">
        {isActive && shown !== null ? spoken(data, shown) : ""}
      </p>
    </div>
  )
}

function moved(key: string, index: number | null, last: number): number | undefined {
  switch (key) {
    case "ArrowRight":
      return Math.min(last, (index ?? -1) + 1)
    case "ArrowLeft":
      return Math.max(0, (index ?? last + 1) - 1)
    case "Home":
      return 0
    case "End":
      return last
    default:
      return undefined
  }
}

function spoken({ buckets, bucket, timeZone, totals, series, say }: ChartData, index: number): string {
  const title = bucketTitle(buckets[index]?.from ?? "", bucket, timeZone)
  const sum = totals === null ? [] : [`total ${say(totals[index] ?? "0")}`]
  const parts = series.slice(0, 3).flatMap(({ name, values }) => {
    const value = values[index]
    return value == null ? [] : [`${name} ${say(value)}`]
  })
  return [title, ...sum, ...parts].join(", ")
}

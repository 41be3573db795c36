/**
 * How much of a cap is used, with ticks at 70 and 90 per cent, what running calls hold hatched after it, and a line where
 * the window is by the clock. The state is always also in words beside it.
 */
import { useId } from "react"
import { lengthOf } from "../format/format.ts"

export function Meter({
  label,
  used,
  cap,
  said,
  held = "0",
  elapsed = null,
}: {
  label: string
  used: string
  cap: string
  said: string
  /** By calls that run, in the unit of the cap. */
  held?: string
  /** Part of the window that is over, 0 to 1; null where it has no end, or nobody knows. */
  elapsed?: number | null
}) {
  const hatch = useId()
  const of = lengthOf(cap)
  const share = of > 0 ? Math.min(lengthOf(used) / of, 1) : 1
  const heldShare = of > 0 ? Math.min(lengthOf(held) / of, 1 - share) : 0
  const fill = share >= 0.9 ? "fill-badfill" : share >= 0.7 ? "fill-warnfill" : "fill-bar"
  return (
    // biome-ignore lint/a11y/useSemanticElements: a meter element cannot be drawn with ticks
    <svg
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
      aria-valuetext={said}
      viewBox="0 0 100 6"
      preserveAspectRatio="none"
      className="block h-1.5 w-full overflow-hidden rounded-mark bg-sunken"
    >
      <rect width={share * 100} height="6" className={fill} />
      {heldShare > 0 && (
        <>
          <pattern id={hatch} width="1.2" height="6" patternUnits="userSpaceOnUse" patternTransform="skewX(-20)">
            <rect width="0.5" height="6" className="fill-bar" />
          </pattern>
          <rect x={share * 100} width={heldShare * 100} height="6" fill={`url(#${hatch})`} />
        </>
      )}
      <rect x="70" width="0.5" height="6" className="fill-ink3" />
      <rect x="90" width="0.5" height="6" className="fill-ink3" />
      {elapsed !== null && <rect x={Math.min(elapsed, 0.99) * 100} width="0.7" height="6" className="fill-ink" />}
    </svg>
  )
}

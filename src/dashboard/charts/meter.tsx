/** How much of a cap is used, with ticks at 70 and 90 per cent; the state is always also in words beside it. */
import { lengthOf } from "../format/format.ts"

export function Meter({ label, used, cap, said }: { label: string; used: string; cap: string; said: string }) {
  const of = lengthOf(cap)
  const share = of > 0 ? Math.min(lengthOf(used) / of, 1) : 1
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
      <rect x="70" width="0.5" height="6" className="fill-ink3" />
      <rect x="90" width="0.5" height="6" className="fill-ink3" />
    </svg>
  )
}

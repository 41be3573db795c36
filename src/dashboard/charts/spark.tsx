/** A line without axes beside its figure; decorative, since the figure says what counts. */
import { lengthOf } from "../format/format.ts"

const [WIDTH, HEIGHT] = [84, 26]

export function Spark({ values }: { values: readonly string[] }) {
  if (values.length < 3) return null
  const heights = values.map(lengthOf)
  const largest = Math.max(...heights)
  if (largest <= 0) return null
  const points = heights.map((height, index) => {
    const x = (index / (heights.length - 1)) * (WIDTH - 4) + 2
    return [x, HEIGHT - 2 - (height / largest) * (HEIGHT - 4)] as const
  })
  const [lastX, lastY] = points.at(-1) ?? [0, 0]
  return (
    <svg
      width={WIDTH}
      height={HEIGHT}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      aria-hidden="true"
      className="absolute right-5 bottom-[18px] max-xl:hidden"
    >
      <polyline
        points={points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ")}
        fill="none"
        stroke="var(--edge)"
        strokeWidth="1.5"
      />
      <circle cx={lastX} cy={lastY} r="2.2" fill="var(--ink)" />
    </svg>
  )
}

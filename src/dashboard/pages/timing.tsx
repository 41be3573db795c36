/** The time of one request as one bar: before it was forwarded, until the provider answered, until the first token, the rest. */
import type { UsageRecord } from "../api/usage.ts"
import { duration } from "../format/format.ts"
import { Swatch } from "../ui/pill.tsx"

type Span = { readonly name: string; readonly ms: number; readonly slot: string }

export function Timing({ record }: { record: UsageRecord }) {
  const spans = spansOf(record)
  let x = 0
  return (
    <>
      <svg
        viewBox="0 0 100 10"
        preserveAspectRatio="none"
        aria-hidden="true"
        className="block h-2.5 w-full overflow-hidden rounded-mark bg-sunken"
      >
        {spans.map(({ name, ms, slot }) => {
          const width = record.duration_ms > 0 ? (ms / record.duration_ms) * 100 : 0
          const at = x
          x += width
          return <rect key={name} x={at} width={Math.max(width - 0.3, 0.4)} height="10" fill={`var(--${slot})`} />
        })}
      </svg>
      <dl className="mt-2 divide-y divide-line text-table">
        {spans.map(({ name, ms, slot }) => (
          <div key={name} className="flex justify-between gap-4 py-1.5">
            <dt className="text-ink2">
              <Swatch slot={slot} />
              {name}
            </dt>
            <dd>{exactMs(ms)}</dd>
          </div>
        ))}
        <div className="flex justify-between gap-4 py-1.5 font-semibold">
          <dt>Total</dt>
          <dd>{duration(record.duration_ms)}</dd>
        </div>
      </dl>
    </>
  )
}

/** Each part is what the record measured, up to the next moment that it measured. */
function spansOf({ overhead_us, upstream_ms, ttft_ms, duration_ms }: UsageRecord): readonly Span[] {
  const overhead = overhead_us / 1_000
  const answered = upstream_ms === null ? overhead : Math.min(overhead + upstream_ms, duration_ms)
  const first = ttft_ms === null ? answered : Math.max(Math.min(ttft_ms, duration_ms), answered)
  const spans = [
    { name: "In Tallygate, before it was forwarded", ms: overhead, slot: "c3" },
    { name: "Until the provider answered", ms: answered - overhead, slot: "c1" },
    { name: "Until the first token", ms: first - answered, slot: "c6" },
    { name: "Until the last", ms: duration_ms - first, slot: "c8" },
  ]
  return spans.filter(({ ms }) => ms > 0)
}

function exactMs(ms: number): string {
  return ms < 10 ? `${ms.toFixed(2)} ms` : duration(ms)
}

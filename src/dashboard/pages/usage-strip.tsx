/** Six totals of the view, over everything that matches, each with what it was before. */
import type { ReactNode } from "react"
import type { Sums } from "../api/usage.ts"
import { change, compact, count, exact, fullCount, isZero, seconds, share, total } from "../format/format.ts"
import { Failure, ProgressLine, Skeleton } from "../ui/card.tsx"
import type { SummaryState } from "./hero.tsx"

export function UsageStrip({ state: { data, error, refetch, isPlaceholderData } }: { state: SummaryState }) {
  return (
    <section
      aria-label="Totals of this view"
      className="relative grid grid-cols-2 overflow-clip rounded-card border border-line bg-surface md:grid-cols-3 xl:grid-cols-6"
    >
      {isPlaceholderData && <ProgressLine />}
      {data !== undefined ? (
        <Totals now={data.totals} before={data.previous?.totals ?? null} />
      ) : error !== null ? (
        <div className="col-span-full px-5 py-3">
          <Failure error={error} what="Totals" retry={() => void refetch()} />
        </div>
      ) : (
        Array.from({ length: 6 }, (_, tile) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: all tiles are alike
          <div key={tile} className="min-h-[88px] px-[18px] py-3.5">
            <Skeleton lines={2} />
          </div>
        ))
      )}
    </section>
  )
}

function Totals({ now, before }: { now: Sums; before: Sums | null }) {
  const ttft = now.latency?.ttft ?? null
  const input = inputOf(now)
  return (
    <>
      <Tile name="Spend, USD" value={<span title={exact(now.cost_usd)}>{total(now.cost_usd)}</span>}>
        {before && against(now.cost_usd, before.cost_usd, total(before.cost_usd))}
      </Tile>
      <Tile name="Requests" value={count(now.records)}>
        {before && against(now.records, before.records, count(before.records))}
      </Tile>
      <Tile name="Input tokens" value={<span title={fullCount(input)}>{compact(input)}</span>}>
        {share(now.cache_read_tokens, input)} from cache
      </Tile>
      <Tile name="Output tokens" value={<span title={fullCount(now.output_tokens)}>{compact(now.output_tokens)}</span>}>
        {before && against(now.output_tokens, before.output_tokens, compact(before.output_tokens))}
      </Tile>
      <Tile name="Without a price" value={count(now.unpriced_records)}>
        {isZero(now.unpriced_records) ? "all requests are priced" : "requests, not in the spend"}
      </Tile>
      <Tile
        name="Latency p50 / p99"
        value={ttft === null ? "–" : `${(ttft.p50 / 1_000).toFixed(2)} / ${seconds(ttft.p99)}`}
      >
        to the first token
      </Tile>
    </>
  )
}

function Tile({ name, value, children }: { name: string; value: ReactNode; children: ReactNode }) {
  return (
    <div className="-mt-px -ml-px border-t border-l border-line px-4 py-3 sm:px-[18px] sm:py-3.5">
      <h2 className="text-meta text-ink3">{name}</h2>
      <div className="text-head font-[620]">{value}</div>
      <p className="text-meta text-ink2">{children}</p>
    </div>
  )
}

function against(now: string, before: string, shown: string): ReactNode {
  return (
    <>
      <b className="font-semibold text-ink">{change(now, before)}</b> against {shown}
    </>
  )
}

/** All tokens but the output: the classes are disjoint. */
export function inputOf({ tokens, output_tokens: output }: Pick<Sums, "tokens" | "output_tokens">): string {
  return (BigInt(tokens) - BigInt(output)).toString()
}

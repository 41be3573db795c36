/** Six figures, each with its unit, what it was before, and the rows behind it. */
import { useQuery } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { Link } from "wouter"
import type { Query } from "../api/client.ts"
import { type Percentiles, type Series, type Summary, type Sums, summaryQuery } from "../api/usage.ts"
import { Spark } from "../charts/spark.tsx"
import { change, compact, count, fullCount, isZero, seconds, share } from "../format/format.ts"
import { Skeleton } from "../ui/card.tsx"
import { useView } from "../view/use-view.ts"
import type { SummaryState } from "./hero.tsx"

export function Figures({ state, series, filter }: { state: SummaryState; series: Series | undefined; filter: Query }) {
  const outcomes = useQuery(summaryQuery("admin", { ...filter, group_by: "outcome" })).data
  const { data } = state
  return (
    <section
      aria-label="Figures of the period"
      className="col-span-12 grid grid-cols-2 overflow-clip rounded-card border border-line bg-surface lg:col-span-7"
    >
      {data === undefined ? (
        Array.from({ length: 6 }, (_, tile) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: all tiles are alike
          <div key={tile} className="-mt-px -ml-px min-h-[84px] border-t border-l border-line px-5 py-4">
            <Skeleton lines={2} />
          </div>
        ))
      ) : (
        <Tiles data={data} series={series} outcomes={outcomes} />
      )}
    </section>
  )
}

function Tiles({
  data,
  series,
  outcomes,
}: {
  data: Summary
  series: Series | undefined
  outcomes: Summary | undefined
}) {
  const { href } = useView()
  const { totals } = data
  const before = data.previous?.totals
  const over = (of: (sums: Sums) => string) => <Spark values={series?.series.map(of) ?? []} />
  return (
    <>
      <Tile name="Tokens" href={href("/usage", { measure: "tokens" })} spark={over(({ tokens }) => tokens)}>
        <span title={fullCount(totals.tokens)}>{compact(totals.tokens)}</span>
        {before && <Delta now={totals.tokens} before={before.tokens} shown={compact(before.tokens)} />}
      </Tile>
      <Tile name="Requests" href={href("/requests")} spark={over(({ records }) => records)}>
        {count(totals.records)}
        {before && <Delta now={totals.records} before={before.records} shown={count(before.records)} />}
      </Tile>
      <Tile name="Latency, first token" href={href("/usage", { measure: "latency" })}>
        <Latency now={totals.latency?.ttft ?? null} before={before?.latency?.ttft ?? null} />
      </Tile>
      <Failed outcomes={outcomes} />
      <Tile name="Read from prompt cache" href={href("/usage", { by: "token_class", measure: "tokens" })}>
        {cachedShare(totals)}
        <Small>of input tokens{before && <>, {cachedShare(before)} before</>}</Small>
      </Tile>
      <Tile name="Without a price" href={href("/requests", { unpriced: "true" })}>
        {count(totals.unpriced_records)}
        <Small>{isZero(totals.unpriced_records) ? "every request is in the sum" : "requests, not in the sum"}</Small>
      </Tile>
    </>
  )
}

function Failed({ outcomes }: { outcomes: Summary | undefined }) {
  const { href } = useView()
  const failed = outcomes?.data.find(({ outcome }) => outcome === "error")
  const before = outcomes?.previous?.totals
  return (
    <Tile name="Failed requests" href={href("/requests", { outcome: "error" })}>
      {outcomes === undefined ? "…" : share(failed?.records ?? "0", outcomes.totals.records)}
      <Small inline>{outcomes !== undefined && count(failed?.records ?? "0")}</Small>
      {before !== undefined && <Small>{share(failed?.previous?.records ?? "0", before.records)} before</Small>}
    </Tile>
  )
}

function Latency({ now, before }: { now: Percentiles; before: Percentiles }) {
  if (now === null) {
    return (
      <>
        –<Small>nothing was streamed or answered</Small>
      </>
    )
  }
  return (
    <>
      <span className="whitespace-nowrap">
        {seconds(now.p50)}
        <Small inline>p50</Small>
      </span>{" "}
      <span className="whitespace-nowrap">
        {seconds(now.p99)}
        <Small inline>p99</Small>
      </span>
      {before !== null && (
        <Small>
          {seconds(before.p50)} and {seconds(before.p99)} before
        </Small>
      )}
    </>
  )
}

function Tile({ name, href, spark, children }: { name: string; href: string; spark?: ReactNode; children: ReactNode }) {
  return (
    <div className="relative -mt-px -ml-px min-h-[84px] border-t border-l border-line px-3.5 py-3 sm:px-5 sm:py-4">
      <h2 className="text-table font-medium text-ink2">
        <Link href={href} className="rounded-mark after:absolute after:inset-0 hover:text-ink hover:underline">
          {name}
        </Link>
      </h2>
      <div className="text-head font-[620] sm:text-figure">{children}</div>
      {spark}
    </div>
  )
}

function Small({ children, inline = false }: { children: ReactNode; inline?: boolean }) {
  return inline ? (
    <small className="mr-2 ml-1 text-table font-normal tracking-normal text-ink2">{children}</small>
  ) : (
    <p className="text-table font-normal tracking-normal text-ink2">{children}</p>
  )
}

function Delta({ now, before, shown }: { now: string; before: string; shown: string }) {
  return (
    <Small>
      <b className="font-semibold text-ink">{change(now, before)}</b> against {shown}
    </Small>
  )
}

/** What was read from the cache, of all input. The sum of input stands nowhere, so tokens without output are taken. */
function cachedShare({ cache_read_tokens: cached, tokens, output_tokens: output }: Sums): string {
  return share(cached, (BigInt(tokens) - BigInt(output)).toString())
}

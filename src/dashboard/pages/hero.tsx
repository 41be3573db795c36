/** The one figure of the page, in proportion to what was before, with what a reader asks next. */
import { useQuery } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { Link } from "wouter"
import type { Query } from "../api/client.ts"
import { limitsQuery, projectionQuery } from "../api/limits.ts"
import { type Summary, summaryQuery } from "../api/usage.ts"
import { change, count, guess, isZero, total } from "../format/format.ts"
import { clockTime, shortDayRange, weekdayAndDay, zoneName } from "../format/moment.ts"
import { Card, Failure, Skeleton } from "../ui/card.tsx"
import { useView } from "../view/use-view.ts"
import { RANGES } from "../view/view.ts"
import { limitWords } from "./limit-words.ts"

export type SummaryState = {
  readonly data: Summary | undefined
  readonly error: Error | null
  readonly isPlaceholderData: boolean
  readonly refetch: () => unknown
}

export function Hero({ state, filter }: { state: SummaryState; filter: Query }) {
  const { view } = useView()
  const { data, error, refetch } = state
  const title = view.range === null || view.range === "all" ? "Spend" : `Spend, ${RANGES[view.range].toLowerCase()}`
  return (
    <Card
      title={title.replace("Spend, this", "Spend this")}
      unit="USD"
      className="col-span-12 lg:col-span-5"
      isBusy={state.isPlaceholderData}
    >
      <div className="min-h-[196px]">
        {data !== undefined ? (
          <HeroFigures data={data} filter={filter} />
        ) : error !== null ? (
          <Failure error={error} what="Spend" retry={() => void refetch()} />
        ) : (
          <Skeleton lines={5} />
        )}
      </div>
    </Card>
  )
}

function HeroFigures({ data, filter }: { data: Summary; filter: Query }) {
  const { href, view } = useView()
  const zone = data.range.time_zone
  const today = useQuery(
    summaryQuery("admin", { ...filter, range: "today", from: null, until: null, compare: "weeks" }),
  ).data
  const estimated = useQuery(summaryQuery("admin", { ...filter, compare: "none", estimated: true })).data
  const budgets = useQuery(limitsQuery).data?.filter(
    ({ kind, scope }) =>
      kind === "usd" && scope.organization_id !== undefined && !scope.each && !scope.tool && !scope.tag,
  )
  return (
    <>
      <p className="text-herosmall font-[650] sm:text-hero" title={`$${data.totals.cost_usd}`}>
        {total(data.totals.cost_usd)}
      </p>
      <p className="mt-1 text-table text-ink2">
        {data.previous === null ? (
          "Not compared"
        ) : (
          <>
            <b className="font-semibold text-ink">{change(data.totals.cost_usd, data.previous.totals.cost_usd)}</b>{" "}
            against {total(data.previous.totals.cost_usd)}{" "}
            {onOrIn(shortDayRange(data.previous.from, data.previous.until, zone))}
          </>
        )}
      </p>
      <dl className="mt-5 text-table leading-[24px]">
        {view.range === "this_month" && <ProjectedEnd organization={view.organization} />}
        <Line name="Today so far">
          {today === undefined ? "…" : total(today.totals.cost_usd)}
          {today?.previous != null && (
            <span className="font-normal text-ink2">
              {" "}
              ({total(today.previous.totals.cost_usd)} {weekdayAndDay(today.previous.from, zone)} to{" "}
              {clockTime(today.previous.until, zone).slice(0, 5)})
            </span>
          )}
        </Line>
        <Line name="Of it by estimated usage">
          {estimated === undefined ? "…" : isZero(estimated.totals.records) ? "None" : total(estimated.totals.cost_usd)}
          {estimated !== undefined && !isZero(estimated.totals.records) && (
            <span className="font-normal text-ink2"> ({count(estimated.totals.records)} requests)</span>
          )}
        </Line>
        <Line name="Requests without a price">
          {isZero(data.totals.unpriced_records) ? (
            "None"
          ) : (
            <Link href={href("/requests", { unpriced: "true" })} className="link">
              {count(data.totals.unpriced_records)}, not in the sum
            </Link>
          )}
        </Line>
        <Line name="Budget of the organization">
          <Link href={href("/budgets")} className="link">
            {budgets === undefined ? "…" : budgets.map(limitWords).join(", ") || "None set. Set one"}
          </Link>
        </Line>
        <Line name="As of">
          {clockTime(data.as_of, zone)} {zoneName(zone, data.as_of)}
        </Line>
      </dl>
    </>
  )
}

/** Where the month goes; a guess, with its range. */
function ProjectedEnd({ organization }: { organization: string | null }) {
  const { data, isError } = useQuery(projectionQuery(organization === null ? {} : { organization }))
  return (
    <Line name="Projected month end">
      {data === undefined ? (
        isError ? (
          "Not known"
        ) : (
          "…"
        )
      ) : data.projected === null ? (
        "Too early to project"
      ) : (
        <>
          {guess(data.projected)}
          {data.low !== null && data.high !== null && (
            <span className="font-normal text-ink2">
              {" "}
              ({guess(data.low)} to {guess(data.high)})
            </span>
          )}
        </>
      )}
    </Line>
  )
}

function Line({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex justify-between gap-3">
      <dt className="text-ink2">{name}</dt>
      <dd className="text-right font-semibold">{children}</dd>
    </div>
  )
}

/** `on 17 Nov`, `in 4–27 Oct`. */
function onOrIn(days: string): string {
  return `${days.includes("–") ? "in" : "on"} ${days}`
}

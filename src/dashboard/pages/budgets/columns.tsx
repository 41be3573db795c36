/** Columns of budgets and of rates. On phones the first one holds the bar and where it goes as well. */
import type { BudgetStanding } from "../../api/limits.ts"
import { Meter } from "../../charts/meter.tsx"
import { count, total } from "../../format/format.ts"
import { dayAndTime } from "../../format/moment.ts"
import { Missing, Pill } from "../../ui/pill.tsx"
import type { Column } from "../../ui/table.tsx"
import { amountWords, limitWords } from "../limit-words.ts"
import type { BudgetRow } from "./rows.ts"
import { AT_CAP, outlookOf, percentWords, resetWords, toneOfPercent, windowName } from "./words.ts"

const NOTHING_YET = "Nobody that it counts has used anything in this window"

export function budgetColumns(asOf: string): readonly Column<BudgetRow>[] {
  return [
    {
      id: "subject",
      head: "Budget of",
      className: "max-sm:w-full",
      cell: (row) => <Subject row={row} asOf={asOf} />,
      sortBy: ({ name }) => name,
    },
    { id: "window", head: "Window", cell: ({ limit }) => windowName(limit), from: "md", className: "text-ink2" },
    {
      id: "used",
      head: "Used",
      isFigure: true,
      className: "font-[550]",
      cell: ({ standing, limit }) => <Used standing={standing} kind={limit.kind} />,
      from: "sm",
    },
    { id: "cap", head: "Cap", isFigure: true, cell: (row) => <Cap row={row} /> },
    {
      id: "bar",
      head: "Part of the cap",
      className: "w-[17%] min-w-32",
      cell: ({ standing, name }) =>
        standing === null ? <Missing why={NOTHING_YET} /> : <Bar of={name} standing={standing} />,
      from: "md",
    },
    {
      id: "outlook",
      head: "At this pace",
      cell: ({ standing }) => <OutlookWords standing={standing} asOf={asOf} />,
      sortBy: ({ place }) => place,
      from: "sm",
    },
    { id: "at_cap", head: "At the cap", cell: ({ limit }) => <AtCap limit={limit} />, from: "lg" },
    { id: "refused", head: "Refused", isFigure: true, cell: ({ limit }) => <Refused limit={limit} />, from: "lg" },
    { id: "resets", head: "Resets", cell: ({ standing }) => <Resets standing={standing} />, from: "xl" },
  ]
}

export const RATE_COLUMNS: readonly Column<BudgetRow>[] = [
  {
    id: "subject",
    head: "Limit of",
    cell: ({ name, what }) => (
      <span className="block">
        <span className="font-medium">{name}</span>
        <span className="block text-meta text-ink3">{what}</span>
      </span>
    ),
    sortBy: ({ name }) => name,
  },
  { id: "limit", head: "At most", cell: ({ limit }) => limitWords(limit), className: "font-[550]" },
  { id: "at_cap", head: "At the cap", cell: ({ limit }) => <AtCap limit={limit} />, from: "sm" },
  { id: "refused", head: "Refused", isFigure: true, cell: ({ limit }) => <Refused limit={limit} /> },
]

function Subject({ row: { name, what, standing, limit }, asOf }: { row: BudgetRow; asOf: string }) {
  return (
    <span className="block w-full min-w-0">
      <span className="font-medium">{name}</span>
      <span className="block text-meta text-ink3">
        {what}
        <span className="md:hidden">, {windowName(limit).toLowerCase()}</span>
      </span>
      {standing !== null && (
        <span className="block md:hidden">
          <Bar of={name} standing={standing} />
          <span className="mt-1 block text-meta sm:hidden">
            <OutlookWords standing={standing} asOf={asOf} />
          </span>
        </span>
      )}
    </span>
  )
}

function Used({ standing, kind }: { standing: BudgetStanding | null; kind: string }) {
  if (standing === null) return <Missing why={NOTHING_YET} />
  return kind === "usd" ? total(standing.used) : count(standing.used)
}

function Cap({ row: { limit, standing } }: { row: BudgetRow }) {
  const shown = amountWords(limit.kind, limit.raised_cap ?? limit.cap)
  return (
    <>
      {standing !== null && (
        <span className="block font-[550] sm:hidden">
          <Used standing={standing} kind={limit.kind} />
        </span>
      )}
      <span className="sm:hidden">of </span>
      {shown}
      {limit.raised_until !== null && (
        <span className="block text-meta text-ink3">
          raised until {dayAndTime(limit.raised_until, limit.time_zone).split(",")[0]}
        </span>
      )}
    </>
  )
}

export function Bar({ of, standing }: { of: string; standing: BudgetStanding }) {
  const { used, cap, kind, percent } = standing
  return (
    <span className="flex items-center gap-2.5">
      <span className="min-w-0 flex-1">
        <Meter
          label={of}
          used={used}
          cap={cap}
          said={`${percentWords(percent)}, ${amountWords(kind, used)} of ${amountWords(kind, cap)}`}
        />
      </span>
      <span className="w-13 flex-none text-right">
        <Pill tone={toneOfPercent(percent)}>{percentWords(percent)}</Pill>
      </span>
    </span>
  )
}

export function OutlookWords({ standing, asOf }: { standing: BudgetStanding | null; asOf: string }) {
  if (standing === null) return <Missing why={NOTHING_YET} />
  const { text, more, isAtRisk } = outlookOf(standing, asOf)
  return (
    <span title={more ?? undefined} className={isAtRisk ? "font-medium text-ink" : "text-ink2"}>
      {text}
    </span>
  )
}

function AtCap({ limit: { enforcement, shadow_refusals: shadowed } }: { limit: BudgetRow["limit"] }) {
  return (
    <span className="text-ink2">
      {AT_CAP[enforcement]}
      {shadowed !== null && <span className="block text-meta text-ink3">{count(shadowed)} would be refused</span>}
    </span>
  )
}

/** How many calls it refused so far. */
function Refused({ limit: { refusals, enforcement } }: { limit: BudgetRow["limit"] }) {
  if (enforcement !== "hard" && refusals === 0) return <Missing why="It refuses nothing" />
  return <span className="text-ink2">{count(refusals)}</span>
}

function Resets({ standing }: { standing: BudgetStanding | null }) {
  if (standing === null) return <Missing why={NOTHING_YET} />
  if (standing.resets_at === null) {
    return standing.window === "rolling" ? "Day by day" : <Missing why="It counts for ever" />
  }
  return <span className="text-ink2">{resetWords(standing.resets_at, standing.time_zone)}</span>
}

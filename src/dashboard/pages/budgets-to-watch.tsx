/** The budgets that are used up first, at most five of them, with the way to all. */
import type { UseQueryResult } from "@tanstack/react-query"
import { Link } from "wouter"
import type { BudgetStanding, Projection } from "../api/limits.ts"
import { Meter } from "../charts/meter.tsx"
import { Card, Failure, Skeleton } from "../ui/card.tsx"
import { Pill } from "../ui/pill.tsx"
import { useView } from "../view/use-view.ts"
import { compareStandings, countAtRisk } from "./budgets/rows.ts"
import { outlookOf, percentWords, resetWords, toneOfPercent, windowName } from "./budgets/words.ts"
import { amountWords } from "./limit-words.ts"

const SHOWN_MAX = 5
const SCOPES: Readonly<Record<string, string>> = {
  organization: "Organization",
  project: "Project",
  user: "User",
  key: "Key",
  provider_account: "Provider account",
}

export function BudgetsToWatch({ state }: { state: UseQueryResult<Projection> }) {
  const { href } = useView()
  const { data, error, refetch, isPlaceholderData } = state
  const shown = [...(data?.budgets ?? [])].sort(compareStandings).slice(0, SHOWN_MAX)
  return (
    <Card
      title="Budgets to watch"
      unit={data === undefined ? undefined : `${countAtRisk(data.budgets)} of ${data.budgets.length} at risk`}
      className="col-span-12 lg:col-span-5"
      isBusy={isPlaceholderData}
      actions={
        <Link href={href("/budgets")} className="link text-table">
          All budgets
        </Link>
      }
    >
      {data === undefined ? (
        error === null ? (
          <Skeleton lines={6} />
        ) : (
          <Failure error={error} what="Budgets" retry={() => void refetch()} />
        )
      ) : (
        <ul>
          {shown.map((standing) => (
            <li
              key={`${standing.limit_id} ${standing.counted ?? ""}`}
              className="border-b border-line py-2.5 first:pt-0 last:border-b-0 last:pb-0"
            >
              <WatchedBudget standing={standing} asOf={data.as_of} />
            </li>
          ))}
        </ul>
      )}
    </Card>
  )
}

function WatchedBudget({ standing, asOf }: { standing: BudgetStanding; asOf: string }) {
  const { href } = useView()
  const { limit_id: id, counted, kind, used, cap, percent, resets_at: resets, time_zone: zone } = standing
  const { text, more, isAtRisk } = outlookOf(standing, asOf)
  const name =
    counted === null
      ? `${SCOPES[standing.scope] ?? standing.scope} ${standing.subject_name ?? standing.subject}`
      : `${standing.counted_name ?? counted}, of ${standing.subject_name ?? standing.subject}`
  return (
    <>
      <p className="flex justify-between gap-3 text-table">
        <Link
          href={href(`/budgets/${id}`, { counted })}
          className="min-w-0 truncate rounded-mark font-medium hover:underline"
        >
          {name}
        </Link>
        <span className="whitespace-nowrap">
          <b className="font-semibold">{amountWords(kind, used)}</b>{" "}
          <span className="text-ink2">of {amountWords(kind, cap)}</span>
        </span>
      </p>
      <div className="my-1.5 flex items-center gap-3">
        <div className="min-w-0 flex-1">
          <Meter
            label={name}
            used={used}
            cap={cap}
            said={`${percentWords(percent)}, ${amountWords(kind, used)} of ${amountWords(kind, cap)}`}
          />
        </div>
        <span className="w-13 text-right">
          <Pill tone={toneOfPercent(percent)}>{percentWords(percent)}</Pill>
        </span>
      </div>
      <p className="flex justify-between gap-3 text-meta text-ink2">
        <span>
          {windowName(standing)}
          {resets !== null && `, resets ${resetWords(resets, zone)}`}
        </span>
        <span title={more ?? undefined} className={isAtRisk ? "font-medium text-ink" : ""}>
          {text}
        </span>
      </p>
    </>
  )
}

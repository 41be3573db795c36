/** One budget: where it stands, what it does, what earlier windows used, and the acts on it, each with its effect in words. */

import { useQuery } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"
import { type BudgetStanding, type LimitWindow, type ScopedLimit, windowsQuery } from "../../api/limits.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { Meter } from "../../charts/meter.tsx"
import { count } from "../../format/format.ts"
import { fullDay } from "../../format/moment.ts"
import { Button, ButtonLink } from "../../ui/button.tsx"
import { Empty } from "../../ui/card.tsx"
import { CopyButton } from "../../ui/copy.tsx"
import { Pill } from "../../ui/pill.tsx"
import { Sheet } from "../../ui/sheet.tsx"
import { useView } from "../../view/use-view.ts"
import { Fact, Facts } from "../key-sheet.tsx"
import { amountWords, limitWords } from "../limit-words.ts"
import { ChangeBudget } from "./change-budget.tsx"
import { History } from "./history.tsx"
import { DeleteBudget, EndRaise, RaiseBudget } from "./raise-and-delete.tsx"
import type { BudgetRow } from "./rows.ts"
import {
  AT_CAP,
  aboutWords,
  outlookOf,
  percentWords,
  resetWords,
  sentenceOf,
  subjectMember,
  toneOfPercent,
} from "./words.ts"

type Act = "change" | "raise" | "end raise" | "delete"

export function BudgetSheet({ row, asOf, onClose }: { row: BudgetRow | undefined; asOf: string; onClose: () => void }) {
  const session = useSession()
  const [act, setAct] = useState<Act | null>(null)
  if (row === undefined) {
    return (
      <Sheet title="No such limit" onClose={onClose}>
        <Empty>It was deleted, lies in another organization, or is left out by the page's filters.</Empty>
      </Sheet>
    )
  }
  const { limit, standing, name, what } = row
  const leave = () => setAct(null)
  if (act === "change") return <ChangeBudget row={row} onClose={leave} />
  const isRaised = limit.raised_until !== null
  return (
    <>
      <Sheet
        title={name}
        subtitle={`${what}, ${limitWords(limit)}`}
        onClose={onClose}
        isWide
        foot={
          mayChange(session, "limits") && (
            <>
              <Button look="danger" className="mr-auto" onClick={() => setAct("delete")}>
                Delete
              </Button>
              {isRaised && <Button onClick={() => setAct("end raise")}>End raise</Button>}
              <Button onClick={() => setAct("raise")}>Raise until …</Button>
              <Button onClick={() => setAct("change")}>Edit</Button>
            </>
          )
        }
      >
        <div className="flex flex-col gap-6">
          {standing !== null && <Standing standing={standing} limit={limit} asOf={asOf} name={name} />}
          <p className="rounded-control bg-sunken px-3 py-2.5 text-table">
            {sentenceOf({ ...limit, cap: limit.raised_cap ?? limit.cap, name: rowSubject(row) })}
            {isRaised &&
              ` After ${resetWords(limit.raised_until ?? "", limit.time_zone)} it is ${limitWords(limit)} again.`}
          </p>
          <BudgetFacts row={row} asOf={asOf} />
          <History limit={limit} counted={standing?.counted ?? null} />
        </div>
      </Sheet>
      {act === "raise" && <RaiseBudget limit={limit} name={name} onClose={leave} />}
      {act === "end raise" && <EndRaise limit={limit} name={name} onClose={leave} />}
      {act === "delete" && <DeleteBudget limit={limit} name={name} onClose={leave} onDone={onClose} />}
    </>
  )
}

/** What the limit itself is on, of a row that is about one of those it counts apart. */
function rowSubject({ name, what, standing }: BudgetRow): string {
  if (standing?.counted == null) return name
  return standing.subject_name ?? what
}

function Standing({
  standing,
  limit,
  asOf,
  name,
}: {
  standing: BudgetStanding
  limit: ScopedLimit
  asOf: string
  name: string
}) {
  const { kind, used, cap, percent } = standing
  const { text, isAtRisk } = outlookOf(standing, asOf)
  const current = useQuery(windowsQuery(limit.id, standing.counted)).data?.find(({ is_current: is }) => is)
  // Of a rolling window today is always the last day, which says nothing.
  const elapsed = limit.window === "rolling" || current === undefined ? null : elapsedOf(current, asOf)
  return (
    <section aria-label="Where it stands">
      <p className="flex flex-wrap items-baseline gap-x-2">
        <span className="text-figure font-[620]">{amountWords(kind, used)}</span>
        <span className="text-body text-ink2">of {amountWords(kind, cap)}</span>
        {limit.raised_until !== null && <Pill tone="accent">Raised</Pill>}
        <span className="ml-auto">
          <Pill tone={toneOfPercent(percent)}>{percentWords(percent)}</Pill>
        </span>
      </p>
      <div className="my-2">
        <Meter
          label={name}
          used={used}
          cap={cap}
          elapsed={elapsed}
          said={`${percentWords(percent)}, ${amountWords(kind, used)} of ${amountWords(kind, cap)}`}
        />
      </div>
      <p className="flex flex-wrap justify-between gap-x-3 text-table">
        <span className={isAtRisk ? "font-medium" : "text-ink2"}>{text}</span>
        {elapsed !== null && <span className="text-ink3">line: now, {Math.floor(elapsed * 100)} % of the window</span>}
      </p>
    </section>
  )
}

/** The part of the window that is over, for the place of a line; null where it has no end. */
function elapsedOf({ from, until }: LimitWindow, asOf: string): number | null {
  if (from === null || until === null) return null
  const [start, end] = [Date.parse(from), Date.parse(until)]
  return Math.min(Math.max((Date.parse(asOf) - start) / (end - start), 0), 1)
}

function BudgetFacts({ row: { limit, standing }, asOf }: { row: BudgetRow; asOf: string }) {
  return (
    <section>
      <Facts>
        {standing !== null && <StandingFacts standing={standing} asOf={asOf} />}
        <Fact name="At the cap">{AT_CAP[limit.enforcement]}</Fact>
        <Fact name="Refused">
          {limit.shadow_refusals === null
            ? `${count(limit.refusals)} calls so far`
            : `It would have refused ${count(limit.shadow_refusals)} calls so far`}
        </Fact>
        <Fact name="Told at">{limit.thresholds.map((percent) => `${percent} %`).join(", ") || "No threshold"}</Fact>
        <Fact name="Store away">{STORE_AWAY[limit.on_store_failure] ?? limit.on_store_failure}</Fact>
        <Fact name="Created">{fullDay(limit.created_at, limit.time_zone)}</Fact>
        <Fact name="Id">
          <code className="font-mono text-meta">{limit.id}</code>
        </Fact>
      </Facts>
      <div className="mt-5 flex flex-wrap gap-2">
        <UsageLink limit={limit} standing={standing} />
        <CopyButton text={limit.id} what="id" />
      </div>
    </section>
  )
}

const STORE_AWAY: Readonly<Record<string, string>> = {
  deny: "Calls are refused",
  local: "Each proxy goes on within its share of what was left",
  allow: "The limit is not applied",
}

function StandingFacts({ standing, asOf }: { standing: BudgetStanding; asOf: string }) {
  const { kind, projected_end: end, low, high, resets_at: resets, window, time_zone: zone } = standing
  const { more } = outlookOf(standing, asOf)
  const range = low === null || high === null ? "" : ` (${aboutWords(kind, low)} to ${aboutWords(kind, high)})`
  return (
    <>
      {end !== null && (
        <Fact name="Projected end">
          about {aboutWords(kind, end)}
          <span className="text-ink2">{range}, if it goes on like this</span>
        </Fact>
      )}
      {standing.exhausted_at !== null && <Fact name="Full">{more}</Fact>}
      <Fact name="Resets">
        {resets !== null ? resetWords(resets, zone) : window === "rolling" ? "Day by day" : "Never"}
      </Fact>
    </>
  )
}

/** The usage that the limit counts, in the view that other pages use. */
function UsageLink({
  limit: { scope, kind, window, time_zone: zone },
  standing,
}: {
  limit: ScopedLimit
  standing: BudgetStanding | null
}): ReactNode {
  const { href } = useView()
  const member = subjectMember(scope)
  if (member === "provider_account") {
    const [provider = ""] = (scope.provider_account ?? "").split("/")
    return <ButtonLink href={href("/usage", { provider, by: "key" })}>See the provider's usage</ButtonLink>
  }
  const counted =
    standing?.counted == null || standing.each === null
      ? {}
      : { [standing.each]: standing.counted === "nobody" ? "(none)" : standing.counted }
  const names = {
    ...{ organization: null, project: null, user: null, key: null },
    ...{ [member.replace("_id", "")]: scope[member] ?? null },
    ...counted,
    tool: scope.tool ?? null,
    tag: scope.tag ?? null,
    by: member === "key_id" ? "model" : "key",
    measure: kind === "usd" ? null : kind === "tokens" ? "tokens" : "requests",
    range: RANGES[window] ?? null,
    from: null,
    until: null,
    time_zone: zone === "UTC" ? null : zone,
  }
  return <ButtonLink href={href("/usage", names)}>See its usage</ButtonLink>
}

/** The range of the usage page that is nearest to the window. */
const RANGES: Readonly<Record<string, string>> = {
  minute: "today",
  none: "today",
  day: "today",
  week: "this_week",
  month: "this_month",
  quarter: "this_quarter",
  year: "all",
  lifetime: "all",
  rolling: "28d",
}

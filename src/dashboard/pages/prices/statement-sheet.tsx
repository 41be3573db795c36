/** A month's statement: its lines as they stand or as they were closed, the file for accounting, and closing it. */
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { type Statement, statementFile, statementQuery, useClosePeriod } from "../../api/prices.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { count, exact, isZero, spend, total } from "../../format/format.ts"
import { dayAndTime } from "../../format/moment.ts"
import { Button, buttonClass } from "../../ui/button.tsx"
import { Empty, Failure, Skeleton } from "../../ui/card.tsx"
import { Pill } from "../../ui/pill.tsx"
import { Question, Sheet } from "../../ui/sheet.tsx"
import { SMALL_HEAD, SUM_ROW } from "../../ui/table.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { Fact, Facts } from "../key-sheet.tsx"
import { PeriodState } from "./months.tsx"

type StatementProps = { period: string; organization: string | undefined; onClose: () => void }

export function StatementSheet({ period, organization, onClose }: StatementProps) {
  const session = useSession()
  const { data, error, refetch } = useQuery(statementQuery(period, organization))
  const [isAsking, setAsking] = useState(false)
  const mayClose = data?.state === "open" && mayChange(session, "periods")
  return (
    <>
      <Sheet
        title={`Statement of ${period}`}
        subtitle={data === undefined ? undefined : `${data.organization}, ${data.time_zone}`}
        onClose={onClose}
        isWide
        foot={
          <>
            <a
              className={buttonClass()}
              href={statementFile(period, organization)}
              download={`tallygate-${period}.csv`}
            >
              Download CSV
            </a>
            {mayClose && (
              <Button look="primary" onClick={() => setAsking(true)}>
                Close month
              </Button>
            )}
          </>
        }
      >
        {data !== undefined ? (
          <Detail statement={data} />
        ) : error !== null ? (
          <Failure error={error} what="The statement" retry={() => void refetch()} />
        ) : (
          <Skeleton lines={8} />
        )}
      </Sheet>
      {isAsking && data !== undefined && (
        <CloseMonth statement={data} organization={organization} onClose={() => setAsking(false)} />
      )}
    </>
  )
}

function Detail({ statement }: { statement: Statement }) {
  const { totals, lines, closed_at: closedAt, time_zone: zone, state } = statement
  return (
    <div className="flex flex-col gap-5">
      <Facts>
        <Fact name="State">
          <PeriodState period={statement} />{" "}
          <span className="text-ink2">
            {closedAt !== null
              ? dayAndTime(closedAt, zone)
              : state === "running"
                ? `until ${dayAndTime(statement.until, zone)}`
                : ""}
          </span>
        </Fact>
        <Fact name="Cost, exact">{exact(totals.cost_usd)}</Fact>
        {!isZero(statement.prior_period_cost_usd) && (
          <Fact name="Of earlier months">{exact(statement.prior_period_cost_usd)}</Fact>
        )}
        <Fact name="Requests">{count(totals.records)}</Fact>
        {totals.adjustments !== "0" && <Fact name="Corrections">{count(totals.adjustments)}</Fact>}
        {totals.unpriced_records !== "0" && (
          <Fact name="Without a price">
            <Pill tone="warn">{count(totals.unpriced_records)}</Pill>{" "}
            <span className="text-ink2">their cost is not in the sum</span>
          </Fact>
        )}
      </Facts>
      {lines.length === 0 ? (
        <Empty>Nothing was used in this month.</Empty>
      ) : (
        // On phones nothing else in the sheet takes the focus, and keyboards scroll what has it.
        // biome-ignore lint/a11y/noNoninteractiveTabindex: for that reason
        <section tabIndex={0} aria-label="Lines, scrolls">
          <Lines statement={statement} />
        </section>
      )}
    </div>
  )
}

function Lines({ statement: { lines, totals } }: { statement: Statement }) {
  return (
    <table className="w-full border-collapse text-table" aria-label="Lines of the statement">
      <thead>
        <tr>
          <th scope="col" className={`${SMALL_HEAD} text-left`}>
            Project and model
          </th>
          <th scope="col" className={`${SMALL_HEAD} pl-2 text-right max-sm:hidden`}>
            Requests
          </th>
          <th scope="col" className={`${SMALL_HEAD} pl-2 text-right`}>
            Cost
          </th>
        </tr>
      </thead>
      <tbody>
        {lines.map((line) => (
          <tr
            key={`${line.for_period} ${line.project_id} ${line.provider} ${line.model}`}
            className="border-t border-line align-top"
          >
            <td className="py-1.5 [overflow-wrap:anywhere]">
              {line.project || "No project"} {line.line === "prior_period" && <Pill>For {line.for_period}</Pill>}
              <span className="block text-meta text-ink3">
                {line.provider}/{line.model}
              </span>
            </td>
            <td className="py-1.5 pl-2 text-right text-ink2 max-sm:hidden">{count(line.records)}</td>
            <td className="py-1.5 pl-2 text-right whitespace-nowrap" title={exact(line.cost_usd)}>
              {spend(line)}
            </td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr className={SUM_ROW}>
          <td className="pt-1.5">Total of the statement</td>
          <td className="pt-1.5 pl-2 text-right max-sm:hidden">{count(totals.records)}</td>
          <td className="pt-1.5 pl-2 text-right" title={exact(totals.cost_usd)}>
            {total(totals.cost_usd)}
          </td>
        </tr>
      </tfoot>
    </table>
  )
}

function CloseMonth({
  statement,
  organization,
  onClose,
}: {
  statement: Statement
  organization: string | undefined
  onClose: () => void
}) {
  const closing = useClosePeriod()
  const toast = useToast()
  const [isForced, setForced] = useState(false)
  const act = () =>
    closing.mutate(
      { period: statement.period, organization, force: isForced },
      {
        onSuccess: () => {
          toast("Month closed")
          onClose()
        },
        // Usage that is on its way is the only refusal that closing anyway gets past.
        onError: (error) => setForced("param" in error && error.param === "force"),
      },
    )
  return (
    <Question
      title={`Close ${statement.period}?`}
      onClose={onClose}
      actions={
        <Button look="primary" onClick={act} disabled={closing.isPending}>
          {isForced ? "Close anyway" : "Close month"}
        </Button>
      }
    >
      <p>
        The statement of {total(statement.totals.cost_usd)} is written down and never changes again. What comes later
        for {statement.period} stands in the next statement, under its own month.
      </p>
      {closing.error !== null && (
        <p role="alert" className="mt-3 text-bad">
          {closing.error.message}
        </p>
      )}
    </Question>
  )
}

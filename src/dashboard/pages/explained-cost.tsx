/** Why one request cost what it cost: the price row's lines, what was corrected since, and the same in words. */
import { useQuery } from "@tanstack/react-query"
import type { Realm } from "../api/realm.ts"
import { type ExplainedLine, type Explanation, explanationQuery } from "../api/usage.ts"
import { cost, exact, fullCount, rate } from "../format/format.ts"
import { dayAndTime } from "../format/moment.ts"
import { Failure, Skeleton } from "../ui/card.tsx"
import { Missing, Pill } from "../ui/pill.tsx"
import { SMALL_HEAD, SUM_ROW } from "../ui/table.tsx"
import { className } from "../view/group-names.ts"

export function ExplainedCost({ realm, id, timeZone }: { realm: Realm; id: string; timeZone: string }) {
  const { data, error, refetch } = useQuery(explanationQuery(realm, id))
  if (data === undefined) {
    if (error === null) return <Skeleton lines={4} />
    return <Failure error={error} what="The explanation" retry={() => void refetch()} />
  }
  const { lines, cost_usd: usd, is_estimated: isEstimated } = data
  return (
    <div className="text-table">
      {usd === null ? (
        <p>
          <Pill tone="warn">No price</Pill>
        </p>
      ) : (
        <>
          {isEstimated && (
            <p className="mb-2">
              <Pill>est.</Pill>
            </p>
          )}
          <LineTable lines={lines} usd={usd} />
        </>
      )}
      {data.adjustments.length > 0 && <Adjustments explanation={data} timeZone={timeZone} />}
      <Words explanation={data} />
    </div>
  )
}

function LineTable({ lines, usd }: { lines: readonly ExplainedLine[]; usd: string }) {
  const isRated = lines.some(({ rate_usd: rated }) => rated !== null)
  return (
    <table className="w-full border-collapse" aria-label="Cost line by line">
      {lines.length > 0 && (
        <thead>
          <tr>
            <th scope="col" className={`${SMALL_HEAD} text-left`}>
              Class
            </th>
            <th scope="col" className={`${SMALL_HEAD} pl-2 text-right`}>
              {isRated ? "Count × rate" : ""}
            </th>
            <th scope="col" className={`${SMALL_HEAD} pl-2 text-right`}>
              Cost
            </th>
          </tr>
        </thead>
      )}
      <tbody>
        {lines.map((line) => (
          <tr key={line.class} className="border-t border-line align-top">
            <td className="py-1.5">{lineName(line)}</td>
            <td className="py-1.5 pl-2 text-right text-ink2">
              <Figures line={line} />
            </td>
            <td className="py-1.5 pl-2 text-right whitespace-nowrap">{exact(line.amount_usd)}</td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr className={SUM_ROW}>
          <td className="pt-1.5">Cost, exact</td>
          <td colSpan={2} className="pt-1.5 text-right" title={cost(usd)}>
            {exact(usd)}
          </td>
        </tr>
      </tfoot>
    </table>
  )
}

/** Where another class's rate was taken, its name stands below. */
function lineName({ class: name, rated_as: ratedAs, unit }: ExplainedLine) {
  const shown = unit !== null && unit !== "token" && unit !== "call" ? capital(`${unit}s`) : className(name)
  return (
    <>
      {shown}
      {ratedAs !== null && ratedAs !== name && (
        <span className="block text-meta text-ink3">at the rate of {className(ratedAs).toLowerCase()}</span>
      )}
    </>
  )
}

function Figures({ line: { count, rate_usd: rated, per, multiplier } }: { line: ExplainedLine }) {
  if (rated === null) return multiplier === null ? null : <>all of it × {multiplier}</>
  return (
    <>
      {count !== null && <span className="whitespace-nowrap">{count.includes(".") ? count : fullCount(count)} ×</span>}{" "}
      <span className="whitespace-nowrap">
        {rate(rated)} {per === 1 ? "each" : "per 1 M"}
        {multiplier !== null && multiplier !== "1" && ` × ${multiplier}`}
      </span>
    </>
  )
}

function Adjustments({ explanation, timeZone }: { explanation: Explanation; timeZone: string }) {
  return (
    <table className="mt-4 w-full border-collapse" aria-label="Corrections">
      <thead>
        <tr>
          <th scope="col" className={`${SMALL_HEAD} text-left`}>
            Corrected since
          </th>
          <th scope="col" className={`${SMALL_HEAD} pl-2 text-right`}>
            Cost
          </th>
        </tr>
      </thead>
      <tbody>
        {explanation.adjustments.map((entry) => (
          <tr key={entry.id} className="border-t border-line align-top">
            <td className="py-1.5 [overflow-wrap:anywhere]">
              {entry.reason}
              <span className="block text-meta text-ink3">{dayAndTime(entry.booked_at, timeZone)}</span>
            </td>
            <td className="py-1.5 pl-2 text-right whitespace-nowrap">
              {entry.cost_usd === null ? <Missing why="No price" /> : exact(entry.cost_usd)}
            </td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr className={SUM_ROW}>
          <td className="pt-1.5">Sum now, exact</td>
          <td className="pt-1.5 text-right">
            {explanation.total_usd === null ? "No price" : exact(explanation.total_usd)}
          </td>
        </tr>
      </tfoot>
    </table>
  )
}

function Words({ explanation: { says, next } }: { explanation: Explanation }) {
  return (
    <div className="mt-3 space-y-1.5 text-meta text-ink2 [overflow-wrap:anywhere]">
      {says.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      {next !== null && <p className="text-ink">{next}</p>}
    </div>
  )
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}

/** Why something cost what it cost: its money and tokens by class, to the last decimal, and the requests behind it. */
import { useQuery } from "@tanstack/react-query"
import { Link } from "wouter"
import type { Query } from "../api/client.ts"
import type { Realm } from "../api/realm.ts"
import { type Summary, summaryQuery } from "../api/usage.ts"
import { compact, exact, fullCount, share, total } from "../format/format.ts"
import { TextButton } from "../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../ui/card.tsx"
import { SUM_ROW } from "../ui/table.tsx"
import { className } from "../view/group-names.ts"
import { useNames } from "../view/use-names.ts"
import { useView } from "../view/use-view.ts"
import { FILTERS, type GroupName } from "../view/view.ts"

const CELL = "border-b border-line py-1.5"

export function ExplainCard({ realm, by, filter }: { realm: Realm; by: readonly GroupName[]; filter: Query }) {
  const { view, search, set, href } = useView()
  const nameOf = useNames(realm, view.organization ?? undefined)
  const row = search.get("row")?.split(",") ?? null
  const names = by.filter((name) => name in FILTERS)
  const chosen: Record<string, string> =
    row !== null && row.length === by.length
      ? Object.fromEntries(names.map((name) => [name, row[by.indexOf(name)] ?? ""]))
      : {}
  const { data, error, refetch, isPlaceholderData } = useQuery(
    summaryQuery(realm, { ...filter, ...chosen, compare: "none", group_by: "token_class" }),
  )
  const what = Object.entries(chosen)
    .map(([name, value]) => nameOf(name, value))
    .join(" / ")
  const title = data === undefined ? "Why it cost that" : `Why ${what || "it all"} cost ${total(data.totals.cost_usd)}`
  return (
    <Card
      title={title}
      className="col-span-12 xl:col-span-4"
      isBusy={isPlaceholderData}
      actions={
        what !== "" && <TextButton onClick={() => set({ row: null }, { replace: true })}>Explain all</TextButton>
      }
    >
      {error !== null && data === undefined ? (
        <Failure error={error} what="The explanation" retry={() => void refetch()} />
      ) : data === undefined ? (
        <Skeleton lines={6} />
      ) : data.data.length === 0 ? (
        <Empty>Nothing was used, so nothing is explained.</Empty>
      ) : (
        <>
          <ClassTable data={data} />
          <p className="mt-3 text-meta text-ink3">
            Each request was priced when it ended, by the price row that held then. A class that no row explains alone
            stands as “not split”.
          </p>
          <p className="mt-3">
            <Link href={href(realm === "admin" ? "/requests" : "/my/requests", chosen)} className="link text-table">
              See the requests
            </Link>
          </p>
        </>
      )}
    </Card>
  )
}

function ClassTable({ data }: { data: Summary }) {
  return (
    <table className="w-full border-collapse text-table" aria-label="Cost by token class">
      <thead>
        <tr className="text-meta text-ink3">
          <th scope="col" className="border-b border-line py-1.5 text-left font-medium">
            Class
          </th>
          <th scope="col" className="border-b border-line py-1.5 pl-2 text-right font-medium">
            Tokens
          </th>
          <th scope="col" className="border-b border-line py-1.5 pl-2 text-right font-medium max-sm:hidden">
            Share
          </th>
          <th scope="col" className="border-b border-line py-1.5 pl-2 text-right font-medium">
            Cost
          </th>
        </tr>
      </thead>
      <tbody>
        {data.data.map((group) => (
          <tr key={String(group.token_class)}>
            <td className={CELL}>{className(String(group.token_class))}</td>
            <td className={`${CELL} pl-2 text-right whitespace-nowrap text-ink2`} title={fullCount(group.tokens)}>
              {compact(group.tokens)}
            </td>
            <td className={`${CELL} pl-2 text-right whitespace-nowrap text-ink2 max-sm:hidden`}>
              {share(group.cost_usd, data.totals.cost_usd)}
            </td>
            <td className={`${CELL} pl-2 text-right whitespace-nowrap`} title={exact(group.cost_usd)}>
              {total(group.cost_usd)}
            </td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr className={SUM_ROW}>
          <td className="pt-1.5">Sum, exact</td>
          <td colSpan={3} className="pt-1.5 text-right">
            {exact(data.totals.cost_usd)}
          </td>
        </tr>
      </tfoot>
    </table>
  )
}

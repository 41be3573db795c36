/** The chart's legend as a table, with what each was before, down to the total of all. */
import { Link } from "wouter"
import type { Group, OtherGroups, Series } from "../api/usage.ts"
import { change, total } from "../format/format.ts"
import { Card, Empty, Skeleton } from "../ui/card.tsx"
import { Swatch } from "../ui/pill.tsx"
import { otherName } from "../view/chart-of.ts"
import { groupId, groupName } from "../view/group-names.ts"
import { slotsOf } from "../view/slots.ts"
import { useView } from "../view/use-view.ts"
import { GROUPS, type GroupName } from "../view/view.ts"

const CELL = "border-b border-line py-2"

export function WhereItGoes({ state: { data }, by }: { state: { data: Series | undefined }; by: GroupName }) {
  const { href } = useView()
  return (
    <Card
      title="Where it goes"
      className="col-span-12 lg:col-span-4"
      actions={
        <Link href={href("/usage", { by })} className="link text-table">
          Explore
        </Link>
      }
    >
      {data === undefined ? (
        <Skeleton lines={8} />
      ) : data.data.length === 0 ? (
        <Empty>Nothing was called in this period, so there is nothing to tell apart.</Empty>
      ) : (
        <Breakdown data={data} by={by} />
      )}
    </Card>
  )
}

function Breakdown({ data, by }: { data: Series; by: GroupName }) {
  const { href } = useView()
  const names = data.data.map((group) => groupName(group, [by]))
  const slots = slotsOf(by, names)
  const before = data.previous?.totals
  return (
    <table className="w-full border-collapse text-table" aria-label={`Spend by ${GROUPS[by].toLowerCase()}`}>
      <thead>
        <tr className="text-meta text-ink3">
          <th scope="col" className="border-b border-line py-1.5 text-left font-medium">
            {GROUPS[by]}
          </th>
          <th scope="col" className="border-b border-line py-1.5 pl-2 text-right font-medium">
            Spend
          </th>
          {before && (
            <th scope="col" className="border-b border-line py-1.5 pl-2 text-right font-medium whitespace-nowrap">
              vs before
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {data.data.map((group, index) => {
          const name = names[index] ?? ""
          const id = groupId(group, [by])
          const isFilter = by !== "token_class" && id !== ""
          return (
            <tr key={id}>
              <td className={CELL}>
                <Swatch slot={slots.get(name) ?? "other"} />
                {isFilter ? (
                  <Link href={href("/usage", { [by]: id })} className="rounded-mark hover:underline">
                    {name}
                  </Link>
                ) : (
                  name
                )}
              </td>
              <Amounts sums={group} hasBefore={before !== undefined} />
            </tr>
          )
        })}
        {data.other !== null && data.other.groups > 0 && (
          <tr>
            <td className={CELL}>
              <Swatch slot="other" />
              <Link href={href("/usage", { by })} className="rounded-mark hover:underline">
                {otherName(data.other.groups, [by])}
              </Link>
            </td>
            <Amounts sums={data.other} hasBefore={before !== undefined} />
          </tr>
        )}
      </tbody>
      <tfoot>
        <tr className="font-semibold">
          <td className="pt-2">Total</td>
          <td className="pt-2 pl-2 text-right whitespace-nowrap">{total(data.totals.cost_usd)}</td>
          {before && (
            <td className="pt-2 pl-2 text-right whitespace-nowrap">{change(data.totals.cost_usd, before.cost_usd)}</td>
          )}
        </tr>
      </tfoot>
    </table>
  )
}

function Amounts({ sums, hasBefore }: { sums: Group | OtherGroups; hasBefore: boolean }) {
  return (
    <>
      <td className={`${CELL} pl-2 text-right whitespace-nowrap`}>{total(sums.cost_usd)}</td>
      {hasBefore && (
        <td className={`${CELL} pl-2 text-right whitespace-nowrap text-ink2`}>
          {sums.previous === undefined ? "" : change(sums.cost_usd, sums.previous.cost_usd)}
        </td>
      )}
    </>
  )
}

/** The groups of the view, dearest first, down to the total of all. The name leads one step deeper; Explain says why. */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import type { Query } from "../api/client.ts"
import type { Realm } from "../api/realm.ts"
import { type Group, type Summary, summaryQuery } from "../api/usage.ts"
import { change, compact, count, share, total } from "../format/format.ts"
import { clockTime, zoneName } from "../format/moment.ts"
import { TextButton } from "../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../ui/card.tsx"
import { Missing, Pill, Swatch } from "../ui/pill.tsx"
import { type Column, DataTable } from "../ui/table.tsx"
import { otherName } from "../view/chart-of.ts"
import { groupId, groupName, plural } from "../view/group-names.ts"
import { NONE } from "../view/none.ts"
import { slotsOf } from "../view/slots.ts"
import { useView } from "../view/use-view.ts"
import { FILTERS, GROUPS, type GroupName } from "../view/view.ts"
import { inputOf } from "./usage-strip.tsx"

const TOP = 50
/** As many as stand alone in the chart. */
export const CHART_TOP = 7

/** What comes after a step down; what is no step of the ladder leads to projects. */
const NEXT: Readonly<Partial<Record<GroupName, GroupName>>> = {
  project: "user",
  user: "key",
  key: "model",
  model: "key",
}

export function BreakdownCard({
  realm,
  by,
  filter,
  order,
}: {
  realm: Realm
  by: readonly GroupName[]
  filter: Query
  order: string | undefined
}) {
  const { data, error, refetch, isPlaceholderData } = useQuery(
    summaryQuery(realm, { ...filter, group_by: by.join(","), top: TOP, order_by: order }),
  )
  const { view } = useView()
  const isFiltered = Object.keys({ ...view.filters, ...view.truths }).length > 0
  const isCurrent = data !== undefined && data.group_by.join() === by.join()
  const word = by.length === 1 && by[0] !== undefined ? plural(by[0]) : "groups"
  return (
    <Card
      title={word.charAt(0).toUpperCase() + word.slice(1)}
      unit={isCurrent ? `${count(groupCount(data))}, sorted by ${orderWord(by, order)}` : undefined}
      className="col-span-12 xl:col-span-8"
      isBusy={isPlaceholderData}
      actions={
        data && (
          <span className="text-meta text-ink3">
            as of {clockTime(data.as_of, data.range.time_zone)} {zoneName(data.range.time_zone, data.as_of)}
          </span>
        )
      }
    >
      {error !== null && data === undefined ? (
        <Failure error={error} what="The table" retry={() => void refetch()} />
      ) : !isCurrent ? (
        <Skeleton lines={8} />
      ) : data.data.length === 0 ? (
        <Empty>
          {isFiltered
            ? "Nothing matches in this range. Take a longer range, or remove a filter."
            : "Nothing was called in this range. Take a longer one; what is called stands here within a second."}
        </Empty>
      ) : (
        <Breakdown data={data} by={by} realm={realm} order={order} />
      )}
    </Card>
  )
}

function Breakdown({
  data,
  by,
  realm,
  order,
}: {
  data: Summary
  by: readonly GroupName[]
  realm: Realm
  order: string | undefined
}) {
  const { href, set, search } = useView()
  const path = realm === "admin" ? "/usage" : "/my/usage"
  const chosen = search.get("row")
  const columns = useMemo(
    () => breakdownColumns(data, by, order, (group) => set({ row: rowName(group, by) }, { replace: true })),
    [data, by, order, set],
  )
  const isByClass = by.includes("token_class")
  const drill = (group: Group) => href(path, drillNames(group, by, realm))
  return (
    <DataTable
      label={`Usage by ${by.map((name) => GROUPS[name].toLowerCase()).join(" and ")}`}
      columns={columns}
      rows={data.data}
      rowId={(group) => groupId(group, by)}
      isChosen={(group) => rowName(group, by) === chosen}
      {...(isByClass ? {} : { href: drill })}
      foot={foot(data, by)}
    />
  )
}

/** The filters that a step into the group adds, and what is told apart then. */
function drillNames(group: Group, by: readonly GroupName[], realm: Realm): Record<string, string | null> {
  const filters = by.filter((name) => name in FILTERS).map((name) => [name, String(group[name] ?? "") || NONE] as const)
  const last = by.at(-1) ?? "model"
  const next = realm === "own" ? (last === "model" ? "key" : "model") : (NEXT[last] ?? "project")
  return { ...Object.fromEntries(filters), by: next, row: null }
}

function breakdownColumns(
  data: Summary,
  by: readonly GroupName[],
  order: string | undefined,
  explain: (group: Group) => void,
): readonly Column<Group>[] {
  const name = nameColumn(data, by)
  if (by.includes("token_class"))
    return [name, figure("tokens", "Tokens", ({ tokens }) => compact(tokens)), ...costColumns(data)]
  const sorted = SORTED[order ?? "cost"]
  const mark = (column: Column<Group>) => (column.id === sorted ? { ...column, isSorted: true } : column)
  return [name, ...countColumns(), ...costColumns(data), explainColumn(by, explain)].map(mark)
}

/** What the server sorts by → the column that says so. */
const SORTED: Readonly<Record<string, string>> = { cost: "cost", records: "requests", tokens: "input" }

function figure(
  id: string,
  head: string,
  cell: Column<Group>["cell"],
  more: Pick<Column<Group>, "from" | "className"> = {},
): Column<Group> {
  return { id, head, cell, isFigure: true, className: "text-ink2", ...more }
}

function nameColumn(data: Summary, by: readonly GroupName[]): Column<Group> {
  const slots = slotsOf(
    by.join(),
    data.data.slice(0, CHART_TOP).map((group) => groupName(group, by)),
  )
  return {
    id: "name",
    head: by.map((one) => GROUPS[one]).join(" / "),
    cell: (group) => (
      <span className="inline-flex max-w-72 items-center max-sm:max-w-[38vw]">
        <Swatch slot={slots.get(groupName(group, by)) ?? "other"} />
        <span className="truncate" title={groupName(group, by)}>
          {groupName(group, by)}
        </span>
        {group.unpriced_records !== undefined && group.unpriced_records !== "0" && (
          <span className="ml-2 max-sm:hidden">
            <Pill tone="warn">{compact(group.unpriced_records)} unpriced</Pill>
          </span>
        )}
      </span>
    ),
  }
}

function countColumns(): readonly Column<Group>[] {
  return [
    figure("requests", "Requests", ({ records }) => count(records), { from: "sm" }),
    figure("input", "Input", (group) => compact(inputOf(group)), { from: "md" }),
    figure("cached", "From cache", (group) => share(group.cache_read_tokens, inputOf(group)), { from: "lg" }),
    figure("output", "Output", (group) => compact(group.output_tokens), { from: "md" }),
  ]
}

function costColumns(data: Summary): readonly Column<Group>[] {
  return [
    figure("cost", "Cost", (group) => total(group.cost_usd), { className: "font-[550]" }),
    figure("share", "Share", (group) => share(group.cost_usd, data.totals.cost_usd), { from: "sm" }),
    figure("change", "vs before", (group) =>
      group.previous === undefined ? <Missing why="Not compared" /> : change(group.cost_usd, group.previous.cost_usd),
    ),
  ]
}

function explainColumn(by: readonly GroupName[], explain: (group: Group) => void): Column<Group> {
  return {
    id: "explain",
    head: <span className="sr-only">Explanation</span>,
    isFigure: true,
    from: "md",
    cell: (group) => (
      <TextButton onClick={() => explain(group)} aria-label={`Why ${groupName(group, by)} cost that`}>
        Why
      </TextButton>
    ),
  }
}

function foot(data: Summary, by: readonly GroupName[]): Record<string, React.ReactNode> {
  const { totals, other, previous } = data
  const word = by.length === 1 && by[0] !== undefined ? plural(by[0]) : "groups"
  const note = other !== null && other.groups > 0 ? `, with ${otherName(other.groups, by).toLowerCase()}` : ""
  return {
    name: `Total of all ${count(groupCount(data))} ${word}${note}`,
    tokens: compact(totals.tokens),
    requests: count(totals.records),
    input: compact(inputOf(totals)),
    cached: share(totals.cache_read_tokens, inputOf(totals)),
    output: compact(totals.output_tokens),
    cost: total(totals.cost_usd),
    share: share(totals.cost_usd, totals.cost_usd),
    change: previous === null ? "" : change(totals.cost_usd, previous.totals.cost_usd),
  }
}

/** Token classes come dearest first, whatever is asked. */
function orderWord(by: readonly GroupName[], order: string | undefined): string {
  if (order === undefined || by.includes("token_class")) return "cost"
  return order === "records" ? "requests" : order
}

function groupCount({ data, other }: Summary): number {
  return data.length + (other?.groups ?? 0)
}

/** How the URL names the row that is explained: its ids with commas. */
function rowName(group: Group, by: readonly GroupName[]): string {
  return by.map((name) => String(group[name] ?? "") || NONE).join(",")
}

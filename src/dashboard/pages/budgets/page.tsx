/** Budgets & limits: who will hit a wall, and when. */
import { type UseQueryResult, useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import { useLocation } from "wouter"
import { type BudgetFilter, limitsQuery, type Projection, projectionQuery, type ScopedLimit } from "../../api/limits.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { clockTime, zoneName } from "../../format/moment.ts"
import { FilterBar } from "../../frame/filter-bar.tsx"
import { PageHead } from "../../frame/page-head.tsx"
import { Button, ButtonLink } from "../../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../../ui/card.tsx"
import { SearchField } from "../../ui/search-field.tsx"
import { DataTable } from "../../ui/table.tsx"
import { useQueryName, useView } from "../../view/use-view.ts"
import type { View } from "../../view/view.ts"
import { BudgetSheet } from "./budget-sheet.tsx"
import { budgetColumns, RATE_COLUMNS } from "./columns.tsx"
import { useProjectOfKey, useSubjectName } from "./names.ts"
import { NewBudget } from "./new-budget.tsx"
import { type BudgetRow, budgetRows, countAtRisk, isBudget, isMeant, matchesSearch } from "./rows.ts"

/** Filters of other pages that narrow this one too. */
const NARROWING = ["project", "user", "key"] as const

export function BudgetsPage({ id }: { id: string | null }) {
  const session = useSession()
  const { view, href, set, search: query } = useView()
  const [, go] = useLocation()
  const [search, setSearch] = useQueryName("q")
  const limits = useQuery(limitsQuery)
  const projection = useQuery(projectionQuery(budgetFilter(view)))
  const rows = useRows(view, limits.data, projection.data)
  const shown = rows.filter((row) => matchesSearch(row, search))
  const budgets = shown.filter(({ limit }) => isBudget(limit))
  const rates = shown.filter(({ limit }) => !isBudget(limit))
  const kept = { q: search === "" ? null : search }
  const close = () => go(href("/budgets", kept))
  const clear = () => set({ q: null, ...Object.fromEntries(NARROWING.map((name) => [name, null])) })
  const mayMake = mayChange(session, "limits")
  const chosen = id === "new" ? undefined : chosenRow(rows, id, query.get("counted"))
  const addressOf = ({ limit, standing }: BudgetRow) =>
    href(`/budgets/${limit.id}`, { ...kept, counted: standing?.counted ?? null })
  return (
    <>
      <PageHead title="Budgets & limits">
        <SearchField label="Search budgets" value={search} onChange={setSearch} />
        {mayMake && (
          <ButtonLink look="primary" href={href("/budgets/new")}>
            Create budget
          </ButtonLink>
        )}
      </PageHead>
      <div className="mb-3 flex flex-wrap gap-2 empty:hidden">
        <FilterBar realm="admin" only={NARROWING} />
      </div>
      <div className="flex flex-col gap-3 sm:gap-4">
        <BudgetsCard
          limits={limits}
          projection={projection}
          rows={budgets}
          hasAny={rows.length > 0 || (limits.data?.length ?? 0) > 0}
          mayMake={mayMake}
          clear={clear}
          addressOf={addressOf}
          chosen={chosen}
        />
        {rates.length > 0 && (
          <Card title="Rates and other limits" unit={String(rates.length)}>
            <DataTable
              label="Rates and other limits"
              columns={RATE_COLUMNS}
              rows={rates}
              rowId={({ id: row }) => row}
              href={addressOf}
              isChosen={(row) => row === chosen}
            />
          </Card>
        )}
      </div>
      {id === "new" && <NewBudget onClose={close} />}
      {id !== null && id !== "new" && limits.data !== undefined && (
        <BudgetSheet row={chosen} asOf={projection.data?.as_of ?? new Date().toISOString()} onClose={close} />
      )}
    </>
  )
}

function budgetFilter({ organization, filters }: View): BudgetFilter {
  const named = NARROWING.flatMap((name) => (filters[name] === undefined ? [] : [[name, filters[name].join(",")]]))
  return { ...(organization === null ? {} : { organization }), ...Object.fromEntries(named) }
}

function useRows(
  view: View,
  limits: readonly ScopedLimit[] | undefined,
  projection: Projection | undefined,
): readonly BudgetRow[] {
  const organization = view.organization ?? undefined
  const nameOf = useSubjectName(organization)
  const projectOfKey = useProjectOfKey(organization)
  return useMemo(() => {
    const meant = (limits ?? []).filter(
      (limit) =>
        (organization === undefined || limit.organization_id === organization) &&
        isMeant(limit, view.filters, projectOfKey),
    )
    return budgetRows(meant, projection?.budgets ?? [], nameOf)
  }, [limits, projection, organization, view.filters, nameOf, projectOfKey])
}

function chosenRow(rows: readonly BudgetRow[], id: string | null, counted: string | null): BudgetRow | undefined {
  const own = rows.filter(({ limit }) => limit.id === id)
  return own.find(({ standing }) => (standing?.counted ?? null) === counted) ?? own[0]
}

function BudgetsCard({
  limits,
  projection,
  rows,
  hasAny,
  mayMake,
  clear,
  addressOf,
  chosen,
}: {
  limits: UseQueryResult<readonly ScopedLimit[]>
  projection: UseQueryResult<Projection>
  rows: readonly BudgetRow[]
  hasAny: boolean
  mayMake: boolean
  clear: () => void
  addressOf: (row: BudgetRow) => string
  chosen: BudgetRow | undefined
}) {
  const asOf = projection.data?.as_of ?? new Date().toISOString()
  const columns = useMemo(() => budgetColumns(asOf), [asOf])
  return (
    <Card
      title="Budgets"
      unit={projection.data === undefined ? undefined : riskWords(projection.data, rows.length)}
      isBusy={projection.isFetching && !projection.isPending}
      actions={
        projection.data !== undefined && (
          <span className="text-meta text-ink3">
            as of {clockTime(asOf, projection.data.time_zone)} {zoneName(projection.data.time_zone, asOf)}
          </span>
        )
      }
    >
      {limits.isError ? (
        <Failure error={limits.error} what="Budgets" retry={() => void limits.refetch()} />
      ) : limits.isPending || projection.isPending ? (
        <Skeleton lines={8} className="h-9" />
      ) : (
        <>
          {projection.isError && (
            <Failure error={projection.error} what="Where they stand" retry={() => void projection.refetch()} />
          )}
          {rows.length === 0 ? (
            <NoBudgets hasAny={hasAny} mayMake={mayMake} clear={clear} />
          ) : (
            <DataTable
              label="Budgets"
              columns={columns}
              rows={rows}
              rowId={({ id }) => id}
              href={addressOf}
              isChosen={(row) => row === chosen}
              sortedAtFirst={{ id: "outlook", desc: false }}
            />
          )}
          {(projection.data?.budgets_more ?? 0) > 0 && (
            <p className="mt-3 text-meta text-ink3">
              Where {projection.data?.budgets_more} more stand is not shown: these are the ones used most. Filter by a
              project, user or key to see theirs.
            </p>
          )}
        </>
      )}
    </Card>
  )
}

/** `12, 3 at risk`. */
function riskWords({ budgets }: Projection, shown: number): string {
  const atRisk = countAtRisk(budgets)
  return atRisk === 0 ? String(shown) : `${shown}, ${atRisk} at risk`
}

function NoBudgets({ hasAny, mayMake, clear }: { hasAny: boolean; mayMake: boolean; clear: () => void }) {
  const { href } = useView()
  if (hasAny)
    return <Empty action={<Button onClick={clear}>Clear search and filters</Button>}>No budget matches.</Empty>
  return (
    <Empty action={mayMake && <ButtonLink href={href("/budgets/new")}>Create the first budget</ButtonLink>}>
      Budgets stand here, the one that is used up first on top. A budget is how much an organization, a project, a user
      or a key may spend in a day, a month or in all; calls over it are refused, or let through with a warning.
    </Empty>
  )
}

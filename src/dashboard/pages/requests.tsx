/** Single requests: what exactly happened. The newest first, page by page; new ones wait behind their count. */
import { useQuery } from "@tanstack/react-query"
import { useCallback, useMemo, useState } from "react"
import { useLocation } from "wouter"
import type { Query } from "../api/client.ts"
import { useLive } from "../api/live.ts"
import type { Realm } from "../api/realm.ts"
import { type RecordPage, recordsQuery, summaryQuery, type UsageRecord } from "../api/usage.ts"
import { count } from "../format/format.ts"
import { zoneName } from "../format/moment.ts"
import { ExportMenu } from "../frame/export-menu.tsx"
import { FilterBar } from "../frame/filter-bar.tsx"
import { PageHead } from "../frame/page-head.tsx"
import { PeriodControls } from "../frame/period-controls.tsx"
import { Button } from "../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../ui/card.tsx"
import { type Column, DataTable, Pager } from "../ui/table.tsx"
import { useView } from "../view/use-view.ts"
import { filterQuery } from "../view/view.ts"
import { FindRequest } from "./find-request.tsx"
import { recordColumns } from "./record-columns.tsx"
import { RequestSheet } from "./request-sheet.tsx"

const PAGE = 50
const NOT_IN_GRID = new Set(["tokens"])
const NOT_OWN = new Set(["tokens", "project", "user"])

export function RequestsPage({ realm, id }: { realm: Realm; id: string | null }) {
  const { view, set, search, href } = useView()
  const [, go] = useLocation()
  const path = realm === "admin" ? "/requests" : "/my/requests"
  const after = search.get("after")
  const filter = filterQuery(view)
  const page = useQuery(recordsQuery(realm, { ...filter, limit: PAGE, after }))
  const whole = useQuery(summaryQuery(realm, { ...filter, compare: "none" }))
  const zone = whole.data?.range.time_zone ?? "UTC"
  const columns = useMemo(() => {
    const left = realm === "admin" ? NOT_IN_GRID : NOT_OWN
    return recordColumns(zone).filter((column) => !left.has(column.id))
  }, [zone, realm])
  const rows = page.data?.data ?? []
  const isNewestPage = after === null
  const waiting = useWaiting(realm, filter, rows, !isNewestPage || !isRunning(view.until))
  const showNew = () => {
    waiting.forget()
    void page.refetch()
    void whole.refetch()
  }
  const next = page.data?.next ?? null
  const names: Readonly<Record<string, string>> = after === null ? {} : { after }
  const hrefOf = (record: UsageRecord) => href(`${path}/${record.id}`, names)
  return (
    <>
      <PageHead title={realm === "admin" ? "Requests" : "My requests"}>
        <PeriodControls range={whole.data?.range} />
        <ExportMenu realm={realm} kind="records" query={filter} label="Export these requests" />
      </PageHead>
      <div className="mb-4 flex flex-wrap items-center gap-2">
        <FilterBar realm={realm} />
        <span className="mr-auto" />
        <FindRequest path={path} />
      </div>
      <Card
        title="Requests"
        unit={
          whole.data &&
          `${count(whole.data.totals.records)} in this range, times in ${zoneName(zone, whole.data.as_of)}`
        }
        isBusy={page.isPlaceholderData}
        actions={
          waiting.count > 0 &&
          isNewestPage && (
            <Button onClick={showNew}>
              <span aria-live="polite">Show {waiting.count} new</span>
            </Button>
          )
        }
      >
        <Rows state={page} rows={rows} columns={columns} id={id} hrefOf={hrefOf} />
        <Pager
          newest={isNewestPage ? null : () => set({ after: null })}
          older={next === null ? null : () => set({ after: next })}
        />
      </Card>
      {id !== null && <RequestSheet realm={realm} id={id} timeZone={zone} onClose={() => go(href(path, names))} />}
    </>
  )
}

function Rows({
  state,
  rows,
  columns,
  id,
  hrefOf,
}: {
  state: { readonly data: RecordPage | undefined; readonly error: Error | null; readonly refetch: () => unknown }
  rows: readonly UsageRecord[]
  columns: readonly Column<UsageRecord>[]
  id: string | null
  hrefOf: (record: UsageRecord) => string
}) {
  if (state.data === undefined) {
    if (state.error === null) return <Skeleton lines={14} />
    return <Failure error={state.error} what="Requests" retry={() => void state.refetch()} />
  }
  if (rows.length === 0) return <NoRequests />
  return (
    <DataTable
      label="Requests"
      columns={columns}
      rows={rows}
      rowId={(record) => record.id}
      href={hrefOf}
      isChosen={(record) => record.id === id}
    />
  )
}

/** How many requests came that are not in these rows. */
function useWaiting(realm: Realm, filter: Query, rows: readonly UsageRecord[], isOff: boolean) {
  const [ids, setIds] = useState<readonly string[]>([])
  const onRecords = useCallback(
    (records: readonly UsageRecord[]) => setIds((before) => [...new Set([...before, ...records.map(({ id }) => id)])]),
    [],
  )
  useLive(realm, filter, isOff, onRecords)
  const count = ids.filter((id) => !rows.some((row) => row.id === id)).length
  return { count, forget: () => setIds([]) }
}

function NoRequests() {
  const { view, set } = useView()
  const names = [...Object.keys(view.filters), ...Object.keys(view.truths)]
  return (
    <Empty
      action={
        <div className="flex flex-wrap gap-2">
          {names.length > 0 && (
            <Button onClick={() => set(Object.fromEntries(names.map((name) => [name, null])))}>Clear filters</Button>
          )}
          <Button onClick={() => set({ range: "90d", from: null, until: null })}>Look at 90 days</Button>
        </div>
      }
    >
      No request {names.length > 0 ? "matches these filters" : "was made"} in this range. Requests stand here a fraction
      of a second after they end.
    </Empty>
  )
}

/** A range that ends in the past gets no new requests. */
function isRunning(until: string | null): boolean {
  return until === null || until >= new Date().toISOString().slice(0, 10)
}

/**
 * Tables: names left, figures right. Where the whole list is here a click on a column sorts it; lists of the ledger come
 * sorted by their server. A row is a link whose first cell holds the link itself. Columns that are not needed to tell rows
 * apart give way on phones.
 */
import {
  type ColumnDef,
  createSortedRowModel,
  rowSortingFeature,
  type SortingState,
  tableFeatures,
  useTable,
} from "@tanstack/react-table"
import { type ReactNode, useMemo, useState } from "react"
import { Link, useLocation } from "wouter"
import { Button } from "./button.tsx"
import { Icon } from "./icons.tsx"

/** Of a small table that explains a figure and is no list: a cell of its head, and the row of its sum. */
export const SMALL_HEAD = "py-1 text-meta font-medium text-ink3"
export const SUM_ROW = "border-t-[1.5px] border-ink font-semibold"

export type Column<Row> = {
  readonly id: string
  readonly head: ReactNode
  readonly cell: (row: Row) => ReactNode
  /** By what a click on the head sorts; absent: it does not. */
  readonly sortBy?: (row: Row) => string | number
  readonly isFigure?: boolean
  /** The server sorted by it, the largest first. */
  readonly isSorted?: boolean
  /** From which width on the column is there. */
  readonly from?: "sm" | "md" | "lg" | "xl"
  readonly className?: string
}

type TableProps<Row> = {
  /** What the table lists; for screen readers. */
  label: string
  columns: readonly Column<Row>[]
  rows: readonly Row[]
  rowId: (row: Row) => string
  href?: (row: Row) => string
  /** A row that stands out as chosen. */
  isChosen?: (row: Row) => boolean
  isNew?: (row: Row) => boolean
  /** Totals over all matching rows, one cell for each column. */
  foot?: Readonly<Record<string, ReactNode>>
  sortedAtFirst?: { id: string; desc: boolean }
}

const features = tableFeatures({ rowSortingFeature, sortedRowModel: createSortedRowModel() })
const FROM = { sm: "max-sm:hidden", md: "max-md:hidden", lg: "max-lg:hidden", xl: "max-xl:hidden" } as const
const NO_SORTING: SortingState = []

export function DataTable<Row extends object>({
  label,
  columns,
  rows,
  rowId,
  href,
  isChosen,
  isNew,
  foot,
  sortedAtFirst,
}: TableProps<Row>) {
  const [sorting, setSorting] = useState<SortingState>(() => (sortedAtFirst ? [sortedAtFirst] : NO_SORTING))
  const definitions = useMemo(() => columns.map(definitionOf<Row>), [columns])
  // Columns may sort by what is not in the rows; a new array makes the table look again.
  // biome-ignore lint/correctness/useExhaustiveDependencies: for that reason
  const data = useMemo(() => [...rows], [rows, columns])
  const table = useTable({
    features,
    columns: definitions,
    data,
    getRowId: rowId,
    state: { sorting },
    onSortingChange: setSorting,
    enableSortingRemoval: false,
  })
  // Without links in it, a table that scrolls sideways is reached by the keyboard as a whole.
  const reach = href === undefined ? ({ tabIndex: 0, role: "group", "aria-label": `${label}, scrolls` } as const) : {}
  return (
    <div {...reach} className="-mx-4 overflow-x-auto px-4 sm:-mx-5 sm:px-5">
      <table className="w-full border-collapse text-table" aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.id} column={column} header={table.getColumn(column.id)} />
            ))}
          </tr>
        </thead>
        <tbody>
          {table.getRowModel().rows.map(({ id, original }) => (
            <BodyRow
              key={id}
              columns={columns}
              row={original}
              address={href?.(original)}
              isChosen={isChosen?.(original) === true}
              isNew={isNew?.(original) === true}
            />
          ))}
        </tbody>
        {foot !== undefined && (
          <tfoot>
            <tr className="border-t border-edge font-semibold">
              {columns.map((column, index) => (
                <td key={column.id} className={cellClass(column, index, columns.length)}>
                  {foot[column.id]}
                </td>
              ))}
            </tr>
          </tfoot>
        )}
      </table>
    </div>
  )
}

function BodyRow<Row>({
  columns,
  row,
  address,
  isChosen,
  isNew,
}: {
  columns: readonly Column<Row>[]
  row: Row
  address: string | undefined
  isChosen: boolean
  isNew: boolean
}) {
  const [, go] = useLocation()
  const look = `${isChosen ? "bg-accentsoft" : ""} ${address === undefined ? "" : "cursor-pointer hover:bg-bg"} ${isNew ? "animate-row" : ""}`
  return (
    <tr
      aria-current={isChosen ? "true" : undefined}
      onClick={address === undefined ? undefined : (event) => isPlainClick(event) && go(address)}
      className={`border-b border-line last:border-b-0 ${look}`}
    >
      {columns.map((column, index) => (
        <td key={column.id} className={cellClass(column, index, columns.length)}>
          {index === 0 && address !== undefined ? (
            <Link
              href={address}
              className="rounded-mark text-ink hover:underline max-sm:inline-flex max-sm:min-h-7 max-sm:w-full max-sm:items-center"
            >
              {column.cell(row)}
            </Link>
          ) : (
            column.cell(row)
          )}
        </td>
      ))}
    </tr>
  )
}

type Sortable = {
  getIsSorted: () => false | "asc" | "desc"
  getToggleSortingHandler: () => ((event: unknown) => void) | undefined
}

function Head<Row>({ column, header }: { column: Column<Row>; header: Sortable | undefined }) {
  const sorted = header?.getIsSorted() ?? false
  const shape = `border-b border-line px-1.5 py-1.5 text-meta font-medium whitespace-nowrap text-ink3 first:pl-0 last:pr-0 ${column.isFigure === true ? "text-right" : "text-left"} ${column.from === undefined ? "" : FROM[column.from]}`
  if (column.sortBy === undefined) {
    return (
      <th scope="col" className={shape} aria-sort={column.isSorted === true ? "descending" : undefined}>
        {column.head}
        {column.isSorted === true && <span aria-hidden="true"> ↓</span>}
      </th>
    )
  }
  return (
    <th
      scope="col"
      className={shape}
      aria-sort={sorted === "asc" ? "ascending" : sorted === "desc" ? "descending" : "none"}
    >
      <button
        type="button"
        onClick={header?.getToggleSortingHandler()}
        className={`inline-flex items-center gap-1 rounded-mark hover:text-ink ${column.isFigure === true ? "flex-row-reverse" : ""}`}
      >
        {column.head}
        <span className={`w-3 text-center ${sorted === false ? "opacity-0" : ""}`} aria-hidden="true">
          {sorted === "asc" ? "↑" : "↓"}
        </span>
      </button>
    </th>
  )
}

function definitionOf<Row extends object>({ id, sortBy }: Column<Row>): ColumnDef<typeof features, Row> {
  return {
    id,
    accessorFn: (row: Row) => sortBy?.(row) ?? "",
    enableSorting: sortBy !== undefined,
    sortFn: (one, two) => compare(sortBy?.(one.original) ?? "", sortBy?.(two.original) ?? ""),
  }
}

function compare(one: string | number, two: string | number): number {
  if (typeof one === "number" && typeof two === "number") return one - two
  return String(one).localeCompare(String(two), "en", { sensitivity: "base" })
}

function cellClass<Row>({ isFigure, from, className = "" }: Column<Row>, index: number, count: number): string {
  const side = isFigure === true ? "text-right whitespace-nowrap" : "text-left"
  const edges = `${index === 0 ? "pl-0" : "pl-1.5"} ${index === count - 1 ? "pr-0" : "pr-1.5"}`
  return `h-9 py-2 ${edges} ${side} ${from === undefined ? "" : FROM[from]} ${className}`
}

/** A click on the row itself: not on a button or link in it, and not one that opens a new tab. */
function isPlainClick(event: React.MouseEvent): boolean {
  const isOnControl = event.target instanceof Element && event.target.closest("a, button, input") !== null
  return !isOnControl && !event.metaKey && !event.ctrlKey && event.button === 0
}

/** The next page of a list that is longer than one, and the way back to its beginning. */
export function Pager({ newest, older }: { newest: (() => void) | null; older: (() => void) | null }) {
  if (newest === null && older === null) return null
  return (
    <nav aria-label="Pages of the list" className="mt-4 flex justify-end gap-2">
      <Button disabled={newest === null} onClick={newest ?? undefined}>
        <Icon name="back" /> Newest
      </Button>
      <Button disabled={older === null} onClick={older ?? undefined}>
        Older <Icon name="forward" />
      </Button>
    </nav>
  )
}

/**
 * Exports: exactly the present view, or the raw records behind it, in every format. Records come in pages by their place
 * in time, each a query of its own, so that neither the ledger nor a slow reader holds anything open.
 */
import type { Sql } from "../platform/postgres.ts"
import { csvOf, jsonOf, ndjsonOf } from "./export-text.ts"
import { xlsxOf } from "./export-xlsx.ts"
import { namesOf } from "./names.ts"
import { askedOrganizations } from "./organizations.ts"
import type { RecordsQuestion, UsageQuestion } from "./question.ts"
import { RECORD_TABLE_COLUMNS, recordRow } from "./record-table.ts"
import type { Refused } from "./refused.ts"
import { reportColumns, reportRows } from "./report-table.ts"
import type { Scope } from "./scope.ts"
import { inSnapshot } from "./snapshot.ts"
import type { Cell, ExportFormat, Table } from "./table.ts"
import { nextOf, placeOf, type RecordsSelection, readPage } from "./usage-records.ts"
import { type ReportOptions, rangeOf, usageReport } from "./usage-report.ts"

const PAGE_ROWS = 5_000

export type Export = {
  readonly kind: "export"
  readonly asOfMs: number
  readonly table: Table
}

const WRITERS = { csv: csvOf, json: jsonOf, ndjson: ndjsonOf, xlsx: xlsxOf } as const

/** The table as a file, piece by piece: the next piece is made when the one before has been taken. */
export function written(format: ExportFormat, table: Table): AsyncGenerator<string | Uint8Array> {
  return WRITERS[format](table)
}

/** What the report of this question shows, row by row. */
export async function exportReport(
  options: ReportOptions,
  question: UsageQuestion,
  scope: Scope,
  nowMs: number,
): Promise<Export | Refused> {
  const report = await usageReport(options, question, scope, nowMs)
  if (report.kind === "refused") return report
  const rows = reportRows(report, await namesOf(options.sql, report))
  return { kind: "export", asOfMs: report.asOfMs, table: { columns: reportColumns(report), pages: inPages(rows) } }
}

/** Every record that matches, whatever `limit` and `after` say; those that come in after the export began are left out. */
export async function exportRecords(
  sql: Sql,
  question: RecordsQuestion,
  scope: Scope,
  nowMs: number,
): Promise<Export | Refused> {
  const found = await inSnapshot(sql, async (transaction, asOfMs) => {
    const organizations = await askedOrganizations(transaction, question, scope)
    const range = await rangeOf(transaction, question, organizations, nowMs, true)
    return "kind" in range ? range : { ...range, asOfMs, organizationIds: organizations.map(({ id }) => id) }
  })
  if ("kind" in found) return found
  const { asOfMs, range, organizationIds } = found
  const selection = { filter: question, scope, organizationIds, range }
  return {
    kind: "export",
    asOfMs,
    table: { columns: RECORD_TABLE_COLUMNS, pages: recordPages(sql, selection, asOfMs) },
  }
}

async function* recordPages(sql: Sql, selection: RecordsSelection, asOfMs: number): AsyncGenerator<Cell[][]> {
  const asOf = new Date(asOfMs).toISOString()
  for (let after: string | null = ""; after !== null; ) {
    const place = after === "" ? null : placeOf(after)
    if (place === "unreadable") throw new Error(`A record's place could not be read back: ${after}`)
    const records = await readPage(sql, selection, place, PAGE_ROWS, { asOfMs })
    yield records.map((record) => recordRow(record, asOf))
    after = nextOf(records, PAGE_ROWS)
  }
}

async function* inPages(rows: Iterable<Cell[]>): AsyncGenerator<Cell[][]> {
  let page: Cell[][] = []
  for (const row of rows) {
    page.push(row)
    if (page.length < PAGE_ROWS) continue
    yield page
    page = []
  }
  yield page
}

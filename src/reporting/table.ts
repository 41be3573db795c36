/** A table on its way out: stable columns, and rows that come piece by piece, so that its size does not matter. */

/** Numbers travel as decimal text, so that none is rounded on the way. */
export type ColumnKind = "text" | "number" | "time" | "truth"

export type Column = {
  readonly name: string
  readonly kind: ColumnKind
}

/** `null` is an empty cell: nothing is known, which is not 0. */
export type Cell = string | boolean | null

export type Table = {
  readonly columns: readonly Column[]
  /** Rows by the thousand at most; the next are made when these have been taken. */
  readonly pages: AsyncIterable<readonly (readonly Cell[])[]>
}

export const EXPORT_FORMATS = ["csv", "json", "ndjson", "xlsx"] as const
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

export const CONTENT_TYPES: Readonly<Record<ExportFormat, string>> = {
  csv: "text/csv; charset=utf-8; header=present",
  json: "application/json",
  ndjson: "application/x-ndjson",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

/**
 * Text as a spreadsheet may show it: what would be read as a formula has an apostrophe put before it, since tools, models
 * and tags are named by callers.
 */
export function harmless(text: string): string {
  return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
}

/** Tables as CSV (RFC 4180), JSON and NDJSON, page by page: a reader that stops reading stops the query. */
import { type Cell, type Column, harmless, type Table } from "./table.ts"

/** CSV with CRLF and a header line. */
export async function* csvOf({ columns, pages }: Table): AsyncGenerator<string> {
  yield `${columns.map(({ name }) => name).join(",")}\r\n`
  for await (const rows of pages) {
    let text = ""
    for (const row of rows) text += `${row.map((cell, index) => csvCell(cell, columns[index])).join(",")}\r\n`
    yield text
  }
}

/** One array of objects, a row on each line. */
export async function* jsonOf({ columns, pages }: Table): AsyncGenerator<string> {
  let isFirst = true
  yield "["
  for await (const rows of pages) {
    let text = ""
    for (const row of rows) {
      text += `${isFirst ? "\n" : ",\n"}${jsonRow(row, columns)}`
      isFirst = false
    }
    yield text
  }
  yield "\n]\n"
}

export async function* ndjsonOf({ columns, pages }: Table): AsyncGenerator<string> {
  for await (const rows of pages) {
    let text = ""
    for (const row of rows) text += `${jsonRow(row, columns)}\n`
    yield text
  }
}

function csvCell(cell: Cell, column: Column | undefined): string {
  if (cell === null) return ""
  if (typeof cell === "boolean") return String(cell)
  const text = column?.kind === "text" ? harmless(cell) : cell
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** Numbers stay decimal strings: a reader's float would round them. */
function jsonRow(row: readonly Cell[], columns: readonly Column[]): string {
  return JSON.stringify(Object.fromEntries(columns.map(({ name }, index) => [name, row[index] ?? null])))
}

/** Columns of text for people: each as wide as its widest cell. */

/** Names come from callers: on a terminal, these characters could move the cursor and write what nobody printed. */
const CONTROL = /[\p{Cc}\p{Cf}\u2028\u2029]/gu

/** One line a row, cells padded and two spaces apart; the columns named in `right` are aligned to the right. */
export function alignColumns(table: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const rows = table.map((row) => row.map((cell) => cell.replace(CONTROL, "\ufffd")))
  const columns = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  )
  const pad = (cell: string, column: number) =>
    right.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)
  return rows.map((row) => `  ${row.map(pad).join("  ")}`.trimEnd())
}

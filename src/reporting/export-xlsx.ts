/**
 * Tables as a workbook of one sheet (ECMA-376), written as a stream: only the page that is being written is in memory.
 * Text stands in its cells, not in a shared list that would have to be whole first. Numbers are written to their last
 * digit; programs that read them keep fifteen.
 */
import { strToU8, Zip, ZipDeflate } from "fflate"
import { type Cell, type Column, harmless, type Table } from "./table.ts"

/** What a sheet holds, its header line included. */
export const SHEET_ROWS_MAX = 1_048_576
const CELL_LENGTH_MAX = 32_767

/** Thrown where a table has more rows than a sheet: the file would be refused or cut by what opens it. */
export class SheetTooLong extends Error {}

const XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
const MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
const RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
const OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
const TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"

const PARTS: Readonly<Record<string, string>> = {
  "[Content_Types].xml": `${XML}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="${TYPES}.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="${TYPES}.worksheet+xml"/></Types>`,
  "_rels/.rels": `${XML}<Relationships xmlns="${RELATIONS}"><Relationship Id="rId1" Type="${OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
  "xl/workbook.xml": `${XML}<workbook xmlns="${MAIN}" xmlns:r="${OFFICE}"><sheets><sheet name="Usage" sheetId="1" r:id="rId1"/></sheets></workbook>`,
  "xl/_rels/workbook.xml.rels": `${XML}<Relationships xmlns="${RELATIONS}"><Relationship Id="rId1" Type="${OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`,
}

export async function* xlsxOf({ columns, pages }: Table): AsyncGenerator<Uint8Array> {
  const made: Uint8Array[] = []
  const zip = new Zip((error, bytes) => {
    if (error) throw error
    made.push(bytes)
  })
  for (const [name, text] of Object.entries(PARTS)) {
    const part = new ZipDeflate(name)
    zip.add(part)
    part.push(strToU8(text), true)
  }
  const sheet = new ZipDeflate("xl/worksheets/sheet1.xml")
  zip.add(sheet)
  const header = columns.map(({ name }) => textCell(name)).join("")
  sheet.push(strToU8(`${XML}<worksheet xmlns="${MAIN}"><sheetData><row>${header}</row>`))
  let rowsLeft = SHEET_ROWS_MAX - 1
  for await (const rows of pages) {
    rowsLeft -= rows.length
    if (rowsLeft < 0) throw new SheetTooLong(`A sheet holds ${SHEET_ROWS_MAX} rows; take a shorter range, or CSV.`)
    let text = ""
    for (const row of rows) text += `<row>${row.map((cell, index) => cellXml(cell, columns[index])).join("")}</row>`
    sheet.push(strToU8(text))
    yield* made.splice(0)
  }
  sheet.push(strToU8("</sheetData></worksheet>"), true)
  zip.end()
  yield* made.splice(0)
}

function cellXml(cell: Cell, column: Column | undefined): string {
  if (cell === null || cell === "") return "<c/>"
  if (typeof cell === "boolean") return `<c t="b"><v>${cell ? 1 : 0}</v></c>`
  if (column?.kind === "number") return `<c><v>${cell}</v></c>`
  return textCell(column?.kind === "text" ? harmless(cell) : cell)
}

function textCell(text: string): string {
  return `<c t="inlineStr"><is><t xml:space="preserve">${escaped(text.slice(0, CELL_LENGTH_MAX))}</t></is></c>`
}

/** XML 1.0 has no way to write most control characters, and a lone half of a surrogate pair is none at all. */
function escaped(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\ufffe\uffff]/gu, (character) => (/[\t\n\r]/.test(character) ? character : "\ufffd"))
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll("\r", "&#13;")
}

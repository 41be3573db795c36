import { parse } from "csv-parse/sync"
import { unzipSync } from "fflate"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import type { Sql } from "../../src/platform/postgres.ts"
import { exportRecords, exportReport, written } from "../../src/reporting/export.ts"
import { recordsQuestion, usageQuestion } from "../../src/reporting/question.ts"
import type { Scope } from "../../src/reporting/scope.ts"
import { type Cell, EXPORT_FORMATS, type ExportFormat, type Table } from "../../src/reporting/table.ts"
import { usageRecord, usageRecords } from "../../src/reporting/usage-records.ts"
import { usageReport } from "../../src/reporting/usage-report.ts"
import { bring, openUsageDatabase, randomFrom, randomRecord } from "./usage-database.ts"

const ORGANIZATIONS = [
  { id: "org_a", timeZone: "Europe/Berlin" },
  { id: "org_b", timeZone: "Europe/Berlin" },
]
const FROM_MS = Date.UTC(2026, 9, 28)
const NOW_MS = Date.UTC(2026, 10, 4, 12)
const ALL: Scope = { kind: "all" }
const EVERYTHING = { from: "2026-10-28T00:00:00Z", until: "2026-11-04T12:00:00Z" }

let sql: Sql
let records: UsageRecord[]

beforeAll(async () => {
  ;({ sql } = await openUsageDatabase(ORGANIZATIONS))
  const random = randomFrom(3)
  records = Array.from({ length: 300 }, () => randomRecord(random, ORGANIZATIONS, FROM_MS, NOW_MS))
  // Several records of one millisecond, so that only the id tells them apart.
  const [first] = records
  for (const record of records.slice(1, 8)) record.time = first?.time ?? ""
  await bring(sql, records)
})
afterAll(() => sql?.end())

async function pageOf(asked: Record<string, unknown>, scope: Scope = ALL) {
  const page = await usageRecords(sql, recordsQuestion.parse({ ...EVERYTHING, ...asked }), scope, NOW_MS)
  if (page.kind === "refused") throw new Error(`${page.param}: ${page.reason}`)
  return page
}

const ordered = (order: 1 | -1) =>
  [...records]
    .sort((one, two) => (`${one.time}${one.id}` < `${two.time}${two.id}` ? -order : order))
    .map(({ id }) => id)

describe("pages of records", () => {
  test.each([
    ["newest", -1],
    ["oldest", 1],
  ] as const)("%s first, each record once", async (order, direction) => {
    const ids: string[] = []
    for (let after: string | null | undefined; after !== null; ) {
      const page = await pageOf({ order, limit: 7, after: after ?? "" })
      ids.push(...page.records.map(({ id }) => id))
      after = page.next
    }
    expect(ids).toEqual(ordered(direction))
  })

  test.each([
    [{ key: "org_a_k1" }, (one: UsageRecord) => one.key_id === "org_a_k1"],
    [
      { outcome: "error", organization: "org_b" },
      (one: UsageRecord) => one.outcome === "error" && one.organization_id === "org_b",
    ],
    [{ tag: "c" }, (one: UsageRecord) => one.tags.includes("c")],
    [
      { conversation: "talk-1", unpriced: "true" },
      (one: UsageRecord) => one.conversation !== "" && one.price_state === "unpriced",
    ],
    [{ user: "(none)", stream: "true" }, (one: UsageRecord) => one.user_id === "" && one.stream],
  ] as const)("%j shows those records alone", async (filter, matches) => {
    const page = await pageOf({ ...filter, limit: 1_000 })
    expect(page.records.map(({ id }) => id).sort()).toEqual(
      records
        .filter(matches)
        .map(({ id }) => id)
        .sort(),
    )
    expect(page.next).toBeNull()
  })

  test("to the millisecond, not widened", async () => {
    const [one] = records
    const untilMs = Date.parse(one?.time ?? "") + 1
    const page = await pageOf({ from: one?.time, until: new Date(untilMs).toISOString(), limit: 1_000 })
    expect(page.records).toHaveLength(8)
  })

  test("what a scope does not show is not listed and not found by its id", async () => {
    const scope: Scope = { kind: "within", organizationIds: [], projectIds: ["org_a_p1"] }
    const page = await pageOf({ limit: 1_000 }, scope)
    expect(new Set(page.records.map((record) => record.project_id))).toEqual(new Set(["org_a_p1"]))
    const hidden = records.find((record) => record.project_id === "org_b_p0")
    expect(await usageRecord(sql, hidden?.id ?? "", scope)).toBeNull()
    expect(await usageRecord(sql, hidden?.id ?? "", ALL)).toMatchObject({
      id: hidden?.id,
      project: "project 0",
      client: "Client 0, Ltd",
      cost_center: "CC-0",
      organization: "Name of org_b",
    })
    expect(await usageRecord(sql, "nonsense", ALL)).toBeNull()
  })

  test.each(["nonsense", "2026-11-04T10:00:00Z_1", "2026-13-45T10:00:00Z_019a0000-0000-7000-8000-000000000001"])(
    "a cursor that reads %s is refused",
    async (after) => {
      const refusal = await usageRecords(sql, recordsQuestion.parse({ after }), ALL, NOW_MS)
      expect(refusal).toMatchObject({ kind: "refused", param: "after" })
    },
  )
})

async function textOf(format: ExportFormat, table: Table): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of written(format, table)) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

/** Every format read back as rows of texts, by readers that know nothing of the writers. */
function rowsOf(format: ExportFormat, bytes: Buffer): Record<string, string>[] {
  const texts = (row: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value === null ? "" : String(value)]))
  if (format === "csv") return parse(bytes, { columns: true })
  if (format === "json") return (JSON.parse(bytes.toString()) as Record<string, unknown>[]).map(texts)
  if (format === "ndjson") {
    return bytes
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => texts(JSON.parse(line) as Record<string, unknown>))
  }
  const sheet = Buffer.from(unzipSync(bytes)["xl/worksheets/sheet1.xml"] ?? "").toString()
  const rows = [...sheet.matchAll(/<row>(.*?)<\/row>/gs)].map(([, row = ""]) =>
    [...row.matchAll(/<c\/>|<c[^>]*>(?:<is><t[^>]*>(.*?)<\/t><\/is>|<v>(.*?)<\/v>)<\/c>/gs)].map(([, text, value]) =>
      (text ?? value ?? "")
        .replaceAll("&lt;", "<")
        .replaceAll("&gt;", ">")
        .replaceAll("&#13;", "\r")
        .replaceAll("&amp;", "&"),
    ),
  )
  const [names = [], ...cells] = rows
  return cells.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index] ?? ""])))
}

describe.each(EXPORT_FORMATS)("as %s", (format) => {
  test("raw records are all there, each with its cost to the last digit and whom it is charged to", async () => {
    const found = await exportRecords(
      sql,
      recordsQuestion.parse({ ...EVERYTHING, order: "oldest", limit: 1 }),
      ALL,
      NOW_MS,
    )
    if (found.kind === "refused") throw new Error(found.reason)
    const rows = rowsOf(format, await textOf(format, found.table))
    expect(rows.map(({ id }) => id)).toEqual(ordered(1))
    const byId = new Map(records.map((record) => [record.id, record]))
    for (const row of rows) {
      const record = byId.get(row.id ?? "")
      expect(Number(row.cost_usd)).toBe(Number(record?.cost_usd ?? 0))
      expect(row.client).toBe(`Client ${record?.project_id.at(-1)}, Ltd`)
      expect(row.cost_center).toBe(`CC-${record?.project_id.at(-1)}`)
      expect(row.as_of).toBe(new Date(found.asOfMs).toISOString())
      expect(row.tags).toBe(JSON.stringify(record?.tags))
    }
  })

  test("the view is what the report shows, others included", async () => {
    const question = usageQuestion.parse({ ...EVERYTHING, group_by: "project", top: 2, bucket: "day", latency: true })
    const reading = { sql, findSheet: () => undefined }
    const [report, found] = [
      await usageReport(reading, question, ALL, NOW_MS),
      await exportReport(reading, question, ALL, NOW_MS),
    ]
    if (report.kind === "refused" || found.kind === "refused") throw new Error("refused")
    const rows = rowsOf(format, await textOf(format, found.table))
    expect(rows).toHaveLength(3 * (report.buckets?.length ?? 0))
    const sum = rows.reduce((total, row) => total + BigInt(row.tokens ?? 0), 0n)
    expect(sum.toString()).toBe(report.totals.tokens)
    expect(rows[0]).toMatchObject({
      project_id: report.groups[0]?.key.project,
      bucket: report.buckets?.[0]?.label,
      client: expect.stringMatching(/^Client \d, Ltd$/),
      time_zone: "Europe/Berlin",
    })
    expect(rows.at(-1)?.project_id).toBe("other")
  })

  test("what callers word is never a formula, and is otherwise as it was", async () => {
    const words = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", 'say "hi", <b>&', "line\r\nbreak", "plain"]
    const columns = [
      { name: "word", kind: "text" },
      { name: "amount", kind: "number" },
    ] as const
    const pages = async function* (): AsyncGenerator<Cell[][]> {
      for (const word of words) yield [[word, "-0.000000000001"]]
    }
    const rows = rowsOf(format, await textOf(format, { columns, pages: pages() }))
    const isSheet = format === "csv" || format === "xlsx"
    expect(rows.map(({ word }) => word)).toEqual(words.map((word, index) => (isSheet && index < 6 ? `'${word}` : word)))
    expect(rows.every(({ amount }) => amount === "-0.000000000001")).toBe(true)
  })

  test("no more is read than what the reader takes", async () => {
    let made = 0
    const endless = async function* (): AsyncGenerator<Cell[][]> {
      for (;;) {
        made++
        yield Array.from({ length: 5_000 }, (_, index) => [`${made}-${index}-${Math.sqrt(index)}`])
      }
    }
    let taken = 0
    for await (const piece of written(format, { columns: [{ name: "x", kind: "text" }], pages: endless() })) {
      taken += piece.length
      if (made >= 20) break
    }
    expect(made).toBe(20)
    expect(taken).toBeGreaterThan(0)
  })
})

describe("a workbook", () => {
  test("has the parts that it names", async () => {
    const pages = async function* (): AsyncGenerator<Cell[][]> {
      yield [["a", true, null]]
    }
    const columns = [
      { name: "t", kind: "text" },
      { name: "b", kind: "truth" },
      { name: "n", kind: "number" },
    ] as const
    const parts = unzipSync(await textOf("xlsx", { columns, pages: pages() }))
    expect(Object.keys(parts).sort()).toEqual([
      "[Content_Types].xml",
      "_rels/.rels",
      "xl/_rels/workbook.xml.rels",
      "xl/workbook.xml",
      "xl/worksheets/sheet1.xml",
    ])
  })

  test("does not take more rows than a sheet holds", async () => {
    const page = Array.from({ length: 100_000 }, () => [""])
    const pages = async function* (): AsyncGenerator<Cell[][]> {
      for (let i = 0; i < 11; i++) yield page
    }
    await expect(textOf("xlsx", { columns: [{ name: "x", kind: "text" }], pages: pages() })).rejects.toThrow(
      /1048576 rows/,
    )
  })
})

/** What docs/sql.md promises to readers of SQL, with its own statements. */
import { readFile } from "node:fs/promises"
import path from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { blocksRunBy } from "../support/page-blocks.ts"
import { bring, openUsageDatabase, randomFrom, randomRecord } from "./usage-database.ts"

const ORGANIZATIONS = [{ id: "org_a", timeZone: "Europe/Berlin" }]
const PAGE = path.join(import.meta.dirname, "../../docs/sql.md")
let sql: Sql
let reader: Sql
let page: string
let role: string

beforeAll(async () => {
  const opened = await openUsageDatabase(ORGANIZATIONS)
  sql = opened.sql
  page = await readFile(PAGE, "utf8")
  const random = randomFrom(1)
  await bring(
    sql,
    Array.from({ length: 200 }, () =>
      randomRecord(random, ORGANIZATIONS, Date.UTC(2026, 10, 1), Date.UTC(2026, 10, 9)),
    ),
  )
  // Roles are of the whole server, which other tests share.
  role = `reader_${new URL(opened.url).pathname.slice(-12)}`
  await sql.unsafe(blocks()[0]?.replaceAll("tallygate_reader", role).replace("'…'", "'of-the-test'") ?? "")
  const url = new URL(opened.url)
  url.username = role
  url.password = "of-the-test"
  reader = openPostgres(url.href, { max: 1, applicationName: "test" })
})
afterAll(async () => {
  await reader?.end()
  await sql?.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  await sql?.end()
})

const blocks = () => blocksRunBy(import.meta.filename, "docs/sql.md").map(({ text }) => text)

test("every statement of the page runs for the role that it makes", async () => {
  expect(blocks().length).toBeGreaterThan(2)
  for (const block of blocks().slice(1)) await reader.unsafe(block)
})

test("the role reads the views and nothing else", async () => {
  expect(await reader`SELECT count(*)::int AS n FROM usage_records_v1`).toEqual([{ n: 200 }])
  for (const table of ["usage_records", "usage_rollups", "virtual_keys", "users", "admin_keys"]) {
    await expect(reader.unsafe(`SELECT * FROM ${table}`), table).rejects.toThrow(/permission denied/)
  }
  await expect(reader`DELETE FROM usage_summary`).rejects.toThrow(/cannot delete|permission denied/)
})

test("both views agree with each other, and the page names every column of theirs", async () => {
  const sums = (view: string, calls: string) =>
    reader.unsafe(`SELECT client, cost_center, model, ${calls}::text AS calls, sum(cost_usd)::text AS cost, sum(output_tokens)::text AS output
      FROM ${view} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`)
  const records = await sums(
    "(SELECT *, left(v.model, 120) AS name FROM usage_records_v1 v) r",
    "count(*) FILTER (WHERE kind <> 'adjustment')",
  )
  const summary = await sums("usage_summary", "sum(records)")
  const cut = (rows: readonly Record<string, unknown>[]) =>
    rows.map((row) => ({ ...row, model: String(row.model).slice(0, 120), cost: String(row.cost ?? "0.000000000000") }))
  expect(cut(summary)).toEqual(cut(records))
  for (const view of ["usage_summary", "usage_records_v1"]) {
    const columns = await sql<{ name: string }[]>`
      SELECT attname AS name FROM pg_attribute WHERE attrelid = ${view}::regclass AND attnum > 0`
    const section = page.split(`## \`${view}\``)[1]?.split("\n## ")[0] ?? ""
    for (const { name } of columns) expect(section, `${view}.${name}`).toContain(`\`${name}\``)
  }
})

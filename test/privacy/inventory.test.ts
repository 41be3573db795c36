/** What stands in the inventory of personal data, held against the tables that there are. */
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import type { Sql } from "../../src/platform/postgres.ts"
import { exportedTables } from "../../src/privacy/export-person.ts"
import { NOT_EXPORTED, NOT_PERSONAL, PERSONAL } from "../../src/privacy/inventory.ts"
import { openLedger } from "../ledger/ledger-database.ts"
import { createDatabase } from "../support/real-postgres.ts"

let sql: Sql

beforeAll(async () => {
  sql = await openLedger(await createDatabase(inject("postgresUrl")))
})
afterAll(() => sql.end())

test("every column of every table is either personal, and says what erasure does to it, or not", async () => {
  const columns = await sql<{ name: string }[]>`
    SELECT c.table_name || '.' || c.column_name AS name FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'`
  const there = new Set(columns.map(({ name }) => name.replace(/_bin_\d+$/, "_bin_N")))
  const personal = Object.entries(PERSONAL).flatMap(([table, its]) =>
    Object.keys(its).map((name) => `${table}.${name}`),
  )
  const others = Object.entries(NOT_PERSONAL).flatMap(([table, names]) =>
    names.split(" ").map((name) => `${table}.${name}`),
  )
  expect([...personal, ...others].sort()).toEqual([...there].sort())
})

test("every table with personal columns is exported, or says why it is not", () => {
  const exported = new Set([...exportedTables("user"), ...exportedTables("customer")])
  const silent = Object.keys(PERSONAL).filter((table) => !exported.has(table))
  expect(silent.sort()).toEqual(Object.keys(NOT_EXPORTED).sort())
  expect([...exported].filter((table) => !(table in PERSONAL))).toEqual([])
})

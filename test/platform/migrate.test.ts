import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest"
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import { MigrationError, migrate } from "../../src/platform/migrate.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"

const SHIPPED = path.join(import.meta.dirname, "../../migrations")

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "tallygate-migrations-"))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function put(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(directory, name), text)
}

describe.each(["a Postgres server", "the embedded Postgres"])("migrations on %s", (where) => {
  let embedded: EmbeddedPostgres | null = null
  let folder = ""
  let url: string
  let sql: Sql

  beforeAll(async () => {
    if (where !== "the embedded Postgres") return
    folder = await mkdtemp(path.join(tmpdir(), "tallygate-migrate-"))
    embedded = await startEmbeddedPostgres({ dataDir: folder })
  })
  beforeEach(async () => {
    url = embedded?.url ?? (await createDatabase(inject("postgresUrl")))
    sql = openPostgres(url, { max: 2, applicationName: "test" })
    await sql`DROP SCHEMA public CASCADE`
    await sql`CREATE SCHEMA public`
  })
  afterEach(() => sql.end())
  afterAll(async () => {
    await embedded?.stop()
    if (folder !== "") await rm(folder, { recursive: true, force: true })
  })

  test("a migration that fails leaves nothing behind, names itself, and can be mended and run again", async () => {
    await put({ "0001_one.sql": "-- One.\nCREATE TABLE one (a int);\nCREATE TABLE two (b nonsense);" })
    await expect(migrate(sql, directory, { codeVersion: "1" })).rejects.toThrow(
      /0001_one failed: .*nonsense.* Nothing of it/,
    )
    const [row] = await sql`SELECT to_regclass('one') AS one, (SELECT count(*)::int FROM schema_migrations) AS applied`
    expect(row).toEqual({ one: null, applied: 0 })
    await put({ "0001_one.sql": "-- One.\nCREATE TABLE one (a int);" })
    expect(await migrate(sql, directory, { codeVersion: "1" })).toEqual({ applied: ["0001_one"] })
  })

  test("an applied migration whose file has changed is an error; changed line ends are none", async () => {
    await put({ "0001_one.sql": "-- One.\nCREATE TABLE one (a int);\n" })
    await migrate(sql, directory, { codeVersion: "1.2.3" })
    await put({ "0001_one.sql": "-- One.\r\nCREATE TABLE one (a int);\r\n" })
    expect(await migrate(sql, directory, { codeVersion: "1.2.3" })).toEqual({ applied: [] })
    await put({ "0001_one.sql": "-- One.\nCREATE TABLE one (a bigint);\n" })
    const outcome = migrate(sql, directory, { codeVersion: "1.2.3" })
    await expect(outcome).rejects.toThrow(MigrationError)
    await expect(outcome).rejects.toThrow(/0001_one was applied .* by Tallygate 1\.2\.3, but its file has changed/)
  })

  test("older code runs on a database with newer additive migrations, and refuses a breaking one", async () => {
    await put({ "0001_one.sql": "-- One.\nSELECT 1;", "0002_two.sql": "-- Adds two.\nCREATE TABLE two (a int);" })
    await migrate(sql, directory, { codeVersion: "2.0.0" })
    await rm(path.join(directory, "0002_two.sql"))
    expect(await migrate(sql, directory, { codeVersion: "1.0.0" })).toEqual({ applied: [] })
    await put({
      "0002_two.sql": "-- Adds two.\nCREATE TABLE two (a int);",
      "0003_three.sql": "-- breaking: drops two.\nDROP TABLE two;",
    })
    await migrate(sql, directory, { codeVersion: "3.0.0" })
    await rm(path.join(directory, "0003_three.sql"))
    const outcome = migrate(sql, directory, { codeVersion: "2.0.0" })
    await expect(outcome).rejects.toThrow(MigrationError)
    await expect(outcome).rejects.toThrow(
      /migrated by Tallygate 3\.0\.0 \(0003_three\).*Start Tallygate 3\.0\.0 or newer/,
    )
  })

  test.each([
    [{ "1_one.sql": "" }, /1_one\.sql is not named like/],
    [{ "0001_one.sql": "", "0001_other.sql": "" }, /Two migrations have the number 0001/],
  ])("a file that breaks the numbering is refused before anything is applied", async (files, text) => {
    await put(files)
    await expect(migrate(sql, directory, { codeVersion: "1" })).rejects.toThrow(text)
    expect(await sql`SELECT to_regclass('schema_migrations') AS made`).toEqual([{ made: null }])
  })

  test("many starters at once apply each migration once, and all of them go on", async () => {
    const files = [1, 2, 3, 4].map((number) => [
      `000${number}_step.sql`,
      `-- Step.\nCREATE TABLE step${number} (a int);\nINSERT INTO step${number} VALUES (1);`,
    ])
    await put(Object.fromEntries(files))
    const starters = Array.from({ length: 8 }, () => openPostgres(url, { max: 1, applicationName: "test" }))
    const outcomes = await Promise.all(starters.map((one) => migrate(one, directory, { codeVersion: "1" })))
    await Promise.all(starters.map((one) => one.end()))
    expect(outcomes.flatMap((outcome) => outcome.applied).sort()).toEqual(
      [1, 2, 3, 4].map((number) => `000${number}_step`),
    )
    const [row] = await sql`SELECT (SELECT count(*)::int FROM step1) AS one, (SELECT count(*)::int FROM step4) AS four`
    expect(row).toEqual({ one: 1, four: 1 })
  })

  test("the shipped migrations apply, and a second start finds nothing to do", async () => {
    const { applied } = await migrate(sql, SHIPPED, { codeVersion: "1" })
    expect(applied).toContain("0002_ledger")
    expect(await migrate(sql, SHIPPED, { codeVersion: "1" })).toEqual({ applied: [] })
    expect(await sql`SELECT to_regclass('usage_records')::text AS table`).toEqual([{ table: "usage_records" }])
  })
})

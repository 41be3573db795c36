/** The embedded Postgres cleans up after itself, since it has no background processes to do it. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { PGlite } from "@electric-sql/pglite"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openCluster } from "../../src/platform/embedded-postgres-cluster.ts"
import { runUpkeep } from "../../src/platform/embedded-postgres-upkeep.ts"

let folder: string
let database: PGlite

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tallygate-upkeep-"))
  database = await openCluster(folder, "power", (line) => {
    throw new Error(line)
  })
})
afterAll(async () => {
  await database.close()
  rmSync(folder, { recursive: true, force: true })
})

async function number(sql: string): Promise<number> {
  return Number((await database.query<{ n: unknown }>(sql)).rows[0]?.n)
}

test("a database at rest is left alone", async () => {
  await database.exec("CHECKPOINT")
  expect(await runUpkeep(database, 3_600_000)).toEqual({ checkpointed: false, vacuumed: undefined })
})

test("rows updated over and over are vacuumed away, a table with an odd name too", async () => {
  await database.exec(`CREATE TABLE "odd ""name" AS SELECT n FROM generate_series(1, 500) n`)
  for (let round = 0; round < 5; round++) await database.exec(`UPDATE "odd ""name" SET n = n + 1`)
  const dead = "SELECT n_dead_tup AS n FROM pg_stat_user_tables"
  await database.exec("SELECT pg_stat_force_next_flush()")
  expect(await number(dead)).toBeGreaterThan(1_200)
  expect((await runUpkeep(database, 0)).vacuumed).toBe('public."odd ""name"')
  await database.exec("SELECT pg_stat_force_next_flush()")
  expect(await number(dead)).toBe(0)
})

test("the write-ahead log is cut by size at once, by age when there is something in it", async () => {
  const sinceCheckpoint =
    "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn) AS n FROM pg_control_checkpoint()"
  await database.exec("CREATE TABLE filled (t text)")
  await database.exec("INSERT INTO filled SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
  expect((await runUpkeep(database, 1_000)).checkpointed).toBe(false)
  expect((await runUpkeep(database, 301_000)).checkpointed).toBe(true)
  expect(await number(sinceCheckpoint)).toBeLessThan(1_000)
  await database.exec("INSERT INTO filled SELECT repeat('x', 1000) FROM generate_series(1, 66000)")
  expect((await runUpkeep(database, 0)).checkpointed).toBe(true)
  expect(await number(sinceCheckpoint)).toBeLessThan(1_000)
})

test("with power sync, fsync is on and goes by a call that reaches the disk", async () => {
  const { rows } = await database.query(
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'wal_sync_method') ORDER BY 1",
  )
  expect(rows).toEqual([
    { name: "fsync", setting: "on" },
    { name: "wal_sync_method", setting: "fsync" },
  ])
})

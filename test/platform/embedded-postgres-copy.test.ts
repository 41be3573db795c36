/** A running embedded Postgres can be found by its user, and its files copied as of one instant while others write. */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import { runningAddress } from "../../src/platform/embedded-postgres-address.ts"
import { copyRunningCluster } from "../../src/platform/embedded-postgres-copy.ts"
import { openPostgres } from "../../src/platform/postgres.ts"

let folder: string
let dataDir: string
let embedded: EmbeddedPostgres

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-copy-"))
  dataDir = path.join(folder, "postgres")
  embedded = await startEmbeddedPostgres({ dataDir })
})
afterAll(async () => {
  await embedded?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test("a copy holds every transaction that had ended, and none by half, while writers go on without an error", async () => {
  const sql = openPostgres(embedded.url, { max: 4, applicationName: "test" })
  await sql`CREATE TABLE debit (n int)`
  await sql`CREATE TABLE credit (n int)`
  let written = 0
  let isOver = false
  const writers = Array.from({ length: 3 }, async () => {
    while (!isOver) {
      await sql.begin(async (transaction) => {
        await transaction`INSERT INTO debit VALUES (1)`
        await transaction`INSERT INTO credit VALUES (1)`
      })
      written++
    }
  })
  while (written < 50) await sql`SELECT 1`
  const before = written
  await copyRunningCluster(embedded.url, dataDir, path.join(folder, "copy"))
  const during = written
  while (written < during + 20) await sql`SELECT 1`
  isOver = true
  await Promise.all(writers)
  await sql.end()

  const copy = await startEmbeddedPostgres({ dataDir: path.join(folder, "copy") })
  const copied = openPostgres(copy.url, { max: 1, applicationName: "test" })
  const [counts] = await copied<{ debits: number; credits: number }[]>`
    SELECT (SELECT count(*)::integer FROM debit) AS debits, (SELECT count(*)::integer FROM credit) AS credits`
  await copied.end()
  await copy.stop()
  expect(counts?.debits).toBe(counts?.credits)
  expect(counts?.debits).toBeGreaterThanOrEqual(before)
  expect(counts?.debits).toBeLessThan(written)
})

test("its address is for its owner alone, and says nothing once it has stopped, or where another one listens there", async () => {
  expect(await runningAddress(dataDir)).toBe(embedded.url)
  expect(statSync(path.join(dataDir, "address.json")).mode & 0o777).toBe(0o600)
  expect(await runningAddress(folder)).toBeNull()
  const stale = new URL(embedded.url)
  stale.password = "of-an-earlier-start"
  writeFileSync(path.join(folder, "address.json"), JSON.stringify({ url: stale.href }))
  expect(await runningAddress(folder)).toBeNull()
  await embedded.stop()
  expect(readdirSync(dataDir)).not.toContain("address.json")
  expect(await runningAddress(dataDir)).toBeNull()
})

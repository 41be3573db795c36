/** From the embedded database to a Postgres: everything arrives, and what was is left as it was. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, expect, inject, test } from "vitest"
import { writeBackup } from "../../src/ledger/backup-file.ts"
import { readLedger } from "../../src/ledger/backup-read.ts"
import { startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts"
import { readMigrations } from "../../src/platform/migrate.ts"
import { openPostgres } from "../../src/platform/postgres.ts"
import { tallygate } from "../cli/run-command.ts"
import { MIGRATIONS } from "../ledger/ledger-database.ts"
import { dataFixtures, unpackData } from "../support/data-fixtures.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { startTallygate } from "../support/tallygate-process.ts"

const folder = mkdtempSync(path.join(tmpdir(), "tallygate-move-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function move(words: string[], env: Record<string, string>) {
  const { exitCode, stdout, stderr } = await tallygate(["move", ...words, "--json"], { env, cwd: folder })
  return { exitCode, stderr, answer: exitCode === 2 ? {} : JSON.parse(stdout) }
}

/** The database's tables as they are, by their digests. */
async function tablesOf(url: string) {
  const sql = openPostgres(url, { max: 1, applicationName: "test" })
  try {
    const migrations = await readMigrations(MIGRATIONS)
    const file = path.join(folder, "tables.ndjson.gz")
    const made = { tallygateVersion: "0.0.0-test", nowMs: 0 }
    const { manifest } = await readLedger(sql, migrations, (pieces) => writeBackup(file, made, pieces))
    return manifest.tables
  } finally {
    await sql.end()
  }
}

test("a move copies every row, adds up on both sides, leaves what was, and the key, its journal and its limits go on", async () => {
  const [fixture] = dataFixtures()
  if (fixture === undefined) throw new Error("there is no data directory to move")
  const dataDir = unpackData(fixture, folder)
  const databaseUrl = await createDatabase(inject("postgresUrl"))
  const env = { TALLYGATE_DATA: dataDir }

  const embedded = await startEmbeddedPostgres({ dataDir: path.join(dataDir, "postgres") })
  const refused = await move(["--to", databaseUrl], env)
  expect(refused.exitCode).toBe(1)
  expect(refused.answer.reason).toMatch(/in use by process \d+/)
  const before = await tablesOf(embedded.url)
  await embedded.stop()

  const moved = await move(["--to", databaseUrl], env)
  expect([moved.exitCode, moved.stderr]).toEqual([0, ""])
  expect(moved.answer.checked).toMatchObject({ records: fixture.records.length, keys: 2 })
  expect(JSON.stringify(moved.answer)).not.toContain(new URL(databaseUrl).password)
  const counts = before.map(({ table, rows }) => [table, rows])
  expect(Object.entries(moved.answer.rows)).toEqual(counts)

  const again = await move(["--to", databaseUrl], env)
  expect(again.exitCode).toBe(1)
  expect(again.answer.reason).toMatch(/not empty.*Nothing was changed/)

  const onPostgres = await startTallygate([process.execPath, "src/main.ts", "serve"], {
    env: { ...env, DATABASE_URL: databaseUrl },
  })
  const response = await fetch(`${onPostgres.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${fixture.key.key}` },
    body: JSON.stringify({ model: "sandbox/echo", messages: [{ role: "user", content: "moved?" }] }),
  })
  await response.text()
  expect(response.status).toBe(200)
  onPostgres.process.kill("SIGTERM")
  expect(await onPostgres.exited).toBe(0)
  const sql = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
  const requests = await sql`
    SELECT sum(u.settled)::integer AS settled FROM limit_usage u JOIN limits l ON l.id = u.limit_id WHERE l.kind = 'requests'`
  await sql.end()
  // With the call that was cut before the move, which the journal of the data directory has told since.
  expect(requests).toEqual([{ settled: fixture.records.length + 2 }])

  const left = await startEmbeddedPostgres({ dataDir: path.join(dataDir, "postgres") })
  expect(await tablesOf(left.url)).toEqual(before)
  await left.stop()
}, 120_000)

test("a target that cannot be reached, is no url, or is missing is told so, without its password", async () => {
  const env = { TALLYGATE_DATA: path.join(folder, "data") }
  const away = await move(["--to", "postgres://u:canary@127.0.0.1:1/ledger"], env)
  expect(away.exitCode).toBe(1)
  expect(away.answer.reason).toBe("Postgres does not answer. Check --to, and that it runs.")
  expect((await move([], env)).exitCode).toBe(2)
  expect((await move(["--to", "mysql://x"], env)).exitCode).toBe(2)
  const nothing = await move(["--to", "postgres://127.0.0.1:1/x"], { TALLYGATE_DATA: path.join(folder, "none") })
  expect(nothing.answer.reason).toMatch(/there is no embedded database/)
})

/** Backups while calls run, on a Postgres and on the embedded one, and from either to the other. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { openPostgres } from "../../src/platform/postgres.ts"
import { tallygate } from "../cli/run-command.ts"
import { ledgerTotals } from "../ledger/ledger-database.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { pricedConfig, startTestApp, until } from "../support/test-app.ts"

let folder: string
let upstream: FakeUpstream
let redis: RealRedis

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-backup-flow-"))
  upstream = await startFakeUpstream()
  redis = await startRealRedis()
})
afterAll(async () => {
  await redis?.stop()
  await upstream?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function command(words: string[], env: Record<string, string>) {
  const { exitCode, stdout, stderr } = await tallygate([...words, "--json"], { env, cwd: folder })
  expect([exitCode, stderr], stdout).toEqual([0, ""])
  return JSON.parse(stdout)
}

test("a backup made while calls run has every call that had ended, whole and once, and adds up when it is restored", async () => {
  const source = await startTestApp(pricedConfig(upstream.baseUrl), { redisUrl: redis.url })
  const { key } = await source.createKey({ limits: [{ kind: "tokens", window: "month", cap: 10_000_000 }] })
  const ended: string[] = []
  let isOver = false
  const callers = Array.from({ length: 6 }, async () => {
    while (!isOver) {
      const response = await fetch(`${source.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: JSON.stringify({ model: "mock-p10-o10-d5", max_tokens: 20, messages: [{ role: "user", content: "hi" }] }),
      })
      await response.text()
      if (response.status === 200) ended.push(response.headers.get("x-request-id") ?? "")
    }
  })
  await until(async () => (ended.length > 150 ? true : undefined), 30_000)
  const before = [...ended]
  // Ends are written a few milliseconds after their answers.
  await new Promise((resolve) => setTimeout(resolve, 100))
  const file = path.join(folder, "busy.ndjson.gz")
  const env = { DATABASE_URL: source.databaseUrl, TALLYGATE_DATA: source.dataDir }
  const made = await command(["backup", "--out", file], env)
  expect(made.journal_files.length).toBeGreaterThan(0)
  const running = await tallygate(["restore", file, "--force"], { env, cwd: folder })
  expect([running.exitCode, running.stderr]).toEqual([1, expect.stringContaining("Stop it first")])
  await until(async () => (ended.length > before.length + 50 ? true : undefined), 30_000)
  isOver = true
  await Promise.all(callers)
  await source.close()

  const databaseUrl = await createDatabase(inject("postgresUrl"))
  const dataDir = path.join(folder, "restored")
  await command(["restore", file], { DATABASE_URL: databaseUrl, TALLYGATE_DATA: dataDir })
  const restored = await startTestApp(pricedConfig(upstream.baseUrl), { databaseUrl, dataDir })
  await restored.close()
  const sql = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
  const rows = await sql<{ id: string; end_state: string }[]>`SELECT id::text AS id, end_state FROM usage_records`
  const states = new Map(rows.map(({ id, end_state }) => [id, end_state]))
  expect(before.filter((id) => states.get(id) !== "complete")).toEqual([])
  expect(states.size).toBe(rows.length)
  const totals = await ledgerTotals(sql)
  const [charged] = await sql<{ tokens: string }[]>`
    SELECT sum((charge ->> 'amount')::numeric)::text AS tokens
    FROM usage_records, jsonb_array_elements(charges) AS charge WHERE charge ->> 'window' NOT IN ('rate', 'now')`
  await sql.end()
  expect(totals).toMatchObject({ records: rows.length, rolled: rows.length, settled: charged?.tokens })
  expect(totals.rolledCost).toBe(totals.recordCost)
}, 120_000)

test("from a Postgres to an embedded database and out of it again no row differs", async () => {
  const there = {
    DATABASE_URL: await createDatabase(inject("postgresUrl")),
    TALLYGATE_DATA: path.join(folder, "there"),
  }
  await command(["restore", path.join(folder, "busy.ndjson.gz")], there)
  const first = await command(["backup", "--out", path.join(folder, "first.ndjson.gz")], there)
  const embedded = { TALLYGATE_DATA: path.join(folder, "embedded") }
  await command(["restore", first.file], embedded)
  const second = await command(["backup", "--out", folder], embedded)
  expect(second.file).toMatch(/tallygate-backup-\d{8}-\d{6}Z\.ndjson\.gz$/)
  // A restore adds an entry to the audit log.
  const rowsOf = ({ tables }: { tables: { table: string }[] }) => tables.filter(({ table }) => table !== "audit_log")
  expect(rowsOf(second)).toEqual(rowsOf(first))
  expect(second.journal_files).toEqual(first.journal_files)
}, 120_000)

test("without a ledger, a folder or the right to write there is a sentence, and no file", async () => {
  const none = await tallygate(["backup"], { env: { TALLYGATE_DATA: path.join(folder, "none") }, cwd: folder })
  expect([none.exitCode, none.stderr]).toEqual([1, expect.stringContaining("there is no ledger yet")])
  const empty = { DATABASE_URL: await createDatabase(inject("postgresUrl")), TALLYGATE_DATA: path.join(folder, "none") }
  const new_ = await tallygate(["backup"], { env: empty, cwd: folder })
  expect([new_.exitCode, new_.stderr]).toEqual([1, expect.stringContaining("There is no ledger in this database yet")])
  const nowhere = path.join(folder, "no", "such", "folder", "b.gz")
  const lost = await tallygate(["backup", "--out", nowhere], { env: empty, cwd: folder })
  expect([lost.exitCode, lost.stdout]).toEqual([1, ""])
})

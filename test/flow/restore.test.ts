/** Back to an older ledger: what counts in Redis, what journals still hold, and a restore that is killed. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, expect, inject, test, vi } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { tallygate } from "../cli/run-command.ts"
import { ledgerTotals } from "../ledger/ledger-database.ts"
import { openFleet, type ProxyFleet } from "../support/proxy-fleet.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { PROJECT, run } from "../support/tallygate-process.ts"
import { until } from "../support/test-app.ts"

/** Calls before the backup, and as many after it; the key may make exactly that many. */
const HALF = 4
const CAP = 2 * HALF
const WAIT_MS_MAX = 30_000
const WAIT = { timeout: WAIT_MS_MAX, interval: 50 }

let fleet: ProxyFleet
let folder: string
let file: string
let key: string

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-restore-"))
  file = path.join(folder, "half.ndjson.gz")
  fleet = await openFleet(2, { prices: { input: "1", output: "1" }, leaseMs: 2_000 })
})
afterAll(async () => {
  await fleet?.close()
  rmSync(folder, { recursive: true, force: true })
})

async function command(words: string[], env: Readonly<Record<string, string>> = fleet.env) {
  const { exitCode, stdout, stderr } = await tallygate([...words, "--json"], { env, cwd: folder })
  expect([exitCode, stderr], stdout).toEqual([0, ""])
  return JSON.parse(stdout)
}

/** Calls on so many proxies in turn; returns the status of each. */
async function calls(count: number, proxies: number): Promise<number[]> {
  const statuses: number[] = []
  for (let index = 0; index < count; index++) {
    const response = await fetch(`${fleet.url(index % proxies)}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "mock-p10-o10", max_tokens: 20, messages: [{ role: "user", content: "hi" }] }),
    })
    await response.text()
    statuses.push(response.status)
  }
  return statuses
}

async function withLedger<T>(act: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = openPostgres(fleet.env.DATABASE_URL ?? "", { max: 1, applicationName: "test" })
  try {
    return await act(sql)
  } finally {
    await sql.end()
  }
}

function records(count: number) {
  return until(
    () =>
      withLedger(async (sql) => {
        const totals = await ledgerTotals(sql)
        return totals.records === count ? totals : undefined
      }),
    WAIT_MS_MAX,
  )
}

/** Every budget's counter by window, limit and subject. */
async function inLedger(): Promise<Record<string, string>> {
  const rows = await withLedger(
    (sql) => sql<{ name: string; settled: string }[]>`
      SELECT window_id || ' ' || limit_id || '|' || subject AS name, settled::text AS settled FROM limit_usage`,
  )
  return Object.fromEntries(rows.map(({ name, settled }) => [name, settled]))
}

async function inRedis(): Promise<Record<string, string>> {
  const counters: Record<string, string> = {}
  for (const name of await fleet.redis.keys("tg:{*}:w:*")) {
    const window = name.slice(name.indexOf("}:w:") + 4)
    if (window === "rate" || window === "now") continue
    for (const [field, value] of Object.entries(await fleet.redis.hgetall(name))) {
      if (field.endsWith(":s")) counters[`${window} ${field.slice(0, -2)}`] = value
    }
  }
  return counters
}

test("restored to an older state while the journals of later calls exist, those calls are counted once, everywhere", async () => {
  await fleet.start(0)
  const limits = [
    { kind: "requests", window: "lifetime", cap: CAP, on_store_failure: "deny" },
    { kind: "tokens", window: "month", cap: 1_000_000, on_store_failure: "deny" },
  ]
  key = (await fleet.createKey(0, limits)).key
  expect(await calls(HALF, 1)).toEqual(Array(HALF).fill(200))
  await records(HALF)
  await command(["backup", "--out", file])
  expect(await calls(HALF, 1)).toEqual(Array(HALF).fill(200))
  const whole = await records(CAP)
  expect(await calls(1, 1)).toEqual([429])
  await fleet.kill(0)

  const refused = await tallygate(["restore", file], { env: fleet.env, cwd: folder })
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringMatching(/not empty.*Nothing was changed/)])
  expect((await records(CAP)).records).toBe(CAP)
  const { earlier, rows } = await command(["restore", file, "--force"])
  expect(rows.usage_records).toBe(HALF)
  expect((await command(["restore", earlier, "--check"])).tables).toContainEqual(
    expect.objectContaining({ table: "usage_records", rows: CAP }),
  )

  await fleet.start(0)
  const again = await records(CAP)
  expect(again).toEqual(whole)
  expect(await calls(2, 1)).toEqual([429, 429])
  await vi.waitFor(async () => expect(await inRedis()).toEqual(await inLedger()), WAIT)
}, 120_000)

test("restored to an older state and nothing else left, two proxies that start at once count what that ledger says: neither ahead nor behind", async () => {
  // A clean stop leaves no journal: what the ledger forgets is forgotten.
  fleet.running(0).process.kill("SIGTERM")
  await fleet.running(0).exited
  const ahead = await inRedis()
  expect(ahead).toEqual(await inLedger())
  await command(["restore", file, "--force"])
  const older = await inLedger()
  expect(older).not.toEqual(ahead)

  await Promise.all([fleet.start(0), fleet.start(1)])
  // Exactly those calls that the older ledger does not know may be made again.
  expect(await calls(HALF + 2, 2)).toEqual([...Array(HALF).fill(200), 429, 429])
  await records(CAP)
  await vi.waitFor(async () => expect(await inRedis()).toEqual(await inLedger()), WAIT)
}, 120_000)

test("killed in the middle, a restore leaves no row and a database on which nothing starts, until it is restored", async () => {
  const databaseUrl = await createDatabase(inject("postgresUrl"))
  const env = { DATABASE_URL: databaseUrl, TALLYGATE_DATA: path.join(folder, "killed") }
  const sql = openPostgres(databaseUrl, { max: 2, applicationName: "test" })
  const child = spawn(process.execPath, ["src/main.ts", "restore", file], {
    cwd: PROJECT,
    env: { ...process.env, ...env },
    stdio: "ignore",
  })
  await killWhileInserting(sql, child)
  expect(await sql`SELECT source FROM restore_unfinished`).toEqual([{ source: path.basename(file) }])
  expect(await sql`SELECT 1 FROM organizations UNION ALL SELECT 1 FROM usage_records`).toEqual([])
  await sql.end()

  const start = await run([process.execPath, "src/main.ts", "serve"], { env: { ...env, PORT: "0" } })
  expect(start.code).toBe(1)
  expect(start.output).toMatch(/did not start: The database is half restored: a restore of half\.ndjson\.gz/)
  const half = await tallygate(["backup"], { env, cwd: folder })
  expect([half.exitCode, half.stderr]).toEqual([1, expect.stringContaining("half restored")])
  const { rows } = await command(["restore", file], env)
  expect(rows.usage_records).toBe(HALF)
  expect(readdirSync(env.TALLYGATE_DATA)).not.toContain("journal.restoring")
}, 120_000)

/** Lets the restore come as far as a table that is locked, and kills it there, its transaction open. */
async function killWhileInserting(sql: Sql, child: ChildProcess): Promise<void> {
  const there = () => sql<{ name: string | null }[]>`SELECT to_regclass('journal_ack')::text AS name`
  await until(async () => ((await there())[0]?.name == null ? undefined : true), WAIT_MS_MAX)
  await sql.begin(async (transaction) => {
    // Rows cannot be added, but the table can be read; no later migration changes it.
    await transaction`LOCK TABLE journal_ack IN SHARE MODE`
    await until(async () => {
      const waiting = await sql`
        SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO "journal_ack"%'`
      return waiting.length > 0 ? true : undefined
    }, WAIT_MS_MAX)
    const exited = once(child, "exit")
    child.kill("SIGKILL")
    await exited
  })
}

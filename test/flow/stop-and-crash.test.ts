import { mkdtempSync, rmSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type Running, startTallygate } from "../support/tallygate-process.ts"
import { ADMIN_KEY, openAiConfig, until } from "../support/test-app.ts"

const MAIN = [process.execPath, "src/main.ts", "serve"]
const folder = mkdtempSync(path.join(tmpdir(), "tallygate-stop-"))
let upstream: FakeUpstream
let sql: Sql
let env: Record<string, string>
let key: string

beforeAll(async () => {
  upstream = await startFakeUpstream()
  const TALLYGATE_CONFIG = path.join(folder, "config.yaml")
  await writeFile(TALLYGATE_CONFIG, openAiConfig(upstream.baseUrl, "log: { level: warn }"))
  const DATABASE_URL = await createDatabase(inject("postgresUrl"))
  sql = openPostgres(DATABASE_URL, { max: 1, applicationName: "test" })
  env = { TALLYGATE_CONFIG, DATABASE_URL, TALLYGATE_DATA: path.join(folder, "data"), TALLYGATE_ADMIN_KEY: ADMIN_KEY }
})
afterAll(async () => {
  await sql?.end()
  await upstream?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function start(more: Record<string, string> = {}): Promise<Running> {
  const running = await startTallygate(MAIN, { env: { ...env, ...more } })
  const response = await fetch(`${running.url}/admin/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "t", limits: [{ kind: "tokens", window: "day", cap: 10_000_000 }] }),
  })
  key = ((await response.json()) as { key: string }).key
  return running
}

function call(url: string, model: string, isStream: boolean) {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, stream: isStream, messages: [{ role: "user", content: "go on" }] }),
  })
}

/** Σ records, rollups and limit usage must agree: whatever happened, each call is counted once. */
async function sums() {
  const [row] = await sql<{ records: string; rolled: string; tokens: string; charged: string; twice: string }[]>`
    SELECT (SELECT count(*) FROM usage_records)::text AS records,
           (SELECT coalesce(sum(records), 0) FROM usage_rollups)::text AS rolled,
           (SELECT coalesce(sum(input_uncached_tokens + output_tokens), 0) FROM usage_records)::text AS tokens,
           (SELECT coalesce(sum(settled), 0) FROM limit_usage)::text AS charged,
           (SELECT count(*) - count(DISTINCT id) FROM usage_records)::text AS twice`
  if (row === undefined) throw new Error("no sums")
  expect(row.rolled).toBe(row.records)
  expect(row.charged).toBe(row.tokens)
  expect(row.twice).toBe("0")
  return Number(row.records)
}

describe("stopping and crashing", () => {
  test("SIGTERM lets running streams finish, refuses new calls, and leaves every record in the ledger", async () => {
    const running = await start()
    const streams = await Promise.all(Array.from({ length: 10 }, () => call(running.url, "gpt-4o-mini-c40-d40", true)))
    const texts = streams.map((response) => response.text())
    running.process.kill("SIGTERM")
    const refused = await until(async () => {
      const outcome = await call(running.url, "gpt-4o-mini", false).then(
        (response) => response.status,
        () => "refused",
      )
      return outcome === 200 ? undefined : outcome
    })
    expect(refused).toBe(503)
    const ready = await fetch(`${running.url}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([503, expect.objectContaining({ status: "not ready" })])
    for (const text of await Promise.all(texts)) expect(text.trimEnd().endsWith("data: [DONE]")).toBe(true)
    expect(await running.exited).toBe(0)
    const ended = await sql`SELECT 1 FROM usage_records WHERE stream AND end_state = 'complete' AND output_tokens = 40`
    expect(ended).toHaveLength(10)
    await sums()
  })

  test("a call that outlasts the grace is cut and recorded; the log and the exit code say so", async () => {
    const TALLYGATE_CONFIG = path.join(folder, "short-grace.yaml")
    const more = "log: { level: warn }\ntimeouts: { shutdown_grace_ms: 200 }"
    await writeFile(TALLYGATE_CONFIG, openAiConfig(upstream.baseUrl, more))
    const before = await sums()
    const running = await start({ TALLYGATE_CONFIG })
    const response = await call(running.url, "gpt-4o-mini-c500-d20", true)
    const cut = response.text().then(
      () => "whole",
      () => "cut",
    )
    running.process.kill("SIGTERM")
    expect(await cut).toBe("cut")
    expect(await running.exited).toBe(1)
    expect(running.output()).toContain("calls that ran longer than the grace were cut")
    expect(await sums()).toBe(before + 1)
  })

  test("kill -9 in the middle of streams loses nothing: those cut are interrupted, those ended are themselves", async () => {
    const before = await sums()
    const running = await start()
    const done = await Promise.all(Array.from({ length: 5 }, () => call(running.url, "gpt-4o-mini-p100-o7", false)))
    await Promise.all(done.map((response) => response.text()))
    const cut = await Promise.all(Array.from({ length: 8 }, () => call(running.url, "gpt-4o-mini-c500-d20", true)))
    // An end may wait a few milliseconds for its commit.
    await new Promise((resolve) => setTimeout(resolve, 100))
    running.process.kill("SIGKILL")
    await running.exited
    await Promise.allSettled(cut.map((response) => response.text()))
    const again = await start()
    const after = await until(async () => ((await sums()) >= before + 13 ? sums() : undefined))
    expect(after).toBe(before + 13)
    const states = await sql<{ end_state: string; usage_source: string; count: string }[]>`
      SELECT end_state, usage_source, count(*)::text AS count FROM usage_records
      WHERE key_id <> '' GROUP BY 1, 2 ORDER BY 1, 2`
    expect(states).toContainEqual({ end_state: "interrupted", usage_source: "estimated", count: "8" })
    const exact =
      await sql`SELECT 1 FROM usage_records WHERE input_uncached_tokens = 100 AND output_tokens = 7 AND end_state = 'complete'`
    expect(exact).toHaveLength(5)
    again.process.kill("SIGTERM")
    expect(await again.exited).toBe(0)
  })
})

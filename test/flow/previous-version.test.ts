/**
 * The data directory of each earlier version starts under this one, and nothing of it is lost. What it then holds is read
 * from a backup that is made while Tallygate runs on it, and restored into a Postgres.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, expect, inject, test } from "vitest"
import { openPostgres } from "../../src/platform/postgres.ts"
import { tallygate } from "../cli/run-command.ts"
import { type DataFixture, dataFixtures, unpackData } from "../support/data-fixtures.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { startTallygate } from "../support/tallygate-process.ts"
import { until } from "../support/test-app.ts"

const folder = mkdtempSync(path.join(tmpdir(), "tallygate-previous-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type RecordRow = { id: string; cost_usd: string; output_tokens: number; end_state: string }

async function readLedger(databaseUrl: string, keyId: string) {
  const sql = openPostgres(databaseUrl, { max: 1, applicationName: "test" })
  try {
    const records = await sql<RecordRow[]>`
      SELECT id::text AS id, trim_scale(cost_usd)::text AS cost_usd, output_tokens::integer AS output_tokens, end_state
      FROM usage_records ORDER BY id`
    const [sums] = await sql<{ rolled: number; cost: string; rolled_cost: string; requests: number }[]>`
      SELECT (SELECT sum(records)::integer FROM usage_rollups) AS rolled,
             (SELECT sum(cost_usd)::text FROM usage_records) AS cost,
             (SELECT sum(cost_usd)::text FROM usage_rollups) AS rolled_cost,
             (SELECT sum(u.settled)::integer FROM limit_usage u JOIN limits l ON l.id = u.limit_id
              WHERE l.kind = 'requests' AND u.subject = ${keyId}) AS requests`
    return { records, sums }
  } finally {
    await sql.end()
  }
}

/** Backs up until the call is in the ledger, which is a moment behind its answer. */
async function backUpWith(callId: string, fixture: DataFixture, dataDir: string) {
  const databaseUrl = await createDatabase(inject("postgresUrl"))
  const env = { DATABASE_URL: databaseUrl, TALLYGATE_DATA: path.join(folder, "restored") }
  return until(async () => {
    const file = path.join(folder, `${fixture.version}.ndjson.gz`)
    const backup = await tallygate(["backup", "--out", file], { env: { TALLYGATE_DATA: dataDir }, cwd: folder })
    expect([backup.exitCode, backup.stderr]).toEqual([0, ""])
    const restore = await tallygate(["restore", file, "--force"], { env, cwd: folder })
    expect([restore.exitCode, restore.stderr]).toEqual([0, ""])
    const ledger = await readLedger(databaseUrl, fixture.key.id)
    return ledger.records.some(({ id }) => id === callId) ? ledger : undefined
  }, 60_000)
}

test.each(dataFixtures())(
  "the data directory that version $version left, killed in the middle of a call",
  async (fixture) => {
    const dataDir = unpackData(fixture, path.join(folder, fixture.version))
    const running = await startTallygate([process.execPath, "src/main.ts", "serve"], {
      env: { TALLYGATE_DATA: dataDir, TALLYGATE_ADMIN_KEY: fixture.adminKey },
    })
    expect(running.output()).not.toContain("First run")
    const response = await fetch(`${running.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${fixture.key.key}` },
      body: JSON.stringify({ model: "sandbox/echo", messages: [{ role: "user", content: "still here?" }] }),
    })
    await response.text()
    expect(response.status).toBe(200)

    const { records, sums } = await backUpWith(response.headers.get("x-request-id") ?? "", fixture, dataDir)
    const known = records.map(({ id, cost_usd, output_tokens }) => ({ id, cost_usd, output_tokens }))
    expect(known).toEqual(expect.arrayContaining([...fixture.records]))
    // The call that was cut, which only the earlier version's journal knew, and the one of this version.
    expect(records.find(({ id }) => id === fixture.cutCallId)).toMatchObject({ end_state: "interrupted" })
    expect(records).toHaveLength(fixture.records.length + 2)
    expect(sums).toMatchObject({ rolled: records.length, requests: records.length, cost: sums?.rolled_cost })

    expect(readdirSync(dataDir).filter((name) => name.startsWith("backup-copy"))).toEqual([])
    running.process.kill("SIGTERM")
    expect(await running.exited).toBe(0)
  },
  120_000,
)

/** `tallygate migrate` on a real Postgres: what it applies, what it says, and what it says when it cannot. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { openPostgres } from "../../src/platform/postgres.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type Ran, tallygate } from "./run-command.ts"

const ALL = readdirSync(path.join(import.meta.dirname, "../../migrations"))
  .sort()
  .map((name) => name.replace(".sql", ""))

let cwd: string
let url: string

beforeAll(async () => {
  cwd = mkdtempSync(path.join(tmpdir(), "tallygate-migrate-"))
  url = await createDatabase(inject("postgresUrl"))
})
afterAll(() => rmSync(cwd, { recursive: true }))

function migrate(databaseUrl: string | undefined, ...args: string[]): Promise<Ran> {
  return tallygate(["migrate", ...args], { cwd, env: { DATABASE_URL: databaseUrl } })
}

async function tables(): Promise<string[]> {
  const sql = openPostgres(url, { max: 1, applicationName: "test" })
  try {
    const rows = await sql<{ name: string }[]>`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`
    return rows.map(({ name }) => name)
  } finally {
    await sql.end()
  }
}

describe("tallygate migrate", () => {
  test("a database that does not let us in is told with the next step, without its password", async () => {
    const wrong = new URL(url)
    wrong.password = "canary-password"
    const { exitCode, stdout, stderr } = await migrate(wrong.href)
    expect([exitCode, stdout]).toEqual([1, ""])
    expect(stderr).toMatch(/^tallygate migrate: Postgres refuses: .*password.*Check DATABASE_URL\.\n$/)
    expect(stderr).not.toContain("canary")
    const away = await migrate("postgres://u:canary-password@127.0.0.1:1/ledger", "--json")
    expect(away.exitCode).toBe(1)
    expect(JSON.parse(away.stdout)).toMatchObject({
      kind: "failed",
      reason: expect.stringContaining("does not answer"),
    })
    expect(away.stdout).not.toContain("canary")
  })

  test("--dry-run lists what is pending and changes nothing", async () => {
    const { exitCode, stdout } = await migrate(url, "--dry-run", "--json")
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ pending: ALL })
    expect(await tables()).toEqual([])
  })

  test("it applies what is pending and says which, once", async () => {
    const first = await migrate(url)
    expect(first.exitCode).toBe(0)
    for (const name of ALL) expect(first.stdout).toContain(`  ${name}\n`)
    expect(first.stdout).toMatch(/\n {2}usage_records_\d{4}_\d\d\n/)
    expect(first.stdout).not.toContain(new URL(url).password)
    expect(await migrate(url)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^The database is up to date/),
    })
    expect(JSON.parse((await migrate(url, "--dry-run", "--json")).stdout).pending).toEqual([])
  })

  test("a migration that was changed after it was applied is refused", async () => {
    const sql = openPostgres(url, { max: 1, applicationName: "test" })
    await sql`UPDATE schema_migrations SET checksum = 'another' WHERE name = ${ALL[0] ?? ""}`
    await sql.end()
    for (const args of [[], ["--dry-run"]]) {
      const { exitCode, stderr } = await migrate(url, ...args)
      expect(exitCode).toBe(1)
      expect(stderr).toMatch(/its file has changed since\. Restore the file/)
    }
  })

  test("without a database, all is pending for the embedded one, which is not made for the asking", async () => {
    const { exitCode, stdout } = await migrate(undefined, "--dry-run")
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^Pending \(embedded in .*\):\n/)
    for (const name of ALL) expect(stdout).toContain(`  ${name}\n`)
    expect(readdirSync(cwd)).toEqual([])
  })
})

/**
 * The blocks of the project's pages that no other test runs: commands as pasted, configurations as the program reads them,
 * bodies as they are sent, SQL on the ledger. What a reader puts in the place of the page's (address, keys, ids, files of
 * their own, dates to come) is all that is put in here.
 */
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { formatProblem, loadConfig } from "../../src/config/load.ts"
import { openPostgres } from "../../src/platform/postgres.ts"
import { newEncryptionKey } from "../../src/platform/secret-box.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { blocksRunBy, type PageBlock, pages } from "../support/page-blocks.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { startRealRedis } from "../support/real-redis.ts"
import { selfSigned } from "../support/self-signed.ts"
import { PROJECT, startTallygate } from "../support/tallygate-process.ts"
import { ADMIN_KEY, startTestApp, type TestApp } from "../support/test-app.ts"

const blocks = pages().flatMap((page) => blocksRunBy(import.meta.filename, page))
const nameOf = ({ page, line }: PageBlock) => `${page}:${line}`
const isStart = ({ text }: PageBlock) => text.includes("npm start")
const of = (language: string) => blocks.filter((block) => block.language === language && !isStart(block))
const LANGUAGES = ["sh", "yaml", "json", "csv", "sql"]
const START_MS_MAX = 60_000

let provider: FakeProvider
let app: TestApp
let folder: string
let key: string
const ids = new Map<string, string>()

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-pages-"))
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider, `encryption_key: "${newEncryptionKey()}"`))
  key = (await app.createKey()).key
  const made = async (route: string, body: object) => (await app.admin("POST", `/admin/v1/${route}`, body)).body.id
  ids.set("org_…", await made("organizations", { name: "Acme" }))
  ids.set("proj_…", await made("projects", { name: "search" }))
  ids.set("user_…", await made("users", { name: "Jo", email: "jo@example.com" }))
  const limit = { scope: { project_id: ids.get("proj_…") }, kind: "usd", window: "week", cap: "500.00" }
  ids.set("lim_…", await made("limits", limit))
  const record = await made("usage/records", { provider: "openai", model: "gpt-4o-mini", output_tokens: 5 })
  await app.record(record)
  ids.set("(?<=request_id=)…", record)
})
afterAll(async () => {
  await app?.close()
  await provider?.stop()
  rmSync(folder ?? "", { recursive: true, force: true })
})

/** Within a month to come. */
const soon = new Date(Date.now() + 30 * 86_400_000).toISOString()

function filledIn(text: string): string {
  let filled = text.replaceAll("http://127.0.0.1:8787", app.url).replaceAll("tg_…", key)
  for (const [placeholder, id] of ids) filled = filled.replaceAll(new RegExp(placeholder, "g"), id)
  filled = filled.replaceAll('"api_key": "…"', '"api_key": "sk-x"')
  return filled.replaceAll(/\d{4}-12-\d\dT00:00:00Z/g, soon)
}

/** What a block prints, where all of its commands succeed; those that are answered with an error do not. */
async function printedBy(block: PageBlock): Promise<string> {
  const env = { PATH: process.env.PATH, ADMIN_KEY, URL: app.url }
  const script = `set -e\n${filledIn(block.text).replaceAll(/^curl /gm, "curl -sS --fail-with-body ")}`
  return (await promisify(execFile)("sh", ["-c", script], { cwd: PROJECT, env, timeout: 50_000 })).stdout
}

test("each block that this test is said to run is of a kind that it can run", () => {
  expect(blocks.length).toBeGreaterThan(20)
  for (const block of blocks) expect(LANGUAGES, nameOf(block)).toContain(block.language)
})

describe("commands", () => {
  test.each(of("sh").map((block) => [nameOf(block), block] as const))(
    "%s",
    { timeout: START_MS_MAX },
    async (_, block) => {
      const printed = await printedBy(block)
      // Several answers stand one behind the other.
      for (const answer of printed.replaceAll("}{", "}\n{").trim().split("\n")) {
        expect(() => JSON.parse(answer), answer).not.toThrow()
      }
    },
  )
})

/** What a reader's environment has: ids of AWS's access keys have a form. */
const givenFor = (name: string) => (name.endsWith("ACCESS_KEY_ID") ? "AKIAIOSFODNN7EXAMPLE" : "given")

describe("configurations", () => {
  test.each(of("yaml").map((block) => [nameOf(block), block] as const))("%s", (_, { text }) => {
    const { certFile, keyFile } = selfSigned(folder)
    const file = path.join(folder, "proxy.config.yaml")
    writeFileSync(
      file,
      text.replace("/etc/tallygate/tls/tls.crt", certFile).replace("/etc/tallygate/tls/tls.key", keyFile),
    )
    const names = [...text.matchAll(/\$\{(\w+)\}/g)].map(([, name = ""]) => name)
    const env = { TALLYGATE_DATA: folder, ...Object.fromEntries(names.map((name) => [name, givenFor(name)])) }
    const loaded = loadConfig({ path: file, env, cwd: folder })
    expect(loaded.kind === "invalid" ? loaded.problems.map(formatProblem) : []).toEqual([])
  })
})

describe("bodies", () => {
  const ROUTES: readonly (readonly [member: RegExp, route: string])[] = [
    [/user_external_id/, "keys/import"],
    [/^external_id,/, "users/import"],
    [/"kind": "email"/, "alert-channels"],
  ]
  /** Users before the keys that name them, as the page has them. */
  test.each([...of("csv"), ...of("json")].map((block) => [nameOf(block), block] as const))("%s", async (_, block) => {
    const route = ROUTES.find(([member]) => member.test(block.text))?.[1]
    const response = await fetch(`${app.url}/admin/v1/${route}`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${ADMIN_KEY}`,
        "content-type": block.language === "csv" ? "text/csv" : "application/json",
      },
      body: filledIn(block.text),
    })
    const answer = await response.text()
    expect(response.ok, answer).toBe(true)
    expect((JSON.parse(answer) as { failed?: number }).failed ?? 0, answer).toBe(0)
  })
})

describe("SQL", () => {
  test.each(of("sql").map((block) => [nameOf(block), block] as const))("%s", async (_, { text }) => {
    const sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
    const undone = new Error("undone")
    const running = sql.begin(async (transaction) => {
      expect((await transaction.unsafe(text)).count).toBe(1)
      throw undone
    })
    await expect(running).rejects.toBe(undone)
    await sql.end()
  })
})

test.each(blocks.filter(isStart).map((block) => [nameOf(block), block] as const))(
  "%s starts and stops",
  { timeout: 2 * START_MS_MAX },
  async (_, { text }) => {
    const redis = await startRealRedis()
    const DATABASE_URL = await createDatabase(inject("postgresUrl"))
    const line = text
      .replace("postgres://…", DATABASE_URL)
      .replace("redis://…", redis.url)
      .replace("sk-…", "sk-x")
      // `npm start` itself is what first-run.test.ts starts.
      .replace("npm start", `exec "${process.execPath}" src/main.ts serve`)
    const env = { TALLYGATE_DATA: path.join(folder, "started"), DATABASE_URL }
    const running = await startTallygate(["sh", "-c", line], { env })
    expect((await fetch(`${running.url}/readyz`)).status).toBe(200)
    running.process.kill("SIGTERM")
    expect(await running.exited).toBe(0)
    await redis.stop()
  },
)

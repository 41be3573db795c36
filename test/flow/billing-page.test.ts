/** Every command of docs/billing.md, as it stands there, on an installation with a month to close; and its table of columns. */
import { execFile } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openPostgres } from "../../src/platform/postgres.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

const page = readFileSync(path.join(PROJECT, "docs/billing.md"), "utf8")
const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => text.trim().split("\n"))

/** Last month, of which a report was booked. */
const MONTH_MS = Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth(), 1) - 3 * 86_400_000
const PERIOD = new Date(MONTH_MS).toISOString().slice(0, 7)

type Body = Record<string, unknown> & { id: string; limits: { used: string }[]; lines: Record<string, string>[] }

let app: TestApp
let folder: string
let env: NodeJS.ProcessEnv
let recordId: string
let secret: string

beforeAll(async () => {
  app = await startTestApp(openAiConfig("http://127.0.0.1:9/v1"))
  const { key } = await app.createKey({ limits: [{ kind: "usd", window: "lifetime", cap: "5" }] })
  secret = key
  recordId = await report(key, "gpt-4o-mini", new Date(MONTH_MS).toISOString())
  await report(key, "house-model-1", new Date(MONTH_MS).toISOString())
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-billing-page-"))
  const main = path.join(PROJECT, "src/main.ts")
  writeFileSync(path.join(folder, "tallygate"), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`)
  chmodSync(path.join(folder, "tallygate"), 0o755)
  env = {
    PATH: `${folder}:${process.env.PATH}`,
    ...{ TALLYGATE_URL: app.url, TALLYGATE_ADMIN_KEY: ADMIN_KEY, RECORD_ID: recordId, PERIOD },
  }
})
afterAll(async () => {
  await app?.close()
  rmSync(folder, { recursive: true, force: true })
})

async function report(key: string, model: string, time: string): Promise<string> {
  const response = await fetch(`${app.url}/v1/usage`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ provider: "openai", model, input_tokens: 1_000, output_tokens: 100, time }),
  })
  const { id } = (await response.json()) as { id: string }
  await app.record(id)
  return id
}

async function pasted(line: string): Promise<string> {
  const { stdout } = await promisify(execFile)("sh", ["-c", line], { env, timeout: 60_000 })
  return stdout
}

const ask = async (method: string, route: string, body?: unknown) =>
  (await app.admin(method, route, body)) as unknown as { status: number; body: Body }

async function used(): Promise<string | undefined> {
  const response = await fetch(`${app.url}/v1/key`, { headers: { authorization: `Bearer ${secret}` } })
  const { limits } = (await response.json()) as Body
  return limits[0]?.used
}

describe("the page's commands do what it says, in its order", () => {
  test("there are as many as are run here", () => {
    expect(blocks.map((lines) => lines.length)).toEqual([2, 2, 4, 2])
  })

  test("a call is explained, as text and as JSON", async () => {
    const [text = "", json = ""] = await Promise.all((blocks[0] ?? []).map(pasted))
    expect(text).toMatch(/input +1000 +token +0\.15 +per 1000000 +standard +1 +0\.00015\n/)
    expect(text).toMatch(/cost +0\.00021\n\nPriced by the row openai\/gpt-4o-mini@/)
    expect(JSON.parse(json)).toMatchObject({ id: recordId, state: "priced", total_usd: "0.00021" })
  })

  test("a price that comes late is booked: first told, then done, in the ledger, the budget and the statement", async () => {
    const { body: unpriced } = await ask("GET", "/admin/v1/prices/unpriced")
    expect(unpriced.data).toEqual([
      expect.objectContaining({ model: "house-model-1", calls: "1", tokens: "1100", next: "price" }),
    ])
    const price = { provider: "openai", model: "house-model-1", rates: { standard: { input: "1", output: "2" } } }
    expect((await ask("POST", "/admin/v1/prices", { ...price, effective_from: "2026-01-01T00:00:00Z" })).status).toBe(
      201,
    )
    const [dry = "", meant = ""] = (blocks[1] ?? []).map((line) =>
      line.replace(/--from \S+ --to \S+/, `--from ${PERIOD}-01 --to 2100-01-01`),
    )
    await until(async () => ((await pasted(dry)).includes("0.0012 USD") ? true : undefined), 30_000)
    const told = await pasted(dry)
    expect(told).toMatch(
      /\(dry run: nothing is booked\)\n2 records looked at, 1 with another cost \(1 had none\), 0 without a price still: 0\.0012 USD/,
    )
    expect(told).toMatch(/By budget\n.*\n +key test \(lim_\w+\) +lifetime +5\.?0* +1 +0\.0012/)
    expect(await used()).toBe("0.00021")
    expect(await pasted(meant)).toContain("1 with another cost")
    await until(async () => ((await used()) === "0.00141" ? true : undefined), 30_000)
    expect(await pasted(meant)).toContain("0 with another cost")
    expect((await ask("GET", "/admin/v1/prices/unpriced")).body.data).toEqual([])
    const { body: models } = await ask("GET", "/admin/v1/prices/models?range=90d")
    expect(models.data).toEqual([
      expect.objectContaining({
        model: "house-model-1",
        records: "1",
        unpriced_records: "0",
        cost_usd: "0.0012",
        usd_per_1m_tokens: "1.090909",
        price: expect.objectContaining({ origin: "installation" }),
      }),
      expect.objectContaining({ model: "gpt-4o-mini", price: expect.objectContaining({ origin: "book" }) }),
    ])
  })

  test("a month is shown, closed, and its file is the statement", async () => {
    const [list = "", show = "", close = "", csv = ""] = blocks[2] ?? []
    expect(await pasted(list)).toMatch(new RegExp(`${PERIOD} +open`))
    expect(await pasted(show)).toMatch(/total +2 +1 +0 +0\.00141\n/)
    expect(await pasted(close)).toContain("closed at")
    expect(await pasted(close)).toContain("closed at")
    const [head, ...rows] = (await pasted(csv)).trim().split("\r\n")
    expect(rows).toHaveLength(2)
    const columns = page.slice(page.indexOf("## The columns of the file"))
    const listed = [...columns.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    )
    expect(listed).toEqual(head?.split(","))
  })

  test("what comes after the closing is a prior-period line of the next month, in JSON and CSV", async () => {
    await ask("POST", `/admin/v1/usage/records/${recordId}/adjustments`, { cost_usd: "-0.0001", reason: "credit" })
    const running = new Date().toISOString().slice(0, 7)
    const line = await until(async () => {
      const { body } = await ask("GET", `/admin/v1/periods/${running}`)
      return body.lines[0]
    }, 30_000)
    expect(line).toMatchObject({
      line: "prior_period",
      for_period: PERIOD,
      adjustments: "1",
      records: "0",
      cost_usd: "-0.0001",
    })
    const [json = "", csv = ""] = await Promise.all((blocks[3] ?? []).map(pasted))
    expect(JSON.parse(json)).toMatchObject({
      state: "closed",
      totals: { cost_usd: "0.00141" },
      prior_period_cost_usd: "0",
    })
    expect(csv.split("\r\n")).toHaveLength(4)
    expect(await pasted(`tallygate usage explain ${recordId}`)).toMatch(
      /Corrected since\n.*-0\.0001 +credit\n +sum now +0\.00011/,
    )
  })
})

describe("closing by API", () => {
  test("a month that is running, or out of order, is refused with what to do", async () => {
    const running = new Date().toISOString().slice(0, 7)
    const refused = await ask("POST", `/admin/v1/periods/${running}/close`, {})
    expect(refused).toMatchObject({
      status: 409,
      body: { error: { code: "conflict", message: expect.stringMatching(/is not over/) } },
    })
    expect((await ask("POST", "/admin/v1/periods/2026-13/close", {})).status).toBe(400)
    expect((await ask("GET", "/admin/v1/periods/2100-01")).status).toBe(404)
  })

  test("is refused while usage of the month is known to be on its way, unless it is forced", async () => {
    const { id } = (await ask("POST", "/admin/v1/organizations", { name: "late" })).body
    const sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
    await sql`
      INSERT INTO usage_once (organization_id, source, key, record_id, record_time, fingerprint, body)
      VALUES (${id}, 's', 'k', gen_random_uuid(), ${new Date(MONTH_MS)}, '', '{}')`
    await sql.end()
    const close = (force: boolean) =>
      ask("POST", `/admin/v1/periods/${PERIOD}/close`, { organization_id: id, ...(force ? { force } : {}) })
    expect(await close(false)).toMatchObject({
      status: 409,
      body: { error: { param: "force", message: expect.stringMatching(/^1 reports of usage .*send `force: true`/) } },
    })
    expect((await close(true)).status).toBe(201)
    expect((await close(false)).status).toBe(200)
  })

  test("a key holder asks why a call of the own key cost what it cost, and not of another's", async () => {
    const { key } = await app.createKey()
    const theirs = await fetch(`${app.url}/v1/usage/records/${recordId}/explain`, {
      headers: { authorization: `Bearer ${key}` },
    })
    expect(theirs.status).toBe(404)
    const own = await report(key, "gpt-4o-mini", new Date().toISOString())
    const answer = await fetch(`${app.url}/v1/usage/records/${own}/explain`, {
      headers: { authorization: `Bearer ${key}` },
    })
    expect(await answer.json()).toMatchObject({
      id: own,
      cost_usd: "0.00021",
      lines: [{ class: "input" }, { class: "output" }],
    })
  })
})

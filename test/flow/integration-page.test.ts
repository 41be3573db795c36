/** Every command of docs/integration.md, as pasted, with a reader's own address, keys and ids in the place of the page's. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { blocksRunBy } from "../support/page-blocks.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

type Answer = Record<string, unknown> & { id: string; hold_id: string; data: { id: string; error?: object }[] }

const page = readFileSync(path.join(PROJECT, "docs/integration.md"), "utf8")
const blocks = blocksRunBy(import.meta.filename, "docs/integration.md").map(({ text }) => text)

let app: TestApp
let key: { id: string; key: string }
let projectId: string

beforeAll(async () => {
  app = await startTestApp(openAiConfig("http://127.0.0.1:9/v1"))
  key = await app.createKey({ limits: [{ kind: "usd", window: "month", cap: "5" }] })
  projectId = (await app.admin("POST", "/admin/v1/projects", { name: "imports" })).body.id
})
afterAll(() => app?.close())

async function pasted(index: number, recordId = ""): Promise<Answer> {
  const text = (blocks[index] ?? "")
    .replaceAll("http://127.0.0.1:8787", app.url)
    .replaceAll("tg_…", key.key)
    .replaceAll("proj_…", projectId)
  const env = { PATH: process.env.PATH, ADMIN_KEY, RECORD_ID: recordId }
  const { stdout } = await promisify(execFile)("sh", ["-c", text], { env, timeout: 25_000 })
  return JSON.parse(stdout) as Answer
}

test("the page's commands do what it says, in its order", async () => {
  expect(blocks).toHaveLength(6)
  const one = await pasted(0)
  expect(one).toMatchObject({ duplicate: false, cost_source: "book", over_limit: [] })
  expect(await pasted(0)).toMatchObject({ duplicate: true, id: one.id })
  expect(await pasted(1)).toMatchObject({ booked: 2, duplicates: 0, failed: 0 })
  const imported = await pasted(2)
  expect(await app.record(imported.id)).toMatchObject({ project_id: projectId, operation: "import" })
  const hold = await pasted(3)
  expect(hold).toMatchObject({ hold_id: expect.any(String), expires_at: expect.any(String) })
  await app.record(one.id)
  expect(await pasted(4, one.id)).toMatchObject({ adjusts_id: one.id, cost_usd: "-0.00006" })
  const seen = await until(async () => {
    const { data } = await pasted(5)
    return data.length === 4 ? data : undefined
  }, 30_000)
  expect(seen.map(({ id }) => id)).toContain(one.id)
})

test("every field that the page lists is one that a report takes, and it lists all of them", async () => {
  const { components } = (await (await fetch(`${app.url}/openapi.json`)).json()) as {
    components: { schemas: Record<string, { properties: object }> }
  }
  const table = page.slice(page.indexOf("| field |"), page.indexOf("**Sent again**"))
  const listed = [...table.matchAll(/^\| (.*?) \| /gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
  )
  expect(listed.sort()).toEqual(Object.keys(components.schemas.UsageReport?.properties ?? {}).sort())
})

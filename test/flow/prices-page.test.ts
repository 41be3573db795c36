/** What docs/prices.md shows, as pasted: prices and terms by curl, an import by the command line. */
import { execFile } from "node:child_process"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { tallygate } from "../cli/run-command.ts"
import { blocksRunBy } from "../support/page-blocks.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp } from "../support/test-app.ts"

const blocks = blocksRunBy(import.meta.filename, "docs/prices.md").map(({ text }) => text)
let app: TestApp
let organizationId: string

beforeAll(async () => {
  app = await startTestApp(openAiConfig("http://127.0.0.1:9/v1"))
  organizationId = (await app.admin("POST", "/admin/v1/organizations", { name: "One" })).body.id
})
afterAll(() => app?.close())

test("a price is set as the page says, and is in force from its date on", async () => {
  expect(blocks).toHaveLength(4)
  const env = { PATH: process.env.PATH, TALLYGATE_URL: app.url, TALLYGATE_ADMIN_KEY: ADMIN_KEY }
  const { stdout } = await promisify(execFile)("sh", ["-c", blocks[0] ?? ""], { env, timeout: 25_000 })
  expect(JSON.parse(stdout)).toMatchObject({ organization_id: null, model: "gpt-4o", source: "contract 17" })
  const inputAt = async (at: string) => {
    const query = `provider=openai&model=gpt-4o&at=${at}`
    const { body } = await app.admin("GET", `/admin/v1/prices/effective?${query}`)
    const { tiers } = body as unknown as {
      tiers: { tier: string; sheets: { usd_per_1m_tokens: { input: string } }[] }[]
    }
    return tiers.find(({ tier }) => tier === "standard")?.sheets[0]?.usd_per_1m_tokens.input
  }
  expect([await inputAt("2026-11-30T23:59:59Z"), await inputAt("2026-12-01T00:00:00Z")]).toEqual(["2.5", "2.2"])
})

test("terms are put as the page says", async () => {
  for (const index of [1, 2]) {
    const route = `/admin/v1/organizations/${organizationId}/price-terms`
    const said = JSON.parse(blocks[index] ?? "")
    const { status, body } = await app.admin("PUT", route, said)
    expect([status, body]).toEqual([200, expect.objectContaining(index === 1 ? { markup_percent: "20" } : said)])
  }
})

test("a catalog is imported as the page says, first to see what it would do", async () => {
  const catalog = path.join(PROJECT, "test/fixtures/prices/litellm.json")
  const env = { TALLYGATE_URL: app.url, TALLYGATE_ADMIN_KEY: ADMIN_KEY }
  const commands = (blocks[3] ?? "").trim().split("\n")
  const outputs: string[] = []
  for (const command of commands) {
    const words = command.replace("model_prices_and_context_window.json", catalog).split(" ").slice(1)
    const { exitCode, stdout, stderr } = await tallygate(words, { env })
    expect([exitCode, stderr]).toEqual([0, ""])
    outputs.push(stdout)
  }
  expect(outputs).toEqual([expect.stringContaining("new-model"), expect.stringContaining("new-model")])
  const { body } = await app.admin("GET", "/admin/v1/prices?provider=openai&model=new-model")
  expect(body.data).toEqual([expect.objectContaining({ effective_from: "2026-12-01T00:00:00.000Z" })])
})

/** Claude Code and Codex, as the quick starts say, through Tallygate: the answer is printed, and the record is complete. */
import { spawn } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest"
import { agentProgram } from "../support/agent-packages.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { blocksRunBy } from "../support/page-blocks.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

const PAGE = "docs/quick-starts.md"
const AGENT_MS_MAX = 60_000
const INSTALL_MS_MAX = 250_000

let provider: FakeProvider
let app: TestApp
let key: { id: string; key: string }
let home: string
let page: string

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider))
  page = await readFile(path.join(PROJECT, PAGE), "utf8")
})
beforeEach(async () => {
  provider.reset()
  key = await app.createKey()
  await rm(home ?? "", { recursive: true, force: true })
  home = await mkdtemp(path.join(tmpdir(), "tallygate-agent-"))
})
afterAll(async () => {
  await rm(home ?? "", { recursive: true, force: true })
  await app?.close()
  await provider?.stop()
})

/** The block of the page under an agent's heading, pointed at this proxy. */
function blockOf(heading: string, language: string): string {
  const of = blocksRunBy(import.meta.filename, PAGE).filter((one) => one.heading === heading)
  const block = of.find((one) => one.language === language)
  if (block === undefined) throw new Error(`the page has no ${language} block under ${heading}`)
  return block.text.replaceAll("http://127.0.0.1:8787", app.url).replaceAll("tg_…", key.key)
}

function versionOf(heading: string): string {
  const version = new RegExp(`### ${heading}\n\nRun against Tallygate with version (\\d+\\.\\d+\\.\\d+)`).exec(
    page,
  )?.[1]
  if (version === undefined) throw new Error(`the page names no version of ${heading}`)
  return version
}

/** Runs a block as a user would, the agent on the path and nothing of this process's environment with it. */
function run(block: string, program: string): Promise<string> {
  const env = { PATH: `${path.dirname(program)}${path.delimiter}${process.env.PATH ?? ""}`, HOME: home }
  return new Promise((resolve, reject) => {
    const child = spawn("sh", ["-c", block], { cwd: home, env, stdio: ["ignore", "pipe", "pipe"], detached: true })
    let [out, errors] = ["", ""]
    child.stdout.on("data", (data: Buffer) => (out += data.toString()))
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()))
    const timer = setTimeout(() => process.kill(-(child.pid ?? 0), "SIGKILL"), AGENT_MS_MAX)
    child.on("close", (code) => {
      clearTimeout(timer)
      if (code === 0) resolve(out)
      else reject(new Error(`the agent ended with ${code}: ${out}${errors}`))
    })
  })
}

function recordOf(endpoint: string) {
  return until(async () => {
    const { data } = (await app.admin("GET", `/admin/v1/usage/records?limit=100&key=${key.id}`)).body
    return data.find((record) => record.endpoint === endpoint)
  })
}

test(
  "Claude Code prints the answer, and its session is the record's conversation",
  async () => {
    const program = agentProgram("@anthropic-ai/claude-code", versionOf("Claude Code"), "claude", "install.cjs")
    expect(await run(blockOf("Claude Code", "sh"), program)).toContain("Hello there.")
    const record = await recordOf("messages")
    expect(record).toMatchObject({ provider: "claude", stream: true, outcome: "ok", price_state: "priced" })
    expect(record).toMatchObject({ input_uncached_tokens: 40, output_tokens: 25, usage_source: "provider" })
    expect(record.conversation).toMatch(/^[0-9a-f-]{36}$/)
  },
  INSTALL_MS_MAX + AGENT_MS_MAX,
)

test(
  "Codex prints the answer, and its session is the record's conversation",
  async () => {
    const program = agentProgram("@openai/codex", versionOf("Codex"), "codex")
    await mkdir(path.join(home, ".codex"))
    await writeFile(path.join(home, ".codex/config.toml"), blockOf("Codex", "toml"))
    provider.enqueue({ body: codexAnswer() })
    const command = blockOf("Codex", "sh").replace("codex exec", "codex exec --skip-git-repo-check")
    expect(await run(command, program)).toContain("Hello there.")
    const record = await recordOf("responses")
    expect(record).toMatchObject({
      tool: "codex",
      provider: "openai",
      stream: true,
      price_state: "priced",
    })
    // Codex leaves with the last event, which may be before the provider's end has come through.
    expect(["ok", "aborted"]).toContain(record.outcome)
    expect(record).toMatchObject({ input_uncached_tokens: 150, cache_read_tokens: 50, output_tokens: 30 })
    expect(record.conversation).toMatch(/^[0-9a-f-]{36}$/)
  },
  INSTALL_MS_MAX + AGENT_MS_MAX,
)

/** Every event of a response: Codex prints only what stands in a whole item. */
function codexAnswer(): string[] {
  const event = (type: string, more: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
  const response = { id: "resp_codex", object: "response", model: "gpt-4o-mini", status: "in_progress", output: [] }
  const content = [{ type: "output_text", text: "Hello there.", annotations: [] }]
  const item = { type: "message", id: "msg_codex", role: "assistant", status: "completed", content }
  const usage = {
    input_tokens: 200,
    input_tokens_details: { cached_tokens: 50 },
    output_tokens: 30,
    output_tokens_details: { reasoning_tokens: 10 },
    total_tokens: 230,
  }
  return [
    event("response.created", { response }),
    event("response.output_item.added", { output_index: 0, item: { ...item, status: "in_progress", content: [] } }),
    event("response.output_text.delta", {
      item_id: "msg_codex",
      output_index: 0,
      content_index: 0,
      delta: "Hello there.",
    }),
    event("response.output_item.done", { output_index: 0, item }),
    event("response.completed", { response: { ...response, status: "completed", output: [item], usage } }),
  ]
}

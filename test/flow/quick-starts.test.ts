/**
 * The blocks of docs/quick-starts.md, as pasted: each in a process of its own that knows nothing but the page. What a
 * reader puts in, base URL and key, is all that is put in here.
 */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { type FakeProvider, startFakeProvider, threeApis } from "../support/fake-provider.ts"
import { blocksRunBy } from "../support/page-blocks.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { startTestApp, type TestApp, until } from "../support/test-app.ts"

const BASE_URL = "http://127.0.0.1:8787"
const KEY = "tg_…"
/** Below this heading, blocks are for programs that are not installed here. */
const END = "\n## Coding agents\n"

const page = readFileSync(path.join(PROJECT, "docs/quick-starts.md"), "utf8")
const executable = page.slice(0, page.indexOf(END))
const blocks = blocksRunBy(import.meta.filename, "docs/quick-starts.md")

let provider: FakeProvider
let app: TestApp
let key: string
let keyId: string
let userId: string

beforeAll(async () => {
  provider = await startFakeProvider()
  app = await startTestApp(threeApis(provider))
  userId = (await app.admin("POST", "/admin/v1/users", { name: "Jo", email: "jo@example.com" })).body.id
})
beforeEach(async () => {
  provider.reset()
  const created = await app.createKey({ attribute_users: true })
  key = created.key
  keyId = created.id
})
afterAll(async () => {
  await app?.close()
  await provider?.stop()
})

/** The block of that language under a heading; there is one. */
function blockOf(heading: string, language: string): string {
  const found = blocks.filter((block) => block.heading === heading && block.language === language)
  if (found.length !== 1) throw new Error(`${found.length} blocks of ${language} under "${heading}"`)
  return found[0]?.text ?? ""
}

/** What a reader does: their own base URL and key in the place of the page's. */
function filledIn(text: string): string {
  return text.replaceAll(BASE_URL, app.url).replaceAll(KEY, key)
}

/** Runs a program with no variable but the path, in the project's folder, and returns what it prints. */
async function printedBy(program: string, ...args: string[]): Promise<string> {
  const options = { cwd: PROJECT, env: { PATH: process.env.PATH }, timeout: 25_000 }
  return (await promisify(execFile)(program, args, options)).stdout.trim()
}

const shell = (text: string) => printedBy("sh", "-c", filledIn(text))
const script = (text: string) => printedBy(process.execPath, "--input-type=module", "-e", filledIn(text))

/** The records of this test's key, as soon as there are `count`; oldest first. */
async function records(count: number): Promise<readonly UsageRecord[]> {
  const made = await until(async () => {
    const { data } = (await app.admin("GET", `/admin/v1/usage/records?key=${keyId}`)).body
    return data.length >= count ? data : undefined
  })
  expect(made).toHaveLength(count)
  return made.toSorted((a, b) => (a.id < b.id ? -1 : 1))
}

/** An answer with every member that the AI SDK insists on; the fake's own is shorter. */
const WHOLE_RESPONSE = {
  id: "resp_whole",
  object: "response",
  created_at: 1,
  model: "gpt-4o-mini",
  status: "completed",
  output: [
    {
      type: "message",
      id: "msg_whole",
      status: "completed",
      role: "assistant",
      content: [{ type: "output_text", text: "Hello there.", annotations: [] }],
    },
  ],
  usage: {
    input_tokens: 200,
    input_tokens_details: { cached_tokens: 50 },
    output_tokens: 30,
    output_tokens_details: { reasoning_tokens: 10 },
    total_tokens: 230,
  },
}

const SCRIPTS: readonly (readonly [heading: string, record: Partial<UsageRecord>])[] = [
  ["JavaScript: openai", { endpoint: "chat.completions", provider: "openai", output_tokens: 20 }],
  ["JavaScript: @anthropic-ai/sdk", { endpoint: "messages", provider: "claude", output_tokens: 25 }],
  ["JavaScript: @google/genai", { endpoint: "generate_content", provider: "gemini", reasoning_tokens: 5 }],
  ["Vercel AI SDK", { endpoint: "responses", provider: "openai", output_tokens: 30 }],
  ["LangChain.js", { endpoint: "chat.completions", provider: "openai", output_tokens: 20 }],
]
const CURL_LINES = ["curl", "Who and what for", "Doors"]
const ENVIRONMENT = "By the environment alone"

test("every block that the page says is executed is one of those below", () => {
  const headings = (language: string) => blocks.filter((block) => block.language === language).map((b) => b.heading)
  expect(page).toContain(END)
  expect(headings("js")).toEqual([...SCRIPTS.map(([heading]) => heading), ENVIRONMENT])
  expect(headings("sh").toSorted()).toEqual([...CURL_LINES, ENVIRONMENT].toSorted())
  expect(new Set(blocks.map(({ language }) => language))).toEqual(new Set(["sh", "js"]))
  for (const { heading, language, text } of blocks) {
    // A program that finds both in the environment names neither.
    const isSilent = heading === ENVIRONMENT && language === "js"
    for (const part of [BASE_URL, KEY]) expect(text.includes(part), `${heading}: ${part}`).toBe(!isSilent)
  }
})

test.each(SCRIPTS)("%s prints the answer, and it is on record", async (heading, expected) => {
  if (heading === "Vercel AI SDK") provider.enqueue({ body: WHOLE_RESPONSE })
  expect(await script(blockOf(heading, "js"))).toBe("Hello there.")
  const [record] = await records(1)
  expect(record).toMatchObject({ ...expected, outcome: "ok", price_state: "priced", usage_source: "provider" })
  expect(provider.requests).toHaveLength(1)
  expect(JSON.stringify(provider.requests[0]?.headers)).not.toContain(key)
})

describe("curl", () => {
  const recordOf = async (heading: string) => {
    const { choices } = JSON.parse(await shell(blockOf(heading, "sh")))
    expect(choices[0].message.content).toBe("Hello there.")
    return (await records(1))[0]
  }

  test("prints the answer, and it is on record", async () => {
    const record = await recordOf("curl")
    expect(record).toMatchObject({ endpoint: "chat.completions", tool: "", user_id: "", price_state: "priced" })
  })
  test("with headers: each fills its field of the record", async () => {
    const record = await recordOf("Who and what for")
    expect(record).toMatchObject({
      endpoint: "chat.completions",
      tool: "helpdesk",
      operation: "summarize",
      conversation: "ticket-4711",
      tags: ["eu", "nightly"],
      metadata: { team: "support", release: "7" },
      user_id: userId,
    })
    for (const name of Object.keys(provider.requests[0]?.headers ?? {})) expect(name).not.toContain("tallygate")
  })
  test("by a provider's own path", async () => {
    const record = await recordOf("Doors")
    expect(record).toMatchObject({ endpoint: "chat.completions", provider: "openai", price_state: "priced" })
    expect(provider.requests[0]).toMatchObject({ path: "/v1/chat/completions" })
    expect(provider.requests[0]?.headers.authorization).toBe("Bearer sk-upstream-canary")
  })
})

test("three SDKs find base URL and key in the environment, which the README sets as the page does", async () => {
  const readme = blocksRunBy(import.meta.filename, "README.md").map(({ text }) => text)
  expect(readme).toEqual([blockOf(ENVIRONMENT, "sh")])
  const [variables, program] = [blockOf(ENVIRONMENT, "sh"), blockOf(ENVIRONMENT, "js")]
  const line = `${filledIn(variables)}exec "$0" --input-type=module -e "$1"`
  const printed = await printedBy("sh", "-c", line, process.execPath, program)
  expect(printed).toBe("Hello there. Hello there. Hello there.")
  expect((await records(3)).map(({ endpoint }) => endpoint)).toEqual([
    "chat.completions",
    "messages",
    "generate_content",
  ])
})

describe("the doors of the page", () => {
  const places = [...executable.matchAll(/^- `(.*)`$/gm)].map((match) => match[1] ?? "")
  const paths = [...executable.matchAll(/^\| `(\/.*?)…?` \|/gm)].map((match) => match[1] ?? "")
  const chat = { model: "gpt-4o-mini", messages: [{ role: "user", content: "Hi" }] }

  async function call(route: string, body: object, headers: Record<string, string>) {
    const options = { method: "POST", headers: { "content-type": "application/json", ...headers } }
    const response = await fetch(app.url + route, { ...options, body: JSON.stringify(body) })
    return { status: response.status, text: await response.text() }
  }

  test("there are some", () => {
    expect(places).toHaveLength(6)
    expect(paths).toEqual(["/v1/", "/v1/messages", "/v1beta/", "/v1/models/{model}:{method}", "/{provider}/"])
  })
  test.each(places)("%s is a place for the key", async (place) => {
    const callWith = (secret: string) => {
      const text = place.replace(KEY, secret)
      if (text.startsWith("?")) return call(`/v1/chat/completions${text}`, chat, {})
      const [name = "", value = ""] = text.split(": ")
      return call("/v1/chat/completions", chat, { [name]: value })
    }
    expect(await callWith(key)).toMatchObject({ status: 200, text: expect.stringContaining("Hello there.") })
    expect((await records(1))[0]).toMatchObject({ endpoint: "chat.completions" })
    expect((await callWith("tg_nobody")).status).toBe(401)
  })
  test("two keys that differ are refused", async () => {
    const headers = { authorization: `Bearer ${key}`, "x-api-key": "tg_another" }
    expect((await call("/v1/chat/completions", chat, headers)).status).toBe(400)
    expect(provider.requests).toEqual([])
  })
})

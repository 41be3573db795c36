/** examples/python: the client keeps its promises, and its programs run as they stand there. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { blocksRunBy } from "../support/page-blocks.ts"
import { findPythonBinary } from "../support/python-binary.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

const FOLDER = path.join(PROJECT, "examples/python")
const PYTHON_MS_MAX = 120_000
const CHECKS = path.join(import.meta.dirname, "tallygate_client_test.py")

let app: TestApp
const python = findPythonBinary()

beforeAll(async () => {
  app = await startTestApp(openAiConfig("http://127.0.0.1:9/v1"))
})
afterAll(() => app?.close())

/** What a program prints, and the end of what it says of errors. @throws with both where it fails */
async function run(args: readonly string[], env: Record<string, string>): Promise<{ stdout: string; stderr: string }> {
  const PYTHONPATH = FOLDER
  const options = {
    env: { PATH: process.env.PATH, ...python.environment, PYTHONPATH, PYTHONDONTWRITEBYTECODE: "1", ...env },
    timeout: PYTHON_MS_MAX,
  }
  return promisify(execFile)(python.path, args, options)
}

/** The records of a key, as soon as there are `count`. */
function recordsOf(keyId: string, count: number): Promise<UsageRecord[]> {
  return until(async () => {
    const { data } = (await app.admin("GET", `/admin/v1/usage/records?key=${keyId}`)).body
    return data.length === count ? data : undefined
  }, 30_000)
}

test("the client keeps its promises, whatever fails", { timeout: PYTHON_MS_MAX }, async () => {
  const { key } = await app.createKey({ name: "python" })
  const small = await app.createKey({ limits: [{ kind: "tokens", window: "month", cap: 500 }] })
  const env = { TALLYGATE_URL: app.url, TALLYGATE_KEY: key, TALLYGATE_SMALL_KEY: small.key }
  const { stderr } = await run([CHECKS], env)
  const written = readFileSync(CHECKS, "utf8").match(/^ {4}def test_/gm)?.length
  expect(stderr).toMatch(new RegExp(`Ran ${written} tests in [\\d.]+s\\n\\nOK\\n`))
})

/** A reader's shell, in which examples/README.md is followed from its top. */
function followed(key: string): Promise<{ stdout: string }> {
  const blocks = blocksRunBy(import.meta.filename, "examples/README.md").map(({ text }) => text)
  expect(blocks).toEqual([expect.stringMatching(/^export /), "python3 examples/python/report_calls.py\n"])
  const line = blocks.join("").replace("http://127.0.0.1:8787", app.url).replace("tg_…", key)
  const PATH = `${path.dirname(python.path)}${path.delimiter}${process.env.PATH}`
  const env = { PATH, ...python.environment, PYTHONDONTWRITEBYTECODE: "1" }
  return promisify(execFile)("sh", ["-c", line], { cwd: PROJECT, env, timeout: PYTHON_MS_MAX })
}

test("report_calls.py: each call is on record, the failure and the hold included", async () => {
  const limits = [{ kind: "usd", window: "month", cap: "5" }]
  const { id, key } = await app.createKey({ limits })
  const { stdout } = await followed(key)
  const records = await recordsOf(id, 13)
  expect(stdout).toContain("document 5: an empty document\n")
  const [, count, tokens, usd] = /booked (\d+) records, (\d+) tokens, \$([\d.]+)\n/.exec(stdout) ?? []
  expect(count).toBe("13")
  expect(records.reduce((sum, one) => sum + one.input_uncached_tokens + one.output_tokens, 0)).toBe(Number(tokens))
  expect(records.reduce((sum, one) => sum + Number(one.cost_usd), 0)).toBeCloseTo(Number(usd), 9)
  expect(records.filter(({ outcome }) => outcome === "error")).toMatchObject([{ error_code: "ValueError" }])
  expect(records.find(({ model_served: model }) => model === "v2")).toMatchObject({ cost_usd: "1.35", units: 30 })
  const { body } = await app.admin("GET", "/admin/v1/holds")
  expect(body.data).toEqual([])
})

test("wrap_openai.py: a whole answer and a stream are reported, and printed as they came", async () => {
  const { id, key } = await app.createKey()
  const env = { TALLYGATE_URL: app.url, TALLYGATE_KEY: key, OPENAI_API_KEY: "sk-x" }
  // In the place of OpenAI's package, which is not installed here: a module of its name with a client of its shape.
  const { stdout } = await run([path.join(FOLDER, "wrap_openai.py")], {
    ...env,
    PYTHONPATH: path.join(import.meta.dirname, "fake-python-packages"),
  })
  expect(stdout).toBe("Hello there.\nHello there.\n")
  for (const record of await recordsOf(id, 2)) {
    expect(record).toMatchObject({ tool: "greeter", operation: "chat.completions", output_tokens: 20 })
  }
})

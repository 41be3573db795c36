/** examples/cron/budget-watch.sh, as cron runs it: each exit code, who is told of it, and that nobody is told twice. */
import { spawn } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { text } from "node:stream/consumers"
import { afterAll, beforeAll, expect, test } from "vitest"
import { blocksRunBy } from "../support/page-blocks.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { ADMIN_KEY, startTestApp, type TestApp } from "../support/test-app.ts"
import { startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts"

const SCRIPT = path.join(PROJECT, "examples/cron/budget-watch.sh")

let app: TestApp
let receiver: WebhookReceiver
let folder: string

beforeAll(async () => {
  app = await startTestApp("{ sandbox: true }")
  receiver = await startWebhookReceiver()
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-budget-watch-"))
  program("tallygate", `exec "${process.execPath}" "${PROJECT}/src/main.ts" "$@"`)
  // In the place of the command, where what matters is what becomes of its exit code.
  program("told", 'echo "as told"; exit "$TOLD"')
  program("mail", `{ echo "$@"; cat; } > "${folder}/mailed"`)
})
afterAll(async () => {
  await app?.close()
  await receiver?.close()
  rmSync(folder ?? "", { recursive: true, force: true })
})

function program(name: string, line: string): void {
  writeFileSync(path.join(folder, name), `#!/bin/sh\n${line}\n`)
  chmodSync(path.join(folder, name), 0o755)
}

/** As cron does: a bare environment, and what is printed would be mailed. */
async function watched(
  more: Record<string, string> = {},
  line = SCRIPT,
): Promise<{ code: number | null; said: string; errors: string }> {
  const env = {
    PATH: `${folder}${path.delimiter}${process.env.PATH}`,
    STATE_FILE: path.join(folder, "state"),
    ...{ TALLYGATE_URL: app.url, TALLYGATE_ADMIN_KEY: ADMIN_KEY, ADMIN_KEY },
    ...{ MAIL_TO: "ops@example.com", WEBHOOK_URL: receiver.url },
    ...more,
  }
  const child = spawn("sh", ["-c", line], { cwd: PROJECT, env, stdio: ["ignore", "pipe", "pipe"] })
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve))
  const [said, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { code, said, errors }
}

const mail = () => readFileSync(path.join(folder, "mailed"), "utf8")
const posts = () => receiver.received.map(({ body }) => (JSON.parse(body.toString()) as { text: string }).text)

test("0, 1, 2 and 3 each have their words, are told once, and to everyone", { timeout: 60_000 }, async () => {
  const [block] = blocksRunBy(import.meta.filename, "examples/README.md")
  expect(await watched({}, block?.text)).toEqual({ code: 0, said: "", errors: "" })
  expect(posts()).toEqual([])

  const limit = { kind: "tokens", window: "lifetime", cap: 1000 }
  const { key } = await app.createKey({ name: 'the "search" team', limits: [limit] })
  const report = (input_tokens: number) =>
    fetch(`${app.url}/v1/usage`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ provider: "openai", model: "gpt-4o-mini", input_tokens }),
    })
  expect((await report(900)).status).toBe(201)
  await app.records(1)
  const warned = await watched()
  expect(warned).toMatchObject({ code: 1, errors: "" })
  expect(warned.said).toMatch(/^Tallygate: a budget is running out\n\n.*\bwarning +90 % +key the "search" team/s)
  expect(mail()).toMatch(/^-s Tallygate: a budget is running out ops@example\.com\n.*warning/s)
  expect(posts()).toEqual([expect.stringMatching(/a budget is running out\n```.*the "search" team/s)])
  expect(await watched({ TALLYGATE: "told", TOLD: "1" })).toEqual({ code: 1, said: "", errors: "" })

  expect((await report(200)).status).toBe(201)
  await app.records(2)
  expect(await watched({ WEBHOOK_URL: "http://127.0.0.1:9/" })).toMatchObject({
    code: 2,
    said: expect.stringMatching(/a budget is used up\n\n.*exceeded/s),
    errors: expect.stringContaining("not everyone could be told"),
  })
  // Not everyone was: told again.
  const again = await watched({ TALLYGATE: "told", TOLD: "2" })
  expect(again).toMatchObject({ code: 2, said: expect.stringContaining("as told"), errors: "" })
  expect(posts()).toHaveLength(2)

  const away = await watched({ TALLYGATE_URL: "http://127.0.0.1:9", PING_URL: receiver.url })
  expect(away).toMatchObject({ code: 3, said: expect.stringContaining("budgets cannot be told") })
  expect(posts()).toHaveLength(3)
  expect(await watched({ TALLYGATE: "no-such-command" })).toMatchObject({ code: 3, said: "" })

  const well = { TALLYGATE: "told", TOLD: "0", PING_URL: `${receiver.url}/ping` }
  expect(await watched(well)).toMatchObject({ code: 0, said: expect.stringContaining("all budgets are well again") })
  expect(receiver.received.at(-1)?.path).toBe("/ping")
})

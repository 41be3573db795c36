/**
 * Every command line of docs/cli.md, and of other pages that name this test, as it stands there, against a running Tallygate and an installation of its own. What
 * a reader puts in (ids, an address of a Postgres, a folder of recordings) is all that is put in here.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { COMMANDS } from "../../src/cli/commands.ts"
import { newEncryptionKey } from "../../src/platform/secret-box.ts"
import { blocksRunBy } from "../support/page-blocks.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { PROJECT, run } from "../support/tallygate-process.ts"
import { ADMIN_KEY, startTestApp, type TestApp } from "../support/test-app.ts"
import { startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts"
import { tallygate } from "./run-command.ts"

type Line = { readonly text: string; readonly words: readonly string[]; readonly exitCode: number }

const blocks = ["docs/cli.md", "docs/admin.md"].flatMap((page) => blocksRunBy(import.meta.filename, page))
const lines = blocks
  .filter(({ language }) => language === "sh")
  .flatMap(({ text }) => text.trim().split("\n").map(readLine))

const presentKey = newEncryptionKey()
let app: TestApp
let receiver: WebhookReceiver
let folder: string
let ids: Record<string, string>

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-cli-page-"))
  cpSync(path.join(PROJECT, "test/fixtures/verify/agreeing"), path.join(folder, "recorded"), { recursive: true })
  cpSync(
    path.join(PROJECT, "test/fixtures/prices/litellm.json"),
    path.join(folder, "model_prices_and_context_window.json"),
  )
  // The page's own exchange is one that agrees.
  for (const { language, text } of blocks) {
    if (language === "json") writeFileSync(path.join(folder, "recorded", "of-the-page.json"), text)
  }
  receiver = await startWebhookReceiver()
  app = await startTestApp(
    `{ sandbox: true, encryption_key: "${presentKey}", alerts: { allow_private_targets: true } }`,
  )
  const project = (await app.admin("POST", "/admin/v1/projects", { name: "search" })).body.id
  ids = { "key_…": (await app.createKey()).id, "user_…": "", "proj_…": project }
  const channel = { scope: {}, kind: "webhook", name: "hook", url: receiver.url }
  ids["org_…"] = (await app.admin("POST", "/admin/v1/organizations", { name: "tenant" })).body.id
  const reported = { provider: "openai", model: "gpt-4o", input_tokens: 10, output_tokens: 1 }
  const record = (await app.admin("POST", "/admin/v1/usage/records", reported)).body.id
  await app.record(record)
  ids["record_…"] = record
  ids["chan_…"] = (await app.admin("POST", "/admin/v1/alert-channels", channel)).body.id
  ids["org_…"] = (await app.admin("GET", "/admin/v1/organizations")).body.data[0]?.id ?? ""
  ids["user_…"] = (await app.admin("POST", "/admin/v1/users", { name: "Ada" })).body.id
})
afterAll(async () => {
  await app?.close()
  await receiver?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Words as a shell reads them, as far as the page needs one: double quotes, and a comment at the end. */
function readLine(text: string): Line {
  const [command = "", comment = ""] = text.split(/ +# /)
  const words = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "")
  return { text, words, exitCode: Number(/^exit code (\d)/.exec(comment)?.[1] ?? 0) }
}

/** What a reader puts in the place of the page's. */
async function filledIn(word: string): Promise<string> {
  if (word === "postgres://…") return createDatabase(inject("postgresUrl"))
  if (word === "…") return newEncryptionKey()
  return ids[word] ?? word
}

/** What is moved is the embedded database: it is there, and the reader has given no other one. */
async function makeEmbedded(env: Record<string, string | undefined>): Promise<void> {
  env.DATABASE_URL = undefined
  expect((await tallygate(["migrate"], { env, cwd: folder })).exitCode).toBe(0)
}

test("there are lines, and every command has one", () => {
  for (const { name } of COMMANDS) {
    expect(
      lines.some(({ text }) => `${text} `.includes(`tallygate ${name} `)),
      name,
    ).toBe(true)
  }
})

/** Two starts of the embedded database on a busy machine. */
const MOVE_MS_MAX = 120_000

describe("each line does what the page says", () => {
  const isOfMain = ({ words }: Line) => words.includes("serve") || words.includes("help")
  const doesIt = async (line: Line) => {
    const words = await Promise.all(line.words.map(filledIn))
    const env: Record<string, string | undefined> = {
      DATABASE_URL: app.databaseUrl,
      TALLYGATE_URL: app.url,
      TALLYGATE_ADMIN_KEY: ADMIN_KEY,
      PORT: "0",
    }
    const at = words.indexOf("tallygate")
    for (const assignment of words.slice(0, at).filter((word) => word.includes("="))) {
      const equals = assignment.indexOf("=")
      const [name, value] = [assignment.slice(0, equals), assignment.slice(equals + 1)]
      env[name] = name.endsWith("_PREVIOUS") ? presentKey : await filledIn(value)
    }
    if (words.includes("move")) await makeEmbedded(env)
    const { exitCode, stdout, stderr } = await tallygate(words.slice(at + 1), { env, cwd: folder })
    expect(exitCode, stdout + stderr).toBe(line.exitCode)
    expect(stdout + stderr).not.toBe("")
    if (words.includes("--json")) expect(() => JSON.parse(stdout)).not.toThrow()
  }
  test.each(lines.filter((line) => !isOfMain(line)))("$text", doesIt, MOVE_MS_MAX)

  test.each(lines.filter(({ words }) => words.includes("help")))("$text", async ({ words }) => {
    const { code, output } = await run([process.execPath, "src/main.ts", ...words.slice(1)])
    expect(code).toBe(0)
    expect(output).toContain(`tallygate ${words.slice(2).join(" ")}`)
  })

  test("serve tells of its start as JSON, and ends well on SIGTERM", async () => {
    expect(lines.some(({ text }) => text === "tallygate serve --json")).toBe(true)
    const env = {
      PATH: process.env.PATH ?? "",
      PORT: "0",
      TALLYGATE_DATA: path.join(folder, "served"),
      DATABASE_URL: await createDatabase(inject("postgresUrl")),
    }
    const child = spawn(process.execPath, [path.join(PROJECT, "src/main.ts"), "serve", "--json"], { cwd: folder, env })
    const exited = once(child, "exit")
    let [told, said] = ["", ""]
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text
    })
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      told += text
      if (told.endsWith("}\n")) child.kill("SIGTERM")
    })
    expect(await exited, said).toEqual([0, null])
    expect(JSON.parse(told)).toMatchObject({
      kind: "listening",
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      first_run: { virtual_key: expect.stringMatching(/^tg_/), admin_key: expect.any(String) },
    })
  })
})

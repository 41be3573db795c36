/** Every command of docs/privacy.md, as it stands there and in its order, against a running Tallygate. */
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openPostgres } from "../../src/platform/postgres.ts"
import { tallygate } from "../cli/run-command.ts"
import { PROJECT } from "../support/tallygate-process.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp } from "../support/test-app.ts"

const page = readFileSync(path.join(PROJECT, "docs/privacy.md"), "utf8")
const lines = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = ""]) => block.trim().split("\n"))

let app: TestApp
let folder: string
let env: Record<string, string>

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-privacy-page-"))
  app = await startTestApp(openAiConfig("http://127.0.0.1:9/v1"))
  const user = await app.admin("POST", "/admin/v1/users", { name: "Page Reader", email: "page@user.example" })
  const organization = (await app.admin("GET", "/admin/v1/organizations")).body.data[0] as unknown as { id: string }
  env = {
    TALLYGATE_URL: app.url,
    TALLYGATE_ADMIN_KEY: ADMIN_KEY,
    ADMIN_KEY,
    USER_ID: user.body.id,
    ORGANIZATION_ID: organization.id,
  }
})
afterAll(async () => {
  await app?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** The words of a line, with what stands for the reader's own. */
function wordsOf(line: string): string[] {
  const filled = line.replace(/\$(\w+)/g, (_, name: string) => env[name] ?? "")
  return [...filled.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "")
}

test.each(lines)("%s", async (line) => {
  if (!line.startsWith("tallygate ")) {
    const { stdout } = await promisify(execFile)("sh", ["-c", line], { env: { ...process.env, ...env }, cwd: folder })
    // An end-customer of whom nothing stands has an export without lines.
    if (!line.includes("end-customers/export")) expect(stdout).toMatch(/^\{/)
    return
  }
  expect(await tallygate(wordsOf(line).slice(1), { env, cwd: folder })).toMatchObject({ exitCode: 0 })
})

test("the statements by which a value is counted under its own name again are accepted", async () => {
  const sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
  const [, statements = ""] = /^```sql\n([\s\S]*?)^```$/m.exec(page) ?? []
  expect(await sql`SELECT 1 FROM erased_customers`).toHaveLength(1)
  await sql.unsafe(statements.replace("= 'erased-…'", "LIKE 'erased-%'"))
  expect(await sql`SELECT 1 FROM erased_customers`).toEqual([])
  await sql.end()
})

import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { runConfigCheck } from "../../src/cli/config-check.ts"
import { type ConfigFolder, createConfigFolder } from "../support/config-folder.ts"

const CANARY = "canary-secret"
const VALID = `admin_key: ${CANARY}-for-automation
providers:
  vllm: { dialect: openai, base_url: http://127.0.0.1:8000/v1, api_key: ${CANARY} }
models:
  - { match: fast, provider: vllm, model: llama }
  - { match: "llama-*", provider: vllm }
`

let folder: ConfigFolder
beforeEach(() => {
  folder = createConfigFolder()
})
afterEach(() => {
  folder.remove()
})

async function check(args: string[], env: Record<string, string> = {}) {
  const written = { stdout: "", stderr: "" }
  const sink = (name: "stdout" | "stderr") => ({
    write(text: string) {
      written[name] += text
    },
  })
  const exitCode = await runConfigCheck(args, env, folder.path, { stdout: sink("stdout"), stderr: sink("stderr") })
  return { exitCode, ...written }
}

describe("tallygate config check", () => {
  it.each([[["--nope"]], [["extra"]], [["--file"]], [["--file", ""]], [["--json=maybe"]]])(
    "answers %j with its usage and 2",
    async (args) => {
      const { exitCode, stdout, stderr } = await check(args)
      expect(exitCode).toBe(2)
      expect(stdout).toBe("")
      expect(stderr).toContain("Usage: tallygate config check")
    },
  )

  it("prints every problem, one line each, and answers 1", async () => {
    writeFileSync(join(folder.path, "proxy.config.yaml"), `sandbox: 3\nadmin_key: "${CANARY} x"\n`)
    expect(await check([])).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: `proxy.config.yaml:1:10: sandbox: found 3, expected true, false or auto
proxy.config.yaml:2:12: admin_key: found ‹hidden›, expected a key without spaces or line breaks, in quotes if it is a number
2 problems in the configuration.
`,
    })
  })

  it("gives problems to programs as JSON", async () => {
    const { exitCode, stdout, stderr } = await check(["--json"], { PORT: "x" })
    expect([exitCode, stderr]).toEqual([1, ""])
    expect(JSON.parse(stdout)).toEqual({
      kind: "invalid",
      problems: [
        {
          file: "environment",
          line: null,
          column: null,
          path: "PORT",
          found: '"x"',
          expected: "a whole number from 0 to 65535",
        },
      ],
    })
  })

  it("prints what a first run without a file comes to", async () => {
    expect(await check([])).toEqual({
      exitCode: 0,
      stderr: "",
      stdout: `The configuration is valid.
  file        none; defaults and environment
  listens on  127.0.0.1:8787
  data        ${join(folder.path, ".tallygate")}
  ledger      embedded Postgres in the data folder
  limits      counted in the process
  admin key   made at the first start
  sandbox     on

Providers: none

Models: none

Notes:
  no provider is configured; only sandbox/* answers
`,
    })
  })

  it("prints providers, models and stores without a secret", async () => {
    writeFileSync(join(folder.path, "other.yaml"), VALID)
    const { exitCode, stdout } = await check(["--file", "other.yaml"], {
      DATABASE_URL: `postgres://u:${CANARY}@db/ledger`,
    })
    expect(exitCode).toBe(0)
    expect(stdout).not.toContain(CANARY)
    expect(stdout).toContain("ledger      postgres://u:‹hidden›@db/ledger\n")
    expect(stdout).toContain("admin key   ‹hidden›\n")
    expect(stdout).toContain(`Providers:
  vllm  openai  http://127.0.0.1:8000/v1  key ‹hidden›

Models, first match wins:
  fast     vllm (llama)
  llama-*  vllm
`)
  })

  it("says how many workers share the port, and refuses them without what they share", async () => {
    const shared = { DATABASE_URL: "postgres://db/ledger", REDIS_URL: "redis://cache" }
    expect((await check([], { ...shared, WORKERS: "2" })).stdout).toContain(
      "listens on  127.0.0.1:8787, shared by 2 workers\n",
    )
    const { exitCode, stderr } = await check([], { WORKERS: "2" })
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(
      /^environment: WORKERS: found 2, expected 1, or REDIS_URL .*; and DATABASE_URL .*\n1 problem/,
    )
  })

  it("gives the whole config to programs as JSON, without a secret", async () => {
    writeFileSync(join(folder.path, "proxy.config.yaml"), VALID)
    const { exitCode, stdout } = await check(["--json"])
    expect(exitCode).toBe(0)
    expect(stdout).not.toContain(CANARY)
    expect(JSON.parse(stdout)).toMatchObject({
      kind: "loaded",
      path: join(folder.path, "proxy.config.yaml"),
      config: { listen: { port: 8787 }, providers: { vllm: { api_key: "‹hidden›" } } },
    })
  })

  it("explains itself", async () => {
    const { exitCode, stdout } = await check(["--help"])
    expect(exitCode).toBe(0)
    expect(stdout).toContain("Exit code: 0 valid, 1 problems found, 2 wrong usage.")
  })
})

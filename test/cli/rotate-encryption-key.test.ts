/** `tallygate rotate-encryption-key` on a real Postgres, while a proxy serves, and what it says when it cannot. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { openSecretBox } from "../../src/app/encryption-keys.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { readEncryptionKey } from "../../src/platform/secret-box.ts"
import { createConfigFolder } from "../support/config-folder.ts"
import { type FakeProvider, startFakeProvider } from "../support/fake-provider.ts"
import { startTestApp, type TestApp } from "../support/test-app.ts"
import { type Ran, tallygate } from "./run-command.ts"

const OLD = "11".repeat(32)
const NEW = "22".repeat(32)
const CANARY = "sk-canary-rotated-0001"
const idOf = (key: string) => readEncryptionKey(key)?.id ?? ""

let cwd: string
beforeAll(() => {
  cwd = mkdtempSync(path.join(tmpdir(), "tallygate-rotate-"))
})
afterAll(() => rmSync(cwd, { recursive: true }))

function rotate(env: Record<string, string | undefined>, ...args: string[]): Promise<Ran> {
  return tallygate(["rotate-encryption-key", ...args], { cwd, env })
}

describe("on a server", () => {
  let provider: FakeProvider
  let app: TestApp
  let sql: Sql
  let key: string

  beforeAll(async () => {
    provider = await startFakeProvider()
    const config = `
providers:
  openai: { dialect: openai, base_url: ${provider.origin}/v1, api_key: sk-of-the-config }
encryption_key: "${NEW}"
encryption_key_previous: "${OLD}"
`
    // What was stored before the change: by a proxy that had the old key alone.
    const before = await startTestApp(config.replace(NEW, OLD).replace(/encryption_key_previous.*/, ""))
    await before.admin("POST", "/admin/v1/providers", {
      name: "extra",
      dialect: "openai",
      base_url: `${provider.origin}/v1`,
      headers: { "x-extra": "canary-header" },
    })
    for (const name of ["a", "b"]) {
      await before.admin("POST", "/admin/v1/providers/extra/accounts", { name, api_key: `${CANARY}${name}` })
    }
    const channel = { scope: {}, kind: "slack", name: "chat", url: "https://chat.example/canary-address" }
    expect((await before.admin("POST", "/admin/v1/alert-channels", channel)).status).toBe(201)
    await before.app.close()
    app = await startTestApp(config, { databaseUrl: before.databaseUrl })
    sql = openPostgres(app.databaseUrl, { max: 1, applicationName: "test" })
    key = (await app.createKey()).key
  })
  beforeEach(() => provider.reset())
  afterAll(async () => {
    await sql?.end()
    await app?.close()
    await provider?.stop()
  })

  const keyIds = async () => {
    const rows = await sql<{ id: string }[]>`
      SELECT credential_key_id AS id FROM provider_accounts UNION SELECT headers_key_id FROM providers
      UNION SELECT secret_key_id FROM alert_channels`
    return rows.map(({ id }) => id)
  }

  async function calls(): Promise<number> {
    const response = await fetch(`${app.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "extra/gpt-4o", messages: [{ role: "user", content: "hi" }] }),
    })
    await response.text()
    return response.status
  }

  test("without a key, or without the one before it, nothing is changed and the message says what to set", async () => {
    const bare = await rotate({ DATABASE_URL: app.databaseUrl })
    expect([bare.exitCode, bare.stdout]).toEqual([1, ""])
    expect(bare.stderr).toContain("Set TALLYGATE_ENCRYPTION_KEY")
    const alone = await rotate({ DATABASE_URL: app.databaseUrl, TALLYGATE_ENCRYPTION_KEY: NEW })
    expect(alone.exitCode).toBe(1)
    expect(alone.stderr).toContain(`extra/a: encrypted under the key ${idOf(OLD)}`)
    expect(alone.stderr).toContain("headers of extra:")
    expect(alone.stderr).toContain("Set TALLYGATE_ENCRYPTION_KEY_PREVIOUS")
    const wrong = await rotate({ DATABASE_URL: app.databaseUrl, TALLYGATE_ENCRYPTION_KEY: "canary-short" })
    expect(wrong.exitCode).toBe(1)
    expect(wrong.stderr).toContain("TALLYGATE_ENCRYPTION_KEY: found ‹hidden›")
    expect(JSON.stringify([bare, alone, wrong])).not.toContain("canary")
    expect(await keyIds()).toEqual([idOf(OLD)])
  })

  test("every secret is encrypted anew while the proxy serves, once, and never in part", async () => {
    expect(await calls()).toBe(200)
    const env = { DATABASE_URL: app.databaseUrl, TALLYGATE_ENCRYPTION_KEY: NEW, TALLYGATE_ENCRYPTION_KEY_PREVIOUS: OLD }
    // One row that does not open keeps all the others as they are.
    await sql`UPDATE provider_accounts
      SET credential_ciphertext = set_byte(credential_ciphertext, 0, get_byte(credential_ciphertext, 0) # 1)
      WHERE name = 'b'`
    const refused = await rotate(env)
    expect(refused.exitCode).toBe(1)
    expect(refused.stderr).toContain("extra/b: not what was encrypted")
    expect(await keyIds()).toEqual([idOf(OLD)])
    await app.admin("PATCH", "/admin/v1/providers/extra/accounts/b", { api_key: `${CANARY}b` })

    const statuses: number[] = []
    let isOver = false
    const calling = (async () => {
      while (!isOver) statuses.push(await calls())
    })()
    // The row of b was written under the new key by the proxy just now.
    expect(JSON.parse((await rotate(env, "--json")).stdout)).toMatchObject({
      key_id: idOf(NEW),
      changed: 3,
      unchanged: 1,
    })
    expect(await keyIds()).toEqual([idOf(NEW)])
    const again = await rotate(env)
    expect([again.exitCode, again.stdout.slice(0, 19)]).toEqual([0, "Encrypted anew: 0. "])
    // Long enough for the proxy to have read the rows again.
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    isOver = true
    await calling
    expect(statuses.every((status) => status === 200)).toBe(true)
    expect(provider.requests.at(-1)?.headers.authorization).toMatch(new RegExp(`^Bearer ${CANARY}[ab]$`))
    expect(provider.requests.at(-1)?.headers["x-extra"]).toBe("canary-header")
    const ready = (await (await fetch(`${app.url}/readyz`)).json()) as { provider_accounts: string }
    expect(ready.provider_accounts).toBe("usable")
    const [audit] = await sql<{ count: number }[]>`
      SELECT count(*)::int AS count FROM audit_log WHERE action = 'encryption_key.rotate' AND actor = 'command line'`
    expect(audit?.count).toBe(1)
  })
})

describe("the key that is used", () => {
  test("is made once beside the embedded database, for its user alone, and still opens when another one is given", async () => {
    const folder = createConfigFolder()
    try {
      const { config } = folder.loaded(null, { TALLYGATE_DATA: cwd })
      const [first, second] = [await openSecretBox(config), await openSecretBox(config)]
      const file = path.join(cwd, "encryption.key")
      expect(statSync(file).mode & 0o777).toBe(0o600)
      expect(first.current?.id).toBe(idOf(readFileSync(file, "utf8")))
      const sealed = first.seal("x", "owner")
      expect(second.open(sealed, "owner").kind).toBe("opened")
      const given = await openSecretBox(
        folder.loaded(null, { TALLYGATE_DATA: cwd, TALLYGATE_ENCRYPTION_KEY: NEW }).config,
      )
      expect(given.current?.id).toBe(idOf(NEW))
      expect(given.open(sealed, "owner").kind).toBe("opened")
      const server = folder.loaded(null, { TALLYGATE_DATA: cwd, DATABASE_URL: "postgres://u@127.0.0.1:1/x" }).config
      expect((await openSecretBox(server)).current).toBeNull()
    } finally {
      folder.remove()
    }
  })

  test("is read from a file, and a file that holds none keeps the start from happening", async () => {
    const folder = createConfigFolder()
    try {
      const file = path.join(folder.path, "key")
      writeFileSync(file, `${NEW}\n`)
      const env = { DATABASE_URL: "postgres://u@127.0.0.1:1/x", TALLYGATE_ENCRYPTION_KEY_FILE: file }
      const { config } = folder.loaded(null, env)
      expect((await openSecretBox(config)).current?.id).toBe(idOf(NEW))
      writeFileSync(file, "canary-that-is-no-key")
      const refusal = await openSecretBox(config).catch((error: Error) => error)
      expect(String(refusal)).toContain("holds no encryption key. Expected: 32 bytes in base64 or hex")
      expect(String(refusal)).not.toContain("canary")
    } finally {
      folder.remove()
    }
  })
})

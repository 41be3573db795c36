import { mkdtempSync, rmSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { mintVirtualKey } from "../../src/identity/secret.ts"
import { type CuttableLink, openCuttableLink } from "../ledger/cuttable-link.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type Running, startTallygate } from "../support/tallygate-process.ts"
import { ADMIN_KEY, openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"

const MAIN = [process.execPath, "src/main.ts", "serve"]
/** The promise is a second; the rest is for the call that sees it on a busy machine. */
const SEEN_MS_MAX = 1_500

let upstream: FakeUpstream

beforeAll(async () => {
  upstream = await startFakeUpstream()
})
afterAll(() => upstream?.stop())

async function call(url: string, key: string, model = "gpt-4o-mini") {
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` }
  const text = JSON.stringify({ model, messages: [{ role: "user", content: "hi" }] })
  const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body: text })
  const answer = (await response.json()) as { error?: { code: string; message: string } }
  const { code, message } = answer.error ?? {}
  return { status: response.status, retryAfter: response.headers.get("retry-after"), code, message }
}

describe("two processes on one database", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "tallygate-two-"))
  let running: Running[] = []

  beforeAll(async () => {
    const TALLYGATE_CONFIG = path.join(folder, "config.yaml")
    await writeFile(TALLYGATE_CONFIG, openAiConfig(upstream.baseUrl, "log: { level: warn }"))
    const DATABASE_URL = await createDatabase(inject("postgresUrl"))
    const start = (name: string) => {
      const TALLYGATE_DATA = path.join(folder, name)
      return startTallygate(MAIN, {
        env: { TALLYGATE_CONFIG, DATABASE_URL, TALLYGATE_DATA, TALLYGATE_ADMIN_KEY: ADMIN_KEY },
      })
    }
    running = [await start("first"), await start("second")]
  })
  afterAll(async () => {
    for (const { process } of running) process.kill("SIGTERM")
    await Promise.all(running.map(({ exited }) => exited))
    rmSync(folder, { recursive: true, force: true })
  })

  /** Asks the admin API of the first process; edits are made there and must be effective on both. */
  async function admin(method: string, route: string, body?: object) {
    const response = await fetch(`${running[0]?.url}/admin/v1${route}`, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`${method} ${route} answered ${response.status}: ${await response.text()}`)
    return (await response.json()) as { id: string; key: string; limits: { id: string }[] }
  }

  /** A key that both processes have in their caches. */
  async function knownKey(wanted: object = {}) {
    const key = await admin("POST", "/keys", { name: "t", ...wanted })
    for (const { url } of running) expect((await call(url, key.key)).status).toBe(200)
    return key
  }

  async function seenByBoth(key: string, status: number) {
    const seen = running.map(({ url }) =>
      until(async () => {
        const answer = await call(url, key)
        return answer.status === status ? answer : undefined
      }, SEEN_MS_MAX),
    )
    return Promise.all(seen)
  }

  test("a revocation is seen by both within a second, and running streams go on to their end", async () => {
    const { id, key } = await knownKey()
    const streams = running.map(async ({ url }) => {
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}` },
        body: JSON.stringify({ model: "gpt-4o-mini-c80-d40", stream: true, messages: [] }),
      })
      return response.text()
    })
    await until(async () => (upstream.served().streamsStarted === 2 ? true : undefined))
    await admin("POST", `/keys/${id}/revoke`)
    for (const { message } of await seenByBoth(key, 401)) expect(message).toContain("revoked")
    expect(upstream.served().streamsCompleted).toBe(0)
    for (const text of await Promise.all(streams)) expect(text.trimEnd().endsWith("data: [DONE]")).toBe(true)
  })

  test("an expiry needs no edit: both refuse from its instant on", async () => {
    const expiresAt = new Date(Date.now() + 3_000)
    const { key } = await knownKey({ expires_at: expiresAt.toISOString() })
    await new Promise((resolve) => setTimeout(resolve, expiresAt.getTime() - Date.now()))
    for (const { url } of running) {
      expect(await call(url, key)).toMatchObject({ status: 401, message: expect.stringContaining("expired at") })
    }
  })

  test("a lowered cap and a raised one are seen by both within a second", async () => {
    const made = await knownKey({ limits: [{ kind: "requests", window: "day", cap: 1_000 }] })
    const id = made.limits[0]?.id
    await admin("PATCH", `/limits/${id}`, { cap: 1 })
    for (const { code } of await seenByBoth(made.key, 429)) expect(code).toBe("insufficient_quota")
    await admin("PATCH", `/limits/${id}`, { cap: 1_000 })
    await seenByBoth(made.key, 200)
  })

  test("a new limit on the key's project refuses on both within a second, and its deletion frees both", async () => {
    const project = await admin("POST", "/projects", { name: "shared" })
    const { key } = await knownKey({ project_id: project.id })
    const wanted = { scope: { project_id: project.id }, kind: "requests", window: "lifetime", cap: 0 }
    const { id } = await admin("POST", "/limits", wanted)
    for (const { message } of await seenByBoth(key, 429)) expect(message).toContain(`project ${project.id}`)
    await admin("DELETE", `/limits/${id}`)
    await seenByBoth(key, 200)
  })

  test("a key made at one process works at the other at once", async () => {
    const { key } = await admin("POST", "/keys", { name: "t" })
    expect((await call(running[1]?.url ?? "", key)).status).toBe(200)
  })
})

describe("while Postgres is away", () => {
  let link: CuttableLink
  let app: TestApp

  beforeAll(async () => {
    link = await openCuttableLink(await createDatabase(inject("postgresUrl")))
    app = await startTestApp(openAiConfig(upstream.baseUrl, "key_cache_max_age_ms: 2000"), { databaseUrl: link.url })
  })
  afterAll(async () => {
    link?.mend()
    await app?.close()
    await link?.close()
  })

  test("known keys go on working for key_cache_max_age_ms, others are a 503 that says when to come back", async () => {
    const { key } = await app.createKey()
    const stranger = mintVirtualKey("key_abcdefghijkl")
    expect((await call(app.url, key)).status).toBe(200)
    link.cut()
    const unavailable = { status: 503, code: "identity_store_unavailable", retryAfter: expect.stringMatching(/^\d+$/) }
    expect(await call(app.url, stranger)).toMatchObject(unavailable)
    expect((await call(app.url, key)).status).toBe(200)
    await until(async () => ((await call(app.url, key)).status === 503 ? true : undefined), 4_000)
    expect(await call(app.url, key)).toMatchObject(unavailable)
    link.mend()
    await until(async () => ((await call(app.url, key)).status === 200 ? true : undefined), 4_000)
    expect((await call(app.url, stranger)).status).toBe(401)
  })
})

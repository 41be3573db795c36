/** docs/api.md: it is what docs/api.ts makes, and each of its examples is answered as it says. */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { apiPage, BASE_URL, committedPage } from "../../docs/api.ts"
import { RECORD_ID } from "../../docs/api-examples.ts"
import { newEncryptionKey } from "../../src/platform/secret-box.ts"
import { ADMIN_KEY, startTestApp, type TestApp } from "../support/test-app.ts"

const page = committedPage()
/** Of one route: its name, what is sent, the status, and the body where it is JSON. */
type Shown = { readonly name: string; readonly command: string; readonly status: number; readonly answer: unknown }
const routes = page
  .split(/^### /m)
  .slice(1)
  .map((text): Shown => {
    const json = /^```json\n([\s\S]*?)^```$/m.exec(text)?.[1]
    return {
      name: /^`(.*)`/.exec(text)?.[1] ?? "",
      command: /^```sh\n([\s\S]*?)^```$/m.exec(text)?.[1] ?? "",
      status: Number(/^It answers (\d+)/m.exec(text)?.[1]),
      answer: json === undefined ? undefined : JSON.parse(json),
    }
  })

let app: TestApp
let folder: string
let counter = 0
let csrfToken = ""
/** Who holds the page's `$KEY`; somebody else for an example that ends it. */
let own: { readonly key: string; readonly keyId: string } | undefined

beforeAll(async () => {
  app = await startTestApp(`{ sandbox: true, encryption_key: "${newEncryptionKey()}" }`)
  folder = await mkdtemp(path.join(tmpdir(), "tallygate-api-page-"))
})
afterAll(async () => {
  await app?.close()
  await rm(folder ?? "", { recursive: true, force: true })
})

async function made(route: string, body: object = {}): Promise<string> {
  const answer = await app.admin("POST", `/admin/v1/${route}`, body)
  if (answer.status > 299) throw new Error(`${route} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
  return answer.body.id
}

/** Not `key_…` within `akey_…`. */
const holds = (text: string, placeholder: string) => new RegExp(`(?<![a-z])${placeholder}`).test(text)
const replaced = (text: string, placeholder: string, id: string) =>
  text.replaceAll(new RegExp(`(?<![a-z])${placeholder}`, "g"), id)

const fresh = () => `n${counter++}`

/** Whether the example leaves its things in another state than others find useful. */
const endsThings = (name: string) =>
  name.startsWith("DELETE") || /\/(revoke|erase|rotate|password|raises)$|service-accounts|alert-deliveries/.test(name)
/** What the other examples have together, by the page's placeholder. */
const shared = new Map<string, string>()

/** What a reader has in the place of the page's ids: things of their own. */
async function ownIds(name: string, command: string): Promise<[placeholder: string, id: string][]> {
  const ids = new Map<string, string>()
  const of = (placeholder: string) => ids.get(placeholder) ?? ""
  const make = async (placeholder: string, maker: () => Promise<string>) => {
    if (!holds(command, placeholder)) return
    const id = (endsThings(name) ? undefined : shared.get(placeholder)) ?? (await maker())
    if (!endsThings(name)) shared.set(placeholder, id)
    ids.set(placeholder, id)
  }
  await make("org_…", () => made("organizations", { name: fresh() }))
  const organization = ids.has("org_…") ? { organization_id: of("org_…") } : {}
  await make("proj_…", () => made("projects", { name: fresh(), ...organization }))
  const account = name.includes("service-accounts")
  const project_ids = ids.has("proj_…") ? [of("proj_…")] : []
  await make("user_…", async () => {
    if (account) return made("service-accounts", { name: fresh(), project_ids })
    const id = await made("users", { name: fresh(), email: `${fresh()}@example.com`, project_ids })
    const role = { role: "viewer", scope: { project_id: of("proj_…") } }
    if (name.startsWith("DELETE") && name.endsWith("/roles"))
      await app.admin("PUT", `/admin/v1/users/${id}/roles`, role)
    return id
  })
  await make("key_…", () => made("keys", { name: fresh() }))
  await make("lim_…", async () => {
    const limit = { scope: { key_id: await made("keys", { name: fresh() }) }, kind: "usd", window: "month", cap: "5" }
    const id = await made("limits", limit)
    if (name.startsWith("DELETE") && name.endsWith("/raises"))
      await made(`limits/${id}/raises`, { cap: "9", until: soon })
    return id
  })
  await make("prc_…", () => {
    const rates = { standard: { input: "2", output: "9" } }
    return made("prices", { provider: "openai", model: fresh(), rates })
  })
  await make("trm_…", async () => {
    const route = `/admin/v1/organizations/${of("org_…")}/price-terms`
    return (await app.admin("PUT", route, { markup_percent: "20" })).body.id
  })
  const mail = { scope: {}, kind: "email", name: fresh(), recipients: ["a@example.com"] }
  await make("akey_…", () => made("admin-keys", { name: fresh(), role: "viewer", scope: {} }))
  await make("rule_…", () => made("alert-rules", { scope: {}, kind: "threshold", name: fresh() }))
  await make("chan_…", () => made("alert-channels", mail))
  await make("dig_…", () => made("digests", { scope: {}, name: fresh(), period: "weekly" }))
  await make(RECORD_ID, async () => {
    if (name.includes("alert-deliveries")) return made(`alert-channels/${await made("alert-channels", mail)}/test`)
    const id = await made("usage/records", { provider: "openai", model: "gpt-4o-mini", output_tokens: 500 })
    await app.record(id)
    return id
  })
  return [...ids]
}

const soon = new Date(Date.now() + 30 * 86_400_000).toISOString()

/** Named by its owner: there, or not, as the example finds it. */
async function setProvider(name: string): Promise<void> {
  await app.admin("DELETE", "/admin/v1/providers/mistral-eu")
  if (name === "POST /admin/v1/providers") return
  await made("providers", { name: "mistral-eu", dialect: "openai", base_url: "https://api.mistral.ai/v1" })
  if (!name.endsWith("/accounts")) await made("providers/mistral-eu/accounts", { name: "main", api_key: "sk-x" })
}

/** Of the user whom an example of the page has made. */
async function setPassword(): Promise<void> {
  const [ada] = (await app.admin("GET", "/admin/v1/users?q=ada@example.com")).body.data
  const body = { password: "correct horse battery staple" }
  expect((await app.admin("PUT", `/admin/v1/users/${ada?.id}/password`, body)).status).toBe(200)
}

/** A holder of the page's own key: a member of a project that lets members make keys. */
async function holder(): Promise<{ key: string; keyId: string }> {
  const project_id = await made("projects", {
    name: fresh(),
    key_defaults: { keys_per_member_max: 3, expires_in_days_max: 365 },
  })
  const user_id = await made("users", { name: fresh(), project_ids: [project_id] })
  const { key, id } = await app.createKey({ project_id, user_id })
  return { key, keyId: id }
}

async function sent({ name, command }: Shown): Promise<{ status: number; text: string }> {
  if (name.includes("/providers")) await setProvider(name)
  if (name === "POST /auth/login") await setPassword()
  if (name.includes(" /v1/") && (own === undefined || endsThings(name))) own = await holder()
  const ids = await ownIds(name, name.includes(" /v1/") ? command.replace(/(?<=\/)(key_…|019ab4c2-…)/, "") : command)
  let line = command
  if (name.includes(" /v1/usage/records/{id}")) line = line.replaceAll(RECORD_ID, await ownRecord(own?.key ?? ""))
  for (const [placeholder, id] of ids) line = replaced(line, placeholder, id)
  line = replaced(line, "key_…", own?.keyId ?? "").replaceAll(BASE_URL, app.url)
  line = line.replaceAll(/2026-12-\d\dT00:00:00Z/g, soon).replaceAll('"api_key": "…"', '"api_key": "sk-x"')
  const env = { PATH: process.env.PATH, ADMIN_KEY, KEY: own?.key ?? "", CSRF_TOKEN: csrfToken }
  if (name.endsWith("/stream")) return { status: await firstStatus(line, env), text: "" }
  // The answer, then its status.
  const script = line.replace(/^curl/, "curl -s -w '\\n%{http_code}'")
  const { stdout } = await promisify(execFile)("sh", ["-c", script], { cwd: folder, env, timeout: 25_000 })
  const end = stdout.lastIndexOf("\n")
  return { status: Number(stdout.slice(end + 1)), text: stdout.slice(0, end) }
}

/** Of what goes on for ever, the head is enough. */
async function firstStatus(line: string, env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn("sh", ["-c", `exec ${line.replace(/^curl/, "curl -sN -D -")}`], {
    env,
    stdio: ["ignore", "pipe", "ignore"],
  })
  const [head] = (await once(child.stdout, "data")) as [Buffer]
  child.kill()
  return Number(/^HTTP\/1\.1 (\d+)/.exec(head.toString())?.[1])
}

async function ownRecord(key: string): Promise<string> {
  const response = await fetch(`${app.url}/v1/usage`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ provider: "openai", model: "gpt-4o-mini", output_tokens: 5 }),
  })
  const { id } = (await response.json()) as { id: string }
  await app.record(id)
  return id
}

/** Where the answer has not the members that the page shows, or a member is of another kind. */
function differences(shown: unknown, told: unknown, at = "answer"): string[] {
  if (shown === null || told === null || told === undefined || typeof shown !== "object") {
    const isSame = told !== undefined && (shown === null || told === null || typeof shown === typeof told)
    return isSame ? [] : [`${at}: the page shows ${JSON.stringify(shown)}, the answer has ${JSON.stringify(told)}`]
  }
  if (Array.isArray(shown) !== Array.isArray(told)) return [`${at}: one is a list`]
  if (Array.isArray(shown)) {
    const [one] = told as unknown[]
    return one === undefined || shown.length === 0 ? [] : differences(shown[0], one, `${at}[0]`)
  }
  // A scope names one of several things.
  if (at.endsWith(".scope")) return []
  return Object.entries(shown).flatMap(([name, value]) =>
    differences(value, (told as Record<string, unknown>)[name], `${at}.${name}`),
  )
}

test("the page is what docs/api.ts makes: `npm run api` makes it anew", () => {
  expect(page === apiPage(), "docs/api.md is stale: run `npm run api`").toBe(true)
})

test("every route that is described has a part, with who may call, an example, and what it answers", async () => {
  const { paths } = (await (await fetch(`${app.url}/openapi.json`)).json()) as { paths: Record<string, object> }
  const described = Object.entries(paths).flatMap(([route, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${route}`),
  )
  expect(routes.map(({ name }) => name).toSorted()).toEqual(described.toSorted())
  for (const { name, command, status } of routes) expect([name, command !== "" && status > 0]).toEqual([name, true])
  expect(page.match(/^.*\*\*Who\*\*: /gm)).toHaveLength(routes.length)
})

describe("each example is answered as the page says", () => {
  test.each(routes)("$name", async (shown) => {
    const { status, text } = await sent(shown)
    expect(status, text).toBe(shown.status)
    if (shown.answer === undefined) return
    const told = JSON.parse(text) as { csrf_token?: string }
    csrfToken = told.csrf_token ?? csrfToken
    expect(differences(shown.answer, told)).toEqual([])
  })
})

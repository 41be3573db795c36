/** The whole app in process, on a database of its own on a real Postgres, in front of a fake provider. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { pino } from "pino"
import { inject } from "vitest"
import { type App, startApp } from "../../src/app.ts"
import { formatProblem, loadConfig } from "../../src/config/load.ts"
import type { UsageRecord } from "../../src/ledger/usage-record.ts"
import { createDatabase } from "./real-postgres.ts"

export const ADMIN_KEY = "admin-key-of-the-tests-0123456789"

export type NewKey = {
  name?: string
  project_id?: string
  user_id?: string
  allowed_models?: string[]
  allowed_endpoints?: string[]
  ip_allow?: string[]
  unmetered?: "allow" | "deny"
  attribute_users?: boolean
  max_output_tokens?: number
  max_input_tokens?: number
  max_cost_usd?: string
  cap_policy?: "clamp" | "deny"
  expires_at?: string
  limits?: {
    kind: string
    window: string
    cap: string | number
    on_store_failure?: string
    slice_tokens?: number
  }[]
}

/** What the admin API answers, as far as tests look at it; which members there are depends on the route. */
export type AdminAnswer = {
  readonly status: number
  readonly body: {
    id: string
    key: string
    data: UsageRecord[]
    totals: Record<string, number | string>
    next: string | null
    error: { code: string; message: string; param: string | null; type: string }
  }
}

export type TestApp = {
  readonly app: App
  readonly url: string
  readonly port: number
  readonly databaseUrl: string
  readonly dataDir: string
  /** Every line that was logged. */
  readonly logged: string[]
  /** Calls the admin API with the admin key; returns the parsed body with the status. */
  admin(method: string, route: string, body?: unknown): Promise<AdminAnswer>
  /** A virtual key, and its id. */
  createKey(wanted?: NewKey): Promise<{ id: string; key: string }>
  /** The record of a call, as soon as it is in the ledger. */
  record(requestId: string): Promise<UsageRecord>
  /** Every record of the database, as soon as there are `count` of them. */
  records(count: number): Promise<UsageRecord[]>
  close(): Promise<void>
}

/** `yaml` is the configuration; providers and models as a test needs them. */
export async function startTestApp(
  yaml: string,
  options: { databaseUrl?: string; dataDir?: string; redisUrl?: string } = {},
): Promise<TestApp> {
  const folder = options.dataDir ?? (await mkdtemp(path.join(tmpdir(), "tallygate-test-")))
  const file = path.join(folder, "proxy.config.yaml")
  await writeFile(file, yaml)
  const databaseUrl = options.databaseUrl ?? (await createDatabase(inject("postgresUrl")))
  const env = {
    PORT: "0",
    TALLYGATE_DATA: folder,
    DATABASE_URL: databaseUrl,
    TALLYGATE_ADMIN_KEY: ADMIN_KEY,
    ...(options.redisUrl === undefined ? {} : { REDIS_URL: options.redisUrl }),
  }
  const loaded = loadConfig({ path: file, env, cwd: folder })
  if (loaded.kind === "invalid") throw new Error(loaded.problems.map(formatProblem).join("\n"))
  const logged: string[] = []
  const log = pino({ level: "trace" }, { write: (line: string) => void logged.push(line) })
  const app = await startApp({ config: loaded.config, version: "0.0.0-test", log })
  const admin = adminClient(app.adminUrl ?? app.url)
  return {
    app,
    url: app.url,
    port: Number(new URL(app.url).port),
    databaseUrl,
    dataDir: folder,
    logged,
    admin,
    createKey: async (wanted = {}) => {
      const { status, body } = await admin("POST", "/admin/v1/keys", { name: "test", ...wanted })
      if (status !== 201) throw new Error(`creating a key answered ${status}: ${JSON.stringify(body)}`)
      return { id: body.id, key: body.key }
    },
    record: (requestId) =>
      until(async () => (await admin("GET", `/admin/v1/usage/records?request_id=${requestId}`)).body.data[0]),
    records: (count) =>
      until(async () => {
        const { data } = (await admin("GET", "/admin/v1/usage/records?limit=1000")).body
        return data.length >= count ? data : undefined
      }),
    close: async () => {
      await app.close()
      if (options.dataDir === undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}

function adminClient(url: string): TestApp["admin"] {
  return async (method, route, body) => {
    const response = await fetch(url + route, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer = { status: response.status, body: await response.json() }
    return answer as AdminAnswer
  }
}

/** Asks until there is an answer; the ledger is a fraction of a second behind. */
export async function until<T>(ask: () => Promise<T | undefined>, timeoutMs = 10_000): Promise<T> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > end) throw new Error(`nothing came within ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

const INFO = 30

/** Lines of information and above that came after the first `from`, without alerts: those tell of limits, not of a store. */
export function linesLogged({ logged }: TestApp, from: number): string[] {
  return logged.slice(from).flatMap((line) => {
    const { level, msg, alert } = JSON.parse(line) as { level: number; msg: string; alert?: string }
    return level >= INFO && alert === undefined ? [msg] : []
  })
}

/** A configuration with one OpenAI-like provider named `openai`, whose models are priced by the shipped book. */
export function openAiConfig(baseUrl: string, more = ""): string {
  return `
providers:
  openai: { dialect: openai, base_url: ${baseUrl}, api_key: sk-upstream-canary }
models:
  - { match: "fast", provider: openai, model: "gpt-4o-mini" }
  - { match: "*", provider: openai }
${more}`
}

/** A provider `mock` whose models (`mock-…`, see `chat-answers.ts`) all have one price. */
export function pricedConfig(baseUrl: string, more = ""): string {
  return `
providers:
  mock: { dialect: openai, base_url: ${baseUrl}, api_key: sk-upstream-canary }
models:
  - { match: "mock*", provider: mock }
prices: { files: [${path.join(import.meta.dirname, "../bench/prices.yaml")}] }
${more}`
}

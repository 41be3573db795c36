import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { CallStorm } from "../support/call-storm.ts"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { expectEachCallOnce, expectOneAccount } from "../support/key-audit.ts"
import { openFleet } from "../support/proxy-fleet.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { type RealRedis, startRealRedis } from "../support/real-redis.ts"
import { type Running, run, startTallygate } from "../support/tallygate-process.ts"
import { openAiConfig, until } from "../support/test-app.ts"

const MAIN = [process.execPath, "src/main.ts", "serve"]
const folder = mkdtempSync(path.join(tmpdir(), "tallygate-workers-"))
let upstream: FakeUpstream
let redis: RealRedis
let sql: Sql
let env: Record<string, string>
let running: Running
let adminKey: string
let key: string

beforeAll(async () => {
  upstream = await startFakeUpstream()
  redis = await startRealRedis()
  const TALLYGATE_CONFIG = path.join(folder, "config.yaml")
  await writeFile(TALLYGATE_CONFIG, openAiConfig(upstream.baseUrl, "log: { level: info }"))
  const DATABASE_URL = await createDatabase(inject("postgresUrl"))
  sql = openPostgres(DATABASE_URL, { max: 1, applicationName: "test" })
  const TALLYGATE_DATA = path.join(folder, "data")
  env = { TALLYGATE_CONFIG, DATABASE_URL, REDIS_URL: redis.url, TALLYGATE_DATA, WORKERS: "2" }
})
afterAll(async () => {
  running?.process.kill("SIGKILL")
  await sql?.end()
  await redis?.stop()
  await upstream?.stop()
  rmSync(folder, { recursive: true, force: true })
})

function call(model: string, isStream: boolean) {
  return fetch(`${running.url}/v1/chat/completions`, {
    method: "POST",
    // A connection of its own for each call, so that the workers share them.
    headers: { authorization: `Bearer ${key}`, connection: "close" },
    body: JSON.stringify({ model, stream: isStream, messages: [{ role: "user", content: "go on" }] }),
  })
}

async function metrics(): Promise<string> {
  const response = await fetch(`${running.url}/metrics`, { headers: { connection: "close" } })
  return response.text()
}

async function requestsTotal(): Promise<number> {
  const lines = (await metrics()).matchAll(/^tallygate_requests_total\{.*\} (\d+)$/gm)
  return [...lines].reduce((sum, line) => sum + Number(line[1]), 0)
}

function listeningPids(of = running): number[] {
  return [...of.output().matchAll(/"pid":(\d+),"msg":"worker listens"/g)].map((match) => Number(match[1]))
}

async function listening(count: number): Promise<void> {
  await until(async () => (listeningPids().length >= count ? true : undefined), 30_000)
}

function greetings(): number {
  return running.output().match(/listens on http/g)?.length ?? 0
}

test("two workers greet once and show the first keys once", async () => {
  running = await startTallygate(MAIN, { env })
  await listening(2)
  expect(greetings()).toBe(1)
  expect(running.output().match(/Virtual key +tg_/g)).toHaveLength(1)
  adminKey = /Admin key +(tga_\S+)/.exec(running.output())?.[1] ?? ""
  key = /Virtual key +(tg_\S+)/.exec(running.output())?.[1] ?? ""
  expect(await sql`SELECT 1 FROM virtual_keys`).toHaveLength(1)
  expect(await sql`SELECT 1 FROM admin_keys`).toHaveLength(1)
}, 60_000)

test("a second Tallygate on the port is refused as ever", async () => {
  const PORT = new URL(running.url).port
  const { code, output } = await run(MAIN, { env: { ...env, PORT } })
  expect([code, output]).toEqual([1, expect.stringContaining(`port ${PORT} on 127.0.0.1 is taken`)])
}, 60_000)

test("200 connections are served by both, and any of them shows the sum of both in its metrics", async () => {
  const before = await requestsTotal()
  const statuses = await Promise.all(
    Array.from({ length: 200 }, () =>
      call("gpt-4o-mini", false).then(async (response) => {
        await response.text()
        return response.status
      }),
    ),
  )
  expect(new Set(statuses)).toEqual(new Set([200]))
  for (let scrape = 0; scrape < 10; scrape++) expect(await requestsTotal()).toBe(before + 200)
  expect(await metrics()).toContain('tallygate_workers{state="listening"} 2')
  // Each worker has a journal of its own, and one that served nothing has shipped nothing.
  await until(async () => ((await sql`SELECT 1 FROM journal_ack`).length >= 2 ? true : undefined))
})

/** A virtual key with a limit of calls a day. */
async function limitedKey(cap: number): Promise<string> {
  const made = await fetch(`${running.url}/admin/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "limited", limits: [{ kind: "requests", window: "day", cap }] }),
  })
  return ((await made.json()) as { key: string }).key
}

test("a limit holds across the workers", async () => {
  const unlimited = key
  const status = () =>
    call("gpt-4o-mini", false).then(async (response) => {
      await response.text()
      return response.status
    })
  // A new store refuses until every worker has told it what it holds.
  key = await limitedKey(1_000)
  await until(async () => ((await status()) === 200 ? true : undefined), 90_000)
  key = await limitedKey(10)
  const statuses = await Promise.all(Array.from({ length: 60 }, status))
  key = unlimited
  expect(statuses.filter((one) => one === 200)).toHaveLength(10)
  expect(statuses.filter((one) => one === 429)).toHaveLength(50)
}, 120_000)

test("a changed configuration is in force in both, and its figure stands once in their sum", async () => {
  const file = env.TALLYGATE_CONFIG ?? ""
  const statuses = () =>
    Promise.all(
      Array.from({ length: 40 }, async () => {
        const response = await call("gpt-4o-mini-far-too-long-a-name-for-a-kilobyte".padEnd(2_000, "x"), false)
        await response.text()
        return response.status
      }),
    )
  expect(new Set(await statuses())).toEqual(new Set([200]))
  const before = readFileSync(file, "utf8")
  await writeFile(file, `${before}\nbody_bytes_max: 1024\n`)
  running.process.kill("SIGHUP")
  await until(async () => ((await statuses()).every((status) => status === 413) ? true : undefined))
  expect(await metrics()).toMatch(/^tallygate_config_reload_success 1$/m)
  const state = async () => {
    const ready = await fetch(`${running.url}/readyz`, { headers: { connection: "close" } })
    return ((await ready.json()) as { config: string }).config
  }
  await writeFile(file, "models: none")
  running.process.kill("SIGHUP")
  await until(async () => {
    const states = await Promise.all(Array.from({ length: 20 }, state))
    return states.every((one) => one === "reload failed") ? true : undefined
  })
  expect(await metrics()).toMatch(/^tallygate_config_reload_success 0$/m)
  await writeFile(file, before)
  running.process.kill("SIGHUP")
  await until(async () => ((await statuses()).every((status) => status === 200) ? true : undefined))
})

test("a killed worker is started again, and no counter goes backwards", async () => {
  const before = await requestsTotal()
  const [killed = 0] = listeningPids()
  process.kill(killed, "SIGKILL")
  await listening(3)
  expect(running.output()).toContain("a worker ended; it is started again")
  expect(await requestsTotal()).toBe(before)
  expect(await metrics()).toContain("tallygate_worker_deaths_total 1")
  expect(greetings()).toBe(1)
}, 60_000)

test("a worker that is killed under load loses no record and no charge, whichever the other goes on to serve", async () => {
  const fleet = await openFleet(1, { prices: { input: "3", output: "15" }, leaseMs: 2_000, env: { WORKERS: "2" } })
  try {
    const pids = () => listeningPids(fleet.running(0))
    await fleet.start(0)
    await until(async () => (pids().length === 2 ? true : undefined), 30_000)
    const limits = [
      { kind: "usd", window: "month", cap: "1000" },
      { kind: "tokens", window: "month", cap: 1_000_000_000 },
    ]
    const made = await fleet.createKey(0, limits)
    const storm = new CallStorm({ callers: 16, keys: [made.key], urlOf: () => fleet.url(0) })
    for (let kill = 0; kill < 2; kill++) {
      await until(async () => (storm.ends.length > 150 * (kill + 1) ? true : undefined), 30_000)
      process.kill(pids()[kill] ?? 0, "SIGKILL")
      await until(async () => (pids().length === 3 + kill ? true : undefined), 30_000)
    }
    const ends = await storm.stop()
    expect(ends.filter(({ kind }) => kind === "refused")).toEqual([])
    await expectOneAccount(fleet, made.id)
    await expectEachCallOnce(fleet, [made.id], ends, fleet.url(0))
  } finally {
    await fleet.close()
  }
}, 120_000)

test("SIGTERM lets the streams of every worker finish, says so meanwhile, and leaves every record", async () => {
  const streams = await Promise.all(Array.from({ length: 20 }, () => call("gpt-4o-mini-c40-d40", true)))
  const texts = streams.map((response) => response.text())
  running.process.kill("SIGTERM")
  const status = await until(async () => {
    const ready = await fetch(`${running.url}/readyz`, { headers: { connection: "close" } })
    return ready.status === 200 ? undefined : ready.status
  })
  expect(status).toBe(503)
  for (const text of await Promise.all(texts)) expect(text.trimEnd().endsWith("data: [DONE]")).toBe(true)
  expect(await running.exited).toBe(0)
  const ended = await sql`SELECT 1 FROM usage_records WHERE stream AND end_state = 'complete' AND output_tokens = 40`
  expect(ended).toHaveLength(20)
  const [row] = await sql<{ twice: string }[]>`SELECT (count(*) - count(DISTINCT id))::text AS twice FROM usage_records`
  expect(row?.twice).toBe("0")
}, 60_000)

test.each([
  ["REDIS_URL", "limits counted in each process would be multiplied by 2"],
  ["DATABASE_URL", "the embedded database belongs to one process"],
])(
  "without %s two workers do not start, and it is said why",
  async (name, reason) => {
    const { [name]: _, ...rest } = env
    const { code, output } = await run(MAIN, { env: { ...rest, [name]: "" } })
    expect(code).toBe(1)
    expect(output).toContain(`${name} (${name.toLowerCase()}) to be set: ${reason}`)
  },
  30_000,
)

test("when the supervisor is killed, the workers finish their streams and end by themselves", async () => {
  running = await startTallygate(MAIN, { env })
  await listening(2)
  const pids = listeningPids()
  const streams = await Promise.all(Array.from({ length: 8 }, () => call("gpt-4o-mini-c40-d40", true)))
  const texts = streams.map((response) => response.text())
  running.process.kill("SIGKILL")
  for (const text of await Promise.all(texts)) expect(text.trimEnd().endsWith("data: [DONE]")).toBe(true)
  await until(async () => (pids.every(isGone) ? true : undefined), 20_000)
}, 60_000)

/** A process that has ended, or whose parent has not yet asked how. */
function isGone(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")
  } catch {
    return true
  }
}

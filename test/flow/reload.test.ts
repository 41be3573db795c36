/** The configuration changes while Tallygate runs, as a process of its own: by the file, and by SIGHUP. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { type FakeUpstream, startFakeUpstream } from "../support/fake-upstream.ts"
import { figure } from "../support/metrics-page.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { startLoad } from "../support/steady-load.ts"
import { type Running, startTallygate } from "../support/tallygate-process.ts"
import { ADMIN_KEY, until } from "../support/test-app.ts"

const folder = mkdtempSync(path.join(tmpdir(), "tallygate-reload-"))
const file = path.join(folder, "proxy.config.yaml")
let a: FakeUpstream
let b: FakeUpstream
let running: Running
let key: string

beforeAll(async () => {
  ;[a, b] = [await startFakeUpstream(), await startFakeUpstream()]
  write(configOf(a))
  const env = {
    TALLYGATE_CONFIG: file,
    TALLYGATE_DATA: path.join(folder, "data"),
    DATABASE_URL: await createDatabase(inject("postgresUrl")),
    TALLYGATE_ADMIN_KEY: ADMIN_KEY,
  }
  // By the door that npm uses: what a service manager signals is that process, not the runtime behind it.
  running = await startTallygate([process.execPath, "src/tallygate.mjs", "serve"], { env })
  const made = await fetch(`${running.url}/admin/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "t", limits: [{ kind: "tokens", window: "day", cap: 100_000_000 }] }),
  })
  key = ((await made.json()) as { key: string }).key
})
afterAll(async () => {
  running?.process.kill("SIGTERM")
  await running?.exited
  await a?.stop()
  await b?.stop()
  rmSync(folder, { recursive: true, force: true })
})

function configOf({ baseUrl }: FakeUpstream, more = ""): string {
  return `providers:
  there: { dialect: openai, base_url: "${baseUrl}", api_key: sk-upstream-canary }
models:
  - { match: "*", provider: there }
${more}`
}

/** As an editor does it that never leaves half a file. */
function write(yaml: string): void {
  writeFileSync(`${file}~`, yaml)
  renameSync(`${file}~`, file)
}

async function readiness(): Promise<{ status: number; config: string }> {
  const response = await fetch(`${running.url}/readyz`)
  return { status: response.status, config: ((await response.json()) as { config: string }).config }
}

/** Resolves when `/readyz` says that of the configuration. */
async function configState(expected: string): Promise<void> {
  await until(async () => ((await readiness()).config === expected ? true : undefined))
}

function logged(message: string): number {
  return running
    .output()
    .split("\n")
    .filter((line) => line.includes(message)).length
}

function hangUp(): void {
  running.process.kill("SIGHUP")
}

/** Resolves once the log has it: its lines leave the process a moment after they are written. */
async function saidInLog(text: string): Promise<void> {
  await until(async () => (running.output().includes(text) ? true : undefined))
}

/** Changes the configuration and waits until it is loaded. */
async function change(yaml: string, by: "file" | "signal"): Promise<void> {
  const before = logged("the configuration was loaded again")
  write(yaml)
  if (by === "signal") hangUp()
  await until(async () => (logged("the configuration was loaded again") > before ? true : undefined))
}

function chat(model: string, isStream = false): Promise<Response> {
  return fetch(`${running.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, stream: isStream, messages: [{ role: "user", content: "go on" }] }),
  })
}

test("under load the provider changes from one to another and back, and not one call fails", async () => {
  const load = startLoad({ urls: [running.url], keys: [{ id: "", key }], callers: 8, model: "gpt-4o-mini-d5" })
  const stream = await chat("gpt-4o-mini-c100-d20", true)
  for (const [turn, upstream] of [b, a, b].entries()) {
    await change(configOf(upstream), turn === 1 ? "file" : "signal")
    const before = upstream.served().answered
    await until(async () => (upstream.served().answered > before + 50 ? true : undefined))
  }
  await load.stop()
  const failed = load.outcomes.filter(({ status }) => status !== 200)
  expect(failed).toEqual([])
  // It began with the first provider and ended with it, two changes later.
  expect((await stream.text()).trimEnd().endsWith("data: [DONE]")).toBe(true)
  expect(a.served().streamsCompleted).toBe(1)
  // Calls that begin now go to the one that is configured now, and to no other.
  const before = [a.served().requests, b.served().requests]
  await (await chat("gpt-4o-mini")).text()
  expect([a.served().requests, b.served().requests]).toEqual([before[0], (before[1] ?? 0) + 1])
})

test("a file with mistakes changes nothing, and each of them is told", async () => {
  write(configOf(a, "body_bytes_max: many\nsandbos: true\n"))
  hangUp()
  await configState("reload failed")
  expect((await readiness()).status).toBe(200)
  const before = b.served().answered
  expect((await chat("gpt-4o-mini")).status).toBe(200)
  expect(b.served().answered).toBe(before + 1)
  await saidInLog(`${file}:5:17: body_bytes_max: found \\"many\\", expected a whole number of bytes`)
  await saidInLog(`${file}:6:1: sandbos: found an unknown key, expected the key sandbox`)
  await saidInLog("the configuration was not loaded again; the one in force stays")
  expect(await figure(running.url, "tallygate_config_reload_success")).toBe(0)
  await change(configOf(a), "signal")
  await configState("current")
  expect(await figure(running.url, "tallygate_config_reload_success")).toBe(1)
  expect(await figure(running.url, "tallygate_config_last_reload_timestamp_seconds")).toBeGreaterThan(1e9)
})

test("a file that is gone changes nothing, and is loaded when it is back", async () => {
  rmSync(file)
  hangUp()
  await configState("reload failed")
  expect((await chat("gpt-4o-mini")).status).toBe(200)
  await saidInLog("found no such file")
  await change(configOf(a), "file")
  await configState("current")
})

test("a price file is read again when it changes, and one with mistakes is refused as a whole", async () => {
  const prices = path.join(folder, "prices.yaml")
  const priceOf = (usd: string) => `provider: there
models:
  mine:
    prefixes: [mine]
    rates:
      standard: { input: "${usd}", output: "0" }
    source: made up for the test
    checked: 2026-01-01
`
  const cost = async () => (await chat("mine-p1000000")).headers.get("x-tallygate-cost-usd")
  writeFileSync(prices, priceOf("2"))
  await change(configOf(a, `prices: { files: ["${prices}"] }`), "signal")
  expect(await cost()).toBe("2")
  writeFileSync(prices, priceOf("3"))
  await until(async () => ((await cost()) === "3" ? true : undefined))
  writeFileSync(prices, priceOf("cheap"))
  hangUp()
  await configState("reload failed")
  await saidInLog("prices.yaml:6 models.mine.rates.standard.input: found cheap")
  expect(await cost()).toBe("3")
})

test("bounds change at once; what only a start can change waits for it, and says so", async () => {
  const more = `body_bytes_max: 1024
listen: { port: 1, host: 127.0.0.1 }
workers: 1
admission: { lease_ms: 7000 }
`
  await change(configOf(a, more), "signal")
  // The port is the environment's, whatever the file says.
  await configState("at the next start: admission.lease_ms")
  expect((await readiness()).status).toBe(200)
  await saidInLog("takes effect at the next start: admission.lease_ms")
  const response = await fetch(`${running.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: "m", messages: [{ role: "user", content: "x".repeat(2_000) }] }),
  })
  expect([response.status, await response.text()]).toEqual([413, expect.stringContaining("1024 bytes")])
})

test("nothing that the log says of all this holds a credential", () => {
  expect(running.output()).not.toContain("canary")
})

/**
 * A real nginx with the balancer's configuration, in front of two apps. Its list of proxies is replaced, since Docker's
 * name server is not here, and so are its port and its folder for temporary files; everything else is as shipped.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { type HandPlayedProvider, startHandPlayedProvider } from "../support/hand-played-provider.ts"
import { findNginxBinary } from "../support/nginx-binary.ts"
import { openAiConfig, startTestApp, type TestApp, until } from "../support/test-app.ts"
import { deployText } from "./deploy-files.ts"

let provider: HandPlayedProvider
let apps: readonly [TestApp, TestApp]
let nginx: ChildProcess
let folder: string
let url: string
let key: string

beforeAll(async () => {
  provider = await startHandPlayedProvider()
  const config = openAiConfig(provider.baseUrl, "timeouts: { drain_ms: 0 }")
  const first = await startTestApp(config)
  apps = [first, await startTestApp(config, { databaseUrl: first.databaseUrl })]
  key = (await first.createKey()).key
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-balancer-"))
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  nginx = await startNginx(port)
})
afterAll(async () => {
  if (nginx !== undefined) {
    const exited = once(nginx, "exit")
    nginx.kill("SIGTERM")
    await exited
  }
  for (const app of apps ?? []) await app.close()
  await provider?.stop()
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

async function startNginx(port: number): Promise<ChildProcess> {
  const shipped = deployText("nginx/nginx.conf")
  const servers = apps.map((app) => `server 127.0.0.1:${app.port} max_fails=1 fail_timeout=2s;`).join("\n  ")
  const upstream = deployText("nginx/upstream.conf")
    .replace(/^ *resolver .*\n/m, "")
    .replace(/^ *server proxy:.*$/m, `  ${servers}`)
  writeFileSync(path.join(folder, "upstream.conf"), upstream)
  const here = shipped
    .replace("listen 8080;", `listen 127.0.0.1:${port};`)
    .replaceAll(" /tmp/", ` ${folder}/`)
    // A process of the test's own user, of which one is enough.
    .replace("worker_processes auto;", "worker_processes 1;\ndaemon off;\nmaster_process off;")
    .replace(/^worker_rlimit_nofile .*\n/m, "")
  const file = path.join(folder, "nginx.conf")
  writeFileSync(file, here)
  const binary = findNginxBinary()
  const env = { ...process.env, ...binary.environment }
  const parameters = ["-p", folder, "-c", file, "-e", "stderr"]
  const checked = spawnSync(binary.path, ["-t", ...parameters], { encoding: "utf8", env })
  if (checked.status !== 0) throw new Error(checked.stderr)
  const child = spawn(binary.path, parameters, { env, stdio: ["ignore", "ignore", "pipe"] })
  let said = ""
  child.stderr.on("data", (text) => {
    said += text
  })
  await until(async () => (await fetch(`${url}/healthz`).catch(() => null)) ?? undefined).catch((cause: unknown) => {
    throw new Error(said, { cause })
  })
  return child
}

function call(body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-4o-mini", messages: [], ...body }),
    ...(signal === undefined ? {} : { signal }),
  })
}

const chunk = (content: string) =>
  `data: {"id":"c","object":"chat.completion.chunk","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"${content}"}}]}\n\n`

test("an event reaches the caller before the next one is there to be sent", async () => {
  const answering = call({ stream: true })
  const played = await provider.nextCall()
  played.response.writeHead(200, { "content-type": "text/event-stream" })
  await played.write(chunk("one"))
  const response = await answering
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let read = ""
  const hear = async (word: string) => {
    while (!read.includes(word)) read += (await reader?.read())?.value ?? ""
  }
  await hear("one")
  for (const word of ["two", "three"]) {
    await played.write(chunk(word))
    await hear(word)
  }
  played.response.end("data: [DONE]\n\n")
  await hear("[DONE]")
})

test("a caller that leaves is gone for the provider too", async () => {
  const leaving = new AbortController()
  const answering = call({ stream: true }, leaving.signal)
  const played = await provider.nextCall()
  played.response.writeHead(200, { "content-type": "text/event-stream" })
  await played.write(chunk("one"))
  await (await answering).body?.getReader().read()
  leaving.abort()
  await played.abandoned
})

test("a large body is passed on whole", async () => {
  const content = "x".repeat(3_000_000)
  const answering = call({ messages: [{ role: "user", content }] })
  const played = await provider.nextCall()
  expect(played.body.includes(content)).toBe(true)
  played.response.writeHead(200, { "content-type": "application/json" })
  played.response.end('{"model":"gpt-4o-mini","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}')
  expect((await answering).status).toBe(200)
})

test("figures are each proxy's own, and not behind the balancer", async () => {
  expect((await fetch(`${url}/metrics`)).status).toBe(404)
})

test("idle connections are given up before Tallygate closes them", async () => {
  const kept = (await fetch(`${apps[0].url}/healthz`)).headers.get("keep-alive")
  const tallygateS = Number(/timeout=(\d+)/.exec(kept ?? "")?.[1])
  const balancerS = Number(/keepalive_timeout (\d+)s;/.exec(deployText("nginx/upstream.conf"))?.[1])
  expect(balancerS).toBeLessThan(tallygateS)
})

test("when one proxy is gone, the other one has all calls, and none is lost", async () => {
  await apps[1].app.close()
  const statuses = await Promise.all(Array.from({ length: 10 }, async () => (await fetch(`${url}/healthz`)).status))
  expect(statuses).toEqual(Array.from({ length: 10 }, () => 200))
})

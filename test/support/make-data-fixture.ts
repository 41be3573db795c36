/**
 * Makes the fixture by which every later version proves that it starts on the data directory of this one:
 *
 *   node test/support/make-data-fixture.ts [folder of a Tallygate checkout with its node_modules; this one by default]
 *
 * Run it when a version is released, on that version's checkout, and commit the two files that it writes:
 * `test/fixtures/data-<version>.tar.zst`, the directory as a killed process leaves it, and `data-<version>.json`, what it
 * must be found to hold. test/flow/previous-version.test.ts takes up every pair there is.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { constants, zstdCompressSync } from "node:zlib"
import { type DataFixture, FIXTURES_FOLDER, WINDOW_LOG } from "./data-fixtures.ts"

const CALLS = 5
const checkout = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, "../.."))
const { version } = JSON.parse(readFileSync(path.join(checkout, "package.json"), "utf8")) as { version: string }
const folder = mkdtempSync(path.join(tmpdir(), "tallygate-fixture-"))
const dataDir = path.join(folder, "data")
try {
  const fixture = await fill()
  const tar = execFileSync(
    "tar",
    ["-c", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-C", folder, "data"],
    {
      maxBuffer: 1024 ** 3,
    },
  )
  const params = {
    [constants.ZSTD_c_compressionLevel]: 19,
    [constants.ZSTD_c_enableLongDistanceMatching]: 1,
    [constants.ZSTD_c_windowLog]: WINDOW_LOG,
  }
  const packed = zstdCompressSync(tar, { params })
  writeFileSync(path.join(FIXTURES_FOLDER, `data-${version}.tar.zst`), packed)
  writeFileSync(path.join(FIXTURES_FOLDER, `data-${version}.json`), `${JSON.stringify(fixture, null, 2)}\n`)
  process.stdout.write(`data-${version}.tar.zst: ${packed.length} bytes, ${fixture.records.length} records\n`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function fill(): Promise<DataFixture> {
  const adminKey = "tga_of_the_fixture_and_of_nothing_else"
  const running = await start(adminKey)
  const ask = (method: string, route: string, token: string, body?: unknown) =>
    fetch(running.url + route, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  const limits = [
    { kind: "usd", window: "lifetime", cap: "1.00" },
    { kind: "tokens", window: "lifetime", cap: "1000000" },
    { kind: "requests", window: "lifetime", cap: "100" },
  ]
  const made = await ask("POST", "/admin/v1/keys", adminKey, { name: "of an earlier version", limits })
  if (made.status !== 201) throw new Error(`the key was answered ${made.status}: ${await made.text()}`)
  const key = (await made.json()) as { id: string; key: string }
  const chat = (model: string, more: object = {}) =>
    ask("POST", "/v1/chat/completions", key.key, {
      model,
      messages: [{ role: "user", content: "one two three four five ".repeat(40) }],
      ...more,
    })
  for (let call = 0; call < CALLS; call++) {
    const answer = await chat(call % 2 === 0 ? "sandbox/echo" : "sandbox/reasoner")
    await answer.text()
    if (answer.status !== 200) throw new Error(`a call was answered ${answer.status}`)
  }
  let records: DataFixture["records"] = []
  while (records.length < CALLS) {
    await wait(100)
    const answer = await ask("GET", "/admin/v1/usage/records?limit=1000", adminKey)
    records = ((await answer.json()) as { data: DataFixture["records"] }).data
  }
  const cut = await chat("sandbox/echo", { stream: true })
  await cut.body?.getReader().read()
  running.process.kill("SIGKILL")
  await once(running.process, "close")
  await embeddedGone()
  return {
    version,
    adminKey,
    key: { id: key.id, key: key.key },
    records: records.map(({ id, cost_usd, output_tokens }) => ({ id, cost_usd, output_tokens })),
    cutCallId: cut.headers.get("x-request-id") ?? "",
  }
}

/** Starts the checkout's Tallygate; nothing of this checkout's own is used. */
async function start(adminKey: string): Promise<{ url: string; process: ChildProcess }> {
  const child = spawn(process.execPath, [path.join(checkout, "src/main.ts"), "serve"], {
    cwd: folder,
    env: { PATH: process.env.PATH, PORT: "0", TALLYGATE_DATA: dataDir, TALLYGATE_ADMIN_KEY: adminKey },
    stdio: ["ignore", "pipe", "inherit"],
  })
  let output = ""
  for await (const text of child.stdout.setEncoding("utf8")) {
    output += text
    const url = /listens on (http:\S+)/.exec(output)?.[1]
    if (url !== undefined) return { url, process: child }
  }
  throw new Error(`it ended before it listened: ${output}`)
}

/** Its embedded Postgres closes by itself when the process that started it is gone. */
async function embeddedGone(): Promise<void> {
  const { pid } = JSON.parse(readFileSync(path.join(dataDir, "postgres/lock-holder.json"), "utf8")) as { pid: number }
  for (;;) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await wait(50)
  }
}

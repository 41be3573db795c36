import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { chownSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { cp, mkdir, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { blocksRunBy, pageBlocks } from "../support/page-blocks.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { PROJECT, type Running, run, startTallygate } from "../support/tallygate-process.ts"
import { until } from "../support/test-app.ts"

/** A folder with a space in its name, as fresh as a clone: what git knows, and the installed packages. */
const folder = mkdtempSync(path.join(tmpdir(), "tallygate first run "))
const clone = path.join(folder, "tallygate")
const MAIN = [process.execPath, "src/main.ts", "serve"]

beforeAll(async () => {
  const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], { cwd: PROJECT }).toString()
  for (const file of listed.split("\0").filter((name) => name !== "" && !name.startsWith("test/"))) {
    await mkdir(path.dirname(path.join(clone, file)), { recursive: true })
    await cp(path.join(PROJECT, file), path.join(clone, file))
  }
  symlinkSync(path.join(PROJECT, "node_modules"), path.join(clone, "node_modules"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The shell blocks of the README, in order. */
function readmeBlocks(): string[] {
  return pageBlocks("README.md").flatMap(({ language, text }) => (language === "sh" ? [text] : []))
}

function shell(line: string, env: Record<string, string> = {}) {
  return run(["bash", "-c", line], { env })
}

function processesOf(text: string): string[] {
  const listed = execFileSync("ps", ["-eo", "pid,args"]).toString().split("\n")
  return listed.filter((line) => line.includes(text))
}

describe("the first run, by the README", () => {
  let running: Running
  let printed: string
  let virtualKey: string
  let adminKey: string

  test("npm start listens, and prints base URL, both keys and a curl line once", async () => {
    expect(readmeBlocks()[0]).toBe("npm ci && npm start\n")
    expect(blocksRunBy(import.meta.filename, "README.md").map(({ text }) => text)).toEqual(["npm ci && npm start\n"])
    running = await startTallygate(["npm", "start"], { cwd: clone })
    printed = await until(async () => (running.output().includes("OPENAI_API_KEY=") ? running.output() : undefined))
    virtualKey = /Virtual key +(tg_\S+)/.exec(printed)?.[1] ?? ""
    adminKey = /Admin key +(tga_\S+)/.exec(printed)?.[1] ?? ""
    expect(printed).toContain(`Base URL      ${running.url}/v1`)
    expect(virtualKey).toMatch(/^tg_\w{12}_\w{38}$/)
    expect(adminKey).toMatch(/^tga_\w{38}$/)
  }, 90_000)

  test("the curl line works as pasted, and its record can be worked out by hand", async () => {
    const line = /^ {2}(curl .*)$/m.exec(printed)?.[1] ?? ""
    const { output } = await shell(`${line} -s -D -`)
    const [head = "", body = ""] = output.split("\r\n\r\n")
    const { usage, choices } = JSON.parse(body)
    expect(choices[0].message.content).toContain("sandbox")
    const id = /x-request-id: (\S+)/i.exec(head)?.[1]
    const record = await until(async () => {
      const response = await fetch(`${running.url}/admin/v1/usage/records?request_id=${id}`, {
        headers: { authorization: `Bearer ${adminKey}` },
      })
      return ((await response.json()) as { data: Record<string, unknown>[] }).data[0]
    })
    const prices = readFileSync(path.join(PROJECT, "config/prices/sandbox.yaml"), "utf8")
    const echo = prices.slice(prices.indexOf("echo:"), prices.indexOf("reasoner:"))
    const rate = (name: string) => Number(new RegExp(`\\b${name}: "?([0-9.]+)`).exec(echo)?.[1])
    const microdollars = usage.prompt_tokens * rate("input") + usage.completion_tokens * rate("output")
    expect(record).toMatchObject({
      input_uncached_tokens: usage.prompt_tokens,
      output_tokens: usage.completion_tokens,
      usage_source: "provider",
    })
    expect(Number(record?.cost_usd) * 1e6).toBeCloseTo(microdollars, 6)
    expect(microdollars).toBeGreaterThan(0)
  })

  test("the README's own lines work", async () => {
    const key = readmeBlocks().find((block) => block.includes("admin/v1/keys")) ?? ""
    const usage = readmeBlocks().find((block) => block.includes("usage/summary")) ?? ""
    const here = (text: string) => text.replaceAll("http://127.0.0.1:8787", running.url).replaceAll("curl ", "curl -s ")
    const made = JSON.parse((await shell(here(key), { ADMIN_KEY: adminKey })).output)
    expect(made.key).toMatch(/^tg_/)
    expect(made.limits).toMatchObject([
      { kind: "usd", cap: "200" },
      { kind: "requests", cap: "600" },
    ])
    const summary = JSON.parse((await shell(here(usage).split("\n")[0] ?? "", { ADMIN_KEY: adminKey })).output)
    expect(summary.totals.records).toBe("1")
  })

  test("a restart keeps everything, counts on, and prints no secret", async () => {
    const call = (key: string) =>
      fetch(`${running.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}` },
        body: JSON.stringify({ model: "sandbox/echo", messages: [{ role: "user", content: "hi" }] }),
      }).then(async (response) => {
        await response.text()
        return response.status
      })
    const response = await fetch(`${running.url}/admin/v1/keys`, {
      method: "POST",
      headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
      body: JSON.stringify({ name: "two a day", limits: [{ kind: "requests", window: "day", cap: 2 }] }),
    })
    const { key } = (await response.json()) as { key: string }
    expect(await call(key)).toBe(200)

    running.process.kill("SIGTERM")
    await running.exited
    await until(async () => (processesOf(clone).length === 0 ? true : undefined), 20_000)

    running = await startTallygate(["npm", "start"], { cwd: clone })
    expect(await call(virtualKey)).toBe(200)
    expect([await call(key), await call(key)]).toEqual([200, 429])
    const summary = await fetch(`${running.url}/admin/v1/usage/summary`, {
      headers: { authorization: `Bearer ${adminKey}` },
    })
    expect(((await summary.json()) as { totals: { records: string } }).totals.records).not.toBe("1")
    for (const secret of [virtualKey, adminKey, key]) expect(running.output()).not.toContain(secret)
  }, 120_000)

  test("a second Tallygate on the same data is refused with the pid of the first", async () => {
    const { code, output } = await run(MAIN, { cwd: clone, env: { PORT: "0" } })
    expect(code).toBe(1)
    expect(output).toMatch(/did not start: .*\b\d+\b/)
  }, 60_000)

  test("SIGTERM to npm ends all of it", async () => {
    running.process.kill("SIGTERM")
    await running.exited
    await until(async () => (processesOf(clone).length === 0 ? true : undefined), 20_000)
  }, 30_000)
})

test("a first start that fails at its port loses no keys: the next one prints them", async () => {
  const PORT = String(await freePort())
  const server = createServer().listen(Number(PORT), "127.0.0.1")
  await once(server, "listening")
  const DATABASE_URL = await createDatabase(inject("postgresUrl"))
  const env = { DATABASE_URL, TALLYGATE_DATA: path.join(folder, "failed first") }
  expect((await run(MAIN, { env: { ...env, PORT } })).code).toBe(1)
  server.close()
  const running = await startTallygate(MAIN, { env })
  await until(async () => (/Virtual key +tg_/.test(running.output()) ? true : undefined))
  expect(running.output()).toMatch(/Admin key +tga_/)
  running.process.kill("SIGTERM")
  expect(await running.exited).toBe(0)
})

describe("what cannot start says why in a line", () => {
  const env = () => ({ TALLYGATE_DATA: path.join(folder, `data ${Math.random()}`), PORT: "0" })

  test("a port that is taken", async () => {
    const PORT = String(await freePort())
    const server = createServer().listen(Number(PORT), "127.0.0.1")
    await once(server, "listening")
    const DATABASE_URL = await createDatabase(inject("postgresUrl"))
    const { code, output } = await run(MAIN, { env: { ...env(), PORT, DATABASE_URL } })
    server.close()
    expect([code, output]).toEqual([1, expect.stringContaining(`port ${PORT} on 127.0.0.1 is taken`)])
  })
  test("Redis, which this version does not use", async () => {
    const { code, output } = await run(MAIN, { env: { ...env(), REDIS_URL: "redis://127.0.0.1:1" } })
    expect([code, output]).toEqual([1, expect.stringContaining("REDIS_URL")])
  })
  test("a Postgres that is not there", async () => {
    const { code, output } = await run(MAIN, {
      env: { ...env(), DATABASE_URL: `postgres://x@127.0.0.1:${await freePort()}/x` },
    })
    expect([code, output]).toEqual([1, expect.stringContaining("Check DATABASE_URL")])
  })
  test("a configuration that is wrong", async () => {
    const file = path.join(folder, "wrong.yaml")
    await writeFile(file, "listen:\n  prot: 1\n")
    const { code, output } = await run(MAIN, { env: { ...env(), TALLYGATE_CONFIG: file } })
    expect(code).toBe(1)
    expect(output).toMatch(/wrong\.yaml:2.*prot/)
  })
  test("an unknown command, help and version", async () => {
    expect(await run([process.execPath, "src/main.ts", "dance"])).toMatchObject({ code: 2 })
    expect((await run([process.execPath, "src/tallygate.mjs", "--help"])).output).toContain("TALLYGATE_ADMIN_KEY")
    expect((await run([process.execPath, "src/tallygate.mjs", "--version"])).output).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
  test("a missing runtime", async () => {
    const bare = path.join(folder, "bare")
    await mkdir(path.join(bare, "src"), { recursive: true })
    const text = readFileSync(path.join(PROJECT, "src/tallygate.mjs"), "utf8")
    // The pinned runtime stands in for an old one here: what it needs is raised beyond it.
    await writeFile(path.join(bare, "src/tallygate.mjs"), text.replace("MAJOR_NEEDED = 24", "MAJOR_NEEDED = 99"))
    const { code, output } = await run([process.execPath, path.join(bare, "src/tallygate.mjs")])
    expect(code).toBe(1)
    expect(output.trimEnd().split("\n")).toHaveLength(1)
    expect(output).toContain("npm ci")
  })
})

test("TALLYGATE_ADMIN_KEY is the admin key, and none is made or printed", async () => {
  const TALLYGATE_ADMIN_KEY = "given-by-automation-0123456789"
  const DATABASE_URL = await createDatabase(inject("postgresUrl"))
  const env = { TALLYGATE_ADMIN_KEY, DATABASE_URL, TALLYGATE_DATA: path.join(folder, "given") }
  const running = await startTallygate(MAIN, { env })
  const printed = await until(async () => (running.output().includes("Virtual key") ? running.output() : undefined))
  const response = await fetch(`${running.url}/admin/v1/keys`, {
    headers: { authorization: `Bearer ${TALLYGATE_ADMIN_KEY}` },
  })
  running.process.kill("SIGTERM")
  expect(await running.exited).toBe(0)
  expect(response.status).toBe(200)
  expect(printed).not.toContain("tga_")
  expect(running.output()).not.toContain(TALLYGATE_ADMIN_KEY)
})

test.runIf(process.getuid?.() === 0)(
  "another user than root starts it just as well",
  async () => {
    const home = mkdtempSync(path.join(tmpdir(), "tallygate-nobody-"))
    const [, , uid = "", gid = ""] = /^nobody:.*$/m.exec(readFileSync("/etc/passwd", "utf8"))?.[0].split(":") ?? []
    chownSync(home, Number(uid), Number(gid))
    const setpriv = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"]
    const running = await startTallygate([...setpriv, ...MAIN], {
      env: { HOME: home, TALLYGATE_DATA: path.join(home, "data") },
    })
    running.process.kill("SIGTERM")
    expect(await running.exited).toBe(0)
    rmSync(home, { recursive: true, force: true })
  },
  90_000,
)

import { once } from "node:events"
import { chownSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { copyFile, mkdir, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterAll, describe, expect, inject, test } from "vitest"
import { asUser, cloneProject, machineNodes } from "../support/fresh-clone.ts"
import { createDatabase } from "../support/real-postgres.ts"
import { freePort, PROJECT, run, startTallygate } from "../support/tallygate-process.ts"
import { until } from "../support/test-app.ts"

/** The program as it is installed; what it is handed over to is the pinned runtime. */
const TALLYGATE = ["node", "src/tallygate.mjs"]
const folder = mkdtempSync(path.join(tmpdir(), "tallygate-start-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function newDataDir(): string {
  return mkdtempSync(path.join(folder, "data-"))
}

/** A start that fails: its exit code, and what it said beside its log and its notes. */
async function refusedStart(env: Record<string, string>): Promise<{ code: number | string; lines: string[] }> {
  const { code, output } = await run(asUser(TALLYGATE, { TALLYGATE_DATA: newDataDir(), PORT: "0", ...env }))
  return { code, lines: output.split("\n").filter((line) => line !== "" && !/^(\{|note: )/.test(line)) }
}

async function withTakenPort<T>(act: (port: string) => Promise<T>): Promise<T> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port was taken")
  try {
    return await act(String(address.port))
  } finally {
    server.close()
  }
}

describe("what cannot start says why in one line and exits with 1", () => {
  test("a port that is taken", async () => {
    const DATABASE_URL = await createDatabase(inject("postgresUrl"))
    await withTakenPort(async (PORT) => {
      const { code, lines } = await refusedStart({ PORT, DATABASE_URL })
      expect(lines).toEqual([
        `Tallygate did not start: port ${PORT} on 127.0.0.1 is taken. Stop what listens there, or set PORT.`,
      ])
      expect(code).toBe(1)
    })
  })

  test("Redis, which this version does not use", async () => {
    const { code, lines } = await refusedStart({ REDIS_URL: "redis://127.0.0.1:1" })
    expect(lines).toEqual([expect.stringMatching(/^Tallygate did not start: REDIS_URL is set, .* Unset it/)])
    expect(code).toBe(1)
  })

  test("a Postgres that is not there", async () => {
    const { code, lines } = await refusedStart({
      DATABASE_URL: `postgres://x:pw-canary@127.0.0.1:${await freePort()}/x`,
    })
    expect(lines).toEqual([expect.stringMatching(/^Tallygate did not start: Postgres does not answer.*DATABASE_URL/)])
    expect(lines[0]).not.toContain("pw-canary")
    expect(code).toBe(1)
  })

  test("a Postgres that does not know this password", async () => {
    const url = new URL(await createDatabase(inject("postgresUrl")))
    url.password = "pw-canary"
    const { code, lines } = await refusedStart({ DATABASE_URL: url.href })
    expect(lines).toEqual([expect.stringMatching(/^Tallygate did not start: Postgres refuses: .*DATABASE_URL/)])
    expect(lines[0]).not.toContain("pw-canary")
    expect(code).toBe(1)
  })

  test("a configuration that is wrong, with the line of the mistake", async () => {
    const TALLYGATE_CONFIG = path.join(folder, "wrong.yaml")
    await writeFile(TALLYGATE_CONFIG, "log: { level: info }\nlisten:\n  prot: 1\n")
    const { code, lines } = await refusedStart({ TALLYGATE_CONFIG })
    expect(lines).toEqual([expect.stringMatching(/wrong\.yaml:3:\d+: listen\.prot: found /)])
    expect(code).toBe(1)
  })
})

test("a first start that fails at its port loses no keys: the next one prints them", async () => {
  const TALLYGATE_DATA = newDataDir()
  const DATABASE_URL = await createDatabase(inject("postgresUrl"))
  const env = { TALLYGATE_DATA, DATABASE_URL }
  await withTakenPort((PORT) => refusedStart({ ...env, PORT }))
  const port = await freePort()
  const running = await startTallygate(asUser(TALLYGATE, { ...env, PORT: String(port) }), { port })
  running.process.kill("SIGTERM")
  expect(await running.exited).toBe(0)
  expect(running.output()).toMatch(/^ {2}Admin key +tga_\w{38}$/m)
  expect(running.output()).toMatch(/^ {2}Virtual key +tg_\w{12}_\w{38}$/m)
})

describe("the command line", () => {
  test("help names every variable, and the version is the package's", async () => {
    const help = await run(asUser([...TALLYGATE, "--help"]))
    expect(help.code).toBe(0)
    for (const name of "PORT HOST TALLYGATE_CONFIG TALLYGATE_DATA DATABASE_URL REDIS_URL TALLYGATE_ADMIN_KEY".split(
      " ",
    ))
      expect(help.output).toContain(name)
    const { version } = JSON.parse(readFileSync(path.join(PROJECT, "package.json"), "utf8"))
    expect(await run(asUser([...TALLYGATE, "--version"]))).toEqual({ code: 0, output: `${version}\n` })
  })

  test("an unknown command is refused with exit code 2 and points to the help", async () => {
    const { code, output } = await run(asUser([...TALLYGATE, "dance", "slowly"]))
    expect(code).toBe(2)
    expect(output).toMatch(/^tallygate: .*`dance slowly`.*--help.*\n$/)
  })

  test("config check names every mistake with its line, hides secrets, and exits with 1", async () => {
    const file = path.join(folder, "broken.yaml")
    await writeFile(file, "listen: { port: 99999 }\nproviders:\n  a: { dialect: openai, api_kee: sk-canary }\n")
    const { code, output } = await run(asUser([...TALLYGATE, "config", "check", "--file", file]))
    expect(code).toBe(1)
    expect(output).toMatch(/broken\.yaml:1:\d+: listen\.port: found 99999, expected /)
    expect(output).toMatch(/broken\.yaml:3:\d+: providers\.a\.api_kee: /)
    expect(output).not.toContain("sk-canary")
  })

  test("config check finds nothing wrong with the configuration that is shipped", async () => {
    expect((await run(asUser([...TALLYGATE, "config", "check"]))).code).toBe(0)
  })
})

describe("the runtime", () => {
  const old = machineNodes().find(({ major }) => major < 24)

  /** Nothing but the door, as after an install that ran no scripts; an old Node is feigned where the machine has none. */
  async function doorWithoutRuntime(): Promise<string[]> {
    const src = path.join(mkdtempSync(path.join(folder, "bare-")), "src")
    const door = path.join(src, "tallygate.mjs")
    await mkdir(src)
    await copyFile(path.join(PROJECT, "src/tallygate.mjs"), door)
    if (old !== undefined) return [old.file, door]
    const text = readFileSync(door, "utf8")
    expect(text).toContain("MAJOR_NEEDED = 24")
    await writeFile(door, text.replace("MAJOR_NEEDED = 24", "MAJOR_NEEDED = 99"))
    return [process.execPath, door]
  }

  test("where it is missing and the machine's Node is too old, one line says what to do", async () => {
    const { code, output } = await run(asUser(await doorWithoutRuntime()))
    expect(code).toBe(1)
    expect(output).toMatch(
      /^Tallygate runs on Node \d+.*missing here \(this is v\d+.*`npm ci`.*`npm rebuild node`\.\n$/,
    )
  })

  test.runIf(old !== undefined)("an older Node hands over to it", async () => {
    const { code, output } = await run(asUser([old?.file ?? "", "src/tallygate.mjs", "--run", "-p", "process.version"]))
    expect([code, output]).toEqual([0, `${process.version}\n`])
  })
})

test("TALLYGATE_ADMIN_KEY is the admin key, and none is made or printed", async () => {
  const TALLYGATE_ADMIN_KEY = "given-by-automation-0123456789"
  const DATABASE_URL = await createDatabase(inject("postgresUrl"))
  const port = await freePort()
  const env = { TALLYGATE_ADMIN_KEY, DATABASE_URL, TALLYGATE_DATA: newDataDir(), PORT: String(port) }
  const running = await startTallygate(asUser(TALLYGATE, env), { port })
  const printed = await until(async () => (running.output().includes("OPENAI_API_KEY=") ? running.output() : undefined))
  const statuses = [TALLYGATE_ADMIN_KEY, `${TALLYGATE_ADMIN_KEY}0`].map(async (key) => {
    const response = await fetch(`${running.url}/admin/v1/keys`, { headers: { authorization: `Bearer ${key}` } })
    return response.status
  })
  expect(await Promise.all(statuses)).toEqual([200, 401])
  running.process.kill("SIGTERM")
  expect(await running.exited).toBe(0)
  expect(printed).toMatch(/^ {2}Virtual key +tg_/m)
  expect(running.output()).not.toContain("tga_")
  expect(running.output()).not.toContain(TALLYGATE_ADMIN_KEY)
})

test.runIf(process.getuid?.() === 0)(
  "another user than root runs it with npm start, embedded Postgres and all",
  async () => {
    const home = mkdtempSync(path.join(tmpdir(), "tallygate-nobody-"))
    await cloneProject(path.join(home, "tallygate"))
    const [, , uid, gid] = /^nobody:.*$/m.exec(readFileSync("/etc/passwd", "utf8"))?.[0].split(":") ?? []
    // The folders alone are the user's: a clone of root's whose data stand elsewhere is not written to.
    const TALLYGATE_DATA = path.join(home, "data")
    await mkdir(TALLYGATE_DATA)
    for (const owned of [home, TALLYGATE_DATA]) chownSync(owned, Number(uid), Number(gid))
    const port = await freePort()
    const account = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"]
    const command = asUser([...account, "npm", "start"], { HOME: home, TALLYGATE_DATA, PORT: String(port) })
    const running = await startTallygate(command, { port, cwd: path.join(home, "tallygate") })
    try {
      const key = await until(async () => /Virtual key +(tg_\S+)/.exec(running.output())?.[1])
      const response = await fetch(`${running.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}` },
        body: JSON.stringify({ model: "sandbox/echo", messages: [{ role: "user", content: "hi" }] }),
      })
      expect(response.status).toBe(200)
    } finally {
      running.process.kill("SIGTERM")
      await running.exited
      rmSync(home, { recursive: true, force: true })
    }
  },
  90_000,
)

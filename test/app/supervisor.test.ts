import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import path from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { type Running, run, startTallygate } from "../support/tallygate-process.ts"
import { until } from "../support/test-app.ts"

const PROGRAM = [process.execPath, path.join(import.meta.dirname, "../support/supervised-workers.ts")]
const CLOSED = { connection: "close" }

let folder: string
let env: Record<string, string>
let running: Running | null = null

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "tallygate-supervisor-"))
  env = {
    TALLYGATE_DATA: folder,
    TEST_OBSTACLE: path.join(folder, "obstacle"),
    DATABASE_URL: "postgres://127.0.0.1/none",
    REDIS_URL: "redis://127.0.0.1",
    WORKERS: "2",
  }
})
afterEach(() => {
  for (const pid of listeningPids()) signal(pid, "SIGKILL")
  running?.process.kill("SIGKILL")
  running = null
  rmSync(folder, { recursive: true, force: true })
})

async function start(): Promise<Running> {
  running = await startTallygate(PROGRAM, { env })
  await listening(2)
  return running
}

/** The workers that have listened so far, those that died since included. */
function listeningPids(): number[] {
  const output = running?.output() ?? ""
  return [...output.matchAll(/"pid":(\d+),"msg":"worker listens"/g)].map((match) => Number(match[1]))
}

async function listening(count: number): Promise<number[]> {
  return until(async () => (listeningPids().length >= count ? listeningPids() : undefined), 20_000)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
  }
}

/** One request on a connection of its own. */
async function get(route: string): Promise<string> {
  const response = await fetch((running?.url ?? "") + route, { headers: CLOSED })
  return response.text()
}

/** The value of a line of the page, from whichever worker answers. */
async function metric(line: string): Promise<number | undefined> {
  const found = (await get("/metrics")).split("\n").find((one) => one.startsWith(`${line} `))
  return found === undefined ? undefined : Number(found.slice(line.length + 1))
}

const CALLS = 'test_calls_total{kind="plain"}'

describe("several workers", () => {
  test("share one port: each serves some of 200 connections, and the greeting comes once", async () => {
    const { output } = await start()
    const pids = await Promise.all(Array.from({ length: 200 }, () => get("/pid")))
    expect(new Set(pids)).toEqual(new Set(listeningPids().map(String)))
    expect(output().match(/listens on/g)).toHaveLength(1)
  })

  test("come to the same port where any free one is asked for", async () => {
    running = await startTallygate(PROGRAM, { env, port: 0 })
    const pids = await listening(2)
    const url = /listens on (\S+)/.exec(running.output())?.[1]
    const answers = await Promise.all(
      Array.from({ length: 200 }, () => fetch(`${url}/pid`, { headers: CLOSED }).then((response) => response.text())),
    )
    expect(new Set(answers)).toEqual(new Set(pids.map(String)))
  })

  test("do not join a port where something else listens", async () => {
    const PORT = await freePort()
    const foreign = createServer().listen(PORT, "127.0.0.1")
    await once(foreign, "listening")
    const { code, output } = await run(PROGRAM, { env: { ...env, PORT: String(PORT) } })
    foreign.close()
    expect(code).toBe(1)
    expect(output.match(/did not start: .*EADDRINUSE/g)).toHaveLength(1)
  })
})

describe("a worker that dies", () => {
  test("is started again, and what it had counted stays in the sum", async () => {
    await start()
    for (let call = 0; call < 40; call++) await get("/count")
    expect(await metric(CALLS)).toBe(40)
    const [killed = 0, other = 0] = listeningPids()
    process.kill(killed, "SIGKILL")
    await listening(3)
    expect(await metric(CALLS)).toBe(40)
    expect(await metric("test_call_seconds_count")).toBe(40)
    expect(await metric('test_call_seconds_bucket{le="1"}')).toBe(40)
    expect(await metric("test_running")).toBe(2)
    expect(await metric("tallygate_worker_deaths_total")).toBe(1)
    await get("/count")
    expect(await metric(CALLS)).toBe(41)

    // Asked to end from outside, it leaves its last figures behind, those that nobody had read yet included.
    let last = ""
    for (let call = 0; call < 20; call++) last = await get("/count")
    process.kill(other, "SIGTERM")
    await listening(4)
    expect(last).not.toBe("")
    expect(await metric(CALLS)).toBe(61)
    expect(running?.output().match(/a worker ended; it is started again/g)).toHaveLength(2)
  })

  test("takes the port with it not even when all die at once", async () => {
    await start()
    for (const pid of listeningPids()) process.kill(pid, "SIGKILL")
    await listening(4)
    expect(listeningPids().slice(2).map(String)).toContain(await get("/pid"))
  })

  test("at the first start, for a reason that its operator can mend, ends the whole with that reason", async () => {
    writeFileSync(env.TEST_OBSTACLE ?? "", "")
    const { code, output } = await run(PROGRAM, { env: { ...env, PORT: "0" } })
    expect(code).toBe(1)
    expect(output.match(/did not start: an obstacle is in the way/g)).toHaveLength(1)
  })

  test("and cannot start again for such a reason is tried again, ever later, while the others serve", async () => {
    await start()
    writeFileSync(env.TEST_OBSTACLE ?? "", "")
    const [killed = 0, other = 0] = listeningPids()
    process.kill(killed, "SIGKILL")
    const delays = await until(async () => {
      const found = [...(running?.output() ?? "").matchAll(/"restart_ms":(\d+)/g)].map((match) => Number(match[1]))
      return found.length >= 3 ? found : undefined
    }, 20_000)
    expect(delays.slice(0, 3)).toEqual([200, 400, 800])
    expect(running?.output()).toContain('"reason":"an obstacle is in the way"')
    expect(await get("/pid")).toBe(String(other))
    // Each death is told to those that are left, who take over its journal.
    expect(Number(await get("/deaths"))).toBeGreaterThanOrEqual(3)
    rmSync(env.TEST_OBSTACLE ?? "")
    await listening(3)
  })
})

test("a worker that does not answer is shown as silent; its counters stay in the sum, its gauges do not", async () => {
  await start()
  for (let call = 0; call < 40; call++) await get("/count")
  expect(await metric(CALLS)).toBe(40)
  expect(await metric("test_running")).toBe(2)
  expect(await metric("test_age_seconds")).toBe(7)
  const [stopped = 0] = listeningPids()
  process.kill(stopped, "SIGSTOP")
  const page = await get("/metrics")
  expect(page).toContain('tallygate_workers{state="silent"} 1')
  expect(page).toContain('tallygate_workers{state="listening"} 1')
  expect(page).toContain(`${CALLS} 40`)
  expect(page).toContain("test_running 1")
  process.kill(stopped, "SIGCONT")
  await until(async () => ((await metric('tallygate_workers{state="silent"}')) === 0 ? true : undefined))
  expect(await metric(CALLS)).toBe(40)
})

describe("the end", () => {
  test("that is asked for while the first worker starts comes when it can, with code 0", async () => {
    const started = spawn(process.execPath, PROGRAM.slice(1), {
      env: { ...process.env, ...env, PORT: "0", NODE_OPTIONS: "" },
      stdio: ["ignore", "ignore", "ignore"],
    })
    // The signal is heard from the moment in which the supervisor has a child.
    await until(async () => (childrenOf(started.pid ?? 0).length > 0 ? true : undefined))
    started.kill("SIGTERM")
    expect(await once(started, "exit")).toEqual([0, null])
  })

  test.each(["SIGTERM", "SIGINT"] as const)("%s lets every worker finish, and its code is 0", async (name) => {
    const { process: supervisor, exited } = await start()
    const slow = Array.from({ length: 20 }, () => get("/slow"))
    await new Promise((resolve) => setTimeout(resolve, 200))
    supervisor.kill(name)
    expect(new Set(await Promise.all(slow))).toEqual(new Set(["done"]))
    expect(await exited).toBe(0)
    expect(await isEveryoneGone()).toBe(true)
  })

  test("a worker that does not end cleanly shows in the code", async () => {
    const { process: supervisor, exited } = await start()
    await get("/end-uncleanly")
    supervisor.kill("SIGTERM")
    expect(await exited).toBe(1)
  })

  test("a worker that does not end at all is killed after the grace", async () => {
    writeFileSync(path.join(folder, "proxy.config.yaml"), "timeouts: { shutdown_grace_ms: 100 }\n")
    const { process: supervisor, exited, output } = await start()
    await get("/never-end")
    supervisor.kill("SIGTERM")
    expect(await exited).toBe(1)
    expect(output()).toContain("workers did not end in time and are killed")
    expect(await isEveryoneGone()).toBe(true)
  })

  test("when the supervisor is killed, the workers finish what runs and end by themselves", async () => {
    const { process: supervisor } = await start()
    const slow = Array.from({ length: 20 }, () => get("/slow"))
    await new Promise((resolve) => setTimeout(resolve, 200))
    supervisor.kill("SIGKILL")
    expect(new Set(await Promise.all(slow))).toEqual(new Set(["done"]))
    expect(await isEveryoneGone()).toBe(true)
  })
})

function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .filter((id) => id.trim() !== "")
}

/** Resolves when none of the workers runs any more. */
function isEveryoneGone(): Promise<true> {
  return until(async () => (listeningPids().every(isGone) ? true : undefined))
}

/** A process that has ended, or that nobody has asked yet how it did. */
function isGone(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")
  } catch {
    return true
  }
}

describe("the configuration of the workers", () => {
  function configure(yaml: string): void {
    writeFileSync(path.join(folder, "proxy.config.yaml"), yaml)
  }

  /** The largest body that the workers take, and what they say of the configuration; one answer for each there is. */
  async function configs(): Promise<Set<string>> {
    const answers = await Promise.all(Array.from({ length: 40 }, () => get("/config")))
    return new Set(answers)
  }

  async function untilConfigs(...expected: string[]): Promise<void> {
    await until(async () => {
      const found = await configs()
      return found.size === expected.length && expected.every((one) => found.has(one)) ? true : undefined
    })
  }

  test("is loaded once on SIGHUP and taken by all of them, one that is started later included", async () => {
    configure("body_bytes_max: 2048\n")
    const { process: supervisor, output } = await start()
    expect(await configs()).toEqual(new Set(["2048 current"]))
    configure("body_bytes_max: 4096\nworkers: 2\nkey_cache_max: 7\n")
    supervisor.kill("SIGHUP")
    await untilConfigs("4096 at the next start: key_cache_max")
    expect(await metric("tallygate_config_reload_success")).toBe(1)
    process.kill(listeningPids()[0] ?? 0, "SIGKILL")
    await listening(3)
    expect(await configs()).toEqual(new Set(["4096 at the next start: key_cache_max"]))
    expect(output()).toContain("takes effect at the next start: key_cache_max")
  })

  test("is kept by all where the file is wrong, or one of them cannot take it, and the reason is told", async () => {
    configure("body_bytes_max: 2048\n")
    const { process: supervisor, output } = await start()
    configure("body_bytes_max: many\nsandbos: true\n")
    supervisor.kill("SIGHUP")
    await untilConfigs("2048 reload failed")
    expect(await metric("tallygate_config_reload_success")).toBe(0)
    expect(output()).toContain('proxy.config.yaml:1:17: body_bytes_max: found \\"many\\", expected a whole number')
    expect(output()).toContain("proxy.config.yaml:2:1: sandbos: found an unknown key, expected the key sandbox")
    configure("body_bytes_max: 4096\n")
    await untilConfigs("4096 current")
    expect(await metric("tallygate_config_reload_success")).toBe(1)
    configure("body_bytes_max: 11111\n")
    supervisor.kill("SIGHUP")
    await untilConfigs("4096 reload failed")
    expect(output()).toContain("worker 2 cannot take it")
  })
})

/**
 * What the bench compares, each as a running process: the provider itself, the bare proxy, and Tallygate with
 * everything on, once on Postgres and once on its embedded database.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"

import { freePort } from "../../src/app/free-port.ts"
import { processTree } from "./measure.ts"

export type Target = {
  readonly name: "direct" | "bare" | "tallygate" | "tallygate-embedded"
  readonly port: number
  /** What its callers present. */
  readonly key: string
  /** What the provider sees from it, which names its account there. */
  readonly credential: string
  /** Its process; null for direct. */
  readonly pid: number | null
  /** Where its records are read back; null for targets that keep none. */
  readonly admin: { readonly origin: string; readonly key: string } | null
  stop(): Promise<void>
}

export const PROJECT_DIR = join(import.meta.dirname, "../..")
const READY_MS_MAX = 60_000
const ADMIN_KEY = "tallygate-bench-admin-key-0123456789"

export type Cores = { readonly proxy: string; readonly lab: string } | null

/** The proxies get a core of their own, and everything else shares another; null where cores cannot be pinned. */
export function pinCores(): Cores {
  if (availableParallelism() < 2 || spawnSync("taskset", ["--version"]).error !== undefined) return null
  const pinned = spawnSync("taskset", ["-acp", "0", String(process.pid)])
  return pinned.status === 0 ? { proxy: "1", lab: "0" } : null
}

/** Starts a script on this Node and a core; its log lines stay on the bench's error output only when it fails. */
export function startScript(args: readonly string[], core: string | undefined, env: Record<string, string>): Script {
  const node = core === undefined ? [process.execPath] : ["taskset", "-c", core, process.execPath]
  const [command = "", ...rest] = [...node, ...args]
  const child = spawn(command, rest, {
    cwd: PROJECT_DIR,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  })
  const script: Script = { child, output: "" }
  const keep = (data: Buffer): void => {
    script.output = (script.output + data.toString("utf8")).slice(-8_000)
  }
  child.stdout?.on("data", keep)
  child.stderr?.on("data", keep)
  return script
}

export type Script = { readonly child: ChildProcess; output: string }

export async function stopScript(script: Script): Promise<void> {
  const { child } = script
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, "exit")
  child.kill("SIGTERM")
  const timer = setTimeout(() => child.kill("SIGKILL"), 40_000)
  await exited
  clearTimeout(timer)
}

/** Waits for the line `{"port":N}`, by which the bench's own scripts say that they listen. */
export async function announcedPort(script: Script): Promise<number> {
  const { stdout } = script.child
  if (stdout === null) throw new Error("the script has no output to read")
  for await (const line of createInterface({ input: stdout })) {
    const found = /"port":(\d+)/.exec(line)
    if (found !== null) return Number(found[1])
  }
  throw new Error(`a bench script ended before it listened: ${script.output}`)
}

export function directTarget(port: number): Target {
  return {
    name: "direct",
    port,
    key: "sk-direct",
    credential: "sk-direct",
    pid: null,
    admin: null,
    stop: async () => {},
  }
}

export async function startBareProxy(upstreamPort: number, cores: Cores): Promise<Target> {
  const origin = `http://127.0.0.1:${upstreamPort}`
  const script = startScript(["test/bench/bare-proxy.ts", origin, "sk-bare"], cores?.proxy, {})
  const port = await announcedPort(script)
  return {
    name: "bare",
    port,
    key: "sk-any",
    credential: "sk-bare",
    pid: script.child.pid ?? null,
    admin: null,
    stop: () => stopScript(script),
  }
}

/** Starts Tallygate on a fresh data directory; throws with its last output when it does not come up. */
export async function startTallygate(options: {
  readonly name: "tallygate" | "tallygate-embedded"
  readonly upstreamPort: number
  readonly databaseUrl: string | null
  readonly redisUrl: string | null
  readonly cores: Cores
}): Promise<Target> {
  if (!existsSync(join(PROJECT_DIR, "src/main.ts")))
    throw new Error("src/main.ts is missing: Tallygate cannot be benched")
  const dir = await mkdtemp(join(tmpdir(), "tallygate-bench-"))
  const credential = `sk-${options.name}`
  const port = await freePort()
  const configFile = join(dir, "proxy.config.yaml")
  await writeFile(configFile, configText({ ...options, credential, port, dir }))
  const env: Record<string, string> = {
    DATABASE_URL: "",
    REDIS_URL: "",
    TALLYGATE_CONFIG: configFile,
    TALLYGATE_ADMIN_KEY: ADMIN_KEY,
    PORT: String(port),
  }
  if (options.databaseUrl !== null) env.DATABASE_URL = options.databaseUrl
  if (options.redisUrl !== null) env.REDIS_URL = options.redisUrl
  // As `npm start` runs it, with the runtime's flags; what is measured is the process behind that door.
  const script = startScript(["src/tallygate.mjs", "serve"], options.cores?.proxy, env)
  const origin = `http://127.0.0.1:${port}`
  const stop = async (): Promise<void> => {
    await stopScript(script)
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await untilReady(origin, script)
    const key = await createKey(origin)
    const admin = { origin, key: ADMIN_KEY }
    return { name: options.name, port, key, credential, pid: servingPid(script), admin, stop }
  } catch (cause) {
    await stop()
    throw new Error(`${options.name} did not come up; its last output:\n${script.output}`, { cause })
  }
}

/** The one child of the door. */
function servingPid(script: Script): number | null {
  return (script.child.pid === undefined ? [] : processTree(script.child.pid))[1] ?? null
}

function configText(options: {
  readonly upstreamPort: number
  readonly credential: string
  readonly port: number
  readonly dir: string
}): string {
  return `listen: { host: 127.0.0.1, port: ${options.port} }
data_dir: ${join(options.dir, "data")}
providers:
  mock: { dialect: openai, base_url: "http://127.0.0.1:${options.upstreamPort}/v1", api_key: ${options.credential} }
models:
  - { match: "mock*", provider: mock }
prices: { files: [${join(import.meta.dirname, "prices.yaml")}] }
`
}

async function untilReady(origin: string, script: Script): Promise<void> {
  const giveUpMs = performance.now() + READY_MS_MAX
  for (;;) {
    if (script.child.exitCode !== null || script.child.signalCode !== null) throw new Error("the process has ended")
    const isReady = await fetch(`${origin}/readyz`).then(
      (response) => response.ok,
      () => false,
    )
    if (isReady) return
    if (performance.now() > giveUpMs) throw new Error(`/readyz did not answer 200 within ${READY_MS_MAX} ms`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** A key on which every kind of limit is counted and none is reached. */
async function createKey(origin: string): Promise<string> {
  const limits = [
    { kind: "requests", window: "minute", cap: "100000000" },
    { kind: "tokens", window: "minute", cap: "1000000000000" },
    { kind: "concurrency", window: "none", cap: "100000" },
    { kind: "tokens", window: "day", cap: "1000000000000" },
    { kind: "usd", window: "month", cap: "1000000" },
  ]
  const response = await fetch(`${origin}/admin/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "bench", limits }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`POST /admin/v1/keys answered ${response.status}: ${text}`)
  return (JSON.parse(text) as { key: string }).key
}

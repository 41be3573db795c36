/**
 * A real Redis server for tests: a child process on a free loopback port, its data in a temporary folder. Never skips:
 * it starts or it throws. A test that stops or pauses it does so by `pid`.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort } from "../../src/app/free-port.ts"
import { openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { findRedisBinary } from "./redis-binaries.ts"

export interface RealRedis {
  url: string
  port: number
  pid: number
  /** Ends the server without warning and waits until it is gone; its files stay. */
  kill(): Promise<void>
  /** Ends the server, waits until it is gone, removes its files. */
  stop(): Promise<void>
}

export type RealRedisOptions = {
  /** Settings of redis.conf; the defaults are `noeviction`, an append-only file and no snapshots. */
  readonly settings?: Readonly<Record<string, string>>
  /** Taken again by a server that is to stand where another one was. */
  readonly port?: number
}

const PORT_ATTEMPTS = 3
const READY_MS_MAX = 15_000

export async function startRealRedis(options: RealRedisOptions = {}): Promise<RealRedis> {
  const binary = findRedisBinary()
  const folder = mkdtempSync(join(tmpdir(), "tallygate-redis-"))
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort())
    const settings = { appendonly: "yes", save: "", "maxmemory-policy": "noeviction", ...options.settings }
    const parameters = Object.entries({ bind: "127.0.0.1", port: String(port), dir: folder, ...settings })
    const server = spawn(
      binary.path,
      parameters.flatMap(([name, value]) => [`--${name}`, value]),
      { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...binary.environment } },
    )
    const outcome = await ready(server)
    if (outcome === "ready") return running(server, port, folder)
    await end(server)
    if (attempt < PORT_ATTEMPTS) continue
    rmSync(folder, { recursive: true, force: true })
    throw new Error(`Redis did not start: ${outcome}`)
  }
}

/** Waits for the line that says it accepts connections; returns what it said when it ended or stayed silent. */
function ready(server: ChildProcess): Promise<string> {
  let said = ""
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(said || "it said nothing"), READY_MS_MAX)
    const done = (outcome: string) => {
      clearTimeout(timer)
      resolve(outcome)
    }
    server.on("exit", () => done(said || "it ended without a word"))
    server.on("error", (error) => done(String(error)))
    for (const stream of [server.stdout, server.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-4_000)
        if (said.includes("Ready to accept connections")) done("ready")
      })
    }
  })
}

function running(server: ChildProcess, port: number, folder: string): RealRedis {
  const stopWithUs = () => void server.kill("SIGKILL")
  process.once("exit", stopWithUs)
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pid: server.pid ?? 0,
    kill: () => end(server),
    async stop() {
      process.off("exit", stopWithUs)
      await end(server)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export type ConnectedRedis = RealRedis & { readonly client: RedisClient }

/** A Redis with a connection to it that ends with it; a busy machine has `commandTimeoutMs` for an answer. */
export async function startConnectedRedis(commandTimeoutMs = 5_000): Promise<ConnectedRedis> {
  const server = await startRealRedis()
  const client = openRedis(server.url, { connectionName: "test", commandTimeoutMs })
  await client.connect()
  return {
    ...server,
    client,
    async stop() {
      client.disconnect()
      await server.stop()
    },
  }
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, "exit")
  server.kill("SIGKILL")
  await exited
}

/** Tallygates as processes of their own that share one Postgres, one Redis and one data directory, killed and started again by a test. */
import { mkdtempSync, rmSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { inject } from "vitest"
import { freePort } from "../../src/app/free-port.ts"
import { openPostgres, type Sql } from "../../src/platform/postgres.ts"
import { openRedis, type RedisClient } from "../../src/platform/redis.ts"
import { type FakeUpstream, startFakeUpstream } from "./fake-upstream.ts"
import { createDatabase } from "./real-postgres.ts"
import { type RealRedis, startRealRedis } from "./real-redis.ts"
import { type Running, run, startTallygate } from "./tallygate-process.ts"
import { ADMIN_KEY, type NewKey } from "./test-app.ts"

const MAIN = [process.execPath, "src/main.ts", "serve"]

export type FleetOptions = {
  /** Dollars per million tokens of every model of the provider. */
  readonly prices: { readonly input: string; readonly output: string }
  readonly leaseMs: number
  /** More of the environment of each process, and of the configuration. */
  readonly env?: Readonly<Record<string, string>>
  readonly yaml?: string
}

export class ProxyFleet {
  readonly upstream: FakeUpstream
  readonly sql: Sql
  readonly redis: RedisClient
  readonly #server: RealRedis
  readonly #folder: string
  readonly #env: Record<string, string>
  readonly #ports: readonly number[]
  /** Those that run, and those that ended, by place in the fleet. */
  readonly #processes = new Map<number, Running>()

  constructor(parts: {
    upstream: FakeUpstream
    sql: Sql
    redis: RedisClient
    server: RealRedis
    folder: string
    env: Record<string, string>
    ports: readonly number[]
  }) {
    this.upstream = parts.upstream
    this.sql = parts.sql
    this.redis = parts.redis
    this.#server = parts.server
    this.#folder = parts.folder
    this.#env = parts.env
    this.#ports = parts.ports
  }

  /** What every process of it runs with, for commands beside them. */
  get env(): Readonly<Record<string, string>> {
    return this.#env
  }

  url(place: number): string {
    return `http://127.0.0.1:${this.#ports[place]}`
  }

  /** Starts the process of this place, on the port that the one before it had. */
  async start(place: number): Promise<Running> {
    const port = this.#ports[place]
    if (port === undefined) throw new RangeError(`there is no place ${place}`)
    const running = await startTallygate(MAIN, { env: this.#env, port })
    this.#processes.set(place, running)
    return running
  }

  /** Starts one and kills it on the way, after so long. */
  async startInVain(place: number, killAfterMs: number): Promise<void> {
    await run(MAIN, { env: { ...this.#env, PORT: String(this.#ports[place]) }, timeoutMs: killAfterMs })
  }

  /** Kills it where it stands, and waits until the system has taken it away. */
  async kill(place: number): Promise<void> {
    const running = this.#processes.get(place)
    running?.process.kill("SIGKILL")
    await running?.exited
  }

  running(place: number): Running {
    const running = this.#processes.get(place)
    if (running === undefined) throw new RangeError(`nothing was started in place ${place}`)
    return running
  }

  async createKey(place: number, limits: NonNullable<NewKey["limits"]>): Promise<{ id: string; key: string }> {
    const response = await fetch(`${this.url(place)}/admin/v1/keys`, {
      method: "POST",
      headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
      body: JSON.stringify({ name: "fleet", limits }),
    })
    if (response.status !== 201) throw new Error(`creating a key answered ${response.status}`)
    return (await response.json()) as { id: string; key: string }
  }

  async close(): Promise<void> {
    for (const place of this.#processes.keys()) await this.kill(place)
    this.redis.disconnect()
    await this.sql.end()
    await this.#server.stop()
    await this.upstream.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** A fleet of `size` places; nothing runs in them yet. */
export async function openFleet(size: number, options: FleetOptions): Promise<ProxyFleet> {
  const folder = mkdtempSync(path.join(tmpdir(), "tallygate-fleet-"))
  const upstream = await startFakeUpstream()
  const server = await startRealRedis()
  const redis = openRedis(server.url, { connectionName: "test", commandTimeoutMs: 10_000 })
  await redis.connect()
  const DATABASE_URL = await createDatabase(inject("postgresUrl"))
  const sql = openPostgres(DATABASE_URL, { max: 2, applicationName: "test" })
  const TALLYGATE_CONFIG = path.join(folder, "config.yaml")
  await writeFile(path.join(folder, "prices.yaml"), priceFile(options.prices))
  await writeFile(TALLYGATE_CONFIG, configFile(upstream.baseUrl, folder, options.leaseMs) + (options.yaml ?? ""))
  const env = {
    TALLYGATE_CONFIG,
    DATABASE_URL,
    REDIS_URL: server.url,
    TALLYGATE_DATA: path.join(folder, "data"),
    TALLYGATE_ADMIN_KEY: ADMIN_KEY,
    ...options.env,
  }
  const ports: number[] = []
  while (ports.length < size) ports.push(await freePort())
  return new ProxyFleet({ upstream, sql, redis, server, folder, env, ports })
}

function priceFile({ input, output }: FleetOptions["prices"]): string {
  return `
provider: mock
models:
  mock:
    prefixes: [mock]
    rates:
      standard: { input: "${input}", output: "${output}" }
    source: made up for a test
    checked: 2026-01-01
`
}

/** Redis may be slow on a busy machine without being away: what a store that is away does has tests of its own. */
function configFile(baseUrl: string, folder: string, leaseMs: number): string {
  return `
providers:
  mock: { dialect: openai, base_url: ${baseUrl}, api_key: sk-upstream-canary }
models:
  - { match: "mock*", provider: mock }
prices: { files: [${path.join(folder, "prices.yaml")}] }
admission: { lease_ms: ${leaseMs}, store_timeout_ms: 10000 }
log: { level: info }
`
}

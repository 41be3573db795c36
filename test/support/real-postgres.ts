/**
 * A real Postgres server for tests: its own cluster in a temporary folder, fsync on, on a free loopback port, with a
 * password. Postgres refuses root, so as root its programs run as another user. Never skips: it starts or it throws.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import postgres from "postgres"
import { freePort } from "../../src/app/free-port.ts"
import { childrenOf } from "./child-processes.ts"
import { findPostgresBinaries, type PostgresBinaries } from "./postgres-binaries.ts"

export interface RealPostgres {
  /** Superuser on the database `postgres`. */
  url: string
  pid: number
  /** Makes a new, empty database and returns its url. The driver does not decode names: small letters, digits and _ only. */
  createDatabase(name: string): Promise<string>
  /** Stops every process of the server where it stands, connections and all. */
  pause(): void
  resume(): void
  /** Kills every process of the server and waits until they are gone; its files stay. */
  kill(): Promise<void>
  /** Starts a server that was killed, on the same port. */
  restart(): Promise<void>
  /** Ends the server, waits until it is gone, removes its files. */
  stop(): Promise<void>
}

type Account = { uid: number; gid: number } | undefined

const PORT_ATTEMPTS = 3
const READY_MS_MAX = 30_000
const STOP_MS_MAX = 15_000

/** Starts a server of the newest Postgres on this machine, bringing one when there is none. */
export async function startRealPostgres(): Promise<RealPostgres> {
  const binaries = findPostgresBinaries()
  const account = otherAccount()
  const folder = mkdtempSync(join(tmpdir(), "tallygate-postgres-"))
  const password = randomBytes(16).toString("hex")
  try {
    initialise(binaries, folder, password, account)
    for (let attempt = 1; ; attempt++) {
      const port = await freePort()
      const server = launch(binaries, folder, port, account)
      const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
      const outcome = await ready(server, url)
      if (outcome === "ready") return running(server, url, folder, () => launch(binaries, folder, port, account))
      await end(server)
      if (attempt === PORT_ATTEMPTS) throw new Error(`Postgres did not start: ${outcome}`)
    }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

/** Makes a new, empty database on the server behind `serverUrl` and returns its url; without a name, under one of its own. */
export async function createDatabase(
  serverUrl: string,
  name = `test_${randomBytes(8).toString("hex")}`,
): Promise<string> {
  // The driver does not decode a url's database name.
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new Error(`"${name}" is no name for a test database`)
  const sql = postgres(serverUrl, { max: 1, onnotice: () => undefined })
  try {
    await sql`CREATE DATABASE ${sql(name)}`
  } finally {
    await sql.end()
  }
  const created = new URL(serverUrl)
  created.pathname = `/${name}`
  return created.href
}

/** The user to run as when we are root; undefined otherwise. */
function otherAccount(): Account {
  if (process.getuid?.() !== 0) return undefined
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
  const user = users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody")
  if (user === undefined)
    throw new Error("Postgres does not run as root, and there is neither a user postgres nor nobody")
  return { uid: Number(user[2]), gid: Number(user[3]) }
}

function initialise(binaries: PostgresBinaries, folder: string, password: string, account: Account): void {
  const passwordFile = join(folder, "password")
  writeFileSync(passwordFile, password)
  chmodSync(folder, 0o700)
  if (account !== undefined) for (const path of [folder, passwordFile]) chownSync(path, account.uid, account.gid)
  const parameters = ["-D", join(folder, "data"), "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
  parameters.push("--auth=scram-sha-256", `--pwfile=${passwordFile}`)
  execFileSync(join(binaries.folder, "initdb"), parameters, {
    ...surroundings(binaries, folder, account),
    stdio: "pipe",
  })
}

function launch(binaries: PostgresBinaries, folder: string, port: number, account: Account): ChildProcess {
  const settings = {
    listen_addresses: "127.0.0.1",
    port,
    unix_socket_directories: "",
    fsync: "on",
    max_connections: 100,
  }
  const parameters = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
  const options: SpawnOptions = { ...surroundings(binaries, folder, account), stdio: ["ignore", "ignore", "pipe"] }
  return spawn(join(binaries.folder, "postgres"), ["-D", join(folder, "data"), ...parameters], options)
}

function surroundings(binaries: PostgresBinaries, folder: string, account: Account) {
  return { cwd: folder, env: { ...process.env, ...binaries.environment, LC_ALL: "C" }, ...account }
}

/** Waits for the first answered query; returns what the server said when it ended or stayed silent. */
async function ready(server: ChildProcess, url: string): Promise<string> {
  const said: string[] = []
  server.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said.push(text)
    if (said.length > 20) said.shift()
  })
  const deadlineMs = performance.now() + READY_MS_MAX
  while (performance.now() < deadlineMs && server.exitCode === null && server.signalCode === null) {
    const sql = postgres(url, { max: 1, connect_timeout: 2, onnotice: () => undefined })
    try {
      await sql`SELECT 1`
      return "ready"
    } catch {
      // Not listening yet, or still starting up.
      await wait(30)
    } finally {
      await sql.end({ timeout: 1 })
    }
  }
  return said.join("").trim() || "it said nothing"
}

function running(first: ChildProcess, url: string, folder: string, launchAgain: () => ChildProcess): RealPostgres {
  let server = first
  const pid = () => server.pid ?? 0
  const stopWithUs = () => void server.kill("SIGINT")
  process.once("exit", stopWithUs)
  // Each of its processes has a session of its own, so that no group holds them all; the first goes first, or it would
  // start others.
  const signalAll = (signal: NodeJS.Signals) => {
    const children = childrenOf(pid())
    process.kill(pid(), signal)
    // It may have started one more between the look and the signal.
    for (const id of new Set([...children, ...childrenOf(pid())])) {
      // A session may end by itself meanwhile.
      if (isAlive(id)) process.kill(id, signal)
    }
  }
  return {
    url,
    get pid() {
      return pid()
    },
    createDatabase: (name) => createDatabase(url, name),
    pause: () => signalAll("SIGSTOP"),
    resume: () => signalAll("SIGCONT"),
    async kill() {
      const children = childrenOf(pid())
      const exited = once(server, "exit")
      signalAll("SIGKILL")
      await exited
      while (children.some(isAlive)) await wait(5)
    },
    async restart() {
      server = launchAgain()
      const outcome = await ready(server, url)
      if (outcome !== "ready") throw new Error(`Postgres did not start again: ${outcome}`)
    },
    async stop() {
      process.off("exit", stopWithUs)
      if (server.exitCode === null && server.signalCode === null) signalAll("SIGCONT")
      await end(server)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** SIGINT is Postgres's fast shutdown: it ends sessions, writes a checkpoint, and takes its child processes along. */
async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, "exit")
  server.kill("SIGINT")
  const timer = setTimeout(() => server.kill("SIGQUIT"), STOP_MS_MAX)
  await exited
  clearTimeout(timer)
}

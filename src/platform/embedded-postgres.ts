/**
 * Postgres for an installation that was given none: PGlite in a child process, reached by the ordinary driver. A child
 * of its own keeps its memory (some 400 MB) and its synchronous work away from the proxy's event loop.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { CommitSync } from "./embedded-postgres-cluster.ts"
import { type StartFailure, startReport } from "./embedded-postgres-start-report.ts"
import type { Log } from "./log.ts"

export interface EmbeddedPostgresOptions {
  /** Made when missing; belongs to one embedded Postgres at a time. */
  dataDir: string
  log?: Log
  /** A first start takes about 3 s on two idle cores, a later one half a second. */
  startTimeoutMs?: number
  /** What an acknowledged commit survives; `power` costs an fsync per commit. */
  sync?: CommitSync
}

export interface EmbeddedPostgres {
  /** postgres://… on loopback, with a password made for this start; for the driver's defaults. */
  url: string
  pid: number
  /** Closes the database cleanly; ends all connections. */
  stop(): Promise<void>
  /** Resolves when the process has ended, asked or not. */
  exited: Promise<Exit>
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

/** The embedded Postgres did not start. Its message is written for the person who started Tallygate. */
export class EmbeddedPostgresError extends Error {
  readonly reason: StartFailure | "timeout" | "exited"
  /** The process that has the data directory, for `locked`. */
  readonly pid: number | undefined

  constructor(reason: EmbeddedPostgresError["reason"], message: string, pid?: number) {
    super(message)
    this.name = "EmbeddedPostgresError"
    this.reason = reason
    this.pid = pid
  }
}

const CHILD_PROGRAM = fileURLToPath(new URL("./embedded-postgres-child.ts", import.meta.url))
/** Longer than the child takes before it ends itself the hard way. */
const STOP_MS_MAX = 15_000
const STDERR_LINES_MAX = 20

/** Starts the embedded Postgres and waits until it serves. @throws EmbeddedPostgresError */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const child = spawn(process.execPath, [CHILD_PROGRAM, options.dataDir, options.sync ?? "process"], { stdio: "pipe" })
  // Writing nothing to it, we learn of a broken pipe only as an error event; `exited` tells the same.
  child.stdin.on("error", () => undefined)
  const exited = new Promise<Exit>((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })))
  const stderr: string[] = []
  createInterface(child.stderr).on("line", (line) => {
    stderr.push(line)
    if (stderr.length > STDERR_LINES_MAX) stderr.shift()
    options.log?.warn({ line }, "embedded postgres says")
  })
  try {
    const url = await firstReport(child, exited, stderr, options.startTimeoutMs ?? 60_000)
    return { url, pid: child.pid ?? 0, exited, stop: () => stop(child, exited) }
  } catch (error) {
    child.kill("SIGKILL")
    throw error
  }
}

/** The url of the ready line. @throws EmbeddedPostgresError for any other outcome */
async function firstReport(
  child: ChildProcess,
  exited: Promise<Exit>,
  stderr: string[],
  timeoutMs: number,
): Promise<string> {
  const aborter = new AbortController()
  const timer = setTimeout(() => aborter.abort(), timeoutMs)
  try {
    if (child.stdout === null)
      throw new EmbeddedPostgresError("unknown", "the embedded Postgres has no standard output")
    const lines = createInterface(child.stdout)
    const gone = exited.then(({ code, signal }) => {
      throw new EmbeddedPostgresError(
        "exited",
        `the embedded Postgres ended while starting (${signal ?? code}): ${stderr.join(" | ")}`,
      )
    })
    const failed = once(child, "error", { signal: aborter.signal }).then(([cause]) => {
      throw new EmbeddedPostgresError("unknown", `the embedded Postgres could not be started: ${String(cause)}`)
    })
    const [line] = await Promise.race([once(lines, "line", { signal: aborter.signal }), gone, failed])
    const report = startReport.parse(JSON.parse(String(line)))
    if (report.kind === "ready") return report.url
    throw new EmbeddedPostgresError(report.reason, report.message, report.pid)
  } catch (error) {
    if (!aborter.signal.aborted) throw error
    throw new EmbeddedPostgresError(
      "timeout",
      `the embedded Postgres was not ready within ${timeoutMs} ms: ${stderr.join(" | ")}`,
    )
  } finally {
    clearTimeout(timer)
    aborter.abort()
  }
}

async function stop(child: ChildProcess, exited: Promise<Exit>): Promise<void> {
  child.stdin?.end()
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX)
  await exited
  clearTimeout(timer)
}

/** Tallygate as its user runs it: a process of its own, started through npm or directly, watched by its output. */
import { type ChildProcess, spawn } from "node:child_process"
import path from "node:path"
import { freePort } from "../../src/app/free-port.ts"
import { until } from "./test-app.ts"

export const PROJECT = path.join(import.meta.dirname, "..", "..")

export type Running = {
  readonly process: ChildProcess
  readonly url: string
  /** Everything it has printed so far, both streams. */
  output(): string
  /** Resolves with the exit code, or the signal's name. */
  readonly exited: Promise<number | string>
}

/** Runs a command to its end, or until `timeoutMs`. */
export async function run(
  command: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; timeoutMs?: number } = {},
): Promise<{ code: number | string; output: string }> {
  const started = start(command, options)
  const timer = setTimeout(() => started.process.kill("SIGKILL"), options.timeoutMs ?? 30_000)
  const code = await started.exited
  clearTimeout(timer)
  return { code, output: started.output() }
}

/** Starts Tallygate on a free port and waits until it listens. */
export async function startTallygate(
  command: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; port?: number } = {},
): Promise<Running> {
  const port = options.port ?? (await freePort())
  const started = start(command, { ...options, env: { ...options.env, PORT: String(port) } })
  const url = `http://127.0.0.1:${port}`
  const over = started.exited.then((code) => {
    throw new Error(`it ended with ${code} before it listened:\n${started.output()}`)
  })
  const listening = until(async () => (started.output().includes("listens on") ? true : undefined), 60_000)
  await Promise.race([over, listening])
  over.catch(() => undefined)
  return { ...started, url }
}

function start(
  command: readonly string[],
  options: { cwd?: string; env?: Record<string, string> },
): Omit<Running, "url"> {
  const [program = "", ...args] = command
  const env: Record<string, string | undefined> = { ...process.env, ...options.env }
  // What the test runner was given is not what a user has.
  for (const name of ["NODE_OPTIONS", "NODE_ENV", "VITEST", "OPENAI_API_KEY"]) delete env[name]
  const child = spawn(program, args, { cwd: options.cwd ?? PROJECT, env, stdio: ["ignore", "pipe", "pipe"] })
  let output = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text
    })
  }
  const exited = new Promise<number | string>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"))
  })
  return { process: child, output: () => output, exited }
}

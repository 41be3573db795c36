/** `tallygate serve`: starts the app, or several workers of it, greets on the first run, and drains on SIGTERM or Ctrl-C. */
import { formatProblem, loadConfig } from "../config/load.ts"
import { version } from "../platform/version.ts"
import { greeting } from "./greeting.ts"
import { runApp } from "./run-app.ts"
import { askedToEnd } from "./signals.ts"
import { superviseWorkers } from "./supervise-workers.ts"

/** Resolves with the exit code when the process has been asked to end and everything is closed. */
export async function serve(env: Record<string, string | undefined>, cwd: string): Promise<number> {
  const loaded = loadConfig({ env, cwd })
  if (loaded.kind === "invalid") {
    for (const problem of loaded.problems) process.stderr.write(`${formatProblem(problem)}\n`)
    return 1
  }
  for (const note of loaded.notes) process.stderr.write(`note: ${note}\n`)
  const { config } = loaded
  // Listening for signals before the start, so that one that arrives meanwhile is not lost.
  const asked = askedToEnd()
  const on = { isSandbox: config.sandbox, providers: Object.keys(config.providers) }
  const watch = {
    asked,
    onListening: (started: Parameters<typeof greeting>[0]) => void process.stdout.write(greeting(started, on)),
    onRefused: (message: string) => void process.stderr.write(`Tallygate did not start: ${message}\n`),
  }
  return config.workers === 1 ? runApp({ config, version: version() }, watch) : superviseWorkers(config, watch)
}

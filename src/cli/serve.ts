/** `tallygate serve`: starts the app, greets on the first run, and drains on SIGTERM or Ctrl-C. */

import { StartError } from "../app/start-error.ts"
import { type App, startApp } from "../app.ts"
import { formatProblem, loadConfig } from "../config/load.ts"
import { version } from "../platform/version.ts"
import { greeting } from "./greeting.ts"

/** Resolves with the exit code when the process has been asked to end and everything is closed. */
export async function serve(env: Record<string, string | undefined>, cwd: string): Promise<number> {
  const loaded = loadConfig({ env, cwd })
  if (loaded.kind === "invalid") {
    for (const problem of loaded.problems) process.stderr.write(`${formatProblem(problem)}\n`)
    return 1
  }
  for (const note of loaded.notes) process.stderr.write(`note: ${note}\n`)
  // Listening for signals before the start, so that one that arrives meanwhile is not lost.
  const asked = askedToEnd()
  let app: App
  try {
    app = await startApp({ config: loaded.config, version: version() })
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    process.stderr.write(`Tallygate did not start: ${error.message}\n`)
    return 1
  }
  process.stdout.write(
    greeting(app, { isSandbox: loaded.config.sandbox, providers: Object.keys(loaded.config.providers) }),
  )
  const end = await Promise.race([asked, app.failed])
  const isAsked = end === "SIGTERM" || end === "SIGINT"
  if (isAsked) app.log.info({ signal: end }, "draining")
  else
    app.log.fatal({ reason: end }, "ending, since the app cannot go on; what is not in the ledger stays in the journal")
  const isClean = await app.close()
  return isAsked && isClean ? 0 : 1
}

function askedToEnd(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal))
  })
}

/** `tallygate serve`: starts the app, or several workers of it, greets on the first run, and drains on SIGTERM or Ctrl-C. */
import { ConfigReload } from "../app/reload.ts"
import type { Environment } from "../config/interpolate.ts"
import { configPath, loadConfig } from "../config/load.ts"
import { version } from "../platform/version.ts"
import { type CommandOutput, runCommand, toJson } from "./command.ts"
import { greeting } from "./greeting.ts"
import { readConfig } from "./read-config.ts"
import { runApp } from "./run-app.ts"
import { askedToEnd, onHangup } from "./signals.ts"
import { superviseWorkers } from "./supervise-workers.ts"

const SHAPE = {
  name: "serve",
  about:
    "Starts the proxy and serves until it is asked to end by SIGTERM or Ctrl-C. With --json it tells of its start, the\nkeys of a first run included, as JSON.",
  options: {},
  exits: "0 ended as asked, 1 did not start, or ended with calls cut",
} as const

/** Resolves with the exit code when the process has been asked to end and everything is closed. */
export function runServe(args: readonly string[], env: Environment, cwd: string, out: CommandOutput): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ isJson }) => {
    const { config, path, notes } = readConfig(env, cwd)
    const reload = new ConfigReload({
      file: configPath({ env, cwd }),
      // A file that was there must not go: without it the defaults would be taken for what was meant.
      load: () => loadConfig({ env, cwd, ...(path === null ? {} : { path }) }),
      running: config,
    })
    for (const note of notes) out.stderr.write(`note: ${note}\n`)
    // Listening for signals before the start, so that one that arrives meanwhile is not lost.
    const asked = askedToEnd()
    onHangup(() => reload.ask("SIGHUP"))
    await reload.start()
    const on = { isSandbox: config.sandbox, providers: Object.keys(config.providers) }
    const watch = {
      asked,
      reload,
      onListening: (started: Parameters<typeof greeting>[0]) =>
        void out.stdout.write(isJson ? toJson(startOf(started)) : greeting(started, on)),
      onRefused: (message: string) => {
        if (isJson) out.stdout.write(toJson({ kind: "failed", reason: message }))
        else out.stderr.write(`Tallygate did not start: ${message}\n`)
      },
    }
    return config.workers === 1 ? runApp({ config, version: version() }, watch) : superviseWorkers(config, watch)
  })
}

/** The greeting, for programs. */
function startOf({ url, adminUrl, metricsUrl, version, firstRun }: Parameters<typeof greeting>[0]) {
  const keys = firstRun.kind === "done now" ? { virtual_key: firstRun.virtualKey, admin_key: firstRun.adminKey } : null
  return { kind: "listening", url, admin_url: adminUrl, metrics_url: metricsUrl, version, first_run: keys }
}

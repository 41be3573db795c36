/** One of several workers: the app, started by a supervisor, told what to run and when to end over its channel. */
import { serveLinked } from "../app/worker-link.ts"
import { openLog } from "../platform/log.ts"
import { version } from "../platform/version.ts"
import { runApp } from "./run-app.ts"
import { askedToEnd, onHangup } from "./signals.ts"

/** Resolves with the exit code when everything is closed. */
export function runWorker(): Promise<number> {
  // It may be sent to the whole group; what it asks for is the supervisor's to do.
  onHangup(() => undefined)
  return serveLinked(askedToEnd(), (link, { worker, config }, end) => {
    const log = openLog(config.log.level).child({ worker })
    const options = { config, version: version(), log, metricsPage: () => link.metricsPage() }
    return runApp(options, {
      asked: end,
      onListening: (app) => {
        const { url, adminUrl, metricsUrl, version, firstRun } = app
        link.listening({ url, adminUrl, metricsUrl, version, firstRun }, app, (fault) =>
          log.error({ err: fault }, "the figures of this worker could not be read"),
        )
      },
      onRefused: (message) => link.notStarted(message),
    })
  })
}

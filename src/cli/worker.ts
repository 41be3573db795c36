/** One of several workers: the app, started by a supervisor, told what to run and when to end over its channel. */
import { WorkerLink } from "../app/worker-link.ts"
import { openLog } from "../platform/log.ts"
import { version } from "../platform/version.ts"
import { runApp } from "./run-app.ts"
import { askedToEnd } from "./signals.ts"

/** Resolves with the exit code when everything is closed. */
export async function runWorker(): Promise<number> {
  const asked = askedToEnd()
  const link = new WorkerLink()
  const end = Promise.race([asked, link.stopped])
  const start = await Promise.race([link.started, end])
  if (typeof start === "string") {
    await link.close()
    return 0
  }
  const { worker, config } = start
  const log = openLog(config.log.level).child({ worker })
  const options = { config, version: version(), log, metricsPage: () => link.metricsPage() }
  const code = await runApp(options, {
    asked: end,
    onListening: ({ url, version, firstRun, registry }) =>
      link.listening({ url, version, firstRun }, registry, (fault) =>
        log.error({ err: fault }, "the figures of this worker could not be read"),
      ),
    onRefused: (message) => link.notStarted(message),
  })
  await link.close()
  return code
}

/** Starts the app, lets it serve until it is asked to end or cannot go on, and closes it. */

import type { ConfigReload } from "../app/reload.ts"
import { StartError } from "../app/start-error.ts"
import { type App, type AppOptions, startApp } from "../app.ts"

export type AppWatch = {
  /** Resolves with the reason when the app is to end. */
  readonly asked: Promise<string>
  readonly onListening: (app: App) => void
  /** A start that failed for a reason that the operator can mend. */
  readonly onRefused: (message: string) => void
  /** Loads the configuration again for the app; a worker follows its supervisor instead. */
  readonly reload?: ConfigReload
}

/** Resolves with the exit code when everything is closed. */
export async function runApp(
  options: AppOptions,
  { asked, onListening, onRefused, reload }: AppWatch,
): Promise<number> {
  let app: App
  try {
    app = await startApp(options)
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    onRefused(error.message)
    return 1
  }
  onListening(app)
  reload?.follow(app)
  const end = await Promise.race([
    asked.then((reason) => ({ isAsked: true, reason })),
    app.failed.then((reason) => ({ isAsked: false, reason })),
  ])
  if (end.isAsked) app.log.info({ reason: end.reason }, "draining")
  else
    app.log.fatal(
      { reason: end.reason },
      "ending, since the app cannot go on; what is not in the ledger stays in the journal",
    )
  await reload?.stop()
  const isClean = await app.close()
  return end.isAsked && isClean ? 0 : 1
}

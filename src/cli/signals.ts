/** What signals ask for: an orderly end, or the configuration to be loaded again. */
import { isatty } from "node:tty"

/** The signals that ask for an orderly end. A second one of a kind ends the process at once, as it would without us. */
export function askedToEnd(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal))
  })
}

/**
 * Calls back for each SIGHUP. One that comes because the terminal that this process was started on has gone ends it at
 * once, as it would without us: whatever is written to that terminal fails from then on.
 */
export function onHangup(reload: () => void): void {
  const streams = [0, 1, 2]
  const hadTerminal = streams.some((stream) => isatty(stream))
  process.on("SIGHUP", () => {
    if (!hadTerminal || streams.some((stream) => isatty(stream))) {
      reload()
      return
    }
    process.removeAllListeners("SIGHUP")
    process.kill(process.pid, "SIGHUP")
  })
}

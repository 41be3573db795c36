/**
 * The log. Log objects are built from named fields only: no call site passes a body, a header map or a key, so there is
 * nothing to redact; the redaction list is the second fence, and a canary test reads everything that was written.
 */
import { type DestinationStream, type Logger, pino } from "pino"

export type Log = Logger

/** Opens a JSON-lines log on standard error, so that standard output stays free for what a command prints. */
export function openLog(level: string, destination: DestinationStream = pino.destination({ fd: 2, sync: false })): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: [
          "*.authorization",
          "*.api_key",
          "*.key",
          "*.secret",
          "*.secret_access_key",
          "*.session_token",
          "*.password",
          "authorization",
          "api_key",
          "secret",
        ],
        censor: "‹hidden›",
      },
    },
    destination,
  )
}

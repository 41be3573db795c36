/** Starts that fail for a reason that their operator can mend: what is wrong, and what to do. */
import type { ListenerConfig, ListenerName } from "../config/listeners.ts"
import { EmbeddedPostgresError } from "../platform/embedded-postgres.ts"
import { MigrationError } from "../platform/migrate.ts"
import { isConnectionLost, sqlState } from "../platform/postgres.ts"

/** Its message is for the operator and needs no stack. */
export class StartError extends Error {}

/** Wrong password, no such role, no such database. */
const REFUSED_STATES = ["28P01", "28000", "3D000"]

/** What an operator can mend is told in a sentence; anything else is a fault and keeps its stack. */
export function asStartError(error: unknown): unknown {
  if (error instanceof StartError) return error
  if (error instanceof EmbeddedPostgresError || error instanceof MigrationError)
    return new StartError(error.message, { cause: error })
  if (codeOf(error) === "EACCES")
    return new StartError(`no permission: ${String(error)}. Check TALLYGATE_DATA.`, { cause: error })
  if (isConnectionLost(error))
    return new StartError("Postgres does not answer. Check DATABASE_URL, and that it runs.", { cause: error })
  if (REFUSED_STATES.includes(sqlState(error) ?? ""))
    return new StartError(`Postgres refuses: ${String(error)}. Check DATABASE_URL.`, { cause: error })
  return error
}

/** Why a listener could not be opened: where it was to listen, and which key or variable says so. */
export function cannotListen(name: ListenerName, { host, port }: ListenerConfig, cause: unknown): unknown {
  const [key, portKey, hostKey] =
    name === "listen" ? ["", "PORT", "HOST"] : [` (${name})`, `${name}.port`, `${name}.host`]
  const where = `port ${port} on ${host}${key}`
  switch (codeOf(cause)) {
    case "EADDRINUSE":
      return new StartError(`${where} is taken. Stop what listens there, or set ${portKey}.`, { cause })
    case "EACCES":
      return new StartError(`${where} is not for this user. Set ${portKey} to one above 1023.`, { cause })
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new StartError(`${host}${key} is no address of this machine. Set ${hostKey}.`, { cause })
    default:
      return cause
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined
}

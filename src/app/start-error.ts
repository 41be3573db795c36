/** Starts that fail for a reason that their operator can mend: what is wrong, and what to do. */
import type { Config } from "../config/schema.ts"
import { EmbeddedPostgresError } from "../platform/embedded-postgres.ts"
import { MigrationError } from "../platform/migrate.ts"
import { isConnectionLost, sqlState } from "../platform/postgres.ts"

/** Its message is for the operator and needs no stack. */
export class StartError extends Error {}

/** Wrong password, no such role, no such database. */
const REFUSED_STATES = ["28P01", "28000", "3D000"]

/** What an operator can mend is told in a sentence; anything else is a fault and keeps its stack. */
export function asStartError(error: unknown, config: Config): unknown {
  if (error instanceof StartError) return error
  if (error instanceof EmbeddedPostgresError || error instanceof MigrationError)
    return new StartError(error.message, { cause: error })
  const code = error instanceof Error && "code" in error ? error.code : undefined
  const { host, port } = config.listen
  if (code === "EADDRINUSE")
    return new StartError(`port ${port} on ${host} is taken. Stop what listens there, or set PORT.`)
  if (code === "EACCES")
    return new StartError(`no permission: ${String(error)}. Check TALLYGATE_DATA and PORT.`, { cause: error })
  if (isConnectionLost(error))
    return new StartError("Postgres does not answer. Check DATABASE_URL, and that it runs.", { cause: error })
  if (REFUSED_STATES.includes(sqlState(error) ?? ""))
    return new StartError(`Postgres refuses: ${String(error)}. Check DATABASE_URL.`, { cause: error })
  return error
}

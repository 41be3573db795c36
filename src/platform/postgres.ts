/**
 * The door to Postgres, thin over the `postgres` driver with its defaults. `int8` and `numeric` arrive as strings, since
 * a float must never hold money; each room converts at its own edge (`BigInt(row.tokens)`). A bigint parameter is sent
 * as `int8`. Code that must also run on the embedded Postgres uses no session state: no SET but SET LOCAL, no advisory
 * locks, temporary tables, LISTEN/NOTIFY, COPY, and no cursor.
 */
import postgres from "postgres"
import { ARRAY_TYPES } from "./postgres-arrays.ts"

/** Takes bigint parameters, single and in arrays; answers none (see above). */
export type Sql = postgres.Sql<{ bigint: bigint }>
export type Transaction = postgres.TransactionSql<{ bigint: bigint }>
/** A piece of a statement, to be put into another one. */
export type SqlFragment = postgres.PendingQuery<postgres.Row[]>

const RECONNECT_SECONDS_MIN = 0.05
const RECONNECT_SECONDS_MAX = 1

export interface PostgresOptions {
  /** Connections at most; they are opened when needed. */
  max: number
  /** Seen in pg_stat_activity. */
  applicationName: string
  /** Called for each NOTICE. Without it notices are dropped: the driver would print them on standard output. */
  onNotice?: (message: string) => void
}

/** Opens a pool; nothing is connected before the first query. Close it with `sql.end({ timeout })`, in seconds. */
export function openPostgres(url: string, options: PostgresOptions): Sql {
  const sql = postgres(url, {
    max: options.max,
    connection: { application_name: options.applicationName },
    // The driver would wait up to 20 s between two attempts, long after Postgres is back.
    backoff: (attempts) => Math.min(RECONNECT_SECONDS_MAX, RECONNECT_SECONDS_MIN * 2 ** attempts),
    fetch_types: false,
    types: ARRAY_TYPES,
    onnotice: (notice) => options.onNotice?.(notice.message ?? ""),
  })
  return asSql(sql)
}

/** The driver sends a bigint as int8 unasked; only its types know that no earlier than a parser is registered, which would change what arrives. */
function asSql(sql: unknown): Sql {
  return sql as Sql
}

const CAUSES_MAX = 5
const LOST_CODES = new Set([
  ...["CONNECTION_CLOSED", "CONNECTION_DESTROYED", "CONNECTION_ENDED", "CONNECT_TIMEOUT"],
  ...["ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
  ...["ENOTFOUND", "EAI_AGAIN", "ENOENT"],
])
/** Class 08, a server that goes or has not come up yet, and sessions it has ended for being idle. */
const LOST_SQL_STATES = /^(08...|57P0[1235]|25P03)$/

/** The five-character SQLSTATE that the server gave, of this error or what caused it; undefined when the server did not speak. */
export function sqlState(error: unknown): string | undefined {
  return causes(error).find((cause) => cause instanceof postgres.PostgresError)?.code
}

/** True when the connection failed: the same statement may succeed later, and may have been done although its answer was lost. */
export function isConnectionLost(error: unknown): boolean {
  const state = sqlState(error)
  if (state !== undefined) return LOST_SQL_STATES.test(state)
  return causes(error).some((cause) => cause.code !== undefined && LOST_CODES.has(cause.code))
}

/** True when the data was refused (SQLSTATE class 22, data exception, or 23, constraint): the same rows fail again. */
export function isDataError(error: unknown): boolean {
  return /^2[23]/.test(sqlState(error) ?? "")
}

/** The error and what caused it, in that order, as far as they are errors. */
function causes(error: unknown): (Error & { code?: string })[] {
  const chain: (Error & { code?: string })[] = []
  for (let at = error; at instanceof Error && chain.length < CAUSES_MAX; at = at.cause) chain.push(at)
  return chain
}

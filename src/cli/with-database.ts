/** The configured database for the time of one command: the given server, or the embedded one, started and stopped again. */
import { existsSync } from "node:fs"
import path from "node:path"
import { asStartError, StartError } from "../app/start-error.ts"
import type { Config } from "../config/load.ts"
import { showUrl } from "../config/problem.ts"
import { startEmbeddedPostgres } from "../platform/embedded-postgres.ts"
import { openPostgres, type Sql } from "../platform/postgres.ts"
import { CommandError } from "./command.ts"

const CONNECTIONS_MAX = 2
const END_SECONDS_MAX = 5

/** How people know the database; without a password. */
export function databaseName(config: Config): string {
  return config.database_url === undefined ? `embedded in ${embeddedFolder(config)}` : showUrl(config.database_url)
}

export function embeddedFolder(config: Config): string {
  return path.join(config.data_dir, "postgres")
}

/** Whether there is a database yet: an embedded one is made at its first start. */
export function isDatabaseMade(config: Config): boolean {
  return config.database_url !== undefined || existsSync(embeddedFolder(config))
}

/** Lets `act` use the database. @throws CommandError where it cannot be reached, or a Tallygate that runs has it */
export async function withDatabase<T>(config: Config, act: (sql: Sql) => Promise<T>): Promise<T> {
  try {
    if (config.database_url !== undefined) return await withServer(config.database_url, act)
    const embedded = await startEmbeddedPostgres({ dataDir: embeddedFolder(config), sync: config.journal.sync })
    try {
      return await withServer(embedded.url, act)
    } finally {
      await embedded.stop()
    }
  } catch (error) {
    const known = asStartError(error)
    throw known instanceof StartError ? new CommandError(known.message, { cause: error }) : error
  }
}

async function withServer<T>(url: string, act: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = openPostgres(url, { max: CONNECTIONS_MAX, applicationName: "tallygate-command" })
  try {
    return await act(sql)
  } finally {
    await sql.end({ timeout: END_SECONDS_MAX })
  }
}

/** The database that a restore goes into: what stands in it, who uses it, and how room is made. */
import { randomUUID } from "node:crypto"
import type { Migration } from "../platform/migrate.ts"
import { type Sql, sqlState, type Transaction } from "../platform/postgres.ts"
import { BackupError, type LedgerHead } from "./backup.ts"
import { madeByMigrations, quoted, readTables, tablesThere } from "./backup-tables.ts"
import { setMarker, unfinishedRestore } from "./restore-marker.ts"

/** Filled by the migrations that make them, so that they are no sign of an installation. */
const FILLED_BY_MIGRATIONS = ["directory_version", "alert_rules"]
/** Connections by which a Tallygate that runs is known; commands have other names. */
const RUNNING_NAMES = ["tallygate", "tallygate-shipper", "tallygate-directory", "tallygate-objects"]
const SERVER_VERSION_MIN = 140_000
const DEPENDENTS_STATE = "2BP01"

export type Standing =
  | { readonly kind: "empty" }
  /** What a restore that did not finish has left; `earlier` is the file with what stood there before it, or ''. */
  | { readonly kind: "unfinished"; readonly earlier: string }
  /** `tables` have rows. */
  | { readonly kind: "full"; readonly tables: readonly string[] }

export async function readStanding(sql: Sql, migrations: readonly Migration[]): Promise<Standing> {
  const unfinished = await unfinishedRestore(sql)
  if (unfinished !== null) return { kind: "unfinished", earlier: unfinished.earlier }
  const tables: string[] = []
  for (const { name } of await readTables(sql, madeByMigrations(migrations))) {
    if (FILLED_BY_MIGRATIONS.includes(name)) continue
    if (await hasRows(sql, name)) tables.push(name)
  }
  return tables.length === 0 ? { kind: "empty" } : { kind: "full", tables }
}

export async function hasRows(sql: Sql | Transaction, table: string): Promise<boolean> {
  return (await sql.unsafe(`SELECT 1 FROM ${quoted(table)} LIMIT 1`)).length > 0
}

/** @throws BackupError where the server is older than the schema needs */
export async function checkServer(sql: Sql): Promise<void> {
  const [row] = await sql<{ number: number; text: string }[]>`
    SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version') AS text`
  if (row !== undefined && row.number < SERVER_VERSION_MIN)
    throw new BackupError(`The server is Postgres ${row.text}; Tallygate needs Postgres 14 or newer.`)
}

/** @throws BackupError where a Tallygate is connected to the database */
export async function refuseRunning(sql: Sql): Promise<void> {
  const [row] = await sql<{ connections: number }[]>`
    SELECT count(*)::integer AS connections FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = ANY(${RUNNING_NAMES}) AND pid <> pg_backend_pid()`
  if ((row?.connections ?? 0) > 0)
    throw new BackupError("A Tallygate runs on this database. Stop every one of them first, on all machines.")
}

/** @throws BackupError where this version cannot make the schema of the backup */
export function refuseUnknownSchema(head: LedgerHead, migrations: readonly Migration[], madeBy: string): void {
  const known = new Map(migrations.map(({ name, checksum }) => [name, checksum]))
  for (const { name, checksum } of head.migrations) {
    if (known.get(name) === checksum) continue
    throw new BackupError(
      `The backup was made by Tallygate ${madeBy}, and this version does not know its migration ${name}. ` +
        `Use Tallygate ${madeBy} or newer.`,
    )
  }
}

/**
 * Drops the tables that are Tallygate's, with whatever is in them, and sets the marker in the same transaction. Returns
 * the marker's id.
 */
export async function makeRoom(
  sql: Sql,
  migrations: readonly Migration[],
  told: { readonly source: string; readonly earlier: string },
): Promise<string> {
  const id = randomUUID()
  const made = madeByMigrations(migrations)
  try {
    await sql.begin(async (transaction) => {
      await setMarker(transaction, { ...told, id })
      const tables = await tablesThere(transaction, made.tables)
      for (const name of made.views) await transaction.unsafe(`DROP VIEW IF EXISTS ${quoted(name)}`)
      // Not CASCADE: what others have built on these tables is not ours to drop.
      if (tables.length > 0) await transaction.unsafe(`DROP TABLE ${tables.map(quoted).join(", ")}`)
      for (const name of made.functions) await transaction.unsafe(`DROP FUNCTION IF EXISTS ${quoted(name)}`)
    })
  } catch (cause) {
    if (sqlState(cause) !== DEPENDENTS_STATE) throw cause
    throw new BackupError(
      `Something that is not Tallygate's depends on its tables: ${String(cause)}. Drop it, or use a new database.`,
      { cause },
    )
  }
  return id
}

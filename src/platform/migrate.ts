/**
 * Brings the database to this version's schema. Numbered files, each in one transaction with the row that says it was
 * applied; any number of processes may start at once, the table's lock lets one apply what the others then find done.
 */
import { createHash } from "node:crypto"
import { readdir, readFile } from "node:fs/promises"
import path from "node:path"
import { type Sql, sqlState, type Transaction } from "./postgres.ts"

/** The database and this program do not fit together; the message says how and what to do. */
export class MigrationError extends Error {}

export type MigrateOptions = {
  /** Version of the running program, kept with each migration so that an older one can name what it needs. */
  readonly codeVersion: string
  /** Names of the only ones to apply, for a database that is to have an earlier schema; all by default. */
  readonly only?: ReadonlySet<string>
}

export type Migration = {
  readonly name: string
  readonly text: string
  readonly checksum: string
  /** Programs that do not know it must not run on the database any more: `-- breaking` begins the file. */
  readonly isBreaking: boolean
}

type AppliedRow = {
  readonly name: string
  readonly checksum: string
  readonly is_breaking: boolean
  readonly code_version: string
}

const FILE_NAME = /^\d{4}_[a-z0-9_]+\.sql$/
/** What CREATE TABLE IF NOT EXISTS throws when another session makes the same table at the same moment. */
const MADE_BY_ANOTHER = new Set(["42P07", "23505", "42710"])

/** Applies what is missing, in the order of the numbers. @throws MigrationError, or what a migration's SQL threw, naming it */
export async function migrate(sql: Sql, directory: string, options: MigrateOptions): Promise<{ applied: string[] }> {
  const migrations = await readMigrations(directory)
  await makeTable(sql)
  const applied: string[] = []
  const known = new Map((await appliedRows(sql)).map((row) => [row.name, row]))
  refuseNewer([...known.values()], migrations)
  for (const migration of migrations) {
    const row = known.get(migration.name)
    if (options.only?.has(migration.name) === false) continue
    if (row !== undefined) refuseChanged(migration, row)
    else if (await apply(sql, migration, migrations, options.codeVersion)) applied.push(migration.name)
  }
  return { applied }
}

/** Names of the migrations that `migrate` would apply, in order; changes nothing. @throws MigrationError as `migrate` does */
export async function pendingMigrations(sql: Sql, directory: string): Promise<string[]> {
  const migrations = await readMigrations(directory)
  const [table] = await sql<{ name: string | null }[]>`SELECT to_regclass('schema_migrations')::text AS name`
  const rows = table?.name == null ? [] : await appliedRows(sql)
  refuseNewer(rows, migrations)
  const known = new Map(rows.map((row) => [row.name, row]))
  return migrations.flatMap((migration) => {
    const row = known.get(migration.name)
    if (row !== undefined) refuseChanged(migration, row)
    return row === undefined ? [migration.name] : []
  })
}

/** This program's migrations, in their order. @throws MigrationError where files are named wrongly */
export async function readMigrations(directory: string): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).sort()
  const numbers = new Set<string>()
  for (const name of names) {
    if (!FILE_NAME.test(name)) throw new MigrationError(`Migration ${name} is not named like 0007_what_for.sql.`)
    const number = name.slice(0, 4)
    if (numbers.has(number)) throw new MigrationError(`Two migrations have the number ${number}.`)
    numbers.add(number)
  }
  return Promise.all(names.map((name) => readMigration(directory, name)))
}

async function readMigration(directory: string, name: string): Promise<Migration> {
  // A checkout on Windows may have changed the line ends; that is no change of the migration.
  const text = (await readFile(path.join(directory, name), "utf8")).replaceAll("\r\n", "\n")
  return {
    name: name.slice(0, -".sql".length),
    text,
    checksum: createHash("sha256").update(text).digest("hex"),
    isBreaking: /^--\s*breaking\b/i.test(text),
  }
}

async function makeTable(sql: Sql): Promise<void> {
  try {
    await sql`CREATE TABLE IF NOT EXISTS schema_migrations (
      name         text PRIMARY KEY,
      checksum     text NOT NULL,
      is_breaking  boolean NOT NULL,
      code_version text NOT NULL,
      applied_at   timestamptz NOT NULL DEFAULT now()
    )`
  } catch (error) {
    if (!MADE_BY_ANOTHER.has(sqlState(error) ?? "")) throw error
  }
}

/** True where this process applied it, false where another one had by the time of the lock. */
async function apply(
  sql: Sql,
  migration: Migration,
  migrations: readonly Migration[],
  codeVersion: string,
): Promise<boolean> {
  try {
    return await sql.begin(async (transaction) => {
      await transaction`LOCK TABLE schema_migrations IN SHARE ROW EXCLUSIVE MODE`
      const rows = await appliedRows(transaction)
      refuseNewer(rows, migrations)
      const row = rows.find((applied) => applied.name === migration.name)
      if (row !== undefined) {
        refuseChanged(migration, row)
        return false
      }
      await transaction.unsafe(migration.text)
      await transaction`
        INSERT INTO schema_migrations (name, checksum, is_breaking, code_version)
        VALUES (${migration.name}, ${migration.checksum}, ${migration.isBreaking}, ${codeVersion})`
      return true
    })
  } catch (cause) {
    if (cause instanceof MigrationError) throw cause
    throw new Error(`Migration ${migration.name} failed: ${String(cause)}. Nothing of it was applied.`, { cause })
  }
}

function appliedRows(sql: Sql | Transaction): Promise<AppliedRow[]> {
  return sql<AppliedRow[]>`SELECT name, checksum, is_breaking, code_version FROM schema_migrations ORDER BY name`
}

function refuseNewer(rows: readonly AppliedRow[], migrations: readonly Migration[]): void {
  const names = new Set(migrations.map((migration) => migration.name))
  const breaking = rows.find((row) => row.is_breaking && !names.has(row.name))
  if (breaking === undefined) return
  throw new MigrationError(
    `The database was migrated by Tallygate ${breaking.code_version} (${breaking.name}), and older versions cannot run on ` +
      `it. Start Tallygate ${breaking.code_version} or newer, or restore a backup from before that migration.`,
  )
}

function refuseChanged(migration: Migration, row: AppliedRow): void {
  if (row.checksum === migration.checksum) return
  throw new MigrationError(
    `Migration ${migration.name} was applied to the database by Tallygate ${row.code_version}, but its file has changed ` +
      "since. Restore the file; a change of the schema is a migration of its own.",
  )
}

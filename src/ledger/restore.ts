/**
 * Fills a database from the pieces of a backup, whether they come from a file or from another database. The marker is set
 * and room is made; the schema of the backup's own version is made by its migrations; one transaction takes all rows, and
 * nothing of them where a single one is missing; then the marker goes, and what this version has changed since is
 * migrated as it would be at an upgrade. Killed at any moment, the database has the marker or the whole ledger.
 */

import { writeAudit } from "../identity/audit.ts"
import { migrate, readMigrations } from "../platform/migrate.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { BackupError, type LedgerHead, type Piece } from "./backup.ts"
import { writeTextsAlike } from "./backup-read.ts"
import { type LedgerTable, madeByMigrations, quoted, readTables } from "./backup-tables.ts"
import { markRestored } from "./ledger-identity.ts"
import { ensureMonths, monthOf } from "./partitions.ts"
import { dropMarker, holdMarker } from "./restore-marker.ts"
import { hasRows, makeRoom } from "./restore-target.ts"

export type RestoreOptions = {
  readonly migrationsFolder: string
  readonly codeVersion: string
  /** What is restored, for people: a file, or a database. Without credentials. */
  readonly source: string
  /** The file to which what stood in the database was saved; '' where it was empty. */
  readonly earlier: string
  /** Called when the rows are in and the marker still stands: what must be there when a Tallygate starts. */
  readonly beforeDone?: () => void
}

export type Restored = {
  /** Rows by table. */
  readonly rows: ReadonlyMap<string, number>
  /** Migrations of this version that the backup's schema did not have. */
  readonly migrated: readonly string[]
}

/**
 * Puts a ledger into a database whose own content is given up.
 * @param pieces of any kind; those of journal files are passed over. Whatever they throw leaves the marker and no row.
 */
export async function restoreLedger(
  sql: Sql,
  head: LedgerHead,
  pieces: AsyncIterable<Piece>,
  options: RestoreOptions,
): Promise<Restored> {
  const { migrationsFolder, codeVersion } = options
  const migrations = await readMigrations(migrationsFolder)
  const marker = await makeRoom(sql, migrations, options)
  const only = new Set(head.migrations.map(({ name }) => name))
  await migrate(sql, migrationsFolder, { codeVersion, only })
  await ensureMonths(sql, head.months.flatMap(monthNamed))
  const rows = await sql.begin(async (transaction) => {
    if (!(await holdMarker(transaction, marker)))
      throw new BackupError("Another restore into the same database has begun meanwhile; this one was given up.")
    await writeTextsAlike(transaction)
    const tables = await readTables(transaction, madeByMigrations(migrations))
    const inserted = await insertAll(transaction, tables, pieces)
    await setSequences(transaction, tables)
    const told = { source: options.source, ledger_id: head.ledgerId, records: inserted.get("usage_records") ?? 0 }
    await writeAudit(
      transaction,
      { name: "command line", ip: "" },
      { organizationId: "", action: "ledger.restore", subject: "ledger", before: null, after: told },
    )
    return inserted
  })
  options.beforeDone?.()
  await dropMarker(sql)
  const { applied } = await migrate(sql, migrationsFolder, { codeVersion })
  await markRestored(sql)
  return { rows, migrated: applied }
}

function monthNamed(table: string) {
  const [, year, month] = /^usage_records_(\d{4})_(\d{2})$/.exec(table) ?? []
  const found = monthOf(Date.UTC(Number(year), Number(month) - 1))
  if (found === null) throw new BackupError(`The backup has a part of usage_records that is no month: ${table}.`)
  return found
}

async function insertAll(
  transaction: Transaction,
  tables: readonly LedgerTable[],
  pieces: AsyncIterable<Piece>,
): Promise<Map<string, number>> {
  // What migrations have filled comes from the backup.
  for (const { name } of tables.toReversed()) {
    if (await hasRows(transaction, name)) await transaction.unsafe(`DELETE FROM ${quoted(name)}`)
  }
  const inserted = new Map<string, number>()
  let table = ""
  let statement = ""
  for await (const piece of pieces) {
    if (piece.kind === "table") {
      table = piece.table
      statement = insertStatement(table, tables, piece.columns)
      inserted.set(table, 0)
    } else if (piece.kind === "rows") {
      const { count } = await transaction.unsafe(statement, [`[${piece.rows.join(",")}]`], { prepare: true })
      if (count !== piece.rows.length)
        throw new BackupError(`Of ${piece.rows.length} rows, ${table} took ${count}: something removes rows from it.`)
      inserted.set(table, (inserted.get(table) ?? 0) + count)
    }
  }
  return inserted
}

/** @throws BackupError where the schema has another table than the backup says */
function insertStatement(name: string, tables: readonly LedgerTable[], columns: readonly string[]): string {
  const table = tables.find((one) => one.name === name)
  const values = columns.map((column, index) => {
    const type = table?.columns.find((one) => one.name === column)?.type
    if (type === undefined) throw new BackupError(`The backup has a column ${name}.${column} that its schema has not.`)
    return `(r ->> ${index})::${type}`
  })
  // Columns that count by themselves take the numbers that were given before.
  return `INSERT INTO ${quoted(name)} (${columns.map(quoted).join(", ")}) OVERRIDING SYSTEM VALUE
    SELECT ${values.join(", ")} FROM jsonb_array_elements($1::text::jsonb) AS r`
}

/** Columns that count by themselves go on after the highest number. */
async function setSequences(transaction: Transaction, tables: readonly LedgerTable[]): Promise<void> {
  for (const { name, columns } of tables) {
    for (const column of columns) {
      const [found] = await transaction<{ sequence: string | null }[]>`
        SELECT pg_get_serial_sequence(${quoted(name)}, ${column.name}) AS sequence`
      if (found?.sequence == null) continue
      await transaction.unsafe(
        `SELECT setval($1::text::regclass, greatest(max(${quoted(column.name)}), 1), max(${quoted(column.name)}) IS NOT NULL)
         FROM ${quoted(name)}`,
        [found.sequence],
      )
    }
  }
}

/**
 * The tables of a ledger, from the catalog of whatever version's schema the database has. Which tables are Tallygate's
 * is what its migrations make: a schema may be shared with others.
 */
import type { Migration } from "../platform/migrate.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { BackupError } from "./backup.ts"

export type LedgerTable = {
  readonly name: string
  /** Those that are stored, in their order; `type` as SQL writes it. */
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  /** Columns of the primary key, in its order. */
  readonly key: readonly string[]
}

/** What a schema consists of, by what its migrations say. */
export type MadeByMigrations = Readonly<Record<"tables" | "views" | "functions", readonly string[]>>

/** Of this installation as it runs, not of what it has written down: who runs, who is logged in, what is held, which ledger it is. */
const NOT_COPIED = [
  "schema_migrations",
  "proxy_instances",
  "sessions",
  "login_failures",
  "usage_holds",
  "ledger_identity",
]

export function madeByMigrations(migrations: readonly Pick<Migration, "text">[]): MadeByMigrations {
  const named = (pattern: RegExp) =>
    migrations.flatMap(({ text }) => [...text.matchAll(pattern)].map((found) => found[1] ?? ""))
  return {
    tables: [...named(/^CREATE TABLE (?:IF NOT EXISTS )?(\w+)/gm), "schema_migrations"],
    views: named(/^CREATE (?:OR REPLACE )?VIEW (\w+)/gm),
    functions: named(/^CREATE (?:OR REPLACE )?FUNCTION (\w+)/gm),
  }
}

type CatalogRow = {
  name: string
  columns: { name: string; type: string }[]
  key: string[]
  refers_to: string[]
}

/** The tables that a backup holds, each after those that its rows refer to. @throws BackupError */
export async function readTables(sql: Sql | Transaction, made: MadeByMigrations): Promise<LedgerTable[]> {
  const names = made.tables.filter((name) => !NOT_COPIED.includes(name))
  const rows = await sql<CatalogRow[]>`
    SELECT c.relname AS name,
      (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
       FROM pg_attribute a
       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
      (SELECT coalesce(json_agg(a.attname ORDER BY k.place), '[]')
       FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
       WHERE i.indrelid = c.oid AND i.indisprimary) AS key,
      (SELECT coalesce(json_agg(f.confrelid::regclass::text), '[]') FROM pg_constraint f
       WHERE f.conrelid = c.oid AND f.contype = 'f') AS refers_to
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname = ANY(${names})
    ORDER BY c.relname`
  for (const { name, key } of rows) {
    if (key.length === 0)
      throw new BackupError(`Table ${name} has no primary key, so its rows cannot be read in order.`)
  }
  return referredFirst(rows)
}

function referredFirst(rows: readonly CatalogRow[]): LedgerTable[] {
  const left = new Map(rows.map((row) => [row.name, row]))
  const ordered: LedgerTable[] = []
  while (left.size > 0) {
    const next = [...left.values()].find(({ name, refers_to }) =>
      refers_to.every((other) => other !== name && !left.has(other)),
    )
    if (next === undefined)
      throw new BackupError(`Tables ${[...left.keys()].join(", ")} refer to one another, so none can be filled first.`)
    left.delete(next.name)
    ordered.push({ name: next.name, columns: next.columns, key: next.key })
  }
  return ordered
}

/** Names of the tables of these that are there, partitions left out. */
export async function tablesThere(sql: Sql | Transaction, names: readonly string[]): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname = ANY(${names}) ORDER BY c.relname`
  return rows.map(({ name }) => name)
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

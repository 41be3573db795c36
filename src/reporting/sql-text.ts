/**
 * A statement that is put together from parts, with its parameters. Statements of reports come in thousands of shapes, so
 * they are not prepared by name. Each place says its parameter's type, so that a value is read once and not for every row.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"

export class SqlText {
  readonly #values: string[] = []

  text(value: string): string {
    return `${this.#place(value)}::text`
  }

  texts(values: readonly string[]): string {
    return `${this.#place(arrayText(values))}::text[]`
  }

  instant(ms: number): string {
    return `${this.#place(new Date(ms).toISOString())}::timestamptz`
  }

  instants(values: readonly number[]): string {
    return `${this.#place(arrayText(values.map((ms) => new Date(ms).toISOString())))}::timestamptz[]`
  }

  #place(value: string): string {
    this.#values.push(value)
    return `$${this.#values.length}`
  }

  /** Runs the statement, whose places are those that were handed out here. */
  run<Row extends object>(sql: Sql | Transaction, statement: string): Promise<Row[]> {
    return sql.unsafe<Row[]>(statement, this.#values)
  }
}

/** An array as Postgres reads it: every element in quotes, so that none is taken for NULL. */
function arrayText(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replace(/["\\]/g, "\\$&")}"`).join(",")}}`
}

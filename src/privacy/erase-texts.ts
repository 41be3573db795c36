/**
 * Takes a person out of texts that were written for people: what alerts say, messages sent and waiting, addresses that
 * they went to, tables attached to digests. What is searched for are words of which the person is known by.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"

/** Shorter ones occur in texts without meaning anybody. */
const WORD_LENGTH_MIN = 3
const ROWS_PER_PAGE = 500

/** What is searched for, and what comes in its place. */
export class Words {
  readonly #pattern: RegExp | null
  readonly #replacement: string
  /** As JSON text has them, lower-case, for a first look by Postgres. */
  readonly needles: readonly string[]

  constructor(words: readonly string[], replacement: string) {
    const long = words.filter((word) => word.length >= WORD_LENGTH_MIN)
    // Also as addresses and counters' names have them; longest first, since one may begin another.
    const forms = [...new Set(long.flatMap((word) => [word, ...encoded(word)]))].sort((a, b) => b.length - a.length)
    this.needles = [...new Set(forms.flatMap((form) => [form, JSON.stringify(form).slice(1, -1)]))].map((form) =>
      form.toLowerCase(),
    )
    const alternatives = forms.map((form) => form.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")
    this.#pattern =
      forms.length === 0 ? null : new RegExp(`(?<![\\p{L}\\p{N}])(?:${alternatives})(?![\\p{L}\\p{N}])`, "giu")
    this.#replacement = replacement
  }

  /** The value with every text in it changed; the same value where none was. */
  outOf<Value>(value: Value): Value {
    if (typeof value === "string") return this.#outOfText(value) as Value
    if (Array.isArray(value))
      return keptWhereSame(
        value,
        value.map((one) => this.outOf(one)),
      ) as Value
    if (typeof value !== "object" || value === null || value instanceof Date) return value
    const changed = Object.entries(value).map(([name, member]) => [name, this.outOf(member)] as const)
    return changed.every(([name, member]) => member === (value as Record<string, unknown>)[name])
      ? value
      : (Object.fromEntries(changed) as Value)
  }

  #outOfText(text: string): string {
    return this.#pattern === null ? text : text.replace(this.#pattern, () => this.#replacement)
  }
}

function encoded(word: string): string[] {
  return [
    encodeURIComponent(word),
    new URLSearchParams({ w: word }).toString().slice(2),
    word.replaceAll("%", "%25").replaceAll(" ", "%20"),
  ]
}

function keptWhereSame(before: readonly unknown[], after: readonly unknown[]): readonly unknown[] {
  return after.every((one, index) => one === before[index]) ? before : after
}

type TextTable = {
  readonly table: string
  /** Unique, and the order of pages. */
  readonly id: string
  /** Those that are searched, and the type of each. */
  readonly columns: Readonly<Record<string, "jsonb" | "text" | "text[]">>
  /** SQL of those of organization $1, and of the installation. */
  readonly scope: string
}

const OWN = "t.organization_id IN ($1, '')"
const TEXT_TABLES: readonly TextTable[] = [
  { table: "alerts", id: "id::text", columns: { facts: "jsonb" }, scope: OWN },
  {
    table: "alert_deliveries",
    id: "id::text",
    columns: { message: "jsonb", last_error: "text", arrived: "text[]" },
    scope: OWN,
  },
  {
    table: "digest_runs",
    id: "(digest_id || ' ' || period_id || ' ' || occasion)",
    columns: { csv: "text" },
    scope:
      "EXISTS (SELECT FROM digests d WHERE d.id = t.digest_id AND (d.organization_id = $1 OR d.organization_id IS NULL))",
  },
]

/** Rows in which one of the words stands, by table; a first look, which also finds parts of longer words. */
export async function countTexts(sql: Sql, organizationId: string, words: Words): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  if (words.needles.length === 0) return counts
  for (const { table, columns, scope } of TEXT_TABLES) {
    const [row] = await sql.unsafe<{ rows: number }[]>(
      `SELECT count(*)::float8 AS rows FROM ${table} t WHERE ${scope} AND ${holdsOne(columns)}`,
      [organizationId, [...words.needles]],
    )
    counts[table] = row?.rows ?? 0
  }
  return counts
}

/** Changes what the words stand in; returns how many rows, by table. Done twice it changes nothing more. */
export async function eraseTexts(sql: Sql, organizationId: string, words: Words): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  if (words.needles.length === 0) return counts
  for (const one of TEXT_TABLES) {
    let [after, changed] = ["", 0]
    for (;;) {
      const page = await sql.begin((transaction) => erasePage(transaction, one, organizationId, words, after))
      changed += page.changed
      if (page.last === null) break
      after = page.last
    }
    counts[one.table] = changed
  }
  return counts
}

async function erasePage(
  transaction: Transaction,
  { table, id, columns, scope }: TextTable,
  organizationId: string,
  words: Words,
  after: string,
): Promise<{ readonly changed: number; readonly last: string | null }> {
  const names = Object.keys(columns)
  const rows = await transaction.unsafe<Record<string, unknown>[]>(
    `SELECT ${id} AS row_id, ${names.join(", ")} FROM ${table} t
     WHERE ${scope} AND ${holdsOne(columns)} AND ${id} > $3 ORDER BY 1 LIMIT ${ROWS_PER_PAGE} FOR UPDATE`,
    [organizationId, [...words.needles], after],
  )
  let changed = 0
  for (const row of rows) {
    const { row_id: rowId, ...before } = row
    const now = words.outOf(before)
    if (now === before) continue
    const values = names.map((name) => (columns[name] === "jsonb" ? JSON.stringify(now[name]) : now[name]))
    const places = names.map(
      (name, index) => `${name} = $${index + 2}::${columns[name] === "jsonb" ? "text::jsonb" : columns[name]}`,
    )
    await transaction.unsafe(`UPDATE ${table} SET ${places.join(", ")} WHERE ${id} = $1`, [
      String(rowId),
      ...values,
    ] as never)
    changed++
  }
  return { changed, last: rows.length < ROWS_PER_PAGE ? null : String(rows.at(-1)?.row_id) }
}

/** SQL: whether one of the needles $2 stands in one of the columns. */
function holdsOne(columns: TextTable["columns"]): string {
  const text = Object.keys(columns)
    .map((name) => `t.${name}::text`)
    .join(" || ' ' || ")
  return `EXISTS (SELECT FROM unnest($2::text[]) needle WHERE position(needle IN lower(${text})) > 0)`
}

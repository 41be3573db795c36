/**
 * All that stands of one person, as lines of JSON: `{"table": …, "row": …}`, table after table, in pages, so that it is no
 * matter of memory how much there is. Values are Postgres's own, which loses no digit. What is a secret is left out.
 */
import { customerSubject } from "../identity/counted-apart.ts"
import type { Sql } from "../platform/postgres.ts"
import { Words } from "./erase-texts.ts"

/**
 * Rows of a table `t`. The statement sees `p`: `id` of a user, or what a customer is called; `organization_id`; a user's
 * `keys` and `email`; and `words`, of which texts that name the person hold one.
 */
type Source = {
  readonly table: string
  readonly where: string
  /** The order of pages: columns by which rows are unique, with their types. */
  readonly key: Readonly<Record<string, string>>
  /** Columns that are left out: secrets and their digests. */
  readonly without?: readonly string[]
}

export type ExportedPerson =
  | {
      readonly kind: "user"
      readonly id: string
      readonly organizationId: string
      readonly name: string
      readonly email: string
    }
  | { readonly kind: "customer"; readonly value: string; readonly organizationId: string }

const ROWS_PER_PAGE = 1_000

const COUNTER_OF_USER = `(split_part(t.subject, ' ', 1) = ANY (p.keys || p.id) OR split_part(t.subject, ' ', 2) = ANY (p.keys || p.id))`
const NAMED = (column: string) => `(t.organization_id IN (p.organization_id, '')
  AND EXISTS (SELECT FROM unnest(p.words) w WHERE position(w IN lower(t.${column}::text)) > 0))`
const COUNTER_KEY = { limit_id: "text", subject: "text", window_id: "text" }
const ALERT_KEY = { id: "uuid" }
const RECORD_KEY = { time: "timestamptz", id: "uuid" }
const ROLLUP_KEY = Object.fromEntries(
  [
    ...["bucket:timestamptz", "project_id:text", "key_id:text", "provider_account:text", "provider:text"],
    ...["model_served:text", "endpoint:text", "tool:text", "operation:text", "tier_served:text", "outcome:text"],
    ...["stream:boolean", "usage_source:text", "price_row:text"],
  ].map((column) => column.split(":") as [string, string]),
)

const OF_USER: readonly Source[] = [
  { table: "users", where: "t.id = p.id", key: { id: "text" }, without: ["password_hash"] },
  { table: "project_members", where: "t.user_id = p.id", key: { project_id: "text" } },
  { table: "role_grants", where: "t.user_id = p.id", key: { scope: "text", scope_id: "text" } },
  {
    table: "virtual_keys",
    where: "t.user_id = p.id",
    key: { id: "text" },
    without: ["secret_sha256", "previous_secret_sha256"],
  },
  {
    table: "sessions",
    where: "t.user_id = p.id OR t.key_id = ANY (p.keys)",
    key: { secret_sha256: "bytea" },
    without: ["secret_sha256", "key_secret_sha256", "environment_mac"],
  },
  { table: "limits", where: "t.subject = ANY (p.keys || p.id)", key: { id: "text" } },
  { table: "limit_usage", where: COUNTER_OF_USER, key: { organization_id: "text", ...COUNTER_KEY } },
  { table: "limit_refusals", where: COUNTER_OF_USER, key: COUNTER_KEY },
  {
    table: "refusal_counts",
    where: "t.key_id = ANY (p.keys)",
    key: { bucket: "timestamptz", key_id: "text", code: "text" },
  },
  { table: "usage_records", where: "t.organization_id = p.organization_id AND t.user_id = p.id", key: RECORD_KEY },
  { table: "usage_rollups", where: "t.organization_id = p.organization_id AND t.user_id = p.id", key: ROLLUP_KEY },
  {
    table: "usage_once",
    where:
      "t.organization_id = p.organization_id AND (t.body::jsonb ->> 'user_id' = p.id OR t.source IN (SELECT 'key:' || k FROM unnest(p.keys) k))",
    key: { source: "text", key: "text" },
    without: ["fingerprint"],
  },
  { table: "usage_holds", where: "t.key_id = ANY (p.keys)", key: { id: "uuid" } },
  {
    table: "provider_objects",
    where: "t.key_id = ANY (p.keys) OR t.booking #>> '{record,user_id}' = p.id",
    key: { provider: "text", id: "text" },
  },
  { table: "alerts", where: `${COUNTER_OF_USER} OR ${NAMED("facts")}`, key: ALERT_KEY },
  {
    table: "alert_subjects",
    where: COUNTER_OF_USER,
    key: { rule_id: "text", organization_id: "text", limit_id: "text", subject: "text" },
  },
  {
    table: "alert_deliveries",
    where: `t.user_id = p.id OR ${NAMED("message")} OR ${NAMED("arrived")}`,
    key: { id: "uuid" },
  },
  {
    table: "alert_channels",
    where: "p.email <> '' AND EXISTS (SELECT FROM unnest(t.recipients) r WHERE lower(r) = lower(p.email))",
    key: { id: "text" },
    // Addresses of others, and what lets one write to a chat.
    without: ["recipients", "secret_ciphertext", "secret_nonce", "secret_key_id"],
  },
  {
    table: "audit_log",
    where: "t.actor = ANY (p.keys || p.id) OR t.subject = ANY (p.keys || p.id)",
    key: { at: "timestamptz", id: "text" },
  },
]

const COUNTER_OF_CUSTOMER = `(split_part(t.subject, ' ', 2) = replace(replace(p.id, '%', '%25'), ' ', '%20')
  AND (split_part(t.subject, ' ', 1) = p.organization_id
    OR EXISTS (SELECT FROM projects j WHERE j.organization_id = p.organization_id AND j.id = split_part(t.subject, ' ', 1))))`

const OF_CUSTOMER: readonly Source[] = [
  { table: "usage_records", where: "t.organization_id = p.organization_id AND t.end_customer = p.id", key: RECORD_KEY },
  { table: "limit_usage", where: COUNTER_OF_CUSTOMER, key: { organization_id: "text", ...COUNTER_KEY } },
  { table: "limit_refusals", where: COUNTER_OF_CUSTOMER, key: COUNTER_KEY },
  {
    table: "usage_once",
    where: "t.organization_id = p.organization_id AND t.body::jsonb ->> 'end_customer' = p.id",
    key: { source: "text", key: "text" },
    without: ["fingerprint"],
  },
  {
    table: "usage_holds",
    where: `t.organization_id = p.organization_id AND EXISTS (SELECT FROM jsonb_array_elements(t.charges) c
      WHERE split_part(c #>> '{limit,subject}', ' ', 2) = replace(replace(p.id, '%', '%25'), ' ', '%20'))`,
    key: { id: "uuid" },
  },
  {
    table: "provider_objects",
    where: "t.organization_id = p.organization_id AND t.booking #>> '{record,end_customer}' = p.id",
    key: { provider: "text", id: "text" },
  },
  { table: "alerts", where: COUNTER_OF_CUSTOMER, key: ALERT_KEY },
  {
    table: "alert_subjects",
    where: COUNTER_OF_CUSTOMER,
    key: { rule_id: "text", organization_id: "text", limit_id: "text", subject: "text" },
  },
  {
    table: "alert_deliveries",
    where: NAMED("message"),
    key: { id: "uuid" },
  },
]

/** The tables that an export of this kind looks at. */
export function exportedTables(kind: ExportedPerson["kind"]): readonly string[] {
  return (kind === "user" ? OF_USER : OF_CUSTOMER).map(({ table }) => table)
}

/** The lines, some at a time, each with its line end. */
export async function* exportPerson(sql: Sql, person: ExportedPerson): AsyncGenerator<string> {
  const isUser = person.kind === "user"
  const keys = isUser ? await sql<{ id: string }[]>`SELECT id FROM virtual_keys WHERE user_id = ${person.id}` : []
  const values = [
    isUser ? person.id : person.value,
    person.organizationId,
    keys.map(({ id }) => id),
    isUser ? person.email : "",
    [...new Words(isUser ? [person.name, person.email] : [person.value, customerSubject(person.value)], "").needles],
  ]
  for (const source of isUser ? OF_USER : OF_CUSTOMER) yield* pagesOf(sql, source, values)
}

async function* pagesOf(sql: Sql, { table, where, key, without = [] }: Source, values: readonly unknown[]) {
  const columns = Object.keys(key).map((column) => `t."${column}"`)
  const places = Object.values(key).map((type, index) => `$${values.length + index + 1}::text::${type}`)
  const page = (after: string) => `
    SELECT json_build_object('table', '${table}', 'row', to_jsonb(t) - '{${without.join(",")}}'::text[])::text AS line,
           ARRAY[${columns.map((column) => `${column}::text`).join(", ")}] AS key
    FROM (SELECT $1::text AS id, $2::text AS organization_id, $3::text[] AS keys, $4::text AS email,
                 $5::text[] AS words) p
    JOIN ${table} t ON (${where}) ${after}
    ORDER BY ${columns.join(", ")} LIMIT ${ROWS_PER_PAGE}`
  let last: readonly string[] | undefined
  for (;;) {
    const after = last === undefined ? "" : `WHERE (${columns.join(", ")}) > (${places.join(", ")})`
    const rows = await sql.unsafe<{ line: string; key: string[] }[]>(page(after), [...values, ...(last ?? [])] as never)
    if (rows.length > 0) yield rows.map(({ line }) => `${line}\n`).join("")
    if (rows.length < ROWS_PER_PAGE) return
    last = rows.at(-1)?.key
  }
}

/**
 * What is kept of a record whose end-customer was erased: what it used, under a pseudonym. What the caller said of the
 * call besides is cleared, since it may say who it was. The same for records that come in late and for those in the ledger.
 */
import type { UsageRecord } from "./usage-record.ts"

/** SQL of each column that is another one then. `record`: the row's alias; the other two: SQL of texts. */
export function erasedColumns(
  record: string,
  customer: string,
  pseudonym: string,
): Readonly<Partial<Record<keyof UsageRecord, string>> & Record<string, string>> {
  return {
    end_customer: pseudonym,
    ...CLEARED_COLUMNS,
    tags: `erased_tags(${record}.tags, ARRAY[${customer}], ${pseudonym})`,
    charges: `erased_charges(${record}.charges, ${customer}, ${pseudonym})`,
  }
}

/** What callers say of their calls in words of their own, and what it is once it is cleared. */
export const CLEARED_COLUMNS = {
  conversation: "''",
  metadata: "'{}'::jsonb",
  client_request_id: "''",
} as const satisfies Partial<Record<keyof UsageRecord, string>>

/** Shorter values occur in tags without meaning anybody. Postgres says the same (`erased_tags`). */
const TELLING_LENGTH = 4

/** The same of a record that is just made under the pseudonym, of a customer whom the caller goes on naming so. */
export function eraseSaid(record: UsageRecord, customer: string): void {
  record.conversation = ""
  record.metadata = {}
  record.client_request_id = ""
  record.tags = tagsWithout(record.tags, customer, record.end_customer)
}

/** Tags without those that are the value, or hold it where it is long enough to mean somebody. */
export function tagsWithout(tags: readonly string[], customer: string, pseudonym: string): string[] {
  const named = customer.toLowerCase()
  const isNaming = (tag: string) => tag === named || (customer.length >= TELLING_LENGTH && tag.includes(named))
  return tags.map((tag) => (isNaming(tag.toLowerCase()) ? pseudonym : tag))
}

/** The pseudonym of record `r`, where its end-customer was erased. Names its tables itself: see the migration. */
export const PSEUDONYM_SQL = `SELECT c.pseudonym FROM erasure_keys k JOIN erased_customers c
      ON c.organization_id = r.organization_id AND c.key_id = k.id AND c.value_hmac =
         sha256(k.outer_key || sha256(k.inner_key || convert_to(r.end_customer, 'UTF8')))
    WHERE r.end_customer <> '' LIMIT 1`

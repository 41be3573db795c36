/**
 * The write path of what organizations pay beside the list. Terms are never changed: others take their place from their
 * own beginning on, or they are ended. Each act is one transaction with its audit row, and running proxies learn of it
 * by the directory's version.
 */
import { type Actor, writeAudit } from "../identity/audit.ts"
import { raisePricesVersion } from "../identity/directory-version.ts"
import { namedId } from "../platform/ids.ts"
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"
import { parseUsd } from "./money.ts"
import { type PriceTerms, percentToPpm } from "./price-terms.ts"

/** Decimals as text. */
export type TermsRow = {
  readonly id: string
  readonly organization_id: string
  /** '': of every provider that has no terms of its own. */
  readonly provider: string
  readonly markup_percent: string
  readonly discount_percent: string
  /** Dollars per 1,000,000 tokens; both null where there is no ceiling. */
  readonly ceiling_input_usd: string | null
  readonly ceiling_output_usd: string | null
  readonly note: string
  readonly effective_from: Date
  readonly ended_at: Date | null
  readonly created_by: string
  readonly created_at: Date
}

export type NewTerms = {
  readonly organizationId: string
  readonly provider: string
  readonly markupPercent: string
  readonly discountPercent: string
  readonly ceiling: { readonly inputUsd: string; readonly outputUsd: string } | null
  readonly note: string
  readonly effectiveFrom: Date
}

/** Sets terms; null where there is no such organization. */
export function setTerms(sql: Sql, actor: Actor, wanted: NewTerms): Promise<TermsRow | null> {
  return sql.begin(async (transaction): Promise<TermsRow | null> => {
    await raisePricesVersion(transaction)
    const { organizationId, ceiling } = wanted
    const [row] = await transaction<TermsRow[]>`
      INSERT INTO price_terms (id, organization_id, provider, markup_percent, discount_percent, ceiling_input_usd,
                               ceiling_output_usd, note, effective_from, created_by, created_at)
      SELECT ${namedId("trm")}, id, ${wanted.provider}, ${wanted.markupPercent}::text::numeric,
             ${wanted.discountPercent}::text::numeric, ${ceiling?.inputUsd ?? null}::text::numeric,
             ${ceiling?.outputUsd ?? null}::text::numeric, ${wanted.note}, ${wanted.effectiveFrom}, ${actor.name},
             clock_timestamp()
      FROM organizations WHERE id = ${organizationId}
      RETURNING ${columns(transaction)}`
    if (row === undefined) return null
    await audit(transaction, actor, "price_terms.set", null, row)
    return row
  })
}

export type EndedTerms =
  | { readonly kind: "ended"; readonly row: TermsRow }
  | { readonly kind: "missing" }
  | { readonly kind: "ended_before"; readonly at: Date }

/** Ends terms: what stood before them holds again from then on. */
export function endTerms(
  sql: Sql,
  actor: Actor,
  of: { readonly organizationId: string; readonly id: string },
  at: Date,
): Promise<EndedTerms> {
  return sql.begin(async (transaction): Promise<EndedTerms> => {
    await raisePricesVersion(transaction)
    const [before] = await transaction<TermsRow[]>`
      SELECT ${columns(transaction)} FROM price_terms WHERE id = ${of.id} AND organization_id = ${of.organizationId}`
    if (before === undefined) return { kind: "missing" }
    if (before.ended_at !== null && before.ended_at <= at) return { kind: "ended_before", at: before.ended_at }
    const [after] = await transaction<TermsRow[]>`
      UPDATE price_terms SET ended_at = ${at} WHERE id = ${of.id} RETURNING ${columns(transaction)}`
    if (after === undefined) throw new Error(`The terms ${of.id} went while their end held the directory's lock.`)
    await audit(transaction, actor, "price_terms.end", before, after)
    return { kind: "ended", row: after }
  })
}

/** All terms of an organization that there are or were, the newest first. */
export function listTerms(sql: Sql, organizationId: string): Promise<readonly TermsRow[]> {
  return sql<TermsRow[]>`
    SELECT ${columns(sql)} FROM price_terms WHERE organization_id = ${organizationId} ${newestFirst(sql)}`
}

/** Those of every organization, the newest first. */
export async function readStoredTerms(sql: Sql): Promise<PriceTerms[]> {
  const rows = await sql<TermsRow[]>`SELECT ${columns(sql)} FROM price_terms ${newestFirst(sql)}`
  return rows.map(termsFrom)
}

/** @throws Error where the database gives what it cannot hold */
export function termsFrom(row: TermsRow): PriceTerms {
  const { ceiling_input_usd: input, ceiling_output_usd: output } = row
  return {
    id: row.id,
    organizationId: row.organization_id,
    provider: row.provider,
    markupPpm: percent(row.markup_percent),
    discountPpm: percent(row.discount_percent),
    ceiling: input === null || output === null ? null : { inputPicos: usd(input), outputPicos: usd(output) },
    fromMs: row.effective_from.getTime(),
    untilMs: row.ended_at?.getTime() ?? null,
  }
}

function percent(text: string): bigint {
  const ppm = percentToPpm(text)
  if (ppm === null) throw new Error(`The database gave ${text} as a percentage.`)
  return ppm
}

function usd(text: string): bigint {
  const money = parseUsd(text)
  if (money.kind === "invalid") throw new Error(`The database gave ${text} as a sum of dollars.`)
  return money.picos
}

function newestFirst(sql: Sql): SqlFragment {
  return sql`ORDER BY effective_from DESC, created_at DESC, id DESC`
}

function columns(sql: Sql | Transaction): SqlFragment {
  return sql`id, organization_id, provider, trim_scale(markup_percent)::text AS markup_percent,
    trim_scale(discount_percent)::text AS discount_percent, trim_scale(ceiling_input_usd)::text AS ceiling_input_usd,
    trim_scale(ceiling_output_usd)::text AS ceiling_output_usd, note, effective_from, ended_at, created_by, created_at`
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  action: string,
  before: TermsRow | null,
  after: TermsRow,
): Promise<void> {
  const { id: subject, organization_id: organizationId } = after
  await writeAudit(transaction, actor, { organizationId, action, subject, before, after })
}

/**
 * Models that were called without a price: what waits for somebody to set one. A call is out of it as soon as it has a
 * cost, be it by re-pricing or by a correction. Read from the rollup, so times are quarters of an hour.
 */

import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import type { Prices } from "../ledger/priced-record.ts"
import type { Sql } from "../platform/postgres.ts"
import { TOKEN_MEASURES } from "./measures.ts"
import { priceAt } from "./models-in-use.ts"

export type UnpricedModel = {
  readonly organization_id: string
  readonly organization: string
  readonly provider: string
  /** As whose prices its prices are looked up. */
  readonly priced_as: string
  readonly model: string
  /** Decimal strings. */
  readonly calls: string
  readonly tokens: string
  readonly first_seen: string
  readonly last_seen: string
  /** `price`: one is to be set. `reprice`: there is one by now, and the calls are to be priced by it. */
  readonly next: "price" | "reprice"
  readonly reason: string | null
}

type Row = Pick<UnpricedModel, "organization_id" | "organization" | "provider" | "model" | "calls" | "tokens"> & {
  first: Date
  last: Date
}

const MODELS_MAX = 200

/** The most called first; `sinceMs` is epoch milliseconds. */
export async function unpricedModels(
  sql: Sql,
  {
    sinceMs,
    nowMs,
    organizationId,
  }: { readonly sinceMs: number; readonly nowMs: number; readonly organizationId: string | null },
  visibility: Visibility,
  prices: Prices,
): Promise<UnpricedModel[]> {
  const ofProjects = (ids: string[]) => sql`r.project_id = ANY (${ids}::text[])`
  const tokens = sql.unsafe(TOKEN_MEASURES.map((name) => `r.${name}`).join(" + "))
  const rows = await sql<Row[]>`
    SELECT r.organization_id, o.name AS organization, r.provider, r.model_served AS model,
      sum(r.unpriced_records)::text AS calls, sum(${tokens})::text AS tokens, min(r.bucket) AS first, max(r.bucket) AS last
    FROM usage_rollups r JOIN organizations o ON o.id = r.organization_id
    WHERE r.bucket >= ${new Date(sinceMs)} AND r.unpriced_records > 0 AND r.usage_source <> 'unmetered'
      AND ${visibleRows(sql, visibility, sql`r.organization_id`, ofProjects)}
      ${organizationId === null ? sql`` : sql`AND r.organization_id = ${organizationId}`}
    GROUP BY r.organization_id, o.name, r.provider, r.model_served
    ORDER BY sum(r.unpriced_records) DESC, r.organization_id, r.provider, r.model_served LIMIT ${MODELS_MAX}`
  return rows.map(({ first, last, ...row }) => {
    const pricedAs = prices.router.providers.get(row.provider)?.pricedAs ?? row.provider
    const question = { organizationId: row.organization_id, provider: pricedAs, model: row.model }
    const { reason } = priceAt(prices, question, last.getTime() < nowMs ? last.getTime() : nowMs)
    return {
      ...row,
      priced_as: pricedAs,
      first_seen: first.toISOString(),
      last_seen: last.toISOString(),
      next: reason === null ? ("reprice" as const) : ("price" as const),
      reason,
    }
  })
}

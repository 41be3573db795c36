/** A limit as Postgres gives it: the columns, and the limit that they say. */
import type { Sql, Transaction } from "../platform/postgres.ts"
import { accountCounters } from "./account-limit.ts"
import { FILTER_BY, type Limit, type LimitFilter } from "./limit.ts"

export type LimitRow = {
  readonly id: string
  /** '' for a limit on a provider account: it belongs to the installation. */
  readonly organization_id: string
  readonly scope: Limit["scope"]
  readonly subject: string
  readonly each: Limit["each"]
  readonly kind: Limit["kind"]
  readonly window: Limit["window"]
  readonly cap: string
  readonly time_zone: string
  readonly anchor_day: number
  readonly on_store_failure: Limit["onStoreFailure"]
  readonly enforcement: Limit["enforcement"]
  readonly unbounded: Limit["unbounded"]
  readonly thresholds: number[]
  /** Of a raise that has not ended; null where there is none. */
  readonly raised_cap: string | null
  readonly raised_until: Date | null
  readonly filter_tool: string
  readonly filter_tag: string
  readonly slice_tokens: number | null
  readonly filter_model: string
  readonly filter_endpoint: string
  readonly seeded_version: number | null
  /** How exactly the ledger could tell what it starts from; '': it did not have to. */
  readonly seed: "" | "exact" | "as_recorded"
  readonly created_at: Date
}

export function limitColumns(sql: Sql | Transaction) {
  return sql`
    id, coalesce(organization_id, '') AS organization_id, scope, subject, each, kind, "window", cap::text AS cap,
    time_zone, anchor_day, on_store_failure, enforcement, unbounded, thresholds,
    CASE WHEN raised_until > now() THEN raised_cap::text END AS raised_cap,
    CASE WHEN raised_until > now() THEN raised_until END AS raised_until, filter_tool, filter_tag,
    filter_model, filter_endpoint, slice_tokens, seeded_version::float8 AS seeded_version, seed, created_at`
}

export function limitFrom(row: LimitRow): Limit {
  return {
    id: row.id,
    organizationId: row.scope === "provider_account" ? accountCounters(row.subject) : row.organization_id,
    scope: row.scope,
    subject: row.subject,
    kind: row.kind,
    window: row.window,
    cap: BigInt(row.cap),
    timeZone: row.time_zone,
    anchorDay: row.anchor_day,
    onStoreFailure: row.on_store_failure,
    enforcement: row.enforcement,
    unbounded: row.unbounded,
    thresholds: row.thresholds,
    raise:
      row.raised_cap === null || row.raised_until === null
        ? null
        : { cap: BigInt(row.raised_cap), untilMs: row.raised_until.getTime() },
    each: row.each,
    filter: filterFrom(row),
    sliceTokens: row.slice_tokens,
    seededVersion: row.seeded_version,
  }
}

/** Of which calls alone the limit is, by the row's columns. */
export function filterFrom(row: Pick<LimitRow, `filter_${LimitFilter["by"]}`>): LimitFilter | null {
  const by = FILTER_BY.find((known) => row[`filter_${known}`] !== "")
  return by === undefined ? null : { by, value: row[`filter_${by}`] }
}

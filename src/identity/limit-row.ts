/** A limit as Postgres gives it: the columns, and the limit that they say. */
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type AccountLimit, accountCounters } from "./account-limit.ts"
import type { Limit } from "./limit.ts"

export type LimitRow = {
  readonly id: string
  /** '' for a limit on a provider account: it belongs to the installation. */
  readonly organization_id: string
  readonly scope: Limit["scope"]
  readonly subject: string
  readonly each: AccountLimit["each"]
  readonly kind: Limit["kind"]
  readonly window: Limit["window"]
  readonly cap: string
  readonly time_zone: string
  readonly anchor_day: number
  readonly on_store_failure: Limit["onStoreFailure"]
  readonly created_at: Date
}

export function limitColumns(sql: Sql | Transaction) {
  return sql`
    id, coalesce(organization_id, '') AS organization_id, scope, subject, each, kind, "window", cap::text AS cap,
    time_zone, anchor_day, on_store_failure, created_at`
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
  }
}

export function accountLimitFrom(row: LimitRow): AccountLimit {
  return { ...limitFrom(row), each: row.each }
}

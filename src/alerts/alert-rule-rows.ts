/** Alert rules as Postgres has them. */
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"
import { type Parameters, parseParameters, type RuleKind } from "./alert-rule.ts"

export type AlertRuleRow = {
  readonly id: string
  /** '' for the installation's. */
  readonly organization_id: string
  /** '': all of the organization. */
  readonly project_id: string
  readonly kind: RuleKind
  readonly name: string
  readonly parameters: Readonly<Record<string, unknown>>
  /** Null: those of whoever is concerned. */
  readonly channel_ids: readonly string[] | null
  readonly disabled_at: Date | null
  readonly created_at: Date
}

/** An enabled rule as looks take it. */
export type AlertRule = Pick<AlertRuleRow, "id" | "organization_id" | "project_id" | "kind" | "channel_ids"> & {
  readonly parameters: Readonly<Record<string, unknown>>
}

export function ruleColumns(sql: Sql | Transaction): SqlFragment {
  return sql`
    id, coalesce(organization_id, '') AS organization_id, coalesce(project_id, '') AS project_id, kind, name, parameters,
    channel_ids, disabled_at, created_at`
}

/** Those that are on and known to this version: a newer one beside it may have made others. */
export async function enabledRules(sql: Sql, isKnown: (kind: string) => boolean): Promise<AlertRule[]> {
  const rows = await sql<AlertRuleRow[]>`
    SELECT ${ruleColumns(sql)} FROM alert_rules WHERE disabled_at IS NULL ORDER BY created_at, id`
  return rows.filter(({ kind }) => isKnown(kind))
}

/** What a stored rule is told, defaults filled in. @throws Error where the row was not written here */
export function parametersOf<Kind extends RuleKind>(rule: AlertRule, kind: Kind): Parameters<Kind> {
  const parsed = parseParameters(kind, rule.parameters)
  if (parsed.kind === "invalid") throw new Error(`Alert rule ${rule.id}: ${parsed.path}: ${parsed.message}`)
  return parsed.parameters as Parameters<Kind>
}

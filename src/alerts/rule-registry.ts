/** The write path of alert rules. Each act is one transaction that also writes its audit row. */
import { type Actor, writeAudit } from "../identity/audit.ts"
import { disabledAt } from "../identity/disabled-at.ts"
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import { namedId } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { DEFAULT_RULE_ID, type RuleKind } from "./alert-rule.ts"
import { type AlertRuleRow, ruleColumns } from "./alert-rule-rows.ts"

export type NewRule = {
  /** '' for the installation's. */
  readonly organizationId: string
  /** '': all of the organization. */
  readonly projectId: string
  readonly kind: RuleKind
  readonly name: string
  /** As `parseParameters` makes them. */
  readonly parameters: Readonly<Record<string, unknown>>
  readonly channelIds: readonly string[] | null
}

/** Absent: unchanged. */
export type RuleChanges = Partial<Pick<NewRule, "name" | "parameters" | "channelIds">> & {
  readonly isDisabled?: boolean | undefined
}

export function createRule(sql: Sql, actor: Actor, wanted: NewRule): Promise<AlertRuleRow> {
  const { organizationId, projectId, kind, name, parameters, channelIds } = wanted
  return sql.begin(async (transaction) => {
    const [row] = await transaction<AlertRuleRow[]>`
      INSERT INTO alert_rules (id, organization_id, project_id, kind, name, parameters, channel_ids)
      VALUES (${namedId("rule")}, ${organizationId || null}, ${projectId || null}, ${kind}, ${name},
              ${JSON.stringify(parameters)}::text::jsonb, ${channelIds === null ? null : [...channelIds]}::text[])
      RETURNING ${ruleColumns(transaction)}`
    if (row === undefined) throw new Error("An inserted alert rule returned no row.")
    await audit(transaction, actor, "alert_rule.create", null, row)
    return row
  })
}

/** Null where there is no such rule. */
export function changeRule(sql: Sql, actor: Actor, id: string, changes: RuleChanges): Promise<AlertRuleRow | null> {
  return sql.begin(async (transaction) => {
    const before = await readRule(transaction, id)
    if (before === null) return null
    const channelIds = changes.channelIds === undefined ? before.channel_ids : changes.channelIds
    const [row] = await transaction<AlertRuleRow[]>`
      UPDATE alert_rules SET
        name = ${changes.name ?? before.name},
        parameters = ${JSON.stringify(changes.parameters ?? before.parameters)}::text::jsonb,
        channel_ids = ${channelIds === null ? null : [...channelIds]}::text[],
        disabled_at = ${disabledAt(transaction, changes.isDisabled)}
      WHERE id = ${id} RETURNING ${ruleColumns(transaction)}`
    if (row === undefined) return null
    await audit(transaction, actor, "alert_rule.change", before, row)
    return row
  })
}

/** The rule as it stood; null where there is none that can be deleted: the default one can only be disabled. */
export function deleteRule(sql: Sql, actor: Actor, id: string): Promise<AlertRuleRow | null> {
  return sql.begin(async (transaction) => {
    const [row] = await transaction<AlertRuleRow[]>`
      DELETE FROM alert_rules WHERE id = ${id} AND id <> ${DEFAULT_RULE_ID} RETURNING ${ruleColumns(transaction)}`
    if (row === undefined) return null
    await audit(transaction, actor, "alert_rule.delete", row, null)
    return row
  })
}

export async function readRule(sql: Sql | Transaction, id: string): Promise<AlertRuleRow | null> {
  const [row] = await sql<AlertRuleRow[]>`SELECT ${ruleColumns(sql)} FROM alert_rules WHERE id = ${id}`
  return row ?? null
}

/** A page in order of ids, at most `max`, after the id `after` ('' for the first page). */
export async function listRules(
  sql: Sql,
  { visibility, after, max }: { visibility: Visibility; after: string; max: number },
): Promise<readonly AlertRuleRow[]> {
  const inProjects = (ids: string[]) => sql`project_id = ANY (${ids}::text[])`
  return sql<AlertRuleRow[]>`
    SELECT ${ruleColumns(sql)} FROM alert_rules
    WHERE id > ${after} AND ${visibleRows(sql, visibility, sql`organization_id`, inProjects)}
    ORDER BY id LIMIT ${max}`
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  action: string,
  before: AlertRuleRow | null,
  after: AlertRuleRow | null,
): Promise<void> {
  const row = after ?? before
  if (row === null) throw new Error(`${action} is about no alert rule.`)
  await writeAudit(transaction, actor, { organizationId: row.organization_id, action, subject: row.id, before, after })
}

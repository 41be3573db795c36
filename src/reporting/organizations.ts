/** The organizations that a question is about: those that the filter names or, without it, all that the scope reaches into. */
import type { Transaction } from "../platform/postgres.ts"
import type { UsageFilter } from "./question.ts"
import type { Scope } from "./scope.ts"
import { SqlText } from "./sql-text.ts"

export type AskedOrganization = {
  readonly id: string
  readonly timeZone: string
}

export async function askedOrganizations(
  transaction: Transaction,
  filter: Pick<UsageFilter, "organization">,
  scope: Scope,
): Promise<AskedOrganization[]> {
  const text = new SqlText()
  const conditions = filter.organization === undefined ? [] : [`o.id = ANY (${text.texts(filter.organization)})`]
  if (scope.kind === "within") conditions.push(reachedInto(text, scope))
  return text.run(
    transaction,
    `SELECT o.id, o.time_zone AS "timeZone" FROM organizations o
     WHERE ${[...conditions, "true"].join(" AND ")} ORDER BY o.id`,
  )
}

/** The zone that was asked for, or the organization's where it is one, or UTC. */
export function zoneOf(filter: Pick<UsageFilter, "time_zone">, organizations: readonly AskedOrganization[]): string {
  if (filter.time_zone !== undefined) return filter.time_zone
  const zones = new Set(organizations.map(({ timeZone }) => timeZone))
  const [zone = "UTC"] = zones
  return zones.size === 1 ? zone : "UTC"
}

/** The first moment of which the rollup knows; null where nothing was ever called. */
export async function firstBucketMs(
  transaction: Transaction,
  organizations: readonly AskedOrganization[],
): Promise<number | null> {
  const text = new SqlText()
  const ids = text.texts(organizations.map(({ id }) => id))
  const [row] = await text.run<{ first: Date | null }>(
    transaction,
    `SELECT min(f.bucket) AS first FROM unnest(${ids}) AS o (id) CROSS JOIN LATERAL (
       SELECT bucket FROM usage_rollups r WHERE r.organization_id = o.id ORDER BY bucket LIMIT 1) f`,
  )
  return row?.first?.getTime() ?? null
}

function reachedInto(text: SqlText, scope: Extract<Scope, { kind: "within" }>): string {
  const owners = [
    ["projects", scope.projectIds],
    ["users", scope.userIds ?? []],
    ["virtual_keys", scope.keyIds ?? []],
  ] as const
  const reached = owners
    .filter(([, ids]) => ids.length > 0)
    .map(([table, ids]) => `o.id IN (SELECT organization_id FROM ${table} WHERE id = ANY (${text.texts(ids)}))`)
  return `(${[`o.id = ANY (${text.texts(scope.organizationIds)})`, ...reached].join(" OR ")})`
}

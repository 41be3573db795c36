/** The present names of what groups stand for, and whom a project's cost goes to. Persons who were erased have none. */
import type { Sql } from "../platform/postgres.ts"
import type { GroupName } from "./question.ts"
import type { UsageReport } from "./usage-report.ts"

export type Named = { readonly name: string; readonly client?: string; readonly costCenter?: string }

/** Group → id → its name. Ids that nothing is known of are left out. */
export type Names = ReadonlyMap<GroupName, ReadonlyMap<string, Named>>

export const NO_NAMES: Names = new Map()

const COLUMNS = {
  organization: "name FROM organizations",
  project: `name, client, cost_center AS "costCenter" FROM projects`,
  user: "name FROM users",
  key: "name FROM virtual_keys",
} as const

/** Names of the groups of a report: what is named is visible already, since usage of it is. */
export async function namesOf(sql: Sql, report: Pick<UsageReport, "groupBy" | "groups">): Promise<Names> {
  const names = new Map<GroupName, ReadonlyMap<string, Named>>()
  for (const group of report.groupBy) {
    if (!(group in COLUMNS)) continue
    const ids = [...new Set(report.groups.map(({ key }) => key[group] ?? ""))]
    const columns = COLUMNS[group as keyof typeof COLUMNS]
    const rows = await sql<({ id: string } & Named)[]>`
      SELECT id, ${sql.unsafe(columns)} WHERE id = ANY (${ids}::text[])`
    names.set(group, new Map(rows.map(({ id, ...named }) => [id, named])))
  }
  return names
}

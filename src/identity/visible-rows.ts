/** The condition on a list's rows that keeps it to what its reader may see. */
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"
import type { Visibility } from "./role.ts"

/**
 * `organizationId`: the row's organization. `inProjects`: what makes a row one of these projects', where rows can be.
 */
export function visibleRows(
  sql: Sql | Transaction,
  visibility: Visibility,
  organizationId: SqlFragment,
  inProjects: ((projectIds: string[]) => SqlFragment) | null,
): SqlFragment {
  if (visibility.kind === "all") return sql`true`
  const { organizationIds, projectIds } = visibility
  const ofProjects = inProjects === null ? sql`false` : inProjects([...projectIds])
  return sql`(${organizationId} = ANY (${[...organizationIds]}::text[]) OR ${ofProjects})`
}

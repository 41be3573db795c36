/**
 * The write path of organizations. Each act is one transaction that also writes its audit row and raises
 * `directory_version`, so that a disabled organization's keys are refused everywhere within a second.
 */
import { namedId } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { disabledAt } from "./disabled-at.ts"
import { DEFAULT_PROJECT } from "./project-registry.ts"
import type { Visibility } from "./role.ts"
import { unlessTaken } from "./unless-taken.ts"
import { visibleRows } from "./visible-rows.ts"

export type OrganizationRow = {
  readonly id: string
  readonly name: string
  readonly external_id: string | null
  readonly time_zone: string
  /** Days for which records are kept; null: as the installation does. */
  readonly usage_retention_days: number | null
  readonly disabled_at: Date | null
  readonly created_at: Date
}

/** Absent: unchanged, or on a new one the default. */
export type OrganizationChanges = {
  readonly name?: string | undefined
  readonly externalId?: string | null | undefined
  /** IANA zone of the organization's days. */
  readonly timeZone?: string | undefined
  readonly usageRetentionDays?: number | null | undefined
  readonly isDisabled?: boolean | undefined
}

export type ChangedOrganization =
  | { readonly kind: "done"; readonly row: OrganizationRow }
  | { readonly kind: "missing" }
  /** Another organization has that external id. */
  | { readonly kind: "taken" }

/** Makes an organization with its default project. */
export function createOrganization(
  sql: Sql,
  actor: Actor,
  wanted: OrganizationChanges & { readonly name: string },
): Promise<ChangedOrganization> {
  return unlessTaken(() =>
    sql.begin(async (transaction): Promise<ChangedOrganization> => {
      const id = namedId("org")
      await transaction`INSERT INTO organizations (id, name) VALUES (${id}, ${wanted.name})`
      await transaction`
        INSERT INTO projects (id, organization_id, name) VALUES (${namedId("proj")}, ${id}, ${DEFAULT_PROJECT})`
      const row = await writeChanges(transaction, id, wanted)
      await writeAudit(transaction, actor, {
        organizationId: id,
        action: "organization.create",
        subject: id,
        before: null,
        after: row,
      })
      return { kind: "done", row }
    }),
  )
}

export function updateOrganization(
  sql: Sql,
  actor: Actor,
  id: string,
  changes: OrganizationChanges,
): Promise<ChangedOrganization> {
  return unlessTaken(() =>
    sql.begin(async (transaction): Promise<ChangedOrganization> => {
      await raiseDirectoryVersion(transaction)
      const before = await readOrganization(transaction, id)
      if (before === null) return { kind: "missing" }
      const row = await writeChanges(transaction, id, changes)
      await writeAudit(transaction, actor, {
        organizationId: id,
        action: "organization.change",
        subject: id,
        before,
        after: row,
      })
      return { kind: "done", row }
    }),
  )
}

export async function readOrganization(sql: Sql | Transaction, id: string): Promise<OrganizationRow | null> {
  const [row] = await sql<OrganizationRow[]>`SELECT ${columns(sql)} FROM organizations WHERE id = ${id}`
  return row ?? null
}

/** A page in order of ids, at most `max`, after the id `after` ('' for the first page). */
export function listOrganizations(
  sql: Sql,
  { visibility, after, max }: { readonly visibility: Visibility; readonly after: string; readonly max: number },
): Promise<readonly OrganizationRow[]> {
  return sql<OrganizationRow[]>`
    SELECT ${columns(sql)} FROM organizations
    WHERE id > ${after} AND ${visibleRows(sql, visibility, sql`id`, null)} ORDER BY id LIMIT ${max}`
}

/** Organizations looked at by what asks all of them. */
const LOOKED_AT_MAX = 10_000

/** Those of which the reader sees something, be it a project. */
export async function organizationIdsIn(sql: Sql, visibility: Visibility): Promise<readonly string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM organizations o
    WHERE ${visibleRows(sql, visibility, sql`id`, (ids) => {
      return sql`id IN (SELECT organization_id FROM projects WHERE projects.id = ANY (${ids}::text[]))`
    })}
    ORDER BY id LIMIT ${LOOKED_AT_MAX}`
  return rows.map(({ id }) => id)
}

async function writeChanges(
  transaction: Transaction,
  id: string,
  { name, externalId, timeZone, usageRetentionDays: days, isDisabled }: OrganizationChanges,
): Promise<OrganizationRow> {
  const [row] = await transaction<OrganizationRow[]>`
    UPDATE organizations SET
      name = coalesce(${name ?? null}, name),
      external_id = ${externalId === undefined ? transaction`external_id` : externalId},
      time_zone = coalesce(${timeZone ?? null}, time_zone),
      usage_retention_days = ${days === undefined ? transaction`usage_retention_days` : days},
      disabled_at = ${disabledAt(transaction, isDisabled)}
    WHERE id = ${id} RETURNING ${columns(transaction)}`
  if (row === undefined) throw new Error(`The organization ${id} went while it was changed.`)
  return row
}

function columns(sql: Sql | Transaction) {
  return sql`id, name, external_id, time_zone, usage_retention_days, disabled_at, created_at`
}

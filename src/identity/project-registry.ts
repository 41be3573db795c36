/**
 * The write path of projects and of who their members are. Each act is one transaction that also writes its audit row,
 * and raises `directory_version` where keys depend on what it changes.
 */
import { namedId } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { type CapChanges, changedCaps } from "./call-caps.ts"
import { type CapRow, capRowOf, capsFrom } from "./cap-row.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { disabledAt } from "./disabled-at.ts"
import type { KeyDefaults } from "./key-defaults.ts"
import type { Visibility } from "./role.ts"
import { unlessTaken } from "./unless-taken.ts"
import { visibleRows } from "./visible-rows.ts"

/** The name of the project that every organization is made with, for keys that name none. */
export const DEFAULT_PROJECT = "default"

export type ProjectRow = CapRow & {
  readonly id: string
  readonly organization_id: string
  readonly name: string
  readonly external_id: string | null
  readonly client: string
  readonly cost_center: string
  readonly key_defaults: KeyDefaults
  readonly disabled_at: Date | null
  readonly created_at: Date
}

/** Absent: unchanged, or on a new one the default. */
export type ProjectChanges = {
  readonly name?: string | undefined
  readonly externalId?: string | null | undefined
  readonly client?: string | undefined
  readonly costCenter?: string | undefined
  readonly keyDefaults?: KeyDefaults | undefined
  readonly isDisabled?: boolean | undefined
  readonly caps?: CapChanges | undefined
}

export type ChangedProject =
  | { readonly kind: "done"; readonly row: ProjectRow }
  /** There is no such project, or no such organization to make it in. */
  | { readonly kind: "missing" }
  /** The organization has another project of that name or external id. */
  | { readonly kind: "taken" }
  /** The default project, which keys without a project are put into, is found by its name. */
  | { readonly kind: "default" }

export function createProject(
  sql: Sql,
  actor: Actor,
  organizationId: string,
  wanted: ProjectChanges & { readonly name: string },
): Promise<ChangedProject> {
  return unlessTaken(() =>
    sql.begin(async (transaction): Promise<ChangedProject> => {
      const id = namedId("proj")
      const [inserted] = await transaction<ProjectRow[]>`
        INSERT INTO projects (id, organization_id, name)
        SELECT ${id}, id, ${wanted.name} FROM organizations WHERE id = ${organizationId} RETURNING ${columns(transaction)}`
      if (inserted === undefined) return { kind: "missing" }
      const row = await writeChanges(transaction, inserted, wanted)
      await writeAudit(transaction, actor, {
        organizationId,
        action: "project.create",
        subject: id,
        before: null,
        after: row,
      })
      return { kind: "done", row }
    }),
  )
}

/** Changes what is given; caps, and whether it is disabled, apply to the next call of every key of the project. */
export function updateProject(sql: Sql, actor: Actor, id: string, changes: ProjectChanges): Promise<ChangedProject> {
  return unlessTaken(() =>
    sql.begin(async (transaction): Promise<ChangedProject> => {
      await raiseDirectoryVersion(transaction)
      const before = await readProject(transaction, id)
      if (before === null) return { kind: "missing" }
      const name = changes.name ?? before.name
      if (before.name === DEFAULT_PROJECT && name !== DEFAULT_PROJECT) return { kind: "default" }
      const row = await writeChanges(transaction, before, changes)
      const organizationId = before.organization_id
      await writeAudit(transaction, actor, {
        organizationId,
        action: "project.change",
        subject: id,
        before,
        after: row,
      })
      return { kind: "done", row }
    }),
  )
}

export async function readProject(sql: Sql | Transaction, id: string): Promise<ProjectRow | null> {
  const [row] = await sql<ProjectRow[]>`SELECT ${columns(sql)} FROM projects WHERE id = ${id}`
  return row ?? null
}

/** The organization's project of this name. */
export async function readProjectNamed(sql: Sql, organizationId: string, name: string): Promise<ProjectRow | null> {
  const [row] = await sql<ProjectRow[]>`
    SELECT ${columns(sql)} FROM projects WHERE organization_id = ${organizationId} AND name = ${name}`
  return row ?? null
}

/** A page in order of ids, at most `max`, after the id `after` ('' for the first page). */
export function listProjects(
  sql: Sql,
  question: {
    readonly visibility: Visibility
    /** Null: of every organization. */
    readonly organizationId: string | null
    readonly after: string
    readonly max: number
  },
): Promise<readonly ProjectRow[]> {
  const { visibility, organizationId, after, max } = question
  const inProjects = (ids: string[]) => sql`id = ANY (${ids}::text[])`
  return sql<ProjectRow[]>`
    SELECT ${columns(sql)} FROM projects
    WHERE id > ${after} AND ${visibleRows(sql, visibility, sql`organization_id`, inProjects)}
      ${organizationId === null ? sql`` : sql`AND organization_id = ${organizationId}`}
    ORDER BY id LIMIT ${max}`
}

/** Makes a user of the same organization a member. False where there is no such user; doing it twice is no fault. */
export async function addMember(sql: Sql, actor: Actor, project: ProjectRow, userId: string): Promise<boolean> {
  return sql.begin(async (transaction) => {
    const users = await transaction`
      SELECT 1 FROM users WHERE id = ${userId} AND organization_id = ${project.organization_id}`
    if (users.length === 0) return false
    await insertMember(transaction, actor, { ...project, userId })
    return true
  })
}

/** The same inside a transaction of the caller's, of a user that is there. */
export async function insertMember(
  transaction: Transaction,
  actor: Actor,
  { id, organization_id, userId }: Pick<ProjectRow, "id" | "organization_id"> & { readonly userId: string },
): Promise<void> {
  const added = await transaction`
    INSERT INTO project_members (project_id, user_id) VALUES (${id}, ${userId})
    ON CONFLICT DO NOTHING RETURNING user_id`
  if (added.length === 0) return
  await writeAudit(transaction, actor, {
    organizationId: organization_id,
    action: "project.add_member",
    subject: id,
    before: null,
    after: { user_id: userId },
  })
}

/** False where the user was no member. The user's keys of the project stay: they are revoked one by one. */
export async function removeMember(sql: Sql, actor: Actor, project: ProjectRow, userId: string): Promise<boolean> {
  return sql.begin(async (transaction) => {
    const removed = await transaction`
      DELETE FROM project_members WHERE project_id = ${project.id} AND user_id = ${userId} RETURNING user_id`
    if (removed.length === 0) return false
    await writeAudit(transaction, actor, {
      organizationId: project.organization_id,
      action: "project.remove_member",
      subject: project.id,
      before: { user_id: userId },
      after: null,
    })
    return true
  })
}

async function writeChanges(
  transaction: Transaction,
  before: ProjectRow,
  changes: ProjectChanges,
): Promise<ProjectRow> {
  const { name, externalId, client, costCenter, keyDefaults, isDisabled } = changes
  const caps = capRowOf(changedCaps(capsFrom(before), changes.caps ?? {}))
  const [row] = await transaction<ProjectRow[]>`
    UPDATE projects SET
      name = ${name ?? before.name}, client = ${client ?? before.client}, cost_center = ${costCenter ?? before.cost_center},
      external_id = ${externalId === undefined ? before.external_id : externalId},
      key_defaults = ${JSON.stringify(keyDefaults ?? before.key_defaults)}::text::jsonb,
      disabled_at = ${disabledAt(transaction, isDisabled)},
      max_output_tokens = ${caps.max_output_tokens}, max_input_tokens = ${caps.max_input_tokens},
      max_cost_nanos = ${caps.max_cost_nanos}, cap_policy = ${caps.cap_policy}
    WHERE id = ${before.id} RETURNING ${columns(transaction)}`
  if (row === undefined) throw new Error(`The project ${before.id} went while it was changed.`)
  return row
}

function columns(sql: Sql | Transaction) {
  return sql`
    id, organization_id, name, external_id, client, cost_center, key_defaults, disabled_at, created_at,
    max_output_tokens, max_input_tokens, max_cost_nanos, cap_policy`
}

/**
 * The write path of users: persons, and service accounts, which are users that nobody logs in as. Each act is one
 * transaction that also writes its audit row, and raises `directory_version` where keys depend on what it changes.
 */
import { namedId } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { disabledAt } from "./disabled-at.ts"
import { insertMember } from "./project-registry.ts"
import type { Visibility } from "./role.ts"
import { endSessionsOf } from "./session.ts"
import { unlessTaken } from "./unless-taken.ts"
import { visibleRows } from "./visible-rows.ts"

export type UserKind = "person" | "service_account"

export type UserRow = {
  readonly id: string
  readonly organization_id: string
  readonly kind: UserKind
  readonly name: string
  readonly email: string
  readonly external_id: string | null
  /** Whether a person may log in by password. */
  readonly has_password: boolean
  readonly project_ids: readonly string[]
  readonly disabled_at: Date | null
  readonly created_at: Date
}

export type UserChanges = {
  readonly name?: string | undefined
  /** '' where there is none. */
  readonly email?: string | undefined
  readonly externalId?: string | null | undefined
  readonly isDisabled?: boolean | undefined
}

export type NewUser = UserChanges & {
  readonly organizationId: string
  readonly kind: UserKind
  readonly name: string
  /** Of which it is a member from the beginning. */
  readonly projectIds: readonly string[]
}

export type ChangedUser =
  | { readonly kind: "done"; readonly row: UserRow }
  | { readonly kind: "missing"; readonly what: "organization" | "project" | "user"; readonly id: string }
  /** Another user of the organization has that e-mail address or external id. */
  | { readonly kind: "taken" }

export function createUser(sql: Sql, actor: Actor, wanted: NewUser): Promise<ChangedUser> {
  return unlessTaken(() => sql.begin((transaction) => insertUser(transaction, actor, wanted)))
}

/** The same inside a transaction of the caller's. Rejects where the address or external id is taken. */
export async function insertUser(transaction: Transaction, actor: Actor, wanted: NewUser): Promise<ChangedUser> {
  const { organizationId, kind, name, email, externalId } = wanted
  const organizations = await transaction`SELECT 1 FROM organizations WHERE id = ${organizationId}`
  if (organizations.length === 0) return { kind: "missing", what: "organization", id: organizationId }
  const strange = await projectOutside(transaction, organizationId, wanted.projectIds)
  if (strange !== null) return { kind: "missing", what: "project", id: strange }
  const id = namedId("user")
  await transaction`
    INSERT INTO users (id, organization_id, kind, name, email, external_id)
    VALUES (${id}, ${organizationId}, ${kind}, ${name}, ${email ?? ""}, ${externalId ?? null})`
  for (const projectId of wanted.projectIds) {
    await insertMember(transaction, actor, { id: projectId, organization_id: organizationId, userId: id })
  }
  const row = await readWritten(transaction, id)
  await audit(transaction, actor, "create", null, row)
  return { kind: "done", row }
}

/** Changes what is given. A disabled user's keys are refused, and the user's sessions end. */
export function updateUser(sql: Sql, actor: Actor, id: string, changes: UserChanges): Promise<ChangedUser> {
  return unlessTaken(() => sql.begin((transaction) => changeUser(transaction, actor, id, changes)))
}

/** The same inside a transaction of the caller's. Rejects where the address or external id is taken. */
export async function changeUser(
  transaction: Transaction,
  actor: Actor,
  id: string,
  changes: UserChanges,
): Promise<ChangedUser> {
  await raiseDirectoryVersion(transaction)
  const before = await readUser(transaction, id)
  if (before === null) return { kind: "missing", what: "user", id }
  await transaction`
    UPDATE users SET
      name = ${changes.name ?? before.name}, email = ${changes.email ?? before.email},
      external_id = ${changes.externalId === undefined ? before.external_id : changes.externalId},
      disabled_at = ${disabledAt(transaction, changes.isDisabled)}
    WHERE id = ${id}`
  if (changes.isDisabled === true) await endSessionsOf(transaction, id)
  const row = await readWritten(transaction, id)
  await audit(transaction, actor, "change", before, row)
  return { kind: "done", row }
}

export async function readUser(sql: Sql | Transaction, id: string): Promise<UserRow | null> {
  const [row] = await sql<UserRow[]>`SELECT ${columns(sql)} FROM users u WHERE u.id = ${id}`
  return row ?? null
}

export type UsersQuestion = {
  readonly visibility: Visibility
  readonly kind: UserKind
  /** Null: of every organization or project; else those that are in it. */
  readonly organizationId: string | null
  readonly projectId: string | null
  /** Whose name or address contains this, in whatever case; '' for all. */
  readonly text: string
  readonly after: string
  readonly max: number
}

/** A page in order of ids, at most `max`, after the id `after` ('' for the first page). */
export function listUsers(sql: Sql, question: UsersQuestion): Promise<readonly UserRow[]> {
  const { visibility, kind, organizationId, projectId, text, after, max } = question
  const inProjects = (ids: string[]) => sql`
    EXISTS (SELECT 1 FROM project_members m WHERE m.user_id = u.id AND m.project_id = ANY (${ids}::text[]))`
  return sql<UserRow[]>`
    SELECT ${columns(sql)} FROM users u
    WHERE u.id > ${after} AND u.kind = ${kind} AND ${visibleRows(sql, visibility, sql`u.organization_id`, inProjects)}
      ${organizationId === null ? sql`` : sql`AND u.organization_id = ${organizationId}`}
      ${projectId === null ? sql`` : sql`AND ${inProjects([projectId])}`}
      ${text === "" ? sql`` : sql`AND position(lower(${text}) IN lower(u.name || ' ' || u.email)) > 0`}
    ORDER BY u.id LIMIT ${max}`
}

/** The first of these projects that the organization does not have; null where it has them all. */
async function projectOutside(
  transaction: Transaction,
  organizationId: string,
  ids: readonly string[],
): Promise<string | null> {
  const rows = await transaction<{ id: string }[]>`
    SELECT id FROM projects WHERE organization_id = ${organizationId} AND id = ANY (${[...ids]}::text[])`
  const found = new Set(rows.map(({ id }) => id))
  return ids.find((id) => !found.has(id)) ?? null
}

async function readWritten(transaction: Transaction, id: string): Promise<UserRow> {
  const row = await readUser(transaction, id)
  if (row === null) throw new Error(`The user ${id} is not readable in the transaction that wrote it.`)
  return row
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  act: "create" | "change",
  before: UserRow | null,
  after: UserRow,
): Promise<void> {
  const { organization_id: organizationId, id, kind } = after
  const action = `${kind === "person" ? "user" : kind}.${act}`
  await writeAudit(transaction, actor, { organizationId, action, subject: id, before, after })
}

function columns(sql: Sql | Transaction) {
  return sql`
    u.id, u.organization_id, u.kind, u.name, u.email, u.external_id, u.password_hash IS NOT NULL AS has_password,
    ARRAY(SELECT m.project_id FROM project_members m WHERE m.user_id = u.id ORDER BY m.project_id) AS project_ids,
    u.disabled_at, u.created_at`
}

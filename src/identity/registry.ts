/**
 * The write path of organizations' projects and users. Each act is one transaction that also writes its audit row, and
 * raises `directory_version` where keys depend on what it changes.
 */
import { namedId } from "../platform/ids.ts"
import { type Sql, sqlState, type Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { type CapChanges, changedCaps } from "./call-caps.ts"
import { type CapRow, capRowOf, capsFrom } from "./cap-row.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"

export type CreatedNamed = { readonly kind: "created"; readonly id: string } | { readonly kind: "taken" }

/** Creates a project; `taken` where the organization has one of that name. */
export async function createProject(
  sql: Sql,
  actor: Actor,
  wanted: { organizationId: string; name: string },
): Promise<CreatedNamed> {
  const id = namedId("proj")
  return unlessTaken(() =>
    sql.begin(async (transaction): Promise<CreatedNamed> => {
      await transaction`
        INSERT INTO projects (id, organization_id, name) VALUES (${id}, ${wanted.organizationId}, ${wanted.name})`
      const { organizationId } = wanted
      await writeAudit(transaction, actor, {
        organizationId,
        action: "project.create",
        subject: id,
        before: null,
        after: wanted,
      })
      return { kind: "created", id }
    }),
  )
}

export type ProjectRow = CapRow & {
  readonly id: string
  readonly organization_id: string
  readonly name: string
  readonly created_at: Date
}

/** Absent: unchanged. */
export type ProjectChanges = { readonly name?: string | undefined; readonly caps?: CapChanges | undefined }

export type ChangedProject =
  | { readonly kind: "changed"; readonly row: ProjectRow }
  | { readonly kind: "missing" }
  /** The organization has another project of that name. */
  | { readonly kind: "taken" }
  /** The default project, which keys without a project are put into, is found by its name. */
  | { readonly kind: "default" }

/** The name of the project that an installation makes for keys that name none. */
const DEFAULT_PROJECT = "default"

/** Changes what is given; caps apply to the next call of every key of the project. */
export async function updateProject(
  sql: Sql,
  actor: Actor,
  id: string,
  changes: ProjectChanges,
): Promise<ChangedProject> {
  return unlessTaken(() =>
    sql.begin(async (transaction): Promise<ChangedProject> => {
      await raiseDirectoryVersion(transaction)
      const before = await readProject(transaction, id)
      if (before === null) return { kind: "missing" }
      const name = changes.name ?? before.name
      if (before.name === DEFAULT_PROJECT && name !== DEFAULT_PROJECT) return { kind: "default" }
      const caps = capRowOf(changedCaps(capsFrom(before), changes.caps ?? {}))
      await transaction`
        UPDATE projects SET
          name = ${name}, max_output_tokens = ${caps.max_output_tokens}, max_input_tokens = ${caps.max_input_tokens},
          max_cost_nanos = ${caps.max_cost_nanos}, cap_policy = ${caps.cap_policy}
        WHERE id = ${id}`
      const row: ProjectRow = { ...before, ...caps, name }
      const organizationId = before.organization_id
      await writeAudit(transaction, actor, {
        organizationId,
        action: "project.change",
        subject: id,
        before,
        after: row,
      })
      return { kind: "changed", row }
    }),
  )
}

async function readProject(transaction: Transaction, id: string): Promise<ProjectRow | null> {
  const [row] = await transaction<ProjectRow[]>`
    SELECT id, organization_id, name, created_at, max_output_tokens, max_input_tokens, max_cost_nanos, cap_policy
    FROM projects WHERE id = ${id}`
  return row ?? null
}

/** Creates a user; `taken` where the organization has one with that e-mail address. */
export async function createUser(
  sql: Sql,
  actor: Actor,
  wanted: { organizationId: string; name: string; email: string },
): Promise<CreatedNamed> {
  const id = namedId("user")
  return unlessTaken(() =>
    sql.begin(async (transaction): Promise<CreatedNamed> => {
      await transaction`
        INSERT INTO users (id, organization_id, name, email)
        VALUES (${id}, ${wanted.organizationId}, ${wanted.name}, ${wanted.email})`
      const { organizationId } = wanted
      await writeAudit(transaction, actor, {
        organizationId,
        action: "user.create",
        subject: id,
        before: null,
        after: wanted,
      })
      return { kind: "created", id }
    }),
  )
}

async function unlessTaken<Done>(act: () => Promise<Done>): Promise<Done | { readonly kind: "taken" }> {
  try {
    return await act()
  } catch (error) {
    const UNIQUE_VIOLATION = "23505"
    if (sqlState(error) === UNIQUE_VIOLATION) return { kind: "taken" }
    throw error
  }
}

/**
 * The write path of identity: organizations, projects, users, virtual keys with their limits. Each act is one
 * transaction that also writes its audit row and raises `directory_version`, so that no process goes on with an old key.
 */
import { namedId } from "../platform/ids.ts"
import { type Sql, sqlState, type Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { insertLimit, type NewLimit } from "./limit-registry.ts"
import type { LimitRow } from "./limit-row.ts"
import { mintVirtualKey, secretDigest } from "./secret.ts"

export type NewVirtualKey = {
  readonly name: string
  readonly organizationId: string
  /** Null: the organization's default project. */
  readonly projectId: string | null
  readonly userId: string | null
  readonly allowedModels: readonly string[] | null
  readonly expiresAt: Date | null
  readonly limits: readonly NewLimit[]
}

export type KeyLimitRow = Pick<
  LimitRow,
  "id" | "kind" | "window" | "cap" | "time_zone" | "anchor_day" | "on_store_failure"
>

export type VirtualKeyRow = {
  readonly id: string
  readonly name: string
  readonly organization_id: string
  readonly project_id: string
  readonly user_id: string | null
  readonly allowed_models: string[] | null
  readonly expires_at: Date | null
  readonly revoked_at: Date | null
  readonly created_at: Date
  readonly last4: string
  /** Those of the key itself; the calls' other limits stand on its project, user and organization. */
  readonly limits: readonly KeyLimitRow[]
}

export type CreatedKey =
  | { readonly kind: "created"; readonly secret: string; readonly row: VirtualKeyRow }
  | { readonly kind: "missing"; readonly what: "project" | "user"; readonly id: string }

/** Creates a key and its limits in one transaction; the secret is returned here and nowhere else. */
export async function createVirtualKey(sql: Sql, actor: Actor, wanted: NewVirtualKey): Promise<CreatedKey> {
  return sql.begin((transaction) => insertVirtualKey(transaction, actor, wanted))
}

/** The same inside a transaction of the caller's. */
export async function insertVirtualKey(
  transaction: Transaction,
  actor: Actor,
  wanted: NewVirtualKey,
): Promise<CreatedKey> {
  const projectId = await findProject(transaction, wanted)
  if (projectId === null) return { kind: "missing", what: "project", id: wanted.projectId ?? "default" }
  if (wanted.userId !== null && !(await isUser(transaction, wanted.organizationId, wanted.userId))) {
    return { kind: "missing", what: "user", id: wanted.userId }
  }
  const id = namedId("key")
  const secret = mintVirtualKey(id)
  await transaction`
    INSERT INTO virtual_keys (id, organization_id, project_id, user_id, name, secret_sha256, last4, allowed_models, expires_at)
    VALUES (${id}, ${wanted.organizationId}, ${projectId}, ${wanted.userId}, ${wanted.name},
            decode(${secretDigest(secret)}, 'hex'), ${secret.slice(-4)},
            ${wanted.allowedModels === null ? null : [...wanted.allowedModels]}, ${wanted.expiresAt})`
  const subject = { organizationId: wanted.organizationId, scope: "key", subject: id } as const
  for (const limit of wanted.limits) await insertLimit(transaction, subject, limit)
  const row = await readKey(transaction, id)
  if (row === null) throw new Error(`The key ${id} is not readable in the transaction that wrote it.`)
  const { organizationId } = wanted
  await writeAudit(transaction, actor, { organizationId, action: "key.create", subject: id, before: null, after: row })
  await raiseDirectoryVersion(transaction)
  return { kind: "created", secret, row }
}

/** Revokes a key at once; revoking twice keeps the first instant. Null where there is no such key. */
export async function revokeVirtualKey(sql: Sql, actor: Actor, id: string, now: Date): Promise<VirtualKeyRow | null> {
  return sql.begin(async (transaction): Promise<VirtualKeyRow | null> => {
    const before = await readKey(transaction, id)
    if (before === null) return null
    await transaction`UPDATE virtual_keys SET revoked_at = ${now} WHERE id = ${id} AND revoked_at IS NULL`
    const after = await readKey(transaction, id)
    await writeAudit(transaction, actor, {
      organizationId: before.organization_id,
      action: "key.revoke",
      subject: id,
      before,
      after,
    })
    await raiseDirectoryVersion(transaction)
    return after
  })
}

/** A page of keys in order of their ids, at most `max`, after the id `after` ('' for the first page). */
export async function listVirtualKeys(sql: Sql, after: string, max: number): Promise<readonly VirtualKeyRow[]> {
  return sql<VirtualKeyRow[]>`
    ${keyColumns(sql)} WHERE k.id > ${after} ORDER BY k.id LIMIT ${max}`
}

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

async function unlessTaken(act: () => Promise<CreatedNamed>): Promise<CreatedNamed> {
  try {
    return await act()
  } catch (error) {
    const UNIQUE_VIOLATION = "23505"
    if (sqlState(error) === UNIQUE_VIOLATION) return { kind: "taken" }
    throw error
  }
}

function keyColumns(sql: Sql | Transaction) {
  return sql`
    SELECT k.id, k.name, k.organization_id, k.project_id, k.user_id, k.allowed_models, k.expires_at, k.revoked_at,
           k.created_at, k.last4,
           coalesce((SELECT jsonb_agg(jsonb_build_object('id', l.id, 'kind', l.kind, 'window', l."window", 'cap', l.cap::text,
                                                         'time_zone', l.time_zone, 'anchor_day', l.anchor_day,
                                                         'on_store_failure', l.on_store_failure)
                                      ORDER BY l.created_at, l.id)
                     FROM limits l WHERE l.scope = 'key' AND l.subject = k.id), '[]'::jsonb) AS limits
    FROM virtual_keys k`
}

async function readKey(transaction: Transaction, id: string): Promise<VirtualKeyRow | null> {
  const [row] = await transaction<VirtualKeyRow[]>`${keyColumns(transaction)} WHERE k.id = ${id}`
  return row ?? null
}

async function findProject(transaction: Transaction, wanted: NewVirtualKey): Promise<string | null> {
  const [row] = await transaction<{ id: string }[]>`
    SELECT id FROM projects
    WHERE organization_id = ${wanted.organizationId}
      AND (id = ${wanted.projectId} OR (${wanted.projectId}::text IS NULL AND name = 'default'))`
  return row?.id ?? null
}

async function isUser(transaction: Transaction, organizationId: string, id: string): Promise<boolean> {
  const rows = await transaction`SELECT 1 FROM users WHERE organization_id = ${organizationId} AND id = ${id}`
  return rows.length === 1
}

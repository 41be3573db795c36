/**
 * The write path of virtual keys. Each act is one transaction that also writes its audit row and raises
 * `directory_version`, so that no process goes on with an old key. The version is raised first: acts then wait for one
 * another there, and not crosswise for the rows that they touch.
 */
import { namedId } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { type CapChanges, changedCaps, NO_CAPS } from "./call-caps.ts"
import { type CapRow, capRowOf, capsFrom } from "./cap-row.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { insertLimit, type NewLimit } from "./limit-registry.ts"
import type { LimitRow } from "./limit-row.ts"
import { DEFAULT_PROJECT, insertMember } from "./project-registry.ts"
import type { Visibility } from "./role.ts"
import { mintVirtualKey, secretDigest } from "./secret.ts"
import { unlessTaken } from "./unless-taken.ts"
import { visibleRows } from "./visible-rows.ts"

export const UNMETERED_POLICIES = ["allow", "deny"] as const
export type UnmeteredPolicy = (typeof UNMETERED_POLICIES)[number]

/** What an admin says of a key. Absent: unchanged, on a new key as `NEW_KEY` has it. Null: cleared. */
export type KeyChanges = {
  readonly name?: string | undefined
  readonly externalId?: string | null | undefined
  /** Each call of the key carries them. */
  readonly tags?: readonly string[] | undefined
  /** The admin's own words; they stand on the key alone. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
  readonly allowedModels?: readonly string[] | null | undefined
  readonly allowedEndpoints?: readonly string[] | null | undefined
  readonly ipAllow?: readonly string[] | null | undefined
  readonly unmetered?: UnmeteredPolicy | undefined
  readonly attributeUsers?: boolean | undefined
  readonly caps?: CapChanges | undefined
  readonly expiresAt?: Date | null | undefined
}

export type NewVirtualKey = KeyChanges & {
  readonly name: string
  readonly organizationId: string
  /** Null: the organization's default project. */
  readonly projectId: string | null
  readonly userId: string | null
  readonly limits: readonly NewLimit[]
}

export type KeyLimitRow = Pick<
  LimitRow,
  | "id"
  | "kind"
  | "window"
  | "cap"
  | "time_zone"
  | "anchor_day"
  | "on_store_failure"
  | "enforcement"
  | "slice_tokens"
  | "unbounded"
  | "thresholds"
  | "raised_cap"
> & {
  /** Text where the row was read as a part of its key's. */
  readonly raised_until: Date | string | null
}

export type VirtualKeyRow = CapRow & {
  readonly id: string
  readonly name: string
  readonly organization_id: string
  readonly project_id: string
  readonly user_id: string | null
  readonly external_id: string | null
  readonly tags: string[]
  readonly metadata: Readonly<Record<string, string>>
  readonly allowed_models: string[] | null
  readonly allowed_endpoints: string[] | null
  readonly ip_allow: string[] | null
  readonly unmetered: UnmeteredPolicy
  readonly attribute_users: boolean
  readonly expires_at: Date | null
  readonly revoked_at: Date | null
  readonly created_at: Date
  readonly last4: string
  readonly rotated_at: Date | null
  /** Until when the secret before the last rotation is accepted; null where none is. */
  readonly previous_valid_until: Date | null
  /** Those of the key itself; the calls' other limits stand on its project, user and organization. */
  readonly limits: readonly KeyLimitRow[]
}

export type CreatedKey =
  | { readonly kind: "created"; readonly secret: string; readonly row: VirtualKeyRow }
  | { readonly kind: "missing"; readonly what: "project" | "user"; readonly id: string }
  /** Another key of the organization has that external id. */
  | { readonly kind: "taken" }

/** Creates a key and its limits in one transaction; the secret is returned here and nowhere else. */
export async function createVirtualKey(sql: Sql, actor: Actor, wanted: NewVirtualKey): Promise<CreatedKey> {
  return unlessTaken(() => sql.begin((transaction) => insertVirtualKey(transaction, actor, wanted)))
}

/** The same inside a transaction of the caller's. Rejects where the external id is taken. */
export async function insertVirtualKey(
  transaction: Transaction,
  actor: Actor,
  wanted: NewVirtualKey,
): Promise<CreatedKey> {
  await raiseDirectoryVersion(transaction)
  const projectId = await findProject(transaction, wanted)
  if (projectId === null) return { kind: "missing", what: "project", id: wanted.projectId ?? DEFAULT_PROJECT }
  if (wanted.userId !== null) {
    if (!(await isUser(transaction, wanted.organizationId, wanted.userId))) {
      return { kind: "missing", what: "user", id: wanted.userId }
    }
    const { organizationId: organization_id, userId } = wanted
    await insertMember(transaction, actor, { id: projectId, organization_id, userId })
  }
  const id = namedId("key")
  const secret = mintVirtualKey(id)
  await transaction`
    INSERT INTO virtual_keys (id, organization_id, project_id, user_id, name, secret_sha256, last4)
    VALUES (${id}, ${wanted.organizationId}, ${projectId}, ${wanted.userId}, ${wanted.name},
            decode(${secretDigest(secret)}, 'hex'), ${secret.slice(-4)})`
  await writeChanges(transaction, id, { ...NEW_KEY, name: wanted.name }, wanted)
  const subject = { organizationId: wanted.organizationId, scope: "key", subject: id } as const
  for (const limit of wanted.limits) await insertLimit(transaction, subject, limit)
  const row = await readKeyRow(transaction, id)
  if (row === null) throw new Error(`The key ${id} is not readable in the transaction that wrote it.`)
  const { organizationId } = wanted
  await writeAudit(transaction, actor, { organizationId, action: "key.create", subject: id, before: null, after: row })
  return { kind: "created", secret, row }
}

/** Changes what is given, from the next call on; the secret stays. Null where there is no such key. */
export async function updateVirtualKey(
  sql: Sql,
  actor: Actor,
  id: string,
  changes: KeyChanges,
): Promise<VirtualKeyRow | { readonly kind: "taken" } | null> {
  return unlessTaken(() =>
    changeKey(sql, actor, { id, action: "key.change" }, async (transaction, before) => {
      await writeChanges(transaction, id, before, changes)
    }),
  )
}

/**
 * Gives the key a new secret, returned here and nowhere else. The old one works for another `overlapMs`; one that was
 * older still stops at once. Null where there is no such key, `revoked` where it does not work any more.
 */
export async function rotateVirtualKey(
  sql: Sql,
  actor: Actor,
  id: string,
  { now, overlapMs }: { readonly now: Date; readonly overlapMs: number },
): Promise<{ readonly secret: string; readonly row: VirtualKeyRow } | "revoked" | null> {
  const secret = mintVirtualKey(id)
  let isRevoked = false
  const row = await changeKey(sql, actor, { id, action: "key.rotate" }, async (transaction, before) => {
    isRevoked = before.revoked_at !== null
    if (isRevoked) return
    const until = overlapMs === 0 ? null : new Date(now.getTime() + overlapMs)
    await transaction`
      UPDATE virtual_keys SET
        previous_secret_sha256 = ${until === null ? null : transaction`secret_sha256`}, previous_valid_until = ${until},
        secret_sha256 = decode(${secretDigest(secret)}, 'hex'), last4 = ${secret.slice(-4)}, rotated_at = ${now}
      WHERE id = ${id}`
  })
  if (row === null) return null
  return isRevoked ? "revoked" : { secret, row }
}

/** Revokes a key at once; revoking twice keeps the first instant. Null where there is no such key. */
export async function revokeVirtualKey(sql: Sql, actor: Actor, id: string, now: Date): Promise<VirtualKeyRow | null> {
  return changeKey(sql, actor, { id, action: "key.revoke" }, async (transaction) => {
    await transaction`UPDATE virtual_keys SET revoked_at = ${now} WHERE id = ${id} AND revoked_at IS NULL`
  })
}

/** The key as the admin API shows it, without its secret; null where there is no such key. */
export async function readKeyRow(sql: Sql | Transaction, id: string): Promise<VirtualKeyRow | null> {
  const [row] = await sql<VirtualKeyRow[]>`${keyColumns(sql)} WHERE k.id = ${id}`
  return row ?? null
}

/** The project of each of these keys. */
export async function keyProjects(sql: Sql, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const rows = await sql<{ id: string; project_id: string }[]>`
    SELECT id, project_id FROM virtual_keys WHERE id = ANY (${[...ids]}::text[])`
  return new Map(rows.map(({ id, project_id }) => [id, project_id]))
}

export type KeysQuestion = {
  readonly visibility: Visibility
  /** Each null: of all. */
  readonly organizationId: string | null
  readonly projectId: string | null
  readonly userId: string | null
  readonly after: string
  readonly max: number
}

/** A page of keys in order of their ids, at most `max`, after the id `after` ('' for the first page). */
export async function listVirtualKeys(sql: Sql, question: KeysQuestion): Promise<readonly VirtualKeyRow[]> {
  const { visibility, organizationId, projectId, userId, after, max } = question
  const inProjects = (ids: string[]) => sql`k.project_id = ANY (${ids}::text[])`
  return sql<VirtualKeyRow[]>`
    ${keyColumns(sql)}
    WHERE k.id > ${after} AND ${visibleRows(sql, visibility, sql`k.organization_id`, inProjects)}
      ${organizationId === null ? sql`` : sql`AND k.organization_id = ${organizationId}`}
      ${projectId === null ? sql`` : sql`AND k.project_id = ${projectId}`}
      ${userId === null ? sql`` : sql`AND k.user_id = ${userId}`}
    ORDER BY k.id LIMIT ${max}`
}

async function changeKey(
  sql: Sql,
  actor: Actor,
  { id, action }: { readonly id: string; readonly action: string },
  change: (transaction: Transaction, before: VirtualKeyRow) => Promise<void>,
): Promise<VirtualKeyRow | null> {
  return sql.begin(async (transaction): Promise<VirtualKeyRow | null> => {
    await raiseDirectoryVersion(transaction)
    const before = await readKeyRow(transaction, id)
    if (before === null) return null
    await change(transaction, before)
    const after = await readKeyRow(transaction, id)
    const organizationId = before.organization_id
    await writeAudit(transaction, actor, { organizationId, action, subject: id, before, after })
    return after
  })
}

/** What changes start from. */
type ChangeableRow = CapRow &
  Pick<
    VirtualKeyRow,
    | "name"
    | "external_id"
    | "tags"
    | "metadata"
    | "allowed_models"
    | "allowed_endpoints"
    | "ip_allow"
    | "unmetered"
    | "attribute_users"
    | "expires_at"
  >

/** Unless told otherwise, a key may do all that is accounted for, in nobody's name but its own. */
const NEW_KEY: Omit<ChangeableRow, "name"> = {
  external_id: null,
  tags: [],
  metadata: {},
  allowed_models: null,
  allowed_endpoints: null,
  ip_allow: null,
  unmetered: "deny",
  attribute_users: false,
  expires_at: null,
  ...capRowOf(NO_CAPS),
}

async function writeChanges(
  transaction: Transaction,
  id: string,
  before: ChangeableRow,
  changes: KeyChanges,
): Promise<void> {
  const caps = capRowOf(changedCaps(capsFrom(before), changes.caps ?? {}))
  await transaction`
    UPDATE virtual_keys SET
      name = ${changes.name ?? before.name},
      external_id = ${changes.externalId === undefined ? before.external_id : changes.externalId},
      tags = ${[...(changes.tags ?? before.tags)]},
      metadata = ${JSON.stringify(changes.metadata ?? before.metadata)}::text::jsonb,
      allowed_models = ${listOf(changes.allowedModels, before.allowed_models)},
      allowed_endpoints = ${listOf(changes.allowedEndpoints, before.allowed_endpoints)},
      ip_allow = ${listOf(changes.ipAllow, before.ip_allow)},
      unmetered = ${changes.unmetered ?? before.unmetered},
      attribute_users = ${changes.attributeUsers ?? before.attribute_users},
      expires_at = ${changes.expiresAt === undefined ? before.expires_at : changes.expiresAt},
      max_output_tokens = ${caps.max_output_tokens}, max_input_tokens = ${caps.max_input_tokens},
      max_cost_nanos = ${caps.max_cost_nanos}, cap_policy = ${caps.cap_policy}
    WHERE id = ${id}`
}

function listOf(given: readonly string[] | null | undefined, before: string[] | null): string[] | null {
  if (given === undefined) return before
  return given === null ? null : [...given]
}

function keyColumns(sql: Sql | Transaction) {
  return sql`
    SELECT k.id, k.name, k.organization_id, k.project_id, k.user_id, k.external_id, k.tags, k.metadata, k.allowed_models, k.allowed_endpoints, k.ip_allow,
           k.unmetered, k.attribute_users, k.max_output_tokens, k.max_input_tokens, k.max_cost_nanos, k.cap_policy,
           k.expires_at, k.revoked_at, k.created_at, k.last4, k.rotated_at, k.previous_valid_until,
           coalesce((SELECT jsonb_agg(jsonb_build_object('id', l.id, 'kind', l.kind, 'window', l."window", 'cap', l.cap::text,
                                                         'time_zone', l.time_zone, 'anchor_day', l.anchor_day,
                                                         'on_store_failure', l.on_store_failure,
                                                         'enforcement', l.enforcement, 'unbounded', l.unbounded,
                                                         'thresholds', l.thresholds,
                                                         'slice_tokens', l.slice_tokens,
                                                         'raised_cap', CASE WHEN l.raised_until > now() THEN l.raised_cap::text END,
                                                         'raised_until', CASE WHEN l.raised_until > now() THEN l.raised_until END)
                                      ORDER BY l.created_at, l.id)
                     FROM limits l WHERE l.scope = 'key' AND l.subject = k.id), '[]'::jsonb) AS limits
    FROM virtual_keys k`
}

async function findProject(transaction: Transaction, wanted: NewVirtualKey): Promise<string | null> {
  const [row] = await transaction<{ id: string }[]>`
    SELECT id FROM projects
    WHERE organization_id = ${wanted.organizationId}
      AND (id = ${wanted.projectId} OR (${wanted.projectId}::text IS NULL AND name = ${DEFAULT_PROJECT}))`
  return row?.id ?? null
}

async function isUser(transaction: Transaction, organizationId: string, id: string): Promise<boolean> {
  const rows = await transaction`SELECT 1 FROM users WHERE organization_id = ${organizationId} AND id = ${id}`
  return rows.length === 1
}

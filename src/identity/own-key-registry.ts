/**
 * The write path of keys that their holders make: within the project's defaults, counted and made in one transaction, so
 * that two at once are not one too many.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import type { Actor } from "./audit.ts"
import { combineCaps, NO_CAPS } from "./call-caps.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { readKeyDefaults } from "./key-defaults.ts"
import { insertVirtualKey, type VirtualKeyRow } from "./key-registry.ts"
import { type KeyHolder, organizationOf, termsOf, userOf, type WantedTerms } from "./own-key.ts"
import { type ProjectRow, readProject } from "./project-registry.ts"

export type WantedOwnKey = WantedTerms & {
  readonly name: string
  /** Null: that of the key that asks, or the only one that the user is a member of. */
  readonly projectId: string | null
  readonly tags: readonly string[] | undefined
}

export type MadeOwnKey =
  | { readonly kind: "created"; readonly secret: string; readonly row: VirtualKeyRow }
  /** There is no such project as far as the holder is a member. */
  | { readonly kind: "missing"; readonly projectId: string }
  | { readonly kind: "refused"; readonly isForbidden: boolean; readonly param: string; readonly message: string }

export function createOwnKey(
  sql: Sql,
  actor: Actor,
  holder: KeyHolder,
  wanted: WantedOwnKey,
  now: Date,
): Promise<MadeOwnKey> {
  return sql.begin(async (transaction): Promise<MadeOwnKey> => {
    // First, as everywhere: makers of keys wait for one another here.
    await raiseDirectoryVersion(transaction)
    const userId = userOf(holder)
    if (userId === null) {
      return forbidden("user_id", "This key is bound to no user, so it can make no other keys. Ask an admin for one.")
    }
    const maker = holder.kind === "key" ? holder.key : null
    if (maker?.limits.some(({ scope }) => scope === "key")) {
      return forbidden(
        "key",
        "A key with limits of its own makes no keys without them. Log in as its user, or ask an admin.",
      )
    }
    const projectId = wanted.projectId ?? maker?.projectId ?? (await onlyProject(transaction, userId))
    if (projectId === null) return invalid("project_id", "Name the project: you are a member of none or of several.")
    const project = await ownProject(transaction, holder, { userId, projectId })
    if (project === null) return { kind: "missing", projectId }
    const defaults = readKeyDefaults(project.key_defaults)
    const tooMany = await countFault(transaction, { userId, projectId, now, max: defaults.keys_per_member_max })
    if (tooMany !== null) return forbidden("project_id", tooMany)
    const terms = termsOf(wanted, defaults, maker, now)
    if (terms.kind === "refused") return invalid(terms.param, terms.message)
    const made = await insertVirtualKey(transaction, actor, {
      name: wanted.name,
      organizationId: organizationOf(holder),
      projectId,
      userId,
      tags: wanted.tags,
      allowedModels: terms.allowedModels,
      expiresAt: terms.expiresAt,
      allowedEndpoints: maker?.allowedEndpoints ?? null,
      ipAllow: maker?.ipAllow ?? null,
      caps: combineCaps({ ...NO_CAPS, outputTokensMax: defaults.max_output_tokens }, maker?.caps ?? NO_CAPS),
      limits: [],
    })
    if (made.kind !== "created")
      throw new Error(`The project or user of a new key went while it was made: ${made.kind}.`)
    return made
  })
}

function invalid(param: string, message: string): MadeOwnKey {
  return { kind: "refused", isForbidden: false, param, message }
}

function forbidden(param: string, message: string): MadeOwnKey {
  return { kind: "refused", isForbidden: true, param, message }
}

/** Null where the user is a member of none, or of several. */
async function onlyProject(transaction: Transaction, userId: string): Promise<string | null> {
  const rows = await transaction<{ project_id: string }[]>`
    SELECT project_id FROM project_members WHERE user_id = ${userId} LIMIT 2`
  return rows.length === 1 ? (rows[0]?.project_id ?? null) : null
}

async function ownProject(
  transaction: Transaction,
  holder: KeyHolder,
  { userId, projectId }: { readonly userId: string; readonly projectId: string },
): Promise<ProjectRow | null> {
  const members = await transaction`
    SELECT 1 FROM project_members WHERE user_id = ${userId} AND project_id = ${projectId}`
  const project = members.length === 0 ? null : await readProject(transaction, projectId)
  return project?.organization_id === organizationOf(holder) ? project : null
}

/** What is against one more working key of the user in the project; null where nothing is. */
async function countFault(
  transaction: Transaction,
  { userId, projectId, now, max }: { userId: string; projectId: string; now: Date; max: number },
): Promise<string | null> {
  const who = "An admin of the project can change key_defaults.keys_per_member_max."
  if (max === 0) return `Members of this project make no keys for themselves. ${who}`
  const [row] = await transaction<{ count: number }[]>`
    SELECT count(*)::int AS count FROM virtual_keys
    WHERE user_id = ${userId} AND project_id = ${projectId} AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > ${now})`
  if ((row?.count ?? 0) < max) return null
  return `You have ${row?.count} of at most ${max} keys in this project. Revoke one first. ${who}`
}

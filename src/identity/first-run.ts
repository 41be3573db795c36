/**
 * What a new installation needs before its first call: an organization and a default project, made at any start that
 * finds none; and an admin key and a virtual key, made once and only when Tallygate already listens, so that a start
 * that fails on its way takes no keys with it.
 */
import { namedId } from "../platform/ids.ts"
import { type Sql, sqlState, type Transaction } from "../platform/postgres.ts"
import { writeAudit } from "./audit.ts"
import { insertVirtualKey } from "./key-registry.ts"
import { mintAdminKey, secretDigest } from "./secret.ts"

export type FirstRun =
  | { readonly kind: "done before" }
  /** `adminKey` is null where the environment brings the admin key. */
  | { readonly kind: "done now"; readonly adminKey: string | null; readonly virtualKey: string }

const ACTOR = { name: "first run", ip: "" }
const UNIQUE_VIOLATION = "23505"

/** Makes the default organization and project unless they are there; of several starters one does it. */
export async function install(sql: Sql): Promise<void> {
  try {
    await sql.begin(async (transaction) => {
      const found = await transaction`SELECT 1 FROM organizations WHERE is_default`
      if (found.length > 0) return
      const organizationId = namedId("org")
      await transaction`INSERT INTO organizations (id, name, is_default) VALUES (${organizationId}, 'default', true)`
      await transaction`
        INSERT INTO projects (id, organization_id, name) VALUES (${namedId("proj")}, ${organizationId}, 'default')`
      const action = "installation.create"
      await writeAudit(transaction, ACTOR, {
        organizationId,
        action,
        subject: organizationId,
        before: null,
        after: null,
      })
    })
  } catch (error) {
    // Another starter was faster: its default organization holds the unique index.
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
  }
}

/** Makes the first keys of an installed organization, once; they are returned here and nowhere else. */
export async function firstRun(sql: Sql, options: { isAdminKeyGiven: boolean }): Promise<FirstRun> {
  return sql.begin(async (transaction): Promise<FirstRun> => {
    const [organization] = await transaction<{ id: string }[]>`
      UPDATE organizations SET first_keys_at = now() WHERE is_default AND first_keys_at IS NULL RETURNING id`
    if (organization === undefined) return { kind: "done before" }
    const adminKey = options.isAdminKeyGiven ? null : mintAdminKey()
    return { kind: "done now", adminKey, virtualKey: await firstKeys(transaction, organization.id, adminKey) }
  })
}

async function firstKeys(transaction: Transaction, organizationId: string, adminKey: string | null): Promise<string> {
  if (adminKey !== null) {
    await transaction`
      INSERT INTO admin_keys (id, name, secret_sha256, last4)
      VALUES (${namedId("adm")}, 'first admin key', decode(${secretDigest(adminKey)}, 'hex'), ${adminKey.slice(-4)})`
  }
  const created = await insertVirtualKey(transaction, ACTOR, {
    name: "first key",
    organizationId,
    projectId: null,
    userId: null,
    allowedModels: null,
    expiresAt: null,
    limits: [],
  })
  if (created.kind !== "created") throw new Error("There is no default project: the installation is not whole.")
  return created.secret
}

/** The organization that admin calls mean when they name none. */
export async function defaultOrganization(sql: Sql): Promise<string> {
  const [row] = await sql<{ id: string }[]>`SELECT id FROM organizations WHERE is_default`
  if (row === undefined) throw new Error("There is no default organization: the first run did not finish.")
  return row.id
}

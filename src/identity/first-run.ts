/**
 * What a new installation needs before its first call: an organization, a default project, an admin key and a first
 * virtual key. Done once, in one transaction with the row that says so; of several starters one does it.
 */
import { namedId } from "../platform/ids.ts"
import { type Sql, sqlState, type Transaction } from "../platform/postgres.ts"
import { writeAudit } from "./audit.ts"
import { insertVirtualKey } from "./registry.ts"
import { mintAdminKey, secretDigest } from "./secret.ts"

export type FirstRun =
  | { readonly kind: "done before" }
  /** `adminKey` is null where the environment brings the admin key. */
  | { readonly kind: "done now"; readonly adminKey: string | null; readonly virtualKey: string }

const ACTOR = { name: "first run", ip: "" }
const UNIQUE_VIOLATION = "23505"

/** Sets up the installation unless it was set up before; the keys are returned here and nowhere else. */
export async function firstRun(sql: Sql, options: { isAdminKeyGiven: boolean }): Promise<FirstRun> {
  const adminKey = options.isAdminKeyGiven ? null : mintAdminKey()
  try {
    return await sql.begin(async (transaction): Promise<FirstRun> => {
      const found = await transaction`SELECT 1 FROM organizations LIMIT 1`
      if (found.length > 0) return { kind: "done before" }
      return { kind: "done now", adminKey, virtualKey: await install(transaction, adminKey) }
    })
  } catch (error) {
    // Another starter was faster: its default organization holds the unique index.
    if (sqlState(error) === UNIQUE_VIOLATION) return { kind: "done before" }
    throw error
  }
}

async function install(transaction: Transaction, adminKey: string | null): Promise<string> {
  const organizationId = namedId("org")
  await transaction`INSERT INTO organizations (id, name, is_default) VALUES (${organizationId}, 'default', true)`
  await transaction`
    INSERT INTO projects (id, organization_id, name) VALUES (${namedId("proj")}, ${organizationId}, 'default')`
  if (adminKey !== null) {
    await transaction`
      INSERT INTO admin_keys (id, name, secret_sha256, last4)
      VALUES (${namedId("adm")}, 'first admin key', decode(${secretDigest(adminKey)}, 'hex'), ${adminKey.slice(-4)})`
  }
  const action = "installation.create"
  await writeAudit(transaction, ACTOR, { organizationId, action, subject: organizationId, before: null, after: null })
  const created = await insertVirtualKey(transaction, ACTOR, {
    name: "first key",
    organizationId,
    projectId: null,
    userId: null,
    allowedModels: null,
    expiresAt: null,
    limits: [],
  })
  if (created.kind !== "created") throw new Error("The default project is not there in the transaction that made it.")
  return created.secret
}

/** The organization that admin calls mean when they name none. */
export async function defaultOrganization(sql: Sql): Promise<string> {
  const [row] = await sql<{ id: string }[]>`SELECT id FROM organizations WHERE is_default`
  if (row === undefined) throw new Error("There is no default organization: the first run did not finish.")
  return row.id
}

/**
 * Many users or keys at once, each known by its external id, so that an import that is sent again changes nothing. One
 * transaction, in which a row that fails is undone alone: secrets of keys are returned only for what is really there.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import type { Actor } from "./audit.ts"
import { insertVirtualKey, type NewVirtualKey } from "./key-registry.ts"
import { unlessTaken } from "./unless-taken.ts"
import { changeUser, insertUser, type NewUser, readUser } from "./user-registry.ts"

export type ImportedUser = Omit<NewUser, "kind" | "organizationId" | "externalId"> & { readonly externalId: string }

/** `userExternalId`: the key is bound to the user that is known by it; null: to none. */
export type ImportedKey = Omit<NewVirtualKey, "organizationId" | "externalId" | "userId"> & {
  readonly externalId: string
  readonly userExternalId: string | null
}

export type ImportOutcome =
  | { readonly kind: "created"; readonly id: string; readonly secret: string | null }
  /** Of a user, whose name or address was another. */
  | { readonly kind: "changed"; readonly id: string }
  | { readonly kind: "unchanged"; readonly id: string }
  /** Nothing was done for this row. */
  | { readonly kind: "failed"; readonly message: string }

/** `beyond`: users whose address is not the importer's to change, since they log in by it and may do more. */
export function importUsers(
  sql: Sql,
  actor: Actor,
  { organizationId, beyond }: { readonly organizationId: string; readonly beyond: ReadonlySet<string> },
  users: readonly ImportedUser[],
): Promise<readonly ImportOutcome[]> {
  return eachOf(sql, users, async (transaction, user) => {
    const id = await findExternal(transaction, "users", organizationId, user.externalId)
    if (id === null) {
      const made = await insertUser(transaction, actor, { ...user, organizationId, kind: "person" })
      if (made.kind === "missing") return { kind: "failed", message: `there is no ${made.what} ${made.id}` }
      if (made.kind === "taken") return TAKEN
      return { kind: "created", id: made.row.id, secret: null }
    }
    const before = await readUser(transaction, id)
    const isSame = before?.name === user.name && (user.email ?? before.email) === before.email
    if (isSame) return { kind: "unchanged", id }
    const isMoved = user.email !== undefined && user.email !== before?.email
    if (isMoved && beyond.has(id)) {
      return {
        kind: "failed",
        message: "the user has a role that is more than yours, so you may not change the address",
      }
    }
    await changeUser(transaction, actor, id, { name: user.name, email: user.email })
    return { kind: "changed", id }
  })
}

export function importKeys(
  sql: Sql,
  actor: Actor,
  organizationId: string,
  keys: readonly ImportedKey[],
): Promise<readonly ImportOutcome[]> {
  return eachOf(sql, keys, async (transaction, { userExternalId, ...key }) => {
    const id = await findExternal(transaction, "virtual_keys", organizationId, key.externalId)
    if (id !== null) return { kind: "unchanged", id }
    const userId =
      userExternalId === null ? null : await findExternal(transaction, "users", organizationId, userExternalId)
    if (userExternalId !== null && userId === null) {
      return { kind: "failed", message: `there is no user with the external_id ${userExternalId}` }
    }
    const made = await insertVirtualKey(transaction, actor, { ...key, organizationId, userId })
    if (made.kind === "missing") return { kind: "failed", message: `there is no ${made.what} ${made.id}` }
    if (made.kind === "taken") return TAKEN
    return { kind: "created", id: made.row.id, secret: made.secret }
  })
}

const TAKEN: ImportOutcome = { kind: "failed", message: "another one has that e-mail address or external_id" }

async function eachOf<Row>(
  sql: Sql,
  rows: readonly Row[],
  act: (transaction: Transaction, row: Row) => Promise<ImportOutcome>,
): Promise<readonly ImportOutcome[]> {
  return sql.begin(async (transaction) => {
    const outcomes: ImportOutcome[] = []
    for (const row of rows) {
      const outcome = await unlessTaken(() => transaction.savepoint((inner) => act(inner, row)))
      outcomes.push(outcome.kind === "taken" ? TAKEN : outcome)
    }
    return outcomes
  })
}

async function findExternal(
  transaction: Transaction,
  table: "users" | "virtual_keys",
  organizationId: string,
  externalId: string,
): Promise<string | null> {
  const [row] = await transaction<{ id: string }[]>`
    SELECT id FROM ${transaction(table)} WHERE organization_id = ${organizationId} AND external_id = ${externalId}`
  return row?.id ?? null
}

/**
 * The write path of accounts at providers that are made by API, and the change of the key under which their secrets are
 * encrypted. Each act is one transaction that also writes its audit row and raises `directory_version`, by which running
 * proxies learn of it. A credential is sealed before the transaction begins and never leaves here again in the clear.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import type { Sealed, SecretBox } from "../platform/secret-box.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { disabledAt } from "./disabled-at.ts"
import { type AccountSecret, credentialOwner, headersOwner, last4Of, sealedText } from "./provider-account.ts"
import {
  type AccountRow,
  faultOf,
  type ProviderRow,
  readAccounts,
  readProviders,
  sealedCredential,
  sealedHeaders,
} from "./provider-account-rows.ts"
import { unlessTaken } from "./unless-taken.ts"

/** What an admin says of an account. Absent: unchanged, on a new one the default. */
export type AccountChanges = {
  /** Null: the provider takes no credential. */
  readonly secret?: AccountSecret | null | undefined
  readonly weight?: number | undefined
  /** Null: the provider's. */
  readonly region?: string | null | undefined
  readonly isDisabled?: boolean | undefined
}

export type ChangedAccount =
  | { readonly kind: "done"; readonly row: AccountRow }
  | { readonly kind: "taken" }
  | { readonly kind: "missing" }
  /** There is no encryption key to seal the credential with. */
  | { readonly kind: "no key" }

const NO_CREDENTIAL = { last4: "", keyId: null, nonce: null, ciphertext: null }

/** The provider may be one of the configuration: the caller has looked that there is one. */
export async function createAccount(
  sql: Sql,
  box: SecretBox,
  actor: Actor,
  wanted: AccountChanges & { readonly provider: string; readonly name: string },
): Promise<ChangedAccount> {
  const { provider, name, weight = 1, region = null } = wanted
  const sealed = sealCredential(box, provider, name, wanted.secret ?? null)
  if (sealed === "no key") return { kind: "no key" }
  return unlessTaken(() =>
    sql.begin(async (transaction): Promise<ChangedAccount> => {
      await raiseDirectoryVersion(transaction)
      const [row] = await transaction<AccountRow[]>`
        INSERT INTO provider_accounts (provider, name, credential_ciphertext, credential_nonce, credential_key_id, last4,
                                       weight, region)
        VALUES (${provider}, ${name}, ${sealed.ciphertext}, ${sealed.nonce}, ${sealed.keyId}, ${sealed.last4},
                ${weight}, ${region})
        RETURNING *`
      if (row === undefined) throw new Error("An inserted account returned no row.")
      await audit(transaction, actor, "provider_account.create", null, row)
      return { kind: "done", row }
    }),
  )
}

export async function updateAccount(
  sql: Sql,
  box: SecretBox,
  actor: Actor,
  { provider, name }: Pick<AccountRow, "provider" | "name">,
  changes: AccountChanges,
): Promise<ChangedAccount> {
  const sealed = changes.secret === undefined ? null : sealCredential(box, provider, name, changes.secret)
  if (sealed === "no key") return { kind: "no key" }
  return sql.begin(async (transaction): Promise<ChangedAccount> => {
    await raiseDirectoryVersion(transaction)
    const [before] = await transaction<AccountRow[]>`
      SELECT * FROM provider_accounts WHERE provider = ${provider} AND name = ${name} FOR UPDATE`
    if (before === undefined) return { kind: "missing" }
    const credential =
      sealed === null
        ? transaction``
        : transaction`, credential_ciphertext = ${sealed.ciphertext}, credential_nonce = ${sealed.nonce},
                        credential_key_id = ${sealed.keyId}, last4 = ${sealed.last4}, credential_set_at = now()`
    const [row] = await transaction<AccountRow[]>`
      UPDATE provider_accounts SET
        weight = ${changes.weight ?? before.weight},
        region = ${changes.region === undefined ? before.region : changes.region},
        disabled_at = ${disabledAt(transaction, changes.isDisabled)}${credential}
      WHERE provider = ${provider} AND name = ${name} RETURNING *`
    if (row === undefined) throw new Error(`The account ${provider}/${name} went while it was locked.`)
    await audit(transaction, actor, "provider_account.change", before, row)
    return { kind: "done", row }
  })
}

/** Deletes the account with its credential. False where there is none. Calls under way go on. */
export async function deleteAccount(
  sql: Sql,
  actor: Actor,
  { provider, name }: Pick<AccountRow, "provider" | "name">,
): Promise<boolean> {
  return sql.begin(async (transaction) => {
    await raiseDirectoryVersion(transaction)
    const [before] = await transaction<AccountRow[]>`
      DELETE FROM provider_accounts WHERE provider = ${provider} AND name = ${name} RETURNING *`
    if (before === undefined) return false
    await audit(transaction, actor, "provider_account.delete", before, null)
    return true
  })
}

export type Reencrypted =
  /** Secrets that were encrypted anew, and those that were under the current key already. */
  | { readonly kind: "done"; readonly changed: number; readonly unchanged: number }
  /** Nothing was changed, because these do not open: `openai/b: encrypted under …`. */
  | { readonly kind: "unreadable"; readonly faults: readonly string[] }

/** A sealed secret, what it was sealed for, and how it is written anew. */
export type StoredSecret = {
  /** For people: `openai/b`. */
  readonly name: string
  readonly owner: string
  readonly sealed: Sealed
  readonly write: (transaction: Transaction, sealed: Sealed) => Promise<unknown>
}

/**
 * Encrypts every stored secret under the box's current key: all of them or none. To be done as often as one likes.
 * `others` reads the secrets of other rooms.
 */
export async function reencryptAll(
  sql: Sql,
  box: SecretBox,
  actor: Actor,
  others: (transaction: Transaction) => Promise<readonly StoredSecret[]>,
): Promise<Reencrypted> {
  return sql
    .begin(async (transaction): Promise<Reencrypted> => {
      // Held until the end: nobody writes a secret meanwhile.
      await raiseDirectoryVersion(transaction)
      const accounts = await readAccounts(transaction)
      const providers = await readProviders(transaction)
      const secrets = [
        ...accounts.flatMap((row) => secretOf(row) ?? []),
        ...providers.flatMap((row) => headersOf(row) ?? []),
        ...(await others(transaction)),
      ]
      const old = secrets.filter(({ sealed }) => sealed.keyId !== box.current?.id)
      const faults: string[] = []
      for (const { name, owner, sealed, write } of old) {
        const opened = box.open(sealed, owner)
        if (opened.kind === "opened") await write(transaction, box.seal(opened.text, owner))
        else faults.push(`${name}: ${faultOf(opened)}`)
      }
      if (faults.length > 0) throw new Unreadable(faults)
      const counted = { changed: old.length, unchanged: secrets.length - old.length }
      if (old.length > 0) {
        const entry = { organizationId: "", action: "encryption_key.rotate", subject: box.current?.id ?? "" }
        await writeAudit(transaction, actor, { ...entry, before: null, after: counted })
      }
      return { kind: "done", ...counted }
    })
    .catch((error: unknown) => {
      if (error instanceof Unreadable) return { kind: "unreadable", faults: error.faults }
      throw error
    })
}

/** Thrown to roll back. */
class Unreadable extends Error {
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join("; "))
    this.faults = faults
  }
}

function secretOf(row: AccountRow): StoredSecret | null {
  const sealed = sealedCredential(row)
  if (sealed === null) return null
  const { provider, name } = row
  const write: StoredSecret["write"] = (transaction, { ciphertext, nonce, keyId }) => transaction`
    UPDATE provider_accounts
    SET credential_ciphertext = ${ciphertext}, credential_nonce = ${nonce}, credential_key_id = ${keyId}
    WHERE provider = ${provider} AND name = ${name}`
  return { name: `${provider}/${name}`, owner: credentialOwner(provider, name), sealed, write }
}

function headersOf(row: ProviderRow): StoredSecret | null {
  const sealed = sealedHeaders(row)
  if (sealed === null) return null
  const { name } = row
  const write: StoredSecret["write"] = (transaction, { ciphertext, nonce, keyId }) => transaction`
    UPDATE providers SET headers_ciphertext = ${ciphertext}, headers_nonce = ${nonce}, headers_key_id = ${keyId}
    WHERE name = ${name}`
  return { name: `headers of ${name}`, owner: headersOwner(name), sealed, write }
}

function sealCredential(box: SecretBox, provider: string, name: string, secret: AccountSecret | null) {
  if (secret === null) return NO_CREDENTIAL
  if (box.current === null) return "no key"
  return { last4: last4Of(secret), ...box.seal(sealedText(secret), credentialOwner(provider, name)) }
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  action: string,
  before: AccountRow | null,
  after: AccountRow | null,
): Promise<void> {
  const row = after ?? before
  if (row === null) throw new Error(`${action} is about no account.`)
  await writeAudit(transaction, actor, {
    organizationId: "",
    action,
    subject: `${row.provider}/${row.name}`,
    before: before === null ? null : withoutSecrets(before),
    after: after === null ? null : withoutSecrets(after),
  })
}

/** The row as it may be written down. */
function withoutSecrets({ credential_ciphertext, credential_nonce, credential_key_id, ...row }: AccountRow) {
  return row
}

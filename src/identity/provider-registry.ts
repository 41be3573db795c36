/**
 * The write path of providers that are made by API. Each act is one transaction that also writes its audit row and raises
 * `directory_version`, by which running proxies learn of it. Headers may hold credentials: they are sealed before the
 * transaction begins, and nothing that leaves here tells more of them than their names.
 */
import type { Sql, Transaction } from "../platform/postgres.ts"
import type { SecretBox } from "../platform/secret-box.ts"
import { type Actor, writeAudit } from "./audit.ts"
import { raiseDirectoryVersion } from "./directory-version.ts"
import { disabledAt } from "./disabled-at.ts"
import { headersOwner, type StoredProvider } from "./provider-account.ts"
import type { ProviderRow } from "./provider-account-rows.ts"
import { unlessTaken } from "./unless-taken.ts"

/** What an admin says of a provider. Absent: unchanged, on a new one the default. */
export type ProviderChanges = {
  readonly dialect?: StoredProvider["dialect"] | undefined
  readonly baseUrl?: string | undefined
  readonly region?: string | undefined
  /** '': its own name. */
  readonly pricedAs?: string | undefined
  readonly includeUsage?: boolean | undefined
  readonly models?: readonly string[] | undefined
  /** All of them; none where it is empty. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly isDisabled?: boolean | undefined
}
export type NewProvider = ProviderChanges & {
  readonly name: string
  readonly dialect: StoredProvider["dialect"]
  readonly baseUrl: string
}

export type ChangedProvider =
  | { readonly kind: "done"; readonly row: ProviderRow }
  | { readonly kind: "taken" }
  | { readonly kind: "missing" }
  /** There is no encryption key to seal headers with. */
  | { readonly kind: "no key" }

const NO_HEADERS = { names: [], keyId: null, nonce: null, ciphertext: null }

export async function createProvider(
  sql: Sql,
  box: SecretBox,
  actor: Actor,
  wanted: NewProvider,
): Promise<ChangedProvider> {
  const headers = sealHeaders(box, wanted.name, wanted.headers ?? {})
  if (headers === "no key") return { kind: "no key" }
  return unlessTaken(() =>
    sql.begin(async (transaction): Promise<ChangedProvider> => {
      await raiseDirectoryVersion(transaction)
      const [row] = await transaction<ProviderRow[]>`
        INSERT INTO providers (name, dialect, base_url, region, priced_as, include_usage, models, header_names,
                               headers_ciphertext, headers_nonce, headers_key_id)
        VALUES (${wanted.name}, ${wanted.dialect}, ${wanted.baseUrl}, ${wanted.region ?? ""}, ${wanted.pricedAs ?? ""},
                ${wanted.includeUsage ?? true}, ${[...(wanted.models ?? [])]}::text[], ${headers.names}::text[],
                ${headers.ciphertext}, ${headers.nonce}, ${headers.keyId})
        RETURNING *`
      if (row === undefined) throw new Error("An inserted provider returned no row.")
      await audit(transaction, actor, "provider.create", null, row)
      return { kind: "done", row }
    }),
  )
}

export async function updateProvider(
  sql: Sql,
  box: SecretBox,
  actor: Actor,
  name: string,
  changes: ProviderChanges,
): Promise<ChangedProvider> {
  const headers = changes.headers === undefined ? null : sealHeaders(box, name, changes.headers)
  if (headers === "no key") return { kind: "no key" }
  return sql.begin(async (transaction): Promise<ChangedProvider> => {
    await raiseDirectoryVersion(transaction)
    const [before] = await transaction<ProviderRow[]>`SELECT * FROM providers WHERE name = ${name} FOR UPDATE`
    if (before === undefined) return { kind: "missing" }
    const sealed =
      headers === null
        ? transaction``
        : transaction`, header_names = ${headers.names}::text[], headers_ciphertext = ${headers.ciphertext},
                        headers_nonce = ${headers.nonce}, headers_key_id = ${headers.keyId}`
    const [row] = await transaction<ProviderRow[]>`
      UPDATE providers SET
        dialect = ${changes.dialect ?? before.dialect}, base_url = ${changes.baseUrl ?? before.base_url},
        region = ${changes.region ?? before.region}, priced_as = ${changes.pricedAs ?? before.priced_as},
        include_usage = ${changes.includeUsage ?? before.include_usage},
        models = ${[...(changes.models ?? before.models)]}::text[],
        disabled_at = ${disabledAt(transaction, changes.isDisabled)}${sealed}
      WHERE name = ${name} RETURNING *`
    if (row === undefined) throw new Error(`The provider ${name} went while it was locked.`)
    await audit(transaction, actor, "provider.change", before, row)
    return { kind: "done", row }
  })
}

/** Deletes the provider, and its accounts with their credentials. False where there is none. Calls under way go on. */
export async function deleteProvider(sql: Sql, actor: Actor, name: string): Promise<boolean> {
  return sql.begin(async (transaction) => {
    await raiseDirectoryVersion(transaction)
    const [before] = await transaction<ProviderRow[]>`DELETE FROM providers WHERE name = ${name} RETURNING *`
    if (before === undefined) return false
    const accounts = await transaction<{ name: string }[]>`
      DELETE FROM provider_accounts WHERE provider = ${name} RETURNING name`
    await audit(transaction, actor, "provider.delete", before, null, {
      accounts: accounts.map((account) => account.name),
    })
    return true
  })
}

function sealHeaders(box: SecretBox, provider: string, headers: Readonly<Record<string, string>>) {
  const names = Object.keys(headers).sort()
  if (names.length === 0) return NO_HEADERS
  if (box.current === null) return "no key"
  return { names, ...box.seal(JSON.stringify(headers), headersOwner(provider)) }
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  action: string,
  before: ProviderRow | null,
  after: ProviderRow | null,
  more: object = {},
): Promise<void> {
  const entry = { organizationId: "", action, subject: (after ?? before)?.name ?? "" }
  const told = (row: ProviderRow | null) => (row === null ? null : { ...withoutSecrets(row), ...more })
  await writeAudit(transaction, actor, { ...entry, before: told(before), after: told(after) })
}

/** The row as it may be written down. */
function withoutSecrets({ headers_ciphertext, headers_nonce, headers_key_id, ...row }: ProviderRow) {
  return row
}

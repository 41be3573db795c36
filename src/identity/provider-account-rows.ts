/** Stored providers and accounts as Postgres has them, and how their secrets are opened. */

import type { Sql, Transaction } from "../platform/postgres.ts"
import type { Opened, Sealed, SecretBox } from "../platform/secret-box.ts"
import type { Limit } from "./limit.ts"
import { type LimitRow, limitColumns, limitFrom } from "./limit-row.ts"
import {
  credentialOwner,
  headersOwner,
  type StoredAccount,
  type StoredProvider,
  type StoredProviders,
  secretFrom,
  type Unusable,
} from "./provider-account.ts"

export type ProviderRow = {
  readonly name: string
  readonly dialect: StoredProvider["dialect"]
  readonly base_url: string
  readonly region: string
  /** '': its own name. */
  readonly priced_as: string
  readonly include_usage: boolean
  readonly models: string[]
  readonly header_names: string[]
  readonly headers_ciphertext: Buffer | null
  readonly headers_nonce: Buffer | null
  readonly headers_key_id: string | null
  readonly disabled_at: Date | null
  readonly created_at: Date
}

export type AccountRow = {
  readonly provider: string
  readonly name: string
  readonly credential_ciphertext: Buffer | null
  readonly credential_nonce: Buffer | null
  readonly credential_key_id: string | null
  readonly last4: string
  readonly weight: number
  readonly region: string | null
  readonly disabled_at: Date | null
  readonly created_at: Date
  readonly credential_set_at: Date
}

export type ProviderRows = {
  readonly providers: readonly ProviderRow[]
  readonly accounts: readonly AccountRow[]
  readonly limits: readonly LimitRow[]
}

export function readProviders(sql: Sql | Transaction): Promise<ProviderRow[]> {
  return sql<ProviderRow[]>`SELECT * FROM providers ORDER BY name`
}

export function readAccounts(sql: Sql | Transaction): Promise<AccountRow[]> {
  return sql<AccountRow[]>`SELECT * FROM provider_accounts ORDER BY provider, created_at, name`
}

/** All that routing needs of what is stored. */
export async function readProviderRows(sql: Sql): Promise<ProviderRows> {
  const providers = await readProviders(sql)
  const accounts = await readAccounts(sql)
  const limits = await sql<LimitRow[]>`
    SELECT ${limitColumns(sql)} FROM limits WHERE scope = 'provider_account' ORDER BY subject, created_at, id`
  return { providers, accounts, limits }
}

/** Null where the account has no credential. */
export function sealedCredential(row: AccountRow): Sealed | null {
  return sealedFrom(row.credential_key_id, row.credential_nonce, row.credential_ciphertext)
}

/** Null where the provider has no further headers. */
export function sealedHeaders(row: ProviderRow): Sealed | null {
  return sealedFrom(row.headers_key_id, row.headers_nonce, row.headers_ciphertext)
}

function sealedFrom(keyId: string | null, nonce: Buffer | null, ciphertext: Buffer | null): Sealed | null {
  return keyId === null || nonce === null || ciphertext === null ? null : { keyId, nonce, ciphertext }
}

/** What of the rows can be used. One that cannot be opened is left out and told; the others are not concerned. */
export function openProviderRows({ providers, accounts, limits }: ProviderRows, box: SecretBox): StoredProviders {
  const unusable: Unusable[] = []
  const tell = (name: string, opened: Exclude<Opened, { kind: "opened" }>) =>
    void unusable.push({ name, reason: faultOf(opened) })
  const enabled = <Row extends { readonly disabled_at: Date | null }>(rows: readonly Row[]) =>
    rows.filter(({ disabled_at }) => disabled_at === null)
  return {
    providers: enabled(providers).map((row) => openProvider(row, box, tell)),
    accounts: enabled(accounts).flatMap((row) => openAccount(row, box, tell) ?? []),
    limits: Map.groupBy<string, Limit>(limits.map(limitFrom), ({ subject }) => subject),
    unusable,
  }
}

type Tell = (name: string, opened: Exclude<Opened, { kind: "opened" }>) => void

function openProvider(row: ProviderRow, box: SecretBox, tell: Tell): StoredProvider {
  const sealed = sealedHeaders(row)
  const opened = sealed === null ? null : box.open(sealed, headersOwner(row.name))
  if (opened !== null && opened.kind !== "opened") tell(row.name, opened)
  return {
    name: row.name,
    dialect: row.dialect,
    baseUrl: row.base_url,
    region: row.region,
    pricedAs: row.priced_as || row.name,
    takesUsageOption: row.include_usage,
    models: row.models,
    headers: opened === null ? {} : opened.kind === "opened" ? readHeaders(opened.text) : null,
  }
}

/** What was sealed here was JSON of texts when it was sealed, and nobody else can have written it. */
function readHeaders(text: string): Record<string, string> {
  return JSON.parse(text) as Record<string, string>
}

function openAccount(row: AccountRow, box: SecretBox, tell: Tell): StoredAccount | null {
  const { provider, name, weight, region } = row
  const sealed = sealedCredential(row)
  if (sealed === null) return { provider, name, secret: null, weight, region }
  const opened = box.open(sealed, credentialOwner(provider, name))
  if (opened.kind === "opened") return { provider, name, secret: secretFrom(opened.text), weight, region }
  tell(`${provider}/${name}`, opened)
  return null
}

/** Why something does not open, as part of a sentence. */
export function faultOf(opened: Exclude<Opened, { kind: "opened" }>): string {
  return opened.kind === "unknown key"
    ? `encrypted under the key ${opened.keyId}, which this process was not given`
    : "not what was encrypted: the row was changed, or copied from another one"
}

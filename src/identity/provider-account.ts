/** Providers and their accounts as they are stored by API, once their secrets are open. Pure. */
import type { Limit } from "./limit.ts"

/** Whose API a provider may speak. */
export const DIALECTS = ["openai", "anthropic", "google", "cohere", "bedrock", "ollama", "elevenlabs"] as const
export const WEIGHT_MAX = 1_000

export type StoredProvider = {
  readonly name: string
  readonly dialect: (typeof DIALECTS)[number]
  readonly baseUrl: string
  readonly region: string
  /** The provider whose prices apply. */
  readonly pricedAs: string
  readonly takesUsageOption: boolean
  /** Patterns of requested models that go to it, after the configuration's. */
  readonly models: readonly string[]
  /** Null where they cannot be opened: no call may go without them. */
  readonly headers: Readonly<Record<string, string>> | null
}

export type StoredAccount = {
  /** Of the database or of the configuration. */
  readonly provider: string
  readonly name: string
  /** Null for servers that take no credential. */
  readonly apiKey: string | null
  readonly weight: number
  /** Null: the provider's. */
  readonly region: string | null
}

/** What is enabled and can be used, and what could not be opened. */
export type StoredProviders = {
  readonly providers: readonly StoredProvider[]
  readonly accounts: readonly StoredAccount[]
  /** Limits on provider accounts of whatever source, by `accountSubject`. */
  readonly limits: ReadonlyMap<string, readonly Limit[]>
  readonly unusable: readonly Unusable[]
}

export type Unusable = {
  /** `openai/b`, or a provider's name where it is its headers. */
  readonly name: string
  /** As part of a sentence. */
  readonly reason: string
}

export const NOTHING_STORED: StoredProviders = { providers: [], accounts: [], limits: new Map(), unusable: [] }

/** What an account's credential is sealed for. */
export function credentialOwner(provider: string, account: string): string {
  return `provider account\n${provider}\n${account}`
}

/** What a provider's headers are sealed for. */
export function headersOwner(provider: string): string {
  return `provider headers\n${provider}`
}

const LAST_DIGITS = 4
/** The end of a short secret would be much of it. */
const SHOWN_LENGTH_MIN = 16

/** The end of a credential, by which people know it; '' where that would tell too much. */
export function last4Of(secret: string): string {
  return secret.length < SHOWN_LENGTH_MIN ? "" : secret.slice(-LAST_DIGITS)
}

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

/** Access keys of AWS, which requests are signed with. */
export type AwsKeys = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Null for keys that last. */
  readonly sessionToken: string | null
}

/** What an account calls with: a key that travels with each request, or access keys of AWS. */
export type AccountSecret = string | AwsKeys

export type StoredAccount = {
  /** Of the database or of the configuration. */
  readonly provider: string
  readonly name: string
  /** Null for servers that take no credential. */
  readonly secret: AccountSecret | null
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

/** A secret as the one text that is sealed. Access keys stand in lines, which no API key has. */
export function sealedText(secret: AccountSecret): string {
  if (typeof secret === "string") return secret
  return [AWS_LINE, secret.accessKeyId, secret.secretAccessKey, secret.sessionToken ?? ""].join("\n")
}

/** The secret that was sealed as this text. */
export function secretFrom(text: string): AccountSecret {
  const [first, accessKeyId = "", secretAccessKey = "", sessionToken = ""] = text.split("\n")
  if (first !== AWS_LINE || accessKeyId === "") return text
  return { accessKeyId, secretAccessKey, sessionToken: sessionToken || null }
}

const AWS_LINE = "aws"

/** What a provider's headers are sealed for. */
export function headersOwner(provider: string): string {
  return `provider headers\n${provider}`
}

const LAST_DIGITS = 4
/** The end of a short secret would be much of it. */
const SHOWN_LENGTH_MIN = 16

/** The end of a credential, of access keys that of their id, by which people know it; '' where that would tell too much. */
export function last4Of(secret: AccountSecret): string {
  const text = typeof secret === "string" ? secret : secret.accessKeyId
  return text.length < SHOWN_LENGTH_MIN ? "" : text.slice(-LAST_DIGITS)
}

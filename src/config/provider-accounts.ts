/** A provider's accounts as its entry says them: the short form of one, the list, or both. And what may be wrong with them. */
import type { AccountSecret } from "../identity/provider-account.ts"
import { awsKeyFault } from "../providers/aws-keys.ts"
import type { Config, ConfigFile, ProviderConfig, ProviderEntry } from "./schema.ts"
import type { KeyPath } from "./schema-paths.ts"

export const DEFAULT_ACCOUNT = "default"

export type ConfiguredAccount = {
  readonly name: string
  /** Null for servers that take no credential. */
  readonly secret: AccountSecret | null
  readonly weight: number
  readonly region: string
}

/** The accounts of an entry, that of the short form first. There is at least one. */
export function accountsOf(entry: ProviderConfig): ConfiguredAccount[] {
  const listed = entry.accounts.map((account) => {
    const { name, weight, region = entry.region } = account
    return { name, secret: secretOf(account), weight, region }
  })
  const secret = secretOf(entry)
  if (listed.length > 0 && secret === null) return listed
  const { account, region } = entry
  return [{ name: account, secret, weight: 1, region }, ...listed]
}

type SecretMembers = Pick<ProviderEntry, "api_key" | "access_key_id" | "secret_access_key" | "session_token">

function secretOf({ api_key, access_key_id, secret_access_key, session_token }: SecretMembers): AccountSecret | null {
  if (access_key_id === undefined || secret_access_key === undefined) return api_key ?? null
  return { accessKeyId: access_key_id, secretAccessKey: secret_access_key, sessionToken: session_token ?? null }
}

/** What stands where, and what should. */
export type AccountProblem = { readonly at: KeyPath; readonly found: unknown; readonly expected: string }

/** Accounts of one name, accounts without a use, and routes to accounts that their provider does not have. */
export function accountProblems(file: ConfigFile, config: Config): AccountProblem[] {
  return [
    ...Object.entries(file.providers).flatMap(([name, entry]) => entryProblems(name, entry)),
    ...file.models.flatMap((route, index): AccountProblem[] => {
      const provider = config.providers[route.provider]
      if (route.account === undefined || provider === undefined) return []
      const names = accountsOf(provider).map(({ name }) => name)
      if (names.includes(route.account)) return []
      const expected = `an account of ${route.provider} in this file: ${names.join(" or ")}`
      return [{ at: ["models", index, "account"], found: route.account, expected }]
    }),
  ]
}

function entryProblems(name: string, entry: ProviderEntry): AccountProblem[] {
  const hasOwn = entry.api_key !== undefined || entry.access_key_id !== undefined
  const problems = secretProblems(name, entry)
  const at = (...steps: KeyPath): KeyPath => ["providers", name, ...steps]
  if (entry.accounts.length > 0 && entry.credential === "caller") {
    const expected = "account, because the entry has accounts; callers' own credentials take none of them"
    problems.push({ at: at("credential"), found: entry.credential, expected })
  }
  if (entry.accounts.length > 0 && entry.account !== undefined && !hasOwn) {
    const expected = "no account here, because there is no api_key that it would name; accounts have names of their own"
    problems.push({ at: at("account"), found: entry.account, expected })
  }
  const taken = new Set(hasOwn ? [entry.account ?? DEFAULT_ACCOUNT] : [])
  entry.accounts.forEach((account, index) => {
    if (taken.has(account.name)) {
      const expected = "a name that no other account of the provider has; that of api_key is account, or default"
      problems.push({ at: at("accounts", index, "name"), found: account.name, expected })
    }
    taken.add(account.name)
  })
  return problems
}

/** What is wrong with the secrets of an entry and its accounts, each by itself. */
function secretProblems(name: string, entry: ProviderEntry): AccountProblem[] {
  const { dialect, base_url: baseUrl, region } = entry
  const of = (members: SecretMembers & { readonly region?: string | undefined }, place: KeyPath, isListed: boolean) => {
    const fault = awsKeyFault(members, { dialect, baseUrl, region: members.region || region })
    if (fault !== null) {
      const found = fault.member === "region" ? undefined : (members[fault.member] ?? undefined)
      return [{ at: [...place, fault.member], found, expected: fault.expected }]
    }
    const hasNone = isListed && members.api_key === undefined && members.access_key_id === undefined
    return hasNone ? [{ at: [...place, "api_key"], found: undefined, expected: "the account's credential" }] : []
  }
  return [
    ...of(entry, ["providers", name], false),
    ...entry.accounts.flatMap((account, index) => of(account, ["providers", name, "accounts", index], true)),
  ]
}

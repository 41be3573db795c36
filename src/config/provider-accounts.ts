/** A provider's accounts as its entry says them: the short form of one, the list, or both. And what may be wrong with them. */
import type { Config, ConfigFile, ProviderConfig, ProviderEntry } from "./schema.ts"
import type { KeyPath } from "./schema-paths.ts"

export const DEFAULT_ACCOUNT = "default"

export type ConfiguredAccount = {
  readonly name: string
  /** Null for servers that take no credential. */
  readonly apiKey: string | null
  readonly weight: number
  readonly region: string
}

/** The accounts of an entry, that of the short form first. There is at least one. */
export function accountsOf(entry: ProviderConfig): ConfiguredAccount[] {
  const listed = entry.accounts.map(({ name, api_key, weight, region }) => {
    return { name, apiKey: api_key, weight, region: region ?? entry.region }
  })
  if (listed.length > 0 && entry.api_key === undefined) return listed
  const { account, api_key = null, region } = entry
  return [{ name: account, apiKey: api_key, weight: 1, region }, ...listed]
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
  const problems: AccountProblem[] = []
  const at = (...steps: KeyPath): KeyPath => ["providers", name, ...steps]
  if (entry.accounts.length > 0 && entry.credential === "caller") {
    const expected = "account, because the entry has accounts; callers' own credentials take none of them"
    problems.push({ at: at("credential"), found: entry.credential, expected })
  }
  if (entry.accounts.length > 0 && entry.account !== undefined && entry.api_key === undefined) {
    const expected = "no account here, because there is no api_key that it would name; accounts have names of their own"
    problems.push({ at: at("account"), found: entry.account, expected })
  }
  const taken = new Set(entry.api_key === undefined ? [] : [entry.account ?? DEFAULT_ACCOUNT])
  entry.accounts.forEach((account, index) => {
    if (taken.has(account.name)) {
      const expected = "a name that no other account of the provider has; that of api_key is account, or default"
      problems.push({ at: at("accounts", index, "name"), found: account.name, expected })
    }
    taken.add(account.name)
  })
  return problems
}

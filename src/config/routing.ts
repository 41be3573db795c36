/**
 * From the configuration, and what is stored by API beside it, to the router: providers with their addresses and
 * accounts, and the sandbox where it is on. Where both have something of one name, the configuration's counts.
 */
import { accountSubject } from "../identity/account-limit.ts"
import type { StoredProvider, StoredProviders } from "../identity/provider-account.ts"
import { SANDBOX_PROVIDER } from "../providers/provider-rules.ts"
import { type ModelRoute, type Provider, type ProviderAccount, Router, splitBaseUrl } from "../providers/router.ts"
import { accountsOf, DEFAULT_ACCOUNT } from "./provider-accounts.ts"
import type { Config, ProviderConfig } from "./schema.ts"

/** `sandboxUrl` is the base URL of the running sandbox, null where it is off. */
export function routerFrom(config: Config, sandboxUrl: string | null, stored: StoredProviders): Router {
  const configured = Object.entries(config.providers).map(([name, entry]) => providerFrom(name, entry, stored))
  const added = stored.providers.filter(({ name }) => config.providers[name] === undefined)
  const providers = [...configured, ...added.map((provider) => providerStored(provider, stored, config))]
  const routes: ModelRoute[] = config.models.map(({ match, provider, model, account }) => ({
    match,
    provider,
    model: model ?? null,
    account: account ?? null,
  }))
  for (const { name, models } of added) {
    routes.push(...models.map((match) => ({ match, provider: name, model: null, account: null })))
  }
  if (sandboxUrl !== null) providers.push(sandboxProvider(sandboxUrl, config, stored))
  return new Router(providers, routes, stored.limits)
}

function providerFrom(name: string, entry: ProviderConfig, stored: StoredProviders): Provider {
  const own = accountsOf(entry)
  // Who brings a credential of its own has no use for one of ours.
  const added = entry.credential === "caller" ? [] : storedAccounts(name, entry.region, stored)
  const names = new Set(own.map((account) => account.name))
  return {
    name,
    dialect: entry.dialect,
    baseUrl: entry.base_url,
    ...splitBaseUrl(entry.base_url),
    credential: entry.credential,
    accounts: [
      ...own.map((account) => withLimits(name, account, stored)),
      ...added.filter((one) => !names.has(one.name)),
    ],
    headers: entry.headers,
    takesUsageOption: entry.include_usage,
    pricedAs: entry.priced_as,
    timeouts: timeoutsFrom(entry.timeouts),
  }
}

/** Without its headers, where they cannot be opened, no call may go to it: it has no account then. */
function providerStored(provider: StoredProvider, stored: StoredProviders, config: Config): Provider {
  const { name, dialect, baseUrl, headers, takesUsageOption, pricedAs, region } = provider
  return {
    name,
    dialect,
    baseUrl,
    ...splitBaseUrl(baseUrl),
    credential: "account",
    accounts: headers === null ? [] : storedAccounts(name, region, stored),
    headers: headers ?? {},
    takesUsageOption,
    pricedAs,
    timeouts: timeoutsFrom(config.timeouts),
  }
}

function storedAccounts(provider: string, regionOfAll: string, stored: StoredProviders): ProviderAccount[] {
  return stored.accounts
    .filter((account) => account.provider === provider)
    .map(({ name, secret, weight, region }) => {
      return withLimits(provider, { name, secret, weight, region: region ?? regionOfAll }, stored)
    })
}

function withLimits(
  provider: string,
  account: Omit<ProviderAccount, "limits">,
  stored: StoredProviders,
): ProviderAccount {
  return { ...account, limits: stored.limits.get(accountSubject(provider, account.name)) ?? [] }
}

function sandboxProvider(baseUrl: string, config: Config, stored: StoredProviders): Provider {
  const account = { name: DEFAULT_ACCOUNT, secret: null, weight: 1, region: "" }
  return {
    name: SANDBOX_PROVIDER,
    dialect: "openai",
    baseUrl,
    ...splitBaseUrl(baseUrl),
    credential: "account",
    accounts: [withLimits(SANDBOX_PROVIDER, account, stored)],
    headers: {},
    takesUsageOption: true,
    pricedAs: SANDBOX_PROVIDER,
    timeouts: timeoutsFrom(config.timeouts),
  }
}

function timeoutsFrom(timeouts: ProviderConfig["timeouts"]): Provider["timeouts"] {
  return {
    connectMs: timeouts.connect_ms,
    firstByteMs: timeouts.first_byte_ms,
    idleMs: timeouts.idle_ms,
    drainMs: timeouts.drain_ms,
  }
}

/** From the configuration to the router: providers with their addresses, and the sandbox where it is on. */
import { type ModelRoute, type Provider, Router, splitBaseUrl } from "../providers/router.ts"
import { type Config, type ProviderConfig, SANDBOX_PROVIDER } from "./schema.ts"

/** `sandboxUrl` is the base URL of the running sandbox, null where it is off. */
export function routerFrom(config: Config, sandboxUrl: string | null): Router {
  const providers = Object.entries(config.providers).map(([name, entry]) => providerFrom(name, entry))
  const routes: ModelRoute[] = config.models.map(({ match, provider, model }) => ({
    match,
    provider,
    model: model ?? null,
  }))
  if (sandboxUrl !== null) providers.push(sandboxProvider(sandboxUrl, config))
  return new Router(providers, routes)
}

function providerFrom(name: string, entry: ProviderConfig): Provider {
  return {
    name,
    dialect: entry.dialect,
    baseUrl: entry.base_url,
    ...splitBaseUrl(entry.base_url),
    apiKey: entry.api_key ?? null,
    credential: entry.credential,
    account: entry.account,
    region: entry.region,
    headers: entry.headers,
    takesUsageOption: entry.include_usage,
    pricedAs: entry.priced_as,
    timeouts: timeoutsFrom(entry.timeouts),
  }
}

function sandboxProvider(baseUrl: string, config: Config): Provider {
  return {
    name: SANDBOX_PROVIDER,
    dialect: "openai",
    baseUrl,
    ...splitBaseUrl(baseUrl),
    apiKey: null,
    credential: "account",
    account: "default",
    region: "",
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

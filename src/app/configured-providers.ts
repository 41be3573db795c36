/** The providers of a configuration as the admin API shows them beside those of the database. */
import type { ConfiguredProvider } from "../admin/provider-view.ts"
import { accountsOf, DEFAULT_ACCOUNT } from "../config/provider-accounts.ts"
import type { Config } from "../config/schema.ts"
import { SANDBOX_PROVIDER } from "../providers/provider-rules.ts"

export function configuredProviders(config: Config): ConfiguredProvider[] {
  const providers = Object.entries(config.providers).map(([name, entry]): ConfiguredProvider => {
    return {
      name,
      dialect: entry.dialect,
      baseUrl: entry.base_url,
      region: entry.region,
      pricedAs: entry.priced_as,
      includeUsage: entry.include_usage,
      headerNames: Object.keys(entry.headers),
      isCallerPaid: entry.credential === "caller",
      models: config.models.filter(({ provider }) => provider === name).map(({ match }) => match),
      accounts: accountsOf(entry),
    }
  })
  return config.sandbox ? [...providers, SANDBOX] : providers
}

/** Its address changes with each start and is nobody's business. */
const SANDBOX: ConfiguredProvider = {
  name: SANDBOX_PROVIDER,
  dialect: "openai",
  baseUrl: "",
  region: "",
  pricedAs: SANDBOX_PROVIDER,
  includeUsage: true,
  headerNames: [],
  isCallerPaid: false,
  models: [],
  accounts: [{ name: DEFAULT_ACCOUNT, secret: null, weight: 1, region: "" }],
}

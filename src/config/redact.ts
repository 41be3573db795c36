/** The config as it may be printed or sent: the same shape, with credentials hidden and connection strings without passwords. */
import { HIDDEN, showUrl } from "./problem.ts"
import type { Config } from "./schema.ts"

export function redactConfig(config: Config): Config {
  const { admin_key, encryption_key, encryption_key_previous, database_url, redis_url, oidc, alerts } = config
  const providers = Object.entries(config.providers).map(([name, provider]) => [
    name,
    {
      ...provider,
      ...hiddenSecrets(provider),
      accounts: provider.accounts.map((account) => ({ ...account, ...hiddenSecrets(account) })),
      headers: Object.fromEntries(Object.keys(provider.headers).map((header) => [header, HIDDEN])),
    },
  ])
  return {
    ...config,
    ...(admin_key === undefined ? {} : { admin_key: HIDDEN }),
    ...(encryption_key === undefined ? {} : { encryption_key: HIDDEN }),
    ...(encryption_key_previous === undefined ? {} : { encryption_key_previous: HIDDEN }),
    ...(database_url === undefined ? {} : { database_url: showUrl(database_url) }),
    ...(redis_url === undefined ? {} : { redis_url: showUrl(redis_url) }),
    ...(oidc?.client_secret === undefined ? {} : { oidc: { ...oidc, client_secret: HIDDEN } }),
    ...(alerts.smtp_url === undefined ? {} : { alerts: { ...alerts, smtp_url: showUrl(alerts.smtp_url) } }),
    providers: Object.fromEntries(providers),
  }
}

const SECRETS = ["api_key", "access_key_id", "secret_access_key", "session_token"] as const

/** Those that are set. */
function hiddenSecrets(entry: { readonly [K in (typeof SECRETS)[number]]?: string | undefined }): object {
  return Object.fromEntries(SECRETS.filter((name) => entry[name] !== undefined).map((name) => [name, HIDDEN]))
}

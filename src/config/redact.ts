/** The config as it may be printed or sent: the same shape, with credentials hidden and connection strings without passwords. */
import { HIDDEN, showUrl } from "./problem.ts"
import type { Config } from "./schema.ts"

export function redactConfig(config: Config): Config {
  const { admin_key, database_url, redis_url } = config
  const providers = Object.entries(config.providers).map(([name, provider]) => [
    name,
    {
      ...provider,
      ...(provider.api_key === undefined ? {} : { api_key: HIDDEN }),
      headers: Object.fromEntries(Object.keys(provider.headers).map((header) => [header, HIDDEN])),
    },
  ])
  return {
    ...config,
    ...(admin_key === undefined ? {} : { admin_key: HIDDEN }),
    ...(database_url === undefined ? {} : { database_url: showUrl(database_url) }),
    ...(redis_url === undefined ? {} : { redis_url: showUrl(redis_url) }),
    providers: Object.fromEntries(providers),
  }
}

/**
 * What a new configuration changes at once, and what only at the next start: listeners, stores and the processes
 * themselves are made once. Every key stands in the table, so that a new one has to be decided on.
 */
import { isDeepStrictEqual } from "node:util"
import type { Config } from "../config/schema.ts"

type When = "at once" | "at the next start"
type Section<Value> = Value extends readonly unknown[] ? never : { readonly [Key in keyof Value]-?: When }

const CHANGES = {
  listen: "at the next start",
  listeners: "at the next start",
  workers: "at the next start",
  data_dir: "at the next start",
  database_url: "at the next start",
  redis_url: "at the next start",
  admin_key: "at the next start",
  encryption_key: "at the next start",
  encryption_key_file: "at the next start",
  encryption_key_previous: "at the next start",
  sandbox: "at once",
  providers: "at once",
  models: "at once",
  timeouts: "at once",
  admission: {
    lease_ms: "at the next start",
    expected_output_tokens: "at once",
    drains_max: "at once",
    store_timeout_ms: "at the next start",
    proxies_max: "at the next start",
  },
  body_bytes_max: "at once",
  unmetered: "at once",
  provider_objects: "at once",
  attribution: "at once",
  journal: "at the next start",
  prices: "at once",
  log: "at once",
  sessions: "at the next start",
  oidc: "at the next start",
  alerts: "at the next start",
  metrics: "at once",
  usage_retention_days: "at the next start",
  // The proxy does not look at them: `config apply` does.
  organizations: "at once",
  database_connections_max: "at the next start",
  key_cache_max: "at the next start",
  key_cache_max_age_ms: "at the next start",
} as const satisfies { readonly [Key in keyof Config]-?: When | Section<Config[Key]> }

export type ReloadPlan = {
  /** What to go on with: the new configuration, but for what only a start can change. */
  readonly config: Config
  /** Keys that change at once, as paths. */
  readonly changed: readonly string[]
  /** Keys that are different in the file and stay as they are until the next start. */
  readonly waiting: readonly string[]
}

/** What comes of a new configuration where `running` is in force. */
export function planReload(running: Config, next: Config): ReloadPlan {
  const config: { [key: string]: unknown } = { ...next }
  const changed: string[] = []
  const waiting: string[] = []
  for (const [key, change] of Object.entries<When | Section<object>>(CHANGES)) {
    const before: unknown = running[key as keyof Config]
    const after: unknown = next[key as keyof Config]
    if (change === "at once") changed.push(...differences(before, after, key))
    else if (change === "at the next start") {
      waiting.push(...differences(before, after, key))
      config[key] = before
    } else config[key] = planSection(key, change, before, after, { changed, waiting })
  }
  return { config: Object.freeze(asConfig(config)), changed, waiting }
}

type Named = { readonly changed: string[]; readonly waiting: string[] }

function planSection(name: string, changes: object, before: unknown, after: unknown, named: Named): object {
  const [old, now] = [mappingOf(before), mappingOf(after)]
  const section = { ...now }
  for (const [key, change] of Object.entries<When>({ ...changes })) {
    const different = differences(old[key], now[key], `${name}.${key}`)
    if (change === "at once") named.changed.push(...different)
    else {
      named.waiting.push(...different)
      section[key] = old[key]
    }
  }
  return Object.freeze(section)
}

/** The paths at which two values differ: keys of mappings, lists as a whole. Values are never shown, they may be secret. */
function differences(before: unknown, after: unknown, path: string): string[] {
  if (isDeepStrictEqual(before, after)) return []
  if (!isMapping(before) || !isMapping(after)) return [path]
  const keys = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...keys].flatMap((key) => differences(before[key], after[key], `${path}.${key}`))
}

type Mapping = { readonly [key: string]: unknown }

function isMapping(value: unknown): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

function mappingOf(value: unknown): { [key: string]: unknown } {
  return isMapping(value) ? { ...value } : {}
}

/** Its members are those of two configurations, each under its own key. */
function asConfig(members: object): Config {
  return members as Config
}

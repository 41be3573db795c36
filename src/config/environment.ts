/**
 * What the environment says without a file: the variables that override single keys, and the providers whose key is
 * set. Both are held to the same schema as the file. A variable that is empty counts as unset, because Compose files and
 * shells pass empty ones along.
 */
import { z } from "zod"
import type { Environment } from "./interpolate.ts"
import { type ProviderFromEnvironment, providersFromEnvironment } from "./known-providers.ts"
import { type ConfigProblem, describeFound } from "./problem.ts"
import { type ProviderEntry, providerSchema } from "./schema.ts"
import { type KeyPath, schemaAt } from "./schema-paths.ts"
import { readText } from "./text-value.ts"

const OVERRIDES: readonly (readonly [variable: string, path: readonly [string] | readonly [string, string]])[] = [
  ["HOST", ["listen", "host"]],
  ["PORT", ["listen", "port"]],
  ["WORKERS", ["workers"]],
  ["TALLYGATE_DATA", ["data_dir"]],
  ["DATABASE_URL", ["database_url"]],
  ["REDIS_URL", ["redis_url"]],
  ["TALLYGATE_ADMIN_KEY", ["admin_key"]],
  ["TALLYGATE_ENCRYPTION_KEY", ["encryption_key"]],
  ["TALLYGATE_ENCRYPTION_KEY_FILE", ["encryption_key_file"]],
  ["TALLYGATE_ENCRYPTION_KEY_PREVIOUS", ["encryption_key_previous"]],
]

export type Overrides = {
  readonly values: readonly { readonly path: KeyPath; readonly value: unknown }[]
  readonly problems: readonly ConfigProblem[]
}

/** The keys that the environment sets, each checked by the schema of its key. */
export function readOverrides(env: Environment): Overrides {
  const values: { path: KeyPath; value: unknown }[] = []
  const problems: ConfigProblem[] = []
  for (const [variable, path] of OVERRIDES) {
    const text = env[variable]
    const schema = schemaAt(path)
    if (text === undefined || text === "" || !(schema instanceof z.ZodType)) continue
    const value = readText(path, text)
    const checked = schema.safeParse(value)
    if (checked.success) values.push({ path, value })
    else problems.push(environmentProblem(variable, describeFound(path, value), expectedBy(checked.error)))
  }
  return { values, problems }
}

/** The file's data with the overridden keys replaced. A section that is no mapping is left for the schema to refuse. */
export function applyOverrides(data: unknown, overrides: Overrides): unknown {
  let result = data
  for (const { path, value } of overrides.values) result = withValue(result, path, value)
  return result
}

function withValue(data: unknown, path: KeyPath, value: unknown): unknown {
  const [step, ...rest] = path
  if (step === undefined) return value
  const mapping: { [key: string]: unknown } = typeof data === "object" && data !== null ? { ...data } : {}
  mapping[step] = withValue(mapping[step], rest, value)
  return mapping
}

export type BuiltInProvider = ProviderFromEnvironment & { readonly entry: ProviderEntry }

export type BuiltInProviders = {
  readonly providers: readonly BuiltInProvider[]
  readonly problems: readonly ConfigProblem[]
  readonly notes: readonly string[]
}

/**
 * The providers that are on because their key is set, less those that the file configures itself. An address that
 * leads back to this proxy is set aside with a note: it is what an application on the same machine is told to use.
 */
export function readBuiltInProviders(
  env: Environment,
  configured: readonly string[],
  isOwnAddress: (url: string) => boolean,
): BuiltInProviders {
  const providers: BuiltInProvider[] = []
  const problems: ConfigProblem[] = []
  const notes: string[] = []
  for (const known of providersFromEnvironment(env)) {
    if (configured.includes(known.name)) continue
    const isLoop = isOwnAddress(known.baseUrl)
    const baseUrl = isLoop ? known.wellKnownBaseUrl : known.baseUrl
    if (isLoop)
      notes.push(`${known.baseUrlVariable} is this proxy's own address; provider ${known.name} uses ${baseUrl}`)
    const checked = providerSchema.safeParse({
      dialect: known.dialect,
      base_url: baseUrl,
      api_key: known.apiKey,
      include_usage: known.includeUsage,
    })
    if (checked.success) {
      providers.push({ ...known, entry: checked.data })
      notes.push(`provider ${known.name} is on, because ${known.keyVariable} is set`)
      continue
    }
    for (const issue of checked.error.issues) {
      const isAddress = issue.path[0] === "base_url"
      const variable = (isAddress ? known.baseUrlVariable : null) ?? known.keyVariable
      const found = isAddress ? describeFound(["base_url"], env[variable]) : describeFound(["api_key"], known.apiKey)
      problems.push(environmentProblem(variable, found, issue.message))
    }
  }
  return { providers, problems, notes }
}

/** The variable that overrides a key of the top, null where the file or the default decides. */
export function overridingVariable(key: string, env: Environment): string | null {
  const variable = OVERRIDES.find(([, path]) => path.length === 1 && path[0] === key)?.[0]
  return variable === undefined || (env[variable] ?? "") === "" ? null : variable
}

export function environmentProblem(variable: string, found: string, expected: string): ConfigProblem {
  return { file: "environment", line: null, column: null, path: variable, found, expected }
}

function expectedBy(error: z.ZodError): string {
  return error.issues[0]?.message ?? "another value"
}

/**
 * The last step of loading: what the file says and what the environment adds become one config with nothing left to
 * decide. Routes of the file come before built-in ones; everything that can be seen to have no effect is noted.
 */
import { matchesGlob } from "../platform/glob.ts"
import { SANDBOX_PROVIDER } from "../providers/provider-rules.ts"
import type { BuiltInProvider } from "./environment.ts"
import { keyVariableOf } from "./known-providers.ts"
import { DEFAULT_ACCOUNT } from "./provider-accounts.ts"
import type { Config, ConfigFile, ProviderConfig, ProviderEntry } from "./schema.ts"
import { nearest } from "./schema-paths.ts"

const ADMIN_KEY_SHORT = 16

/** The frozen config; `paths` are the file's own paths, made absolute. */
export function resolveConfig(
  file: ConfigFile,
  builtIn: readonly BuiltInProvider[],
  paths: {
    readonly dataDir: string
    readonly priceFiles: readonly string[]
    readonly listening: Pick<ConfigFile, "listen" | "listeners">
    readonly encryptionKey: Pick<ConfigFile, "encryption_key_file">
  },
): Config {
  const providers: [string, ProviderConfig][] = [
    ...Object.entries(file.providers),
    ...builtIn.map(({ name, entry }): [string, ProviderEntry] => [name, entry]),
  ].map(([name, entry]) => [name, resolveProvider(name, entry, file.timeouts)])
  const names = providers.map(([name]) => name)
  return deepFreeze({
    ...file,
    ...paths.listening,
    ...paths.encryptionKey,
    data_dir: paths.dataDir,
    prices: { files: [...paths.priceFiles] },
    sandbox: isSandboxOn(file, names),
    providers: Object.fromEntries(providers),
    models: [...file.models, ...builtIn.flatMap((provider) => builtInRoutes(provider, names))],
  })
}

function resolveProvider(name: string, entry: ProviderEntry, all: ConfigFile["timeouts"]): ProviderConfig {
  const own = entry.timeouts
  return {
    ...entry,
    account: entry.account ?? DEFAULT_ACCOUNT,
    priced_as: entry.priced_as ?? name,
    timeouts: {
      connect_ms: own.connect_ms ?? all.connect_ms,
      first_byte_ms: own.first_byte_ms ?? all.first_byte_ms,
      idle_ms: own.idle_ms ?? all.idle_ms,
      drain_ms: own.drain_ms ?? all.drain_ms,
    },
  }
}

/** `openai/…` names the provider openai where there is one, so another provider's vendor of that name stands back. */
function builtInRoutes(provider: BuiltInProvider, names: readonly string[]): Config["models"] {
  return provider.models
    .filter((match) => {
      const slash = match.indexOf("/")
      const vendor = slash === -1 ? null : match.slice(0, slash)
      return vendor === null || vendor === provider.name || !names.includes(vendor)
    })
    .map((match) => ({ match, provider: provider.name }))
}

function isSandboxOn(file: ConfigFile, providerNames: readonly string[]): boolean {
  return file.sandbox === "auto" ? providerNames.length === 0 : file.sandbox
}

export type UnknownProvider = { readonly route: number; readonly expected: string }

/** Routes of the file that lead to no provider, by their index, with what may stand there instead. */
export function findUnknownProviders(config: Config): readonly UnknownProvider[] {
  const known = [...Object.keys(config.providers), ...(config.sandbox ? [SANDBOX_PROVIDER] : [])]
  return config.models.flatMap(({ provider }, route) => {
    return known.includes(provider) ? [] : [{ route, expected: providerInstead(provider, known) }]
  })
}

function providerInstead(provider: string, known: readonly string[]): string {
  const all = known.length === 0 ? "a provider that is configured under providers" : known.join(" or ")
  if (provider === SANDBOX_PROVIDER) return `${all}, or sandbox: true at the top`
  const keyVariable = keyVariableOf(provider)
  if (keyVariable !== null) return `${all}, or ${keyVariable} to be set in the environment`
  const near = nearest(provider, known)
  return near === null || known.length === 1 ? all : `${near} (known are ${known.join(", ")})`
}

/** What an operator should know about a config that is valid: things without effect, and things that are weak. */
export function noteConfig(config: Config, sandboxSetting: ConfigFile["sandbox"]): readonly string[] {
  const notes: string[] = []
  const providers = Object.keys(config.providers)
  if (providers.length === 0) {
    notes.push(
      config.sandbox
        ? "no provider is configured; only sandbox/* answers"
        : "no provider is configured and the sandbox is off: no model can be called",
    )
  } else if (sandboxSetting === "auto") {
    notes.push("the sandbox is off, because a provider is configured")
  }
  for (const name of providers) {
    if (!config.models.some((route) => route.provider === name)) {
      notes.push(`provider ${name} has no route; its models are called as ${name}/<model>`)
    }
  }
  config.models.forEach((route, index) => {
    const earlier = config.models.slice(0, index).find((other) => matchesGlob(other.match, route.match))
    if (earlier !== undefined && earlier.provider !== route.provider) {
      notes.push(
        `route ${route.match} to ${route.provider} is never reached: ${earlier.match} to ${earlier.provider} is above it`,
      )
    }
  })
  if (config.admin_key !== undefined && config.admin_key.length < ADMIN_KEY_SHORT) {
    notes.push(`admin_key is short; use at least ${ADMIN_KEY_SHORT} characters outside of tests`)
  }
  return notes
}

/** Whether calls to this URL would come back to the proxy that listens there. */
export function isOwnAddress(url: string, listen: Config["listen"]): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, "")
  const isHere = host === listen.host || host === "localhost" || host === "::1" || /^127\./.test(host)
  const [own, usualPort] = listen.tls === undefined ? ["http:", 80] : ["https:", 443]
  return protocol === own && isHere && Number(port === "" ? usualPort : port) === listen.port
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}

/**
 * Where a call goes: from the model name that was asked for to a provider and the name it is known by there. The
 * configured globs decide, first match wins; `<provider>/<model>` names a provider outright. Callers can never name a
 * host: upstreams come from the configuration alone.
 */
import type { Limit } from "../identity/limit.ts"
import type { AccountSecret } from "../identity/provider-account.ts"
import { matchesGlob } from "../platform/glob.ts"
import { deploymentPath, isDeployment } from "./azure-deployments.ts"
import type { Api } from "./dialect.ts"

/** Time-outs towards one provider, in milliseconds. */
export type UpstreamTimeouts = {
  readonly connectMs: number
  readonly firstByteMs: number
  /** Longest silence within an answer. */
  readonly idleMs: number
  /** How long an answer is read on for its usage after the caller left; 0 aborts at once. */
  readonly drainMs: number
}

/** One of our accounts at a provider: what it pays by, and what may be used of it. */
export type ProviderAccount = {
  /** Never the credential. */
  readonly name: string
  /** Null for servers that take no credential. */
  readonly secret: AccountSecret | null
  /** Its share of the virtual keys, relative to the provider's other accounts. */
  readonly weight: number
  readonly region: string
  readonly limits: readonly Limit[]
}

export type Provider = {
  readonly name: string
  /** Whose API it speaks. */
  readonly dialect: Api
  readonly baseUrl: string
  /** Scheme, host and port of the base URL. */
  readonly origin: string
  /** The base URL's path without a slash at its end: `/v1`, or '' for none. */
  readonly basePath: string
  /** Whose credential goes upstream: ours, or the one that the caller brings beside its virtual key. */
  readonly credential: "account" | "caller"
  /** Those that can be used now, the one that was there before there were several first; none where none can be. */
  readonly accounts: readonly ProviderAccount[]
  readonly headers: Readonly<Record<string, string>>
  /** Whether it understands `stream_options.include_usage`. */
  readonly takesUsageOption: boolean
  /** The provider whose prices apply, as the price book names it. */
  readonly pricedAs: string
  readonly timeouts: UpstreamTimeouts
}

export type ModelRoute = {
  readonly match: string
  readonly provider: string
  /** The model's name at the provider; null: the name that was asked for. */
  readonly model: string | null
  /** The account that all its calls go to; null: each key's own. */
  readonly account: string | null
}

export type Route = { readonly provider: Provider; readonly model: string }
/** A route, and the account that it names; null where it names none. */
export type ModelTarget = { readonly route: Route; readonly account: string | null }

export class Router {
  readonly providers: ReadonlyMap<string, Provider>
  /** Limits on provider accounts, in use or not, by the names that limits know them by. */
  readonly accountLimits: ReadonlyMap<string, readonly Limit[]>
  readonly #routes: readonly ModelRoute[]

  constructor(
    providers: readonly Provider[],
    routes: readonly ModelRoute[],
    accountLimits: ReadonlyMap<string, readonly Limit[]>,
  ) {
    this.providers = new Map(providers.map((provider) => [provider.name, provider]))
    this.accountLimits = accountLimits
    this.#routes = routes
  }

  /** The provider of a model and its name there; null where nothing routes it. */
  route(model: string): ModelTarget | null {
    for (const { match, provider: name, model: renamed, account } of this.#routes) {
      if (!matchesGlob(match, model)) continue
      const provider = this.providers.get(name)
      if (provider !== undefined) return { route: { provider, model: renamed ?? model }, account }
    }
    const slash = model.indexOf("/")
    const provider = slash < 0 ? undefined : this.providers.get(model.slice(0, slash))
    return provider === undefined ? null : { route: { provider, model: model.slice(slash + 1) }, account: null }
  }

  /** Providers of an API, in the order of the configuration; the first one makes objects for callers that name none. */
  providersOf(api: Api): Provider[] {
    return [...this.providers.values()].filter((provider) => provider.dialect === api)
  }

  /**
   * Every model name that can be asked for: exact routes as they stand, globs expanded over the names that `known`
   * lists for the route's provider, and all of a provider's known models as `<provider>/<model>` where no glob covers them.
   */
  models(known: (pricedAs: string) => readonly string[]): { id: string; provider: string }[] {
    const found = new Map<string, string>()
    const add = (id: string, provider: string) => {
      if (!found.has(id) && this.route(id)?.route.provider.name === provider) found.set(id, provider)
    }
    for (const route of this.#routes) {
      const provider = this.providers.get(route.provider)
      if (provider === undefined) continue
      if (!route.match.includes("*")) add(route.match, provider.name)
      else for (const id of known(provider.pricedAs)) if (matchesGlob(route.match, id)) add(id, provider.name)
    }
    const routed = new Set(found.values())
    for (const provider of this.providers.values()) {
      if (routed.has(provider.name)) continue
      for (const id of known(provider.pricedAs)) add(`${provider.name}/${id}`, provider.name)
    }
    return [...found].map(([id, provider]) => ({ id, provider })).sort((a, b) => (a.id < b.id ? -1 : 1))
  }
}

/** Scheme, host and port of a base URL, and its path without a slash at the end. */
export function splitBaseUrl(baseUrl: string): { readonly origin: string; readonly basePath: string } {
  const url = new URL(baseUrl)
  return { origin: url.origin, basePath: url.pathname.replace(/\/+$/, "") }
}

/**
 * Endpoints that providers of another API serve in OpenAI's dialect as well, and where (platform.claude.com "OpenAI SDK
 * compatibility"; ai.google.dev "OpenAI compatibility"; docs.cohere.com "Compatibility API"; Amazon Bedrock guide "OpenAI
 * Chat Completions API"; docs.ollama.com "OpenAI compatibility").
 */
const COMPATIBLE: Readonly<
  Record<Exclude<Api, "openai">, { readonly prefix: string; readonly paths: readonly string[] }>
> = {
  anthropic: { prefix: "", paths: ["/chat/completions"] },
  google: { prefix: "/openai", paths: ["/chat/completions", "/embeddings", "/images/generations"] },
  cohere: { prefix: "/compatibility/v1", paths: ["/chat/completions", "/embeddings"] },
  bedrock: { prefix: "/openai/v1", paths: ["/chat/completions"] },
  ollama: { prefix: "/v1", paths: ["/chat/completions", "/completions", "/embeddings"] },
  elevenlabs: { prefix: "", paths: [] },
}

/**
 * The path of a call at its provider; null where the provider does not speak that API for this endpoint. `version` takes
 * the place of the base URL's own where callers choose it (Google); '' leaves that.
 */
export function pathAt(provider: Provider, api: Api, path: string, version = ""): string | null {
  if (provider.dialect === api) {
    if (isDeployment(path)) return deploymentPath(provider.basePath, path)
    const base = version === "" ? provider.basePath : provider.basePath.replace(/\/v\d\w*$/, `/${version}`)
    // Google's uploads stand in front of the version.
    if (api === "google" && path.startsWith("/upload/")) return `/upload${base}${path.slice(7)}`
    return base + path
  }
  if (api !== "openai" || provider.dialect === "openai") return null
  const { prefix, paths } = COMPATIBLE[provider.dialect]
  return paths.includes(path) ? `${provider.basePath}${prefix}${path}` : null
}

/** The path in OpenAI's API that a path at a provider of another API stands for (Google's `/openai/chat/completions`); null elsewhere. */
export function openAiPathIn({ dialect }: Provider, path: string): string | null {
  if (dialect === "openai") return null
  const { prefix, paths } = COMPATIBLE[dialect]
  const rest = path.startsWith(prefix) ? path.slice(prefix.length) : ""
  return paths.includes(rest) ? rest : null
}

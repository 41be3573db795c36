/**
 * Where a call goes: from the model name that was asked for to a provider and the name it is known by there. The
 * configured globs decide, first match wins; `<provider>/<model>` names a provider outright. Callers can never name a
 * host: upstreams come from the configuration alone.
 */
import { matchesGlob } from "../platform/glob.ts"

/** Time-outs towards one provider, in milliseconds. */
export type UpstreamTimeouts = {
  readonly connectMs: number
  readonly firstByteMs: number
  /** Longest silence within an answer. */
  readonly idleMs: number
  /** How long an answer is read on for its usage after the caller left; 0 aborts at once. */
  readonly drainMs: number
}

export type Provider = {
  readonly name: string
  readonly dialect: "openai" | "anthropic" | "google"
  readonly baseUrl: string
  /** Null for servers that take no credential. */
  readonly apiKey: string | null
  /** Which of our accounts at the provider pays; a name, never the credential. */
  readonly account: string
  readonly region: string
  readonly headers: Readonly<Record<string, string>>
  /** Whether it understands `stream_options.include_usage`. */
  readonly takesUsageOption: boolean
  /** The provider whose prices apply, as the price book names it. */
  readonly pricedAs: string
  readonly timeouts: UpstreamTimeouts
  readonly chat: Target
}

export type ModelRoute = {
  readonly match: string
  readonly provider: string
  /** The model's name at the provider; null: the name that was asked for. */
  readonly model: string | null
}

/** Where a provider's chat completions stand: scheme, host and port; and the path. */
export type Target = { readonly origin: string; readonly path: string }

export type Route = { readonly provider: Provider; readonly model: string }

export class Router {
  readonly providers: ReadonlyMap<string, Provider>
  readonly #routes: readonly ModelRoute[]

  constructor(providers: readonly Provider[], routes: readonly ModelRoute[]) {
    this.providers = new Map(providers.map((provider) => [provider.name, provider]))
    this.#routes = routes
  }

  /** The provider of a model and its name there; null where nothing routes it. */
  route(model: string): Route | null {
    for (const route of this.#routes) {
      if (!matchesGlob(route.match, model)) continue
      const provider = this.providers.get(route.provider)
      if (provider !== undefined) return { provider, model: route.model ?? model }
    }
    const slash = model.indexOf("/")
    const provider = slash < 0 ? undefined : this.providers.get(model.slice(0, slash))
    return provider === undefined ? null : { provider, model: model.slice(slash + 1) }
  }

  /**
   * Every model name that can be asked for: exact routes as they stand, globs expanded over the names that `known`
   * lists for the route's provider, and all of a provider's known models as `<provider>/<model>` where no glob covers them.
   */
  models(known: (pricedAs: string) => readonly string[]): { id: string; provider: string }[] {
    const found = new Map<string, string>()
    const add = (id: string, provider: string) => {
      if (!found.has(id) && this.route(id)?.provider.name === provider) found.set(id, provider)
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

/**
 * Where chat completions in OpenAI's dialect stand at a provider. Anthropic and Google serve one of their own beside
 * their native API (platform.claude.com "OpenAI SDK compatibility"; ai.google.dev "OpenAI compatibility").
 */
export function chatTarget(dialect: Provider["dialect"], baseUrl: string): Target {
  const base = baseUrl.replace(/\/+$/, "")
  const url = new URL(dialect === "google" ? `${base}/openai/chat/completions` : `${base}/chat/completions`)
  return { origin: url.origin, path: url.pathname }
}

/**
 * Which door a request comes in by. `/v1/…` is OpenAI's API, and Anthropic's where it is Messages or carries
 * `anthropic-version`; `/v1beta/…` is Google's; `/{provider}/…` speaks to one provider as it is. A path that is not
 * written plainly is no door at all: what this reads and what a provider reads must be the same.
 */
import type { IncomingMessage } from "node:http"
import type { Api } from "../providers/dialect.ts"
import { type EndpointMatch, matchEndpoint } from "../providers/endpoint.ts"
import { openAiPathIn, type Provider, type Router } from "../providers/router.ts"

export type Door = {
  readonly api: Api
  readonly match: EndpointMatch | null
  /** The path after the API's version, as it was sent. */
  readonly path: string
  /** With its `?` and without a credential; '' where there is none. */
  readonly query: string
  /** The query's `key`: a credential in Google's manner. More than one where it stands there more than once. */
  readonly queryKeys: readonly string[]
  /** The provider that the path names outright; null where the model decides. */
  readonly provider: Provider | null
  /** The API's version where callers choose it (Google); '' where the provider's base URL does. */
  readonly version: string
}

/** Segments of letters, digits and the marks that APIs use, none of them escaped: nothing is left for a provider to normalise. */
const PLAIN_PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9_\-.:~@,=+]+)+$/
/** Google's SDKs ask for one version or another; what is known of an endpoint holds for all. */
const GOOGLE_PATH = /^(\/upload)?\/(v1beta|v1alpha|v1)(\/.*)$/

/** Whose API a path is spoken in, as far as the path alone tells: in whose shape to say that this proxy is closing. */
export function apiOf(path: string): Api {
  if (path.startsWith("/v1/messages")) return "anthropic"
  return /^\/(?:upload|v1beta|v1alpha)\//.test(path) ? "google" : "openai"
}

/** Doors that are kept, since nearly every call comes by one of a few. */
const KEPT_MAX = 256

export class Doors {
  readonly #router: Router
  /** By method and path. */
  readonly #kept = new Map<string, Map<string, Door>>()
  #keptCount = 0

  constructor(router: Router) {
    this.#router = router
  }

  /** True where the data plane answers this path, be it with a refusal. */
  has(path: string): boolean {
    if (OWN_PATH.test(path)) return false
    if (path.startsWith("/v1") && /^\/v1(?:beta|alpha)?(?:\/|$)/.test(path)) return true
    if (path.startsWith("/upload/")) return GOOGLE_PATH.test(path)
    const end = path.indexOf("/", 1)
    return end > 0 && this.#router.providers.has(path.slice(1, end))
  }

  /** The door of a request to a path that the data plane has. */
  open(request: IncomingMessage, path: string): Door {
    const url = request.url ?? ""
    const { headers, method = "" } = request
    const isUsual =
      url.length === path.length &&
      headers["anthropic-version"] === undefined &&
      headers["x-goog-api-client"] === undefined
    if (!isUsual) return openDoor(this.#router, request, path)
    const keptOfMethod = this.#kept.get(method)
    const kept = keptOfMethod?.get(path)
    if (kept !== undefined) return kept
    const door = openDoor(this.#router, request, path)
    // Objects and models in paths are many, and what is unknown is anybody's choice.
    const isFixed = door.match !== null && door.match.objectId === null && door.match.model === null
    if (isFixed && this.#keptCount < KEPT_MAX) {
      this.#keptCount++
      if (keptOfMethod === undefined) this.#kept.set(method, new Map([[path, door]]))
      else keptOfMethod.set(path, door)
    }
    return door
  }
}

/** Below /v1 the control plane answers key holders about their keys and usage, and admins in the shape of OpenAI's own. */
const OWN_PATH = /^\/v1\/(?:keys?|usage|organization)(?:\/|$)/

function openDoor(router: Router, request: IncomingMessage, path: string): Door {
  const url = request.url ?? ""
  const { query, queryKeys } = splitQuery(url.length === path.length ? "" : url.slice(path.length))
  const { api, rest, provider, version } = place(router, request, path)
  const match = PLAIN_PATH.test(rest) ? matchEndpoint(api, request.method ?? "", rest) : null
  return { api, match, path: rest, query, queryKeys, provider, version }
}

/** Whether what this reads in a path is what every server reads in it. */
export function isPlain({ path }: Door): boolean {
  return PLAIN_PATH.test(path)
}

/** Whether a path without a known endpoint may be passed on as it is: written plainly, and in no other spelling a known one. */
export function isPassable(door: Door): boolean {
  if (!isPlain(door)) return false
  const lower = door.path.toLowerCase()
  const spellings = [lower, lower.replace(/^(?:\/(?:v\d\w{0,8}|openai|api))+(?=\/)/, "")]
  const isKnown = (path: string) =>
    ["GET", "POST", "PATCH", "DELETE"].some((method) => matchEndpoint(door.api, method, path) !== null)
  return !spellings.some(isKnown)
}

type Place = Pick<Door, "api" | "provider" | "version"> & { readonly rest: string }

function place(router: Router, request: IncomingMessage, path: string): Place {
  const { headers } = request
  if (path === "/v1" || path.startsWith("/v1/")) {
    const rest = path.slice(3)
    if (isGoogle(rest, request)) return { api: "google", rest, provider: null, version: "v1" }
    const isAnthropic = rest.startsWith("/messages") || headers["anthropic-version"] !== undefined
    return { api: isAnthropic ? "anthropic" : "openai", rest, provider: null, version: "" }
  }
  const [, upload = "", version = "", rest = ""] = GOOGLE_PATH.exec(path) ?? []
  if (version !== "") return { api: "google", rest: upload + rest, provider: null, version }
  const end = path.indexOf("/", 1)
  const provider = router.providers.get(path.slice(1, end < 0 ? path.length : end))
  // `/v1beta` alone, and nothing behind it.
  if (provider === undefined) return { api: "google", rest: "", provider: null, version: "" }
  const within = withinBase(provider, path.slice(end))
  // AWS SDKs escape the colon in a model's name, which needs none.
  const plain = provider.dialect === "bedrock" ? within.replace(/%3a/gi, ":") : within
  const inOpenAi = openAiPathIn(provider, plain)
  if (inOpenAi !== null) return { api: "openai", rest: inOpenAi, provider, version: "" }
  return { api: provider.dialect, rest: plain, provider, version: "" }
}

/** Google's API has a `/v1` too: calls of a model's methods, and whatever its own SDK sends. */
function isGoogle(rest: string, { headers }: IncomingMessage): boolean {
  return headers["x-goog-api-client"] !== undefined || /^\/(?:models|tunedModels)\/[^/]+:\w+$/.test(rest)
}

/** The path after the provider's base URL, whether or not the caller wrote the base's own path, or its version, in front. */
function withinBase(provider: Provider, path: string): string {
  const base = provider.basePath
  const version = base.slice(base.lastIndexOf("/"))
  for (const prefix of [base, version]) {
    if (prefix === "" || prefix === "/") continue
    if (path.startsWith(`${prefix}/`)) return path.slice(prefix.length)
    if (provider.dialect === "google" && path.startsWith(`/upload${prefix}/`)) {
      return `/upload${path.slice(prefix.length + "/upload".length)}`
    }
  }
  return path
}

/** Names under which some API takes a credential in the query; a provider gets ours in a header, and no other. */
const CREDENTIALS = new Set(["key", "api_key", "api-key", "access_token"])
const NO_KEYS: readonly string[] = []

function splitQuery(query: string): { query: string; queryKeys: readonly string[] } {
  if (query.length < 2) return { query: "", queryKeys: NO_KEYS }
  const kept: string[] = []
  const queryKeys: string[] = []
  for (const part of query.slice(1).split("&")) {
    const equals = part.indexOf("=")
    const name = decoded(equals < 0 ? part : part.slice(0, equals)).toLowerCase()
    if (!CREDENTIALS.has(name)) kept.push(part)
    else if (name === "key" && equals >= 0) queryKeys.push(decoded(part.slice(equals + 1)))
  }
  return { query: kept.length === 0 ? "" : `?${kept.join("&")}`, queryKeys }
}

/** A plus is a blank in a query. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "))
  } catch {
    return text
  }
}

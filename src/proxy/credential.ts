/**
 * The virtual key that a request presents, wherever its SDK puts one: `Authorization: Bearer` (OpenAI), `x-api-key`
 * (Anthropic), `x-goog-api-key` or `?key=` (Google), `api-key` (Azure),
 * `xi-api-key` (ElevenLabs). Two that differ are refused, since nobody could
 * say which of them pays. `x-tallygate-key` comes before all of them and leaves them to the caller's own provider
 * credential, which is passed on where a provider is configured with `credential: caller`.
 */
import type { IncomingHttpHeaders } from "node:http"

const BEARER = /^Bearer +(\S+) *$/i

/** A caller's own provider credential, as the header that carries it. Never stored, never logged. */
export type CallerCredential = { readonly name: string; readonly value: string }

export type Presented =
  | { readonly kind: "presented"; readonly secret: string; readonly own: CallerCredential | null }
  | { readonly kind: "none" }
  /** Several places hold keys that differ; `places` names them. */
  | { readonly kind: "differ"; readonly places: readonly string[] }

/** `queryKeys` are the keys that stand in the query. */
export function presentedKey(headers: IncomingHttpHeaders, queryKeys: readonly string[]): Presented {
  const authorization = headers.authorization
  const other =
    headers["x-api-key"] ?? headers["x-goog-api-key"] ?? headers["api-key"] ?? headers["xi-api-key"] ?? queryKeys[0]
  const first = headers["x-tallygate-key"]
  if (first !== undefined) return { kind: "presented", secret: String(first), own: ownCredential(headers, queryKeys) }
  const bearer = authorization === undefined ? undefined : BEARER.exec(authorization)?.[1]
  // Nearly every call: one place alone.
  if (other === undefined) {
    return bearer === undefined ? { kind: "none" } : { kind: "presented", secret: bearer, own: null }
  }
  return oneOf([
    ["Authorization", bearer ?? ""],
    ["x-api-key", String(headers["x-api-key"] ?? "")],
    ["x-goog-api-key", String(headers["x-goog-api-key"] ?? "")],
    ["api-key", String(headers["api-key"] ?? "")],
    ["xi-api-key", String(headers["xi-api-key"] ?? "")],
    ...queryKeys.map((secret) => ["?key=", secret] as const),
  ])
}

function oneOf(places: readonly (readonly [place: string, secret: string])[]): Presented {
  const given = places.filter(([, secret]) => secret !== "")
  const secret = given[0]?.[1]
  if (secret === undefined) return { kind: "none" }
  if (given.some(([, other]) => other !== secret)) return { kind: "differ", places: given.map(([place]) => place) }
  return { kind: "presented", secret, own: null }
}

/** SDKs put one key in several places: a key of ours in one that is the provider's must not reach it. */
function isForeign(value: string): boolean {
  return value !== "" && !/^(?:\S+ +)?tga?_/i.test(value)
}

function ownCredential(headers: IncomingHttpHeaders, queryKeys: readonly string[]): CallerCredential | null {
  for (const name of ["authorization", "x-api-key", "x-goog-api-key", "api-key", "xi-api-key"]) {
    const value = headers[name]
    if (typeof value === "string" && isForeign(value)) return { name, value }
  }
  const inQuery = queryKeys.find(isForeign)
  return inQuery === undefined ? null : { name: "x-goog-api-key", value: inQuery }
}

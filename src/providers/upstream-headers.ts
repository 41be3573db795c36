/**
 * Which headers pass, both ways, by allow-list: what is not named here stays here, so that neither a caller's
 * credential or cookie reaches a provider nor a provider's account or rate limits reach a caller.
 */
import { isDeployment } from "./azure-deployments.ts"
import type { Api } from "./dialect.ts"
import type { ProviderAccount } from "./router.ts"

const REQUEST_HEADERS = new Set([
  "accept",
  "accept-language",
  "anthropic-beta",
  "anthropic-dangerous-direct-browser-access",
  "anthropic-version",
  "baggage",
  "content-type",
  "conversation_id",
  "http-referer",
  "idempotency-key",
  "openai-beta",
  "originator",
  "range",
  "session-id",
  "session_id",
  "thread-id",
  "traceparent",
  "tracestate",
  "user-agent",
  "x-app",
  "x-goog-api-client",
  "x-server-timeout",
  "x-title",
])
const REQUEST_PREFIXES = ["x-claude-code-", "x-codex-", "x-goog-upload-", "x-stainless-"]

const RESPONSE_HEADERS = new Set([
  "accept-ranges",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-length",
  "content-range",
  "content-type",
  "openai-model",
  "openai-processing-ms",
  "openai-version",
  "retry-after",
  "retry-after-ms",
  "x-goog-upload-chunk-granularity",
  "x-goog-upload-control-url",
  "x-goog-upload-size-received",
  "x-goog-upload-status",
  "x-goog-upload-url",
  "x-should-retry",
  // By which AWS SDKs tell errors apart, and what others read Bedrock's count off.
  "x-amzn-errortype",
  "x-amzn-bedrock-input-token-count",
  "x-amzn-bedrock-output-token-count",
])

/** A credential as the header that carries it. */
export type Credential = { readonly name: string; readonly value: string }

/**
 * Our credential as the provider's API takes it; in OpenAI's dialect, and in most others, a bearer. Null where there is
 * none, and for access keys, which sign the request when it is whole.
 */
export function accountCredential({ secret }: ProviderAccount, api: Api, path = ""): Credential | null {
  if (typeof secret !== "string") return null
  if (isDeployment(path)) return { name: "api-key", value: secret }
  if (api === "anthropic") return { name: "x-api-key", value: secret }
  if (api === "google") return { name: "x-goog-api-key", value: secret }
  if (api === "elevenlabs") return { name: "xi-api-key", value: secret }
  return { name: "authorization", value: `Bearer ${secret}` }
}

/** The headers that go upstream, as a flat list of names and values: the caller's allowed ones, then the provider's own. */
export function upstreamHeaders(
  callerRawHeaders: readonly string[],
  own: { readonly credential: Credential | null; readonly headers: Readonly<Record<string, string>> },
): string[] {
  const headers: string[] = []
  for (let i = 0; i + 1 < callerRawHeaders.length; i += 2) {
    const name = (callerRawHeaders[i] ?? "").toLowerCase()
    if (isAllowed(name) && !(name in own.headers)) headers.push(name, callerRawHeaders[i + 1] ?? "")
  }
  // What is metered must be readable; a compressed answer would only be unpacked here again.
  headers.push("accept-encoding", "identity")
  if (own.credential !== null) headers.push(own.credential.name, own.credential.value)
  for (const name in own.headers) headers.push(name, own.headers[name] ?? "")
  return headers
}

function isAllowed(name: string): boolean {
  if (REQUEST_HEADERS.has(name)) return true
  for (const prefix of REQUEST_PREFIXES) if (name.startsWith(prefix)) return true
  return false
}

export type ResponseHead = {
  /** Flat list of allowed names and values for the caller. */
  readonly headers: string[]
  readonly contentType: string
  readonly contentEncoding: string
  /** Null where none is announced. */
  readonly contentLength: number | null
  /** The provider's own request id, for its support; kept on the record. */
  readonly requestId: string
}

/** Reads a provider's response headers: names in lower case and values in turn. */
export function readResponseHead(raw: readonly string[]): ResponseHead {
  const head = {
    headers: [] as string[],
    contentType: "",
    contentEncoding: "",
    contentLength: null as number | null,
    requestId: "",
  }
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? ""
    const value = raw[i + 1] ?? ""
    if (RESPONSE_HEADERS.has(name)) {
      head.headers.push(name, value)
      if (name === "content-type") head.contentType = value
      else if (name === "content-encoding") head.contentEncoding = value.toLowerCase()
      else if (name === "content-length") head.contentLength = Number(value)
    } else if (name === "x-request-id" || name === "request-id" || name === "x-amzn-requestid") head.requestId = value
  }
  return head
}

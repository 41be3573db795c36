/**
 * Which headers pass, both ways, by allow-list: what is not named here stays here, so that neither a caller's
 * credential or cookie reaches a provider nor a provider's account or rate limits reach a caller.
 */
const REQUEST_HEADERS = new Set([
  "accept",
  "accept-language",
  "baggage",
  "content-type",
  "idempotency-key",
  "traceparent",
  "tracestate",
  "user-agent",
  "openai-beta",
  "anthropic-beta",
  "anthropic-version",
  "http-referer",
  "x-title",
])
const REQUEST_PREFIXES = ["x-stainless-"]

const RESPONSE_HEADERS = new Set([
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-length",
  "content-type",
  "openai-model",
  "openai-processing-ms",
  "openai-version",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
])

/** The headers that go upstream, as a flat list of names and values: the caller's allowed ones, then the provider's own. */
export function upstreamHeaders(
  callerRawHeaders: readonly string[],
  own: { readonly apiKey: string | null; readonly headers: Readonly<Record<string, string>> },
): string[] {
  const headers: string[] = []
  for (let i = 0; i + 1 < callerRawHeaders.length; i += 2) {
    const name = (callerRawHeaders[i] ?? "").toLowerCase()
    const isAllowed = REQUEST_HEADERS.has(name) || REQUEST_PREFIXES.some((prefix) => name.startsWith(prefix))
    if (isAllowed && !(name in own.headers)) headers.push(name, callerRawHeaders[i + 1] ?? "")
  }
  // What is metered must be readable; a compressed answer would only be unpacked here again.
  headers.push("accept-encoding", "identity")
  if (own.apiKey !== null) headers.push("authorization", `Bearer ${own.apiKey}`)
  for (const [name, value] of Object.entries(own.headers)) headers.push(name, value)
  return headers
}

export type ResponseHead = {
  /** Flat list of allowed names and values for the caller. */
  readonly headers: string[]
  readonly contentType: string
  readonly contentEncoding: string
  /** The provider's own request id, for its support; kept on the record. */
  readonly requestId: string
}

/** Reads a provider's response headers: names in lower case and values in turn. */
export function readResponseHead(raw: readonly string[]): ResponseHead {
  const head = { headers: [] as string[], contentType: "", contentEncoding: "", requestId: "" }
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? ""
    const value = raw[i + 1] ?? ""
    if (RESPONSE_HEADERS.has(name)) {
      head.headers.push(name, value)
      if (name === "content-type") head.contentType = value
      else if (name === "content-encoding") head.contentEncoding = value.toLowerCase()
    } else if (name === "x-request-id" || name === "request-id") head.requestId = value
  }
  return head
}

/** What a provider, wherever it is written down, may be called and have: the same for the configuration and the admin API. */

/** The provider that answers without an account. It is built in, so that nobody can define it. */
export const SANDBOX_PROVIDER = "sandbox"

/** First segments of the server's own paths: a provider of that name could not be reached at `/{provider}/…`. */
const OWN_PATHS = new Set([
  "admin",
  "auth",
  "dashboard",
  "docs",
  "healthz",
  "metrics",
  "openapi.json",
  "readyz",
  "upload",
  "v1",
  "v1beta",
])

export type Rule = {
  readonly holds: (text: string) => boolean
  /** What is expected, as a noun phrase. */
  readonly expected: string
}

export const PROVIDER_NAME_RULES: readonly Rule[] = [
  {
    holds: (name) => /^[a-z0-9][a-z0-9._-]{0,63}$/.test(name),
    expected: "a name of lower-case letters, digits, '.', '_' and '-'",
  },
  {
    holds: (name) => name !== SANDBOX_PROVIDER,
    expected: "another name: the sandbox is built in and switched by the key sandbox",
  },
  { holds: (name) => !OWN_PATHS.has(name), expected: "another name: this one is a path of the server itself" },
]

export const ACCOUNT_NAME_RULES: readonly Rule[] = [
  {
    holds: (name) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name),
    expected: "a name of letters, digits, '.', '_' and '-'",
  },
]

/** Calls are addressed by appending a path to it. */
export const BASE_URL_RULES: readonly Rule[] = [
  { holds: isBaseUrl, expected: "an http or https URL without user, password, query or fragment" },
]

function isBaseUrl(value: string): boolean {
  if (!/^https?:\/\/[^\s?#@\\]+$/.test(value) || !URL.canParse(value)) return false
  const url = new URL(value)
  return url.username === "" && url.password === "" && url.search === "" && url.hash === ""
}

/** A base URL without a slash at its end, because paths are appended to it. */
export function withoutSlash(baseUrl: string): string {
  return baseUrl.replace(/\/+$/, "")
}

/** Credentials travel in a header: a stray space or line break is a copying mistake and would fail only later. */
export const CREDENTIAL_RULES: readonly Rule[] = [
  {
    holds: (text) => /^[\x21-\x7e]{1,4096}$/.test(text),
    expected: "a key without spaces or line breaks, in quotes if it is a number",
  },
]

export const AWS_KEY_ID_RULES: readonly Rule[] = [
  { holds: (text) => /^[A-Z0-9]{16,128}$/.test(text), expected: "the id of an access key, such as AKIA…" },
]

const HOP_BY_HOP_HEADERS = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
])
/** Set by the proxy itself for each call; another value would break framing, routing or the credential. */
const OWN_HEADERS = new Set(["authorization", "content-length", "expect", "host"])

export const HEADER_NAME_RULES: readonly Rule[] = [
  { holds: (name) => /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name), expected: "a header name in lower case" },
  {
    holds: (name) => !HOP_BY_HOP_HEADERS.has(name) && !OWN_HEADERS.has(name),
    expected: "a header that the proxy does not set itself (not authorization, host, content-length or hop-by-hop)",
  },
]

export const HEADER_VALUE_RULES: readonly Rule[] = [
  { holds: (text) => /^[\t\x20-\x7e]*$/.test(text), expected: "one line of plain text" },
]

export const LABEL_RULES: readonly Rule[] = [
  { holds: (text) => /^[\x20-\x7e]{0,128}$/.test(text), expected: "plain text of at most 128 characters" },
]

/** What a route may match requested models by. */
export const MODEL_PATTERN_RULES: readonly Rule[] = [
  {
    holds: (text) => /^[^\s?[\]{}]{1,256}$/.test(text),
    expected: "a model name, or a pattern in which only * is special",
  },
]

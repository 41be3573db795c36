/**
 * The shape of `proxy.config.yaml`: every key with its bounds, its default and the sentence that documents it. The
 * same sentence stands beside the key in the shipped file, and a test keeps the two equal. Each schema's error text is
 * what a problem line prints after "expected", so it reads as a noun phrase.
 */
import { z } from "zod"
import { DIALECTS } from "../identity/provider-account.ts"
import { RETENTION_DAYS_MAX, RETENTION_DAYS_MIN } from "../ledger/usage-retention.ts"
import { isExactModel } from "../platform/glob.ts"
import { nodeUrls } from "../platform/redis-url.ts"
import { ENCRYPTION_KEY_EXPECTED, readEncryptionKey } from "../platform/secret-box.ts"
import {
  ACCOUNT_NAME_RULES,
  AWS_KEY_ID_RULES,
  BASE_URL_RULES,
  CREDENTIAL_RULES,
  HEADER_NAME_RULES,
  HEADER_VALUE_RULES,
  LABEL_RULES,
  MODEL_PATTERN_RULES,
  PROVIDER_NAME_RULES,
  type Rule,
  withoutSlash,
} from "../providers/provider-rules.ts"
import { alerts } from "./alerts.ts"
import { declaredOrganizations } from "./declared.ts"
import { oidc, sessions } from "./login.ts"

/** Where keys whose value must never be printed stand; `headers` may carry credentials too, so all its values count. */
export const SECRET_KEYS: ReadonlySet<string> = new Set([
  "api_key",
  "access_key_id",
  "secret_access_key",
  "session_token",
  "admin_key",
  "encryption_key",
  "encryption_key_previous",
  "client_secret",
  "headers",
])

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

function wholeNumber(min: number, max: number, unit: string) {
  const error = `a whole number${unit === "" ? "" : ` of ${unit}`} from ${min} to ${max}`
  return z.int({ error }).min(min, { error }).max(max, { error })
}

function milliseconds(min: number, max: number) {
  return wholeNumber(min, max, "milliseconds")
}

function text(pattern: RegExp, error: string) {
  return z.string({ error }).regex(pattern, { error })
}

/** The first rule that does not hold speaks. */
function ruled(rules: readonly Rule[]) {
  const error = rules[0]?.expected ?? "text"
  return rules.reduce(
    (schema, { holds, expected }) => schema.refine(holds, { error: expected, abort: true }),
    z.string({ error }),
  )
}

function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, { error: `one of ${values.join(", ")}` })
}

/** An object in which every key has a default, so that the whole of it may be left out. */
function section<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, { error: "a mapping of keys to values" })
}

function secret() {
  return ruled(CREDENTIAL_RULES)
}

function encryptionKey() {
  const error = ENCRYPTION_KEY_EXPECTED
  return z.string({ error }).refine((text) => readEncryptionKey(text) !== null, { error })
}

function connectionUrl(protocols: readonly string[]) {
  const error = `a URL that begins with ${protocols.join(" or ")}`
  return z.string({ error }).refine((url) => protocols.some((p) => url.startsWith(p)) && URL.canParse(url), { error })
}

/** One Redis, or several nodes of a Cluster with commas between: what stands after the last `@` may name several hosts. */
function redisUrl() {
  const error = "a URL that begins with redis:// or rediss://, with commas between the nodes of a Cluster"
  const isUrl = (url: string) => /^rediss?:\/\//.test(url) && nodeUrls(url).every((node) => URL.canParse(node))
  return z.string({ error }).refine(isUrl, { error })
}

/** A provider's base URL; a trailing slash is dropped, because paths are appended to it. */
export const baseUrlSchema = ruled(BASE_URL_RULES).overwrite(withoutSlash)

const connectMs = milliseconds(1, HOUR_MS).describe("Longest wait for a connection to a provider, in milliseconds.")
const firstByteMs = milliseconds(1, DAY_MS).describe("Longest wait for the first byte of an answer, in milliseconds.")
const idleMs = milliseconds(1, DAY_MS).describe("Longest silence within an answer, in milliseconds.")
const drainMs = milliseconds(0, HOUR_MS).describe("How long the usage of a stream is awaited when its caller has gone.")

/** Of the time-outs, those that belong to the upstream side; the others are the process's own. */
const providerTimeouts = section({
  connect_ms: connectMs.optional(),
  first_byte_ms: firstByteMs.optional(),
  idle_ms: idleMs.optional(),
  drain_ms: drainMs.optional(),
})

const label = ruled(LABEL_RULES)

/** In place of `api_key`. */
const awsKeys = {
  access_key_id: ruled(AWS_KEY_ID_RULES)
    .optional()
    .describe("Of Bedrock, in place of api_key: the access key that requests are signed with."),
  secret_access_key: secret().optional().describe("The secret of access_key_id."),
  session_token: secret().optional().describe("The session token of an access key that expires; unset is none."),
}

const accountSchema = section({
  name: ruled(ACCOUNT_NAME_RULES).describe("The account's name on usage records and in limits."),
  api_key: secret().optional().describe("The account's credential."),
  ...awsKeys,
  weight: wholeNumber(1, 1_000, "")
    .default(1)
    .describe("Its share of the virtual keys, relative to the provider's other accounts."),
  region: label.optional().describe("The account's region, where it differs from the provider's."),
})

export const providerSchema = section({
  dialect: oneOf(DIALECTS).describe(
    "Which API the provider speaks: openai, anthropic, google, cohere, bedrock, ollama or elevenlabs.",
  ),
  base_url: baseUrlSchema.describe("The provider's address, with its version path."),
  api_key: secret().optional().describe("The credential that replaces the caller's; none for open local servers."),
  ...awsKeys,
  credential: oneOf(["account", "caller"])
    .default("account")
    .describe("Whose credential goes upstream: account is api_key, caller the one beside x-tallygate-key."),
  region: label.default("").describe("Written on usage records and used for regional prices."),
  account: label.optional().describe("The name of the account that api_key belongs to; unset is default."),
  accounts: z
    .array(accountSchema, { error: "a list of accounts" })
    .max(1_000, { error: "at most 1000 accounts" })
    .default([])
    .describe("Several accounts at the provider, beside api_key or in its place; each virtual key keeps to one."),
  priced_as: label
    .min(1, { error: "the name of a provider in the price book" })
    .optional()
    .describe("The provider whose prices apply, as the price book names it; unset is the entry's own name."),
  headers: z
    .record(ruled(HEADER_NAME_RULES), ruled(HEADER_VALUE_RULES), { error: "a mapping of header names to texts" })
    .default({})
    .describe("Further headers for each upstream call, names in lower case."),
  include_usage: z
    .boolean({ error: "true or false" })
    .default(true)
    .describe("Asks for the usage event of a stream where the caller did not."),
  timeouts: providerTimeouts.prefault({}).describe("What differs from the time-outs for all providers."),
})

const modelName = text(/^[^\s*]{1,256}$/, "a model name without spaces or *")

const routeSchema = section({
  match: ruled(MODEL_PATTERN_RULES).describe(
    "The requested model: a name, or a pattern in which * is any run of characters.",
  ),
  provider: z.string({ error: "the name of a provider" }).describe("The provider's name."),
  model: modelName.optional().describe("The model's name at the provider, where it differs; not together with *."),
  account: label.optional().describe("The account that all its calls go to; unset is each virtual key's own."),
}).refine((route) => route.model === undefined || isExactModel(route.match), {
  path: ["model"],
  error: "no upstream name, because match has a * and would send many models to one",
})

const filePath = text(/^[^\0]{1,4096}$/, "the path of a file")

const host = text(/^[A-Za-z0-9.:_-]{1,253}$/, "a host name or an IP address")
  .default("127.0.0.1")
  .describe("Address to listen on; 0.0.0.0 for all of them.")
const port = wholeNumber(0, 65_535, "").describe("TCP port; 0 takes a free one.")
const tls = section({
  cert_file: filePath.describe("The certificate, then those that vouch for it, in PEM; read again when it changes."),
  key_file: filePath.describe("The certificate's private key, in PEM, without a passphrase."),
})
  .optional()
  .describe("Speaks HTTPS, TLS 1.2 or newer, in place of HTTP.")

const listen = section({ host, port: port.default(8787), tls })
const ownListener = section({ host, port, tls }).optional()

const listeners = section({
  admin: ownListener.describe("Where the admin API, the dashboard and /openapi.json are served, and nowhere else."),
  metrics: ownListener.describe("Where /metrics is served, without a key, and nowhere else."),
})

const timeouts = section({
  connect_ms: connectMs.default(5_000),
  first_byte_ms: firstByteMs.default(600_000),
  idle_ms: idleMs.default(120_000),
  drain_ms: drainMs.default(2_000),
  shutdown_grace_ms: milliseconds(0, DAY_MS)
    .default(30_000)
    .describe("How long calls in flight may finish after SIGTERM, in milliseconds."),
  request_body_ms: milliseconds(1, HOUR_MS)
    .default(60_000)
    .describe("Longest wait for a request to arrive in full, in milliseconds."),
})

const admission = section({
  lease_ms: milliseconds(1_000, HOUR_MS)
    .default(60_000)
    .describe("After how long the hold of a proxy that has died expires, in milliseconds."),
  expected_output_tokens: wholeNumber(0, 10_000_000, "tokens")
    .default(1_024)
    .describe("Output that rate limits assume before the answer is known, in tokens."),
  drains_max: wholeNumber(0, 1_000_000, "streams")
    .default(256)
    .describe("Streams without a caller that are read to their end at the same time."),
  store_timeout_ms: milliseconds(10, 60_000)
    .default(150)
    .describe("Longest wait for Redis before a call is decided without it, in milliseconds."),
  proxies_max: wholeNumber(1, 100_000, "proxies")
    .default(1)
    .describe("Proxies that share what is left of a limit while Redis is away, where fewer are seen."),
})

const providerObjects = section({
  shared_by: oneOf(["key", "project", "organization"])
    .default("key")
    .describe("Whose keys reach a file, batch or response: the key that made it, its project, or its organization."),
  adopt_unknown: z
    .boolean({ error: "true or false" })
    .default(false)
    .describe("Lets a key use an object that no key has made here, and gives it to that key."),
})

const attribution = section({
  new_values_max: wholeNumber(1, 1_000_000, "values")
    .default(200)
    .describe("New tools, operations and tags that a key may name in an hour; further ones are recorded as other."),
})

const journal = section({
  sync: oneOf(["process", "power"])
    .default("process")
    .describe("What a written row survives: process (a killed process) or power (a power cut)."),
  rows_max: wholeNumber(1, 1_000_000_000, "rows")
    .default(1_000_000)
    .describe("Rows that may wait for the ledger; beyond that calls are refused, never unrecorded."),
})

const prices = section({
  files: z
    .array(z.string({ error: "the path of a price file" }).min(1, { error: "the path of a price file" }), {
      error: "a list of price files",
    })
    .default([])
    .describe("Price files read after the shipped ones; paths start at this file's folder."),
})

const log = section({
  level: oneOf(["trace", "debug", "info", "warn", "error", "fatal", "silent"])
    .default("info")
    .describe("Least important level to log: trace, debug, info, warn, error, fatal or silent."),
})

const metrics = section({
  series_max: wholeNumber(1, 1_000_000, "series")
    .default(10_000)
    .describe("Most time series that are kept; further label values are counted as other."),
})

const sandboxSwitch = z
  .literal([true, false, "auto"], { error: "true, false or auto" })
  .default("auto")
  .describe("The built-in provider sandbox/*: true, false, or auto (on until a real provider is configured).")

export const configSchema = z.strictObject(
  {
    listen: listen.prefault({}).describe("Where the proxy listens."),
    listeners: listeners.prefault({}).describe("Listeners of their own for what operators use; none by default."),
    workers: wholeNumber(1, 64, "workers")
      .default(1)
      .describe("Processes that share the port; more than 1 needs redis_url and database_url."),
    data_dir: text(/^[^\0]{1,4096}$/, "the path of a folder")
      .default(".tallygate")
      .describe("Journal and embedded database; a relative path starts at this file's folder."),
    database_url: connectionUrl(["postgres://", "postgresql://"])
      .optional()
      .describe("Postgres 14 or newer; unset is the embedded one in data_dir."),
    redis_url: redisUrl()
      .optional()
      .describe(
        "Redis 7 or Valkey, single or a Cluster, to share limits between proxies; unset counts in the process.",
      ),
    admin_key: secret().optional().describe("First admin key, for automation; unset makes one and shows it once."),
    encryption_key: encryptionKey()
      .optional()
      .describe(
        "Encrypts provider credentials made by API; unset makes one in data_dir, beside the embedded database only.",
      ),
    encryption_key_file: text(/^[^\0]{1,4096}$/, "the path of a file")
      .optional()
      .describe(
        "A file with the encryption key, read where encryption_key is unset; a relative path starts at this file's folder.",
      ),
    encryption_key_previous: encryptionKey()
      .optional()
      .describe("The encryption key before the present one, which still decrypts while it is being replaced."),
    sessions: sessions.prefault({}).describe("Log-ins of persons with a browser."),
    oidc: oidc.describe("An identity provider for log-in by OpenID Connect; unset is none."),
    alerts: alerts.prefault({}).describe("How alerts reach people."),
    sandbox: sandboxSwitch,
    providers: z
      .record(ruled(PROVIDER_NAME_RULES), providerSchema, { error: "a mapping of provider names to providers" })
      .default({})
      .describe("Upstream providers by name; those with a key in the environment are on without an entry."),
    models: z
      .array(routeSchema, { error: "a list of routes" })
      .max(10_000, { error: "at most 10000 routes" })
      .default([])
      .describe("Which requested model goes to which provider; the first match wins."),
    timeouts: timeouts.prefault({}).describe("Time-outs for all providers, and those of the process."),
    admission: admission.prefault({}).describe("How calls are held against limits before they are forwarded."),
    body_bytes_max: wholeNumber(1_024, 1_073_741_824, "bytes")
      .default(104_857_600)
      .describe("Largest request body, in bytes."),
    unmetered: oneOf(["deny", "allow"])
      .default("deny")
      .describe("Calls to endpoints that nobody here can meter: deny, except for keys that allow them, or allow."),
    provider_objects: providerObjects
      .prefault({})
      .describe("Files, batches, responses and other objects at providers."),
    attribution: attribution.prefault({}).describe("What callers say about their calls in x-tallygate-* headers."),
    journal: journal.prefault({}).describe("The local file that keeps records until the ledger has them."),
    prices: prices.prefault({}).describe("The price book."),
    log: log.prefault({}).describe("The log, as JSON lines on standard output."),
    metrics: metrics.prefault({}).describe("The page /metrics."),
    usage_retention_days: wholeNumber(RETENTION_DAYS_MIN, RETENTION_DAYS_MAX, "days")
      .optional()
      .describe("Days for which records are kept of organizations that say nothing themselves; absent: for ever."),
    organizations: declaredOrganizations.describe(
      "Organizations, projects and limits that `tallygate config apply` makes and keeps as they stand here.",
    ),
    database_connections_max: wholeNumber(1, 1_000, "connections")
      .default(4)
      .describe(
        "Most connections of a process to Postgres at the same time, besides two for keys and one for records.",
      ),
    key_cache_max: wholeNumber(1, 10_000_000, "keys").default(10_000).describe("Virtual keys kept in memory."),
    key_cache_max_age_ms: milliseconds(1_000, 30 * DAY_MS)
      .default(HOUR_MS)
      .describe("How long a kept key is trusted while Postgres is away, in milliseconds; then its calls get 503."),
  },
  { error: "a mapping of keys to values" },
)

/** The file as it parses, defaults filled in. */
export type ConfigFile = z.output<typeof configSchema>

type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T
type UpstreamTimeouts = Pick<ConfigFile["timeouts"], "connect_ms" | "first_byte_ms" | "idle_ms" | "drain_ms">
export type ProviderEntry = z.output<typeof providerSchema>

/** A provider with nothing left to look up: its time-outs are those for all, overlaid by its own. */
export type ProviderConfig = Frozen<
  Omit<ProviderEntry, "timeouts" | "priced_as" | "account"> & {
    timeouts: UpstreamTimeouts
    priced_as: string
    account: string
  }
>
export type DeclaredOrganization = Frozen<z.output<typeof declaredOrganizations>[number]>
export type DeclaredLimit = DeclaredOrganization["limits"][number]
export type RouteConfig = Frozen<z.output<typeof routeSchema>>

/**
 * What the process runs with: the file, the environment's overrides and the built-in providers in one frozen value.
 * `sandbox` is decided, and `data_dir`, `prices.files` and the files of TLS are absolute paths.
 */
export type Config = Frozen<Omit<ConfigFile, "providers" | "models" | "sandbox">> & {
  readonly sandbox: boolean
  readonly providers: { readonly [name: string]: ProviderConfig }
  readonly models: readonly RouteConfig[]
}

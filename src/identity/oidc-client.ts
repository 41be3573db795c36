/**
 * Log-in at an identity provider: OpenID Connect's code flow with PKCE, state and nonce. What must come back unchanged is
 * derived from a secret that only the browser keeps, in a cookie, so that nothing is stored here and an answer fits no
 * other browser's log-in. The provider's metadata and keys are fetched when they are first needed; while it is away,
 * log-in by it is, too, and the next one asks again.
 */
import { createHmac, randomBytes } from "node:crypto"
import * as oidc from "openid-client"
import { asError } from "../platform/as-error.ts"

export type OidcOptions = {
  /** As the provider writes it, https unless it is on this machine. */
  readonly issuer: string
  readonly clientId: string
  /** Null for a public client. */
  readonly clientSecret: string | null
  readonly scopes: readonly string[]
}

/** What an identity provider says of a person. */
export type OidcClaims = { readonly issuer: string; readonly subject: string; readonly [claim: string]: unknown }

export type OidcStart = {
  /** To keep in the browser for the answer. */
  readonly secret: string
  /** Where the browser goes. */
  readonly url: string
}

/**
 * Why a log-in at the provider came to nothing. `detail` is for the log. The library's own error is left behind: it
 * carries what the provider sent, and so may carry tokens.
 */
export class OidcError extends Error {
  readonly kind: "unreachable" | "refused" | "invalid"
  readonly detail: string

  constructor(kind: OidcError["kind"], detail: string) {
    super(`log-in at the identity provider: ${kind}`)
    this.kind = kind
    this.detail = detail
  }
}

const SECONDS_MAX = 10
const MINUTES_MAX = 10
const SECRET = /^([\w-]{43})\.(\d{1,15})$/

export class OidcClient {
  readonly #options: OidcOptions
  #discovered: Promise<oidc.Configuration> | null = null

  constructor(options: OidcOptions) {
    this.#options = options
  }

  /** How long the browser may take to come back, in seconds. */
  static readonly secondsMax = MINUTES_MAX * 60

  /** @throws OidcError where the provider cannot be reached */
  async start(redirectUrl: string, nowMs: number): Promise<OidcStart> {
    const endsAtMs = Math.floor(nowMs) + OidcClient.secondsMax * 1_000
    const secret = `${randomBytes(32).toString("base64url")}.${endsAtMs}`
    const configuration = await this.#configuration()
    const url = oidc.buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUrl,
      scope: this.#options.scopes.join(" "),
      state: derived(secret, "state"),
      nonce: derived(secret, "nonce"),
      code_challenge: await oidc.calculatePKCECodeChallenge(derived(secret, "verifier")),
      code_challenge_method: "S256",
    })
    return { secret, url: url.href }
  }

  /**
   * Who came back. `answer` is the query that the browser brought, `secret` what it has kept; groups that do not stand in
   * the ID token are asked for. @throws OidcError
   */
  async finish(redirectUrl: string, answer: URLSearchParams, secret: string, nowMs: number): Promise<OidcClaims> {
    const [, , endsAtMs] = SECRET.exec(secret) ?? []
    if (endsAtMs === undefined) throw new OidcError("invalid", "the browser has kept no log-in")
    if (Number(endsAtMs) <= nowMs) throw new OidcError("invalid", `the log-in took more than ${MINUTES_MAX} minutes`)
    const configuration = await this.#configuration()
    const url = new URL(redirectUrl)
    url.search = answer.toString()
    try {
      const tokens = await oidc.authorizationCodeGrant(configuration, url, {
        expectedState: derived(secret, "state"),
        expectedNonce: derived(secret, "nonce"),
        pkceCodeVerifier: derived(secret, "verifier"),
        idTokenExpected: true,
      })
      const claims = tokens.claims()
      if (claims === undefined) throw new OidcError("invalid", "there was no ID token")
      const hasMore = configuration.serverMetadata().userinfo_endpoint !== undefined
      const more = hasMore ? await oidc.fetchUserInfo(configuration, tokens.access_token, claims.sub) : {}
      return { ...more, ...claims, issuer: claims.iss, subject: claims.sub }
    } catch (error) {
      throw asOidcError(error)
    }
  }

  #configuration(): Promise<oidc.Configuration> {
    this.#discovered ??= this.#discover().catch((error: unknown) => {
      this.#discovered = null
      throw asOidcError(error)
    })
    return this.#discovered
  }

  #discover(): Promise<oidc.Configuration> {
    const { issuer, clientId, clientSecret } = this.#options
    const url = new URL(issuer)
    const execute = [oidc.enableNonRepudiationChecks]
    if (url.protocol === "http:") execute.push(oidc.allowInsecureRequests)
    const authentication = clientSecret === null ? oidc.None() : withSecret(clientSecret)
    return oidc.discovery(url, clientId, undefined, authentication, { execute, timeout: SECONDS_MAX })
  }
}

/** By the way that the provider takes a secret; Basic where it does not say, as the specification has it. */
function withSecret(secret: string): oidc.ClientAuth {
  const [basic, post] = [oidc.ClientSecretBasic(secret), oidc.ClientSecretPost(secret)]
  return (server, client, body, headers) => {
    const ways = server.token_endpoint_auth_methods_supported ?? ["client_secret_basic"]
    const authenticate = ways.includes("client_secret_basic") ? basic : post
    authenticate(server, client, body, headers)
  }
}

/** 43 characters of which nothing can be known without the secret; a verifier of PKCE has as many. */
function derived(secret: string, what: "state" | "nonce" | "verifier"): string {
  return createHmac("sha256", secret).update(what).digest("base64url")
}

/** What the library says where the provider did not answer, or not as a server of its kind does. */
const UNREACHABLE = new Set([
  "OAUTH_TIMEOUT",
  "OAUTH_ABORT",
  "OAUTH_RESPONSE_IS_NOT_CONFORM",
  "OAUTH_RESPONSE_IS_NOT_JSON",
])

function asOidcError(error: unknown): OidcError {
  if (error instanceof OidcError) return error
  if (error instanceof oidc.AuthorizationResponseError || error instanceof oidc.ResponseBodyError) {
    return new OidcError("refused", `the provider answered ${error.error.slice(0, 100)}`)
  }
  const { message, cause } = asError(error)
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  const isUnreachable = UNREACHABLE.has(code) || message === "fetch failed"
  // What the library says of a check is fixed text; what it checked stands beside it and is not repeated.
  const detail = cause instanceof Error ? `${message}: ${cause.message}` : message
  return new OidcError(isUnreachable ? "unreachable" : "invalid", detail)
}

/**
 * An identity provider for tests: a certified implementation (`oidc-provider`) that logs in whoever the test says without
 * asking, and whose tokens a test can change before they leave, since a sound provider makes no wrong ones.
 */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Provider } from "oidc-provider"

export const CLIENT_ID = "tallygate"
export const CLIENT_SECRET = "canary-client-secret"

export type Person = {
  readonly sub: string
  readonly email?: string
  readonly email_verified?: boolean
  readonly name?: string
  readonly groups?: unknown
  readonly [claim: string]: unknown
}

export type FakeOidc = {
  readonly issuer: string
  /** Who the next log-in is. */
  person: Person
  /** Changes the claims of each ID token before it is signed; as they are by default. */
  changeIdToken: (claims: Record<string, unknown>) => Record<string, unknown>
  /** Signs ID tokens with a key that the provider does not publish. */
  isForging: boolean
  /** Refuses to go on at the log-in page, as where its user has said no. */
  isRefusing: boolean
  stop(): Promise<void>
}

/** `redirectUrls`: where it sends browsers back to; on this machine at whatever port. */
export async function startFakeOidc(redirectUrls: readonly string[]): Promise<FakeOidc> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const [published, forged] = [keyPair(), keyPair()]
  const fake: FakeOidc = {
    issuer,
    person: { sub: "nobody" },
    changeIdToken: (claims) => claims,
    isForging: false,
    isRefusing: false,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  const provider = providerOf(fake, redirectUrls, published)
  provider.use(async (context, next) => {
    await next()
    const body: unknown = context.body
    if (context.path !== "/token" || !hasIdToken(body)) return
    body.id_token = signed(fake.changeIdToken(claimsOf(body.id_token)), fake.isForging ? forged : published)
  })
  const answer = provider.callback()
  server.on("request", (request, response) => {
    if (!request.url?.startsWith("/interaction/")) return void answer(request, response)
    const result = fake.isRefusing
      ? { error: "access_denied", error_description: "The user said no." }
      : { login: { accountId: fake.person.sub }, consent: {} }
    provider.interactionFinished(request, response, result).catch((error: unknown) => {
      response.writeHead(500).end(String(error))
    })
  })
  return fake
}

function providerOf(fake: FakeOidc, redirectUrls: readonly string[], key: KeyObject): Provider {
  const provider = new Provider(fake.issuer, {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        // Of such a one an address on this machine may have whatever port.
        application_type: "native",
        redirect_uris: [...redirectUrls],
        grant_types: ["authorization_code"],
        response_types: ["code"],
      },
    ],
    jwks: { keys: [{ ...key.export({ format: "jwk" }), kty: "RSA", kid: "k", use: "sig", alg: "RS256" }] },
    ttl: { Interaction: 600, Grant: 600, Session: 600, AccessToken: 600, IdToken: 600, AuthorizationCode: 60 },
    renderError: (context, error) => {
      context.body = error
    },
    cookies: { keys: ["cookies of a test"] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    scopes: ["openid", "email", "profile"],
    claims: { openid: ["sub", "groups", "_claim_names"], email: ["email", "email_verified"], profile: ["name"] },
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_context, sub) => ({ accountId: sub, claims: async () => ({ ...fake.person, sub }) }),
    // Nobody is asked for consent.
    loadExistingGrant: async (context) => {
      const { client, session, provider: own } = context.oidc
      const grant = new own.Grant({ clientId: client?.clientId ?? "", accountId: session?.accountId ?? "" })
      grant.addOIDCScope("openid email profile")
      await grant.save()
      return grant
    },
  })
  return provider
}

function hasIdToken(body: unknown): body is { id_token: string } {
  return typeof body === "object" && body !== null && "id_token" in body && typeof body.id_token === "string"
}

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString())
}

function signed(claims: Record<string, unknown>, key: KeyObject): string {
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const text = `${encoded({ alg: "RS256", kid: "k", typ: "JWT" })}.${encoded(claims)}`
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`
}

function keyPair(): KeyObject {
  return generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey
}

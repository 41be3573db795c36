/** What log-in goes by, from the configuration. */
import type { LoginOptions } from "../admin/authenticate.ts"
import type { Config } from "../config/schema.ts"
import { OidcClient } from "../identity/oidc-client.ts"
import { Passwords } from "../identity/password.ts"

/** Passwords that are checked or wait for it: the last of them for about ten seconds. */
const PASSWORDS_WAITING_MAX = 32

/** `organizationId`: the one whose users log in at the identity provider where the configuration names none. */
export function loginOptions({ sessions, oidc, admin_key: adminKey }: Config, organizationId: string): LoginOptions {
  const { hours_max: hoursMax, behind_tls: isBehindTls } = sessions
  const passwords = new Passwords({ waitingMax: PASSWORDS_WAITING_MAX })
  return { environmentKey: adminKey ?? null, hoursMax, isBehindTls, passwords, oidc: oidcLogin(oidc, organizationId) }
}

function oidcLogin(oidc: Config["oidc"], organizationId: string): LoginOptions["oidc"] {
  if (oidc === undefined) return null
  const { issuer, client_id: clientId, scopes } = oidc
  return {
    name: oidc.name,
    client: new OidcClient({ issuer, clientId, clientSecret: oidc.client_secret ?? null, scopes }),
    rules: {
      groupsClaim: oidc.groups_claim,
      roles: oidc.roles.map(({ group, role, organization = null, project = null }) => {
        return { group, role, organization, project }
      }),
      organization: oidc.organization ?? organizationId,
      allowsSignup: oidc.allow_signup,
      trustsEmail: oidc.trust_email,
    },
    redirectUrl: oidc.redirect_url ?? null,
  }
}

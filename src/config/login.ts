/** The shape of what persons log in by: sessions, and the identity provider with the roles that its groups give. */
import { z } from "zod"
import { ROLES } from "../identity/role.ts"

const HOURS_MAX = 720
const LIST_MAX = 1_000

function text(max: number) {
  const error = `text of 1 to ${max} characters`
  return z.string({ error }).min(1, { error }).max(max, { error })
}

const hoursExpected = `a whole number of hours from 1 to ${HOURS_MAX}`
const yesOrNo = z.boolean({ error: "true or false" })

export const sessions = z.strictObject(
  {
    hours_max: z
      .int({ error: hoursExpected })
      .min(1, { error: hoursExpected })
      .max(HOURS_MAX, { error: hoursExpected })
      .default(12)
      .describe("How long a log-in lasts, in hours."),
    behind_tls: yesOrNo
      .default(false)
      .describe(
        "Whether a proxy in front speaks HTTPS to all browsers; log-in from other machines takes that, or tls.",
      ),
  },
  { error: "a mapping of keys to values" },
)

const ISSUER_EXPECTED = "an https URL without user, query or fragment (http only on this machine)"
const REDIRECT_EXPECTED = "an https URL that ends in /auth/oidc/callback (http only on this machine)"
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

function isPrivateUrl(value: string): boolean {
  if (!URL.canParse(value)) return false
  const { protocol, hostname, username, password, search, hash } = new URL(value)
  const isBare = username === "" && password === "" && search === "" && hash === ""
  return isBare && (protocol === "https:" || (protocol === "http:" && LOOPBACK.test(hostname)))
}

const SCOPES_EXPECTED = "a list of scopes with openid among them"
const SECRET_EXPECTED = "a secret without spaces or line breaks, in quotes if it is a number"

const groupRole = z.strictObject(
  {
    group: text(256).describe("The group, as the claim writes it."),
    role: z
      .enum(ROLES, { error: `one of ${ROLES.join(", ")}` })
      .describe("The role of its members: owner, admin, billing or viewer."),
    organization: text(200).optional().describe("The organization that it is over, by id or external id."),
    project: text(200).optional().describe("The project that it is over; without it and an organization, everything."),
  },
  { error: "a mapping of keys to values" },
)

export const oidc = z
  .strictObject(
    {
      name: text(100).default("single sign-on").describe("What the log-in page calls it."),
      issuer: z
        .string({ error: ISSUER_EXPECTED })
        .refine(isPrivateUrl, { error: ISSUER_EXPECTED })
        .describe("The provider's issuer, exactly as it writes it; everything else is found there."),
      client_id: text(500).describe("What the provider knows Tallygate as."),
      client_secret: z
        .string({ error: SECRET_EXPECTED })
        .regex(/^[\x21-\x7e]{1,4096}$/, { error: SECRET_EXPECTED })
        .optional()
        .describe("The secret that goes with client_id; unset for a public client."),
      redirect_url: z
        .string({ error: REDIRECT_EXPECTED })
        .refine((url) => isPrivateUrl(url) && url.endsWith("/auth/oidc/callback"), { error: REDIRECT_EXPECTED })
        .optional()
        .describe("Where the provider sends browsers back to; unset is /auth/oidc/callback where they came from."),
      scopes: z
        .array(text(200), { error: SCOPES_EXPECTED })
        .max(LIST_MAX, { error: SCOPES_EXPECTED })
        .refine((scopes) => scopes.includes("openid"), { error: SCOPES_EXPECTED })
        .default(["openid", "email", "profile"])
        .describe("What is asked for; some providers give groups for a scope of their own."),
      groups_claim: text(256).default("groups").describe("The claim that the groups stand in; dots lead into objects."),
      trust_email: yesOrNo
        .default(false)
        .describe("Takes addresses for verified where the provider does not say; never where users can choose theirs."),
      organization: text(200)
        .optional()
        .describe("The organization whose users log in, by id or external id; unset is the default one."),
      allow_signup: yesOrNo.default(true).describe("Makes a user of whoever has a role by a group."),
      roles: z
        .array(groupRole, { error: "a list of roles of groups" })
        .max(LIST_MAX, { error: `at most ${LIST_MAX} roles of groups` })
        .default([])
        .describe("Which roles groups give; they are set anew at each log-in."),
    },
    { error: "a mapping of keys to values" },
  )
  .optional()

/**
 * Whom a channel's mail goes to: addresses, everybody who has a role at the moment, and the user whom an alert is about.
 * Roles and users are looked up when a message is sent, so that whoever has left gets no more of them.
 */
import { readSubject } from "../identity/counted-apart.ts"
import { ROLES, type Role } from "../identity/role.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import type { ChannelRow } from "./channel-rows.ts"

/** The user whom the alert is about. */
export const USER_RECIPIENT = "user"

export const RECIPIENT_EXPECTED = `a mail address, ${ROLES.map((role) => `role:${role}`).join(", ")} or ${USER_RECIPIENT}`

/** Whether it stands for somebody and is no address. */
export function isLookedUp(recipient: string): boolean {
  return recipient === USER_RECIPIENT || roleOf(recipient) !== undefined
}

export type FoundRecipients = {
  /** Addresses that whoever made the channel has written down. */
  readonly named: readonly string[]
  /** Addresses that were looked up: of people who need not know of one another. */
  readonly lookedUp: readonly string[]
}

/** `userId`: whom the alert is about; '' for nobody. Each address once. */
export async function findRecipients(
  sql: Sql,
  { organization_id: organizationId, recipients }: Pick<ChannelRow, "organization_id" | "recipients">,
  userId: string,
): Promise<FoundRecipients> {
  const named = recipients.filter((recipient) => !isLookedUp(recipient))
  const roles = recipients.flatMap((recipient) => roleOf(recipient) ?? [])
  const asksUser = recipients.includes(USER_RECIPIENT)
  if (roles.length === 0 && !asksUser) return { named, lookedUp: [] }
  const rows = await sql<{ email: string }[]>`
    SELECT DISTINCT ON (lower(u.email)) u.email FROM users u
    WHERE u.email <> '' AND u.disabled_at IS NULL AND (
      ${asksUser && userId !== "" ? sql`u.id = ${userId}` : sql`false`} OR u.id IN (
        SELECT g.user_id FROM role_grants g
        WHERE g.role = ANY (${roles}::text[]) AND g.scope_id = ${organizationId}
          AND g.scope = ${organizationId === "" ? "installation" : "organization"}))
    ORDER BY lower(u.email)`
  const known = new Set(named.map((address) => address.toLowerCase()))
  return { named, lookedUp: rows.map(({ email }) => email).filter((email) => !known.has(email.toLowerCase())) }
}

/** Why a message has nobody to go to, for the log of deliveries. */
export function nobodyReason({ organization_id, recipients }: ChannelRow, userId: string): string {
  const roles = recipients.flatMap((recipient) => roleOf(recipient) ?? [])
  if (roles.length > 0) {
    const over = organization_id === "" ? "the installation" : "the organization"
    return `nobody with a mail address has the role ${roles.join(" or ")} over ${over}`
  }
  return userId === ""
    ? "the channel's only recipient is the user whom an alert is about, and this message is about none"
    : "the user whom the alert is about has no mail address, or is disabled"
}

/**
 * The user whom an alert is about, by its subject: a user, whom a limit counts apart, or whose key it is. '' where it is
 * about nobody.
 */
export async function userConcerned(sql: Sql | Transaction, subject: string): Promise<string> {
  const { own, counted } = readSubject(subject)
  const id = counted || own
  const [row] = await sql<{ user_id: string }[]>`
    SELECT id AS user_id FROM users WHERE id = ${id}
    UNION ALL SELECT user_id FROM virtual_keys WHERE id = ${id} AND user_id IS NOT NULL`
  return row?.user_id ?? ""
}

function roleOf(recipient: string): Role | undefined {
  return ROLES.find((role) => recipient === `role:${role}`)
}

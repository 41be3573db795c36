/** Alert channels as Postgres has them, how their secrets are opened, and which of them an alert goes to. */
import type { StoredSecret } from "../identity/provider-account-registry.ts"
import type { Sql, SqlFragment, Transaction } from "../platform/postgres.ts"
import type { Sealed, SecretBox } from "../platform/secret-box.ts"
import { USER_RECIPIENT } from "./recipients.ts"

export const CHANNEL_KINDS = ["email", "slack", "discord", "teams", "webhook"] as const
export type ChannelKind = (typeof CHANNEL_KINDS)[number]

export type ChannelRow = {
  readonly id: string
  /** '' for the installation's. */
  readonly organization_id: string
  readonly kind: ChannelKind
  readonly name: string
  readonly recipients: readonly string[]
  readonly host: string
  readonly secret_ciphertext: Buffer | null
  readonly secret_nonce: Buffer | null
  readonly secret_key_id: string | null
  readonly disabled_at: Date | null
  readonly created_at: Date
}

/** What is encrypted of a channel; '' what its kind has not. */
export type ChannelSecret = {
  readonly url: string
  /** Of a webhook, with `whsec_` before its base64. */
  readonly signingSecret: string
}

export function channelColumns(sql: Sql | Transaction): SqlFragment {
  return sql`
    id, coalesce(organization_id, '') AS organization_id, kind, name, recipients, host, secret_ciphertext, secret_nonce,
    secret_key_id, disabled_at, created_at`
}

export async function readChannel(sql: Sql | Transaction, id: string): Promise<ChannelRow | null> {
  const [row] = await sql<ChannelRow[]>`SELECT ${channelColumns(sql)} FROM alert_channels WHERE id = ${id}`
  return row ?? null
}

/** Those of these ids that there are, in order of ids. */
export async function readChannels(sql: Sql, ids: readonly string[]): Promise<ChannelRow[]> {
  return sql<ChannelRow[]>`
    SELECT ${channelColumns(sql)} FROM alert_channels WHERE id = ANY (${[...ids]}::text[]) ORDER BY id`
}

/** What a channel's secret is sealed for. */
export function channelOwner(id: string): string {
  return `alert channel\n${id}`
}

function sealedSecret(row: ChannelRow): Sealed | null {
  const { secret_key_id: keyId, secret_nonce: nonce, secret_ciphertext: ciphertext } = row
  return keyId === null || nonce === null || ciphertext === null ? null : { keyId, nonce, ciphertext }
}

/** Null where this process cannot open it. */
export function openSecret(row: ChannelRow, box: SecretBox): ChannelSecret | null {
  const sealed = sealedSecret(row)
  if (sealed === null) return { url: "", signingSecret: "" }
  const opened = box.open(sealed, channelOwner(row.id))
  // What was sealed here was this JSON when it was sealed, and nobody else can have written it.
  return opened.kind === "opened" ? (JSON.parse(opened.text) as ChannelSecret) : null
}

/** The secrets of all channels, for the change of the key that they are under. */
export async function channelSecrets(transaction: Transaction): Promise<StoredSecret[]> {
  const rows = await transaction<ChannelRow[]>`SELECT ${channelColumns(transaction)} FROM alert_channels ORDER BY id`
  return rows.flatMap((row) => {
    const sealed = sealedSecret(row)
    if (sealed === null) return []
    const write: StoredSecret["write"] = (within, { ciphertext, nonce, keyId }) => within`
      UPDATE alert_channels SET secret_ciphertext = ${ciphertext}, secret_nonce = ${nonce}, secret_key_id = ${keyId}
      WHERE id = ${row.id}`
    return [{ name: `alert channel ${row.id}`, owner: channelOwner(row.id), sealed, write }]
  })
}

/**
 * Ids of the enabled channels that a message about this organization ('': the installation) goes to: those named, else
 * those of the organization, else the installation's. `isAboutUser`: whether it is about a user, whom some channels tell
 * alone.
 */
export async function channelsFor(
  sql: Sql | Transaction,
  channelIds: readonly string[] | null,
  organizationId: string,
  isAboutUser: boolean,
): Promise<string[]> {
  const rows = await sql<{ id: string; organization_id: string }[]>`
    SELECT id, coalesce(organization_id, '') AS organization_id FROM alert_channels
    WHERE disabled_at IS NULL AND ${isAboutUser ? sql`true` : sql`recipients <> ${[USER_RECIPIENT]}::text[]`} AND ${
      channelIds === null
        ? sql`coalesce(organization_id, '') IN ('', ${organizationId})`
        : sql`id = ANY (${[...channelIds]}::text[])`
    }
    ORDER BY id`
  if (channelIds !== null) return rows.map(({ id }) => id)
  const own = rows.filter(({ organization_id }) => organization_id === organizationId)
  return (own.length > 0 ? own : rows).map(({ id }) => id)
}

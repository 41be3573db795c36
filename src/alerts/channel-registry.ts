/**
 * The write path of alert channels. Each act is one transaction that also writes its audit row. Addresses and signing
 * secrets are sealed before they are written and stand in no audit row.
 */
import { randomBytes } from "node:crypto"
import { type Actor, writeAudit } from "../identity/audit.ts"
import { disabledAt } from "../identity/disabled-at.ts"
import type { Visibility } from "../identity/role.ts"
import { visibleRows } from "../identity/visible-rows.ts"
import { namedId } from "../platform/ids.ts"
import type { Sql, Transaction } from "../platform/postgres.ts"
import type { Sealed, SecretBox } from "../platform/secret-box.ts"
import {
  type ChannelKind,
  type ChannelRow,
  type ChannelSecret,
  channelColumns,
  channelOwner,
  openSecret,
  readChannel,
} from "./channel-rows.ts"

const SIGNING_SECRET_BYTES = 32

export type NewChannel = {
  /** '' for the installation's. */
  readonly organizationId: string
  readonly kind: ChannelKind
  readonly name: string
  /** Of mail; [] otherwise. */
  readonly recipients: readonly string[]
  /** '' of mail. */
  readonly url: string
  /** Of a webhook; null has one made. */
  readonly signingSecret: string | null
}

/** Absent: unchanged. */
export type ChannelChanges = {
  readonly name?: string | undefined
  readonly recipients?: readonly string[] | undefined
  readonly url?: string | undefined
  readonly signingSecret?: string | undefined
  readonly isDisabled?: boolean | undefined
}

export type ChangedChannel =
  /** `madeSecret`: a signing secret that was made here, to be shown this once. */
  | { readonly kind: "done"; readonly row: ChannelRow; readonly madeSecret: string | null }
  | { readonly kind: "missing" }
  /** There is no encryption key to seal with, or none that opens what is there. */
  | { readonly kind: "no key" }

const NOTHING: { readonly [Part in keyof Sealed]: null } = { keyId: null, nonce: null, ciphertext: null }

export async function createChannel(
  sql: Sql,
  box: SecretBox,
  actor: Actor,
  wanted: NewChannel,
): Promise<ChangedChannel> {
  const { organizationId, kind, name, recipients, url } = wanted
  const id = namedId("chan")
  const madeSecret = kind === "webhook" && wanted.signingSecret === null ? newSigningSecret() : null
  const sealed = seal(box, id, { url, signingSecret: wanted.signingSecret ?? madeSecret ?? "" })
  if (sealed === "no key") return { kind: "no key" }
  return sql.begin(async (transaction): Promise<ChangedChannel> => {
    const [row] = await transaction<ChannelRow[]>`
      INSERT INTO alert_channels (id, organization_id, kind, name, recipients, host, secret_ciphertext, secret_nonce,
                                  secret_key_id)
      VALUES (${id}, ${organizationId || null}, ${kind}, ${name}, ${[...recipients]}::text[], ${hostOf(url)},
              ${sealed.ciphertext}, ${sealed.nonce}, ${sealed.keyId})
      RETURNING ${channelColumns(transaction)}`
    if (row === undefined) throw new Error("An inserted alert channel returned no row.")
    await audit(transaction, actor, "alert_channel.create", null, row)
    return { kind: "done", row, madeSecret }
  })
}

export function changeChannel(
  sql: Sql,
  box: SecretBox,
  actor: Actor,
  id: string,
  changes: ChannelChanges,
): Promise<ChangedChannel> {
  return sql.begin(async (transaction): Promise<ChangedChannel> => {
    const [before] = await transaction<ChannelRow[]>`
      SELECT ${channelColumns(transaction)} FROM alert_channels WHERE id = ${id} FOR UPDATE`
    if (before === undefined) return { kind: "missing" }
    const resealed = reseal(box, before, changes)
    if (resealed === "no key") return { kind: "no key" }
    const secret =
      resealed === null
        ? transaction``
        : transaction`, secret_ciphertext = ${resealed.ciphertext}, secret_nonce = ${resealed.nonce},
                        secret_key_id = ${resealed.keyId}`
    const [row] = await transaction<ChannelRow[]>`
      UPDATE alert_channels SET
        name = ${changes.name ?? before.name},
        recipients = ${[...(changes.recipients ?? before.recipients)]}::text[],
        host = ${changes.url === undefined ? before.host : hostOf(changes.url)},
        disabled_at = ${disabledAt(transaction, changes.isDisabled)}${secret}
      WHERE id = ${id} RETURNING ${channelColumns(transaction)}`
    if (row === undefined) throw new Error(`The alert channel ${id} went while it was locked.`)
    await audit(transaction, actor, "alert_channel.change", before, row)
    return { kind: "done", row, madeSecret: null }
  })
}

/** The channel as it stood, deleted with its secrets; what was still to go to it fails. Null where there is none. */
export function deleteChannel(sql: Sql, actor: Actor, id: string): Promise<ChannelRow | null> {
  return sql.begin(async (transaction) => {
    const before = await readChannel(transaction, id)
    if (before === null) return null
    await transaction`DELETE FROM alert_channels WHERE id = ${id}`
    await audit(transaction, actor, "alert_channel.delete", before, null)
    return before
  })
}

/** A page in order of ids, at most `max`, after the id `after` ('' for the first page). */
export async function listChannels(
  sql: Sql,
  { visibility, after, max }: { visibility: Visibility; after: string; max: number },
): Promise<readonly ChannelRow[]> {
  return sql<ChannelRow[]>`
    SELECT ${channelColumns(sql)} FROM alert_channels
    WHERE id > ${after} AND ${visibleRows(sql, visibility, sql`organization_id`, null)}
    ORDER BY id LIMIT ${max}`
}

function newSigningSecret(): string {
  return `whsec_${randomBytes(SIGNING_SECRET_BYTES).toString("base64")}`
}

function hostOf(url: string): string {
  return url === "" ? "" : new URL(url).host
}

function seal(box: SecretBox, id: string, secret: ChannelSecret): Sealed | typeof NOTHING | "no key" {
  if (secret.url === "") return NOTHING
  if (box.current === null) return "no key"
  return box.seal(JSON.stringify(secret), channelOwner(id))
}

/** Null where no secret changes. */
function reseal(box: SecretBox, row: ChannelRow, { url, signingSecret }: ChannelChanges) {
  if (url === undefined && signingSecret === undefined) return null
  const opened = openSecret(row, box)
  if (opened === null) return "no key"
  return seal(box, row.id, { url: url ?? opened.url, signingSecret: signingSecret ?? opened.signingSecret })
}

async function audit(
  transaction: Transaction,
  actor: Actor,
  action: string,
  before: ChannelRow | null,
  after: ChannelRow | null,
): Promise<void> {
  const row = after ?? before
  if (row === null) throw new Error(`${action} is about no alert channel.`)
  await writeAudit(transaction, actor, {
    organizationId: row.organization_id,
    action,
    subject: row.id,
    before: before === null ? null : withoutSecrets(before),
    after: after === null ? null : withoutSecrets(after),
  })
}

/** The row as it may be written down. */
function withoutSecrets({ secret_ciphertext, secret_nonce, secret_key_id, ...row }: ChannelRow) {
  return row
}

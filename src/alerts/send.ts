/** Sends one message to one channel, whatever its kind, and shows what would be sent. */
import type { SecretBox } from "../platform/secret-box.ts"
import { type ChannelKind, type ChannelRow, openSecret } from "./channel-rows.ts"
import { discordBody, slackBody, teamsBody, webhookBody } from "./chat-bodies.ts"
import type { Message, SendOutcome } from "./deliveries.ts"
import { digestMail } from "./digest-mail.ts"
import { guardedPost } from "./guarded-post.ts"
import { NO_MAIL, sendMail } from "./mail.ts"
import { type MailText, mailText } from "./mail-text.ts"
import type { FoundRecipients } from "./recipients.ts"
import { webhookHeaders } from "./webhook-signature.ts"

/** Well below a claim's minute, so that an attempt has ended before another process may make one. */
const TIMEOUT_MS = 10_000

export type SendOptions = {
  readonly box: SecretBox
  /** Null: no mail can be sent. */
  readonly mail: { readonly smtpUrl: string; readonly from: string } | null
  readonly allowPrivate: boolean
  /** Of an attempt; ten seconds unless told. */
  readonly timeoutMs?: number
}

/** The message as the channel's kind writes it. */
export type WrittenMessage = ({ readonly kind: "mail" } & MailText) | { readonly kind: "json"; readonly body: string }

const BODIES: Readonly<Record<Exclude<ChannelKind, "email">, (message: Message) => string>> = {
  slack: slackBody,
  discord: discordBody,
  teams: teamsBody,
  webhook: webhookBody,
}

export function writeMessage(kind: ChannelKind, message: Message): WrittenMessage {
  if (kind === "email") return { kind: "mail", ...mailOf(message) }
  return { kind: "json", body: BODIES[kind](message) }
}

export function mailOf(message: Message): MailText {
  return message.kind === "digest" ? digestMail(message) : mailText(message)
}

export type Mail = {
  /** The delivery's, the same at each attempt. */
  readonly id: string
  readonly message: Message
  /** The table of a digest, to be attached; null where there is none. */
  readonly csv: string | null
  readonly recipients: FoundRecipients
  /** Addresses that have it already. */
  readonly arrived: readonly string[]
}

/** Sends to those recipients that have not got it yet. */
export async function mail(
  options: SendOptions,
  { id, message, csv, recipients, arrived }: Mail,
): Promise<SendOutcome> {
  const { mail: server, timeoutMs = TIMEOUT_MS } = options
  if (server === null) return { kind: "refused", reason: NO_MAIL }
  const isLeft = (address: string) => !arrived.includes(address)
  const left = { named: recipients.named.filter(isLeft), lookedUp: recipients.lookedUp.filter(isLeft) }
  if (left.named.length + left.lookedUp.length === 0) return { kind: "delivered" }
  const attachment =
    message.kind === "digest" && csv !== null ? { filename: `tallygate-${message.stretch.id}.csv`, csv } : null
  return sendMail({ ...server, timeoutMs }, { id, to: left, ...mailOf(message), attachment })
}

/** `id` is the delivery's, the same at each attempt. */
export async function post(
  { box, allowPrivate, timeoutMs = TIMEOUT_MS }: SendOptions,
  channel: ChannelRow & { readonly kind: Exclude<ChannelKind, "email"> },
  id: string,
  message: Message,
  nowMs: number,
): Promise<SendOutcome> {
  const body = BODIES[channel.kind](message)
  const secret = openSecret(channel, box)
  if (secret === null) {
    return { kind: "refused", reason: "the channel's address does not open under this process's encryption key" }
  }
  const isSigned = channel.kind === "webhook"
  const headers = isSigned ? webhookHeaders(secret.signingSecret, id, nowMs, body) : {}
  return guardedPost(secret.url, headers, body, { allowPrivate, timeoutMs })
}

/** Sends one message to one channel, whatever its kind, and shows what would be sent. */
import type { SecretBox } from "../platform/secret-box.ts"
import type { AlertMessage } from "./alert-message.ts"
import { type ChannelKind, type ChannelRow, openSecret } from "./channel-rows.ts"
import { discordBody, slackBody, teamsBody, webhookBody } from "./chat-bodies.ts"
import type { SendOutcome } from "./deliveries.ts"
import { guardedPost } from "./guarded-post.ts"
import { NO_MAIL, sendMail } from "./mail.ts"
import { mailText } from "./mail-text.ts"
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
export type WrittenMessage =
  | { readonly kind: "mail"; readonly subject: string; readonly text: string; readonly html: string }
  | { readonly kind: "json"; readonly body: string }

const BODIES: Readonly<Record<Exclude<ChannelKind, "email">, (message: AlertMessage) => string>> = {
  slack: slackBody,
  discord: discordBody,
  teams: teamsBody,
  webhook: webhookBody,
}

export function writeMessage(kind: ChannelKind, message: AlertMessage): WrittenMessage {
  if (kind === "email") return { kind: "mail", ...mailText(message) }
  return { kind: "json", body: BODIES[kind](message) }
}

/** `id` is the delivery's, the same at each attempt. */
export async function send(
  { box, mail, allowPrivate, timeoutMs = TIMEOUT_MS }: SendOptions,
  channel: ChannelRow,
  id: string,
  message: AlertMessage,
  nowMs: number,
): Promise<SendOutcome> {
  const written = writeMessage(channel.kind, message)
  if (written.kind === "mail") {
    const { subject, text, html } = written
    return mail === null
      ? { kind: "refused", reason: NO_MAIL }
      : sendMail({ ...mail, timeoutMs }, id, channel.recipients, { subject, text, html })
  }
  const secret = openSecret(channel, box)
  if (secret === null) {
    return { kind: "refused", reason: "the channel's address does not open under this process's encryption key" }
  }
  const isSigned = channel.kind === "webhook"
  const headers = isSigned ? webhookHeaders(secret.signingSecret, id, nowMs, written.body) : {}
  return guardedPost(secret.url, headers, written.body, { allowPrivate, timeoutMs })
}

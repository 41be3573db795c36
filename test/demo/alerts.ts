/** Whom the story's alerts go to: a mail server, a chat and a pager of this machine, and the rules and digests that tell them. */
import { randomBytes } from "node:crypto"
import { type SmtpSink, startSmtpSink } from "../support/smtp-sink.ts"
import { startWebhookReceiver, type WebhookReceiver } from "../support/webhook-receiver.ts"
import type { AskAdmin, MadeKey } from "./people.ts"
import { ORGANIZATION } from "./story.ts"

const MAIL_USER = { user: "alerts", password: "mail-password-of-this-machine-alone" }

export type AlertPlaces = {
  readonly mail: SmtpSink
  /** Takes what is posted, and answers 503 to the pager. */
  readonly hooks: WebhookReceiver
  /** What the configuration says of them. */
  readonly yaml: string
  readonly close: () => Promise<void>
}

export async function openAlertPlaces(): Promise<AlertPlaces> {
  const [mail, hooks] = await Promise.all([startSmtpSink(MAIL_USER), startWebhookReceiver()])
  hooks.answer = (response, { path }) => response.writeHead(path.startsWith("/pager") ? 503 : 204).end()
  const { user, password } = MAIL_USER
  const yaml = [
    `encryption_key: "${randomBytes(32).toString("hex")}"`,
    "alerts:",
    `  smtp_url: smtp://${user}:${password}@127.0.0.1:${mail.port}`,
    "  from: Tallygate <alerts@northwind.example>",
    "  base_url: https://tallygate.northwind.example",
    "  allow_private_targets: true",
    "",
  ].join("\n")
  const close = async () => {
    await Promise.all([mail.close(), hooks.close()])
  }
  return { mail, hooks, yaml, close }
}

/** Makes channels, rules and digests through the admin API. @throws where it refuses */
export async function makeAlerts(ask: AskAdmin, { hooks }: AlertPlaces, keys: readonly MadeKey[]): Promise<void> {
  const scope = { organization_id: keys[0]?.organizationId ?? "" }
  const made = async (route: string, body: unknown): Promise<string> => {
    const answer = await ask("POST", `/admin/v1/${route}`, body)
    if (answer.status >= 300) throw new Error(`${route} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
    return (answer.body as { id: string }).id
  }
  const finance = await made("alert-channels", {
    ...{ scope, kind: "email", name: "finance" },
    recipients: ["finance@northwind.example", "role:billing"],
  })
  const chat = await made("alert-channels", {
    ...{ scope, kind: "slack", name: "ops-chat", url: `${hooks.url}/services/T0/B0/chat` },
  })
  const pager = await made("alert-channels", { scope, kind: "webhook", name: "pager", url: `${hooks.url}/pager` })
  await made("alert-rules", {
    ...{ scope, kind: "error_rate", name: "Calls that fail", channel_ids: [chat, pager] },
    parameters: { percent: 5, minutes: 60, calls_min: 20 },
  })
  await made("alert-rules", { scope, kind: "anomaly", name: "Unusual spending", channel_ids: [chat, finance] })
  await made("alert-rules", { scope, kind: "unpriced", name: "Models without a price", channel_ids: [chat] })
  await made("alert-rules", {
    ...{ scope: {}, kind: "store_degraded", name: "Stores", parameters: { minutes: 2 }, channel_ids: [chat, pager] },
  })
  await made("digests", {
    ...{ scope, name: "Weekly for finance", period: "weekly", time_zone: ORGANIZATION.time_zone },
    channel_ids: [finance],
  })
  await made("digests", {
    ...{ scope, name: "Month's end", period: "monthly", time_zone: ORGANIZATION.time_zone, channel_ids: null },
  })
}

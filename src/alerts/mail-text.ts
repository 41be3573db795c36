/** An alert as a mail: its subject, as plain text and as HTML. Pure. Names come from users and are escaped. */
import { type AlertMessage, messageBody } from "./alert-message.ts"
import { advice, button, heading, mailPage, meter, partHeading, pill, rows, type Tone, toneOf } from "./mail-layout.ts"

const SUBJECT_MAX = 200

export type MailText = { readonly subject: string; readonly text: string; readonly html: string }

export function mailText(message: AlertMessage): MailText {
  const { title, organization } = message
  return {
    subject: subjectOf(organization.name, title),
    text: `${title}\n\n${messageBody(message)}\n`,
    html: html(message),
  }
}

/** One line, with whom it is about before it: a line break would begin another header. */
export function subjectOf(organization: string, title: string): string {
  const subject = organization === "" ? title : `[${organization}] ${title}`
  return subject.replace(/\s+/g, " ").slice(0, SUBJECT_MAX)
}

const KIND_NAMES: Readonly<Record<AlertMessage["kind"], string>> = {
  threshold: "Budget",
  anomaly: "Unusual spending",
  error_rate: "Failing calls",
  provider_down: "Provider down",
  unpriced: "No price",
  key_expiry: "Key expires",
  store_degraded: "Store down",
  journal_backlog: "Backlog",
}

const INSTANT = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z/g
const READABLE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" })

/** Instants as people read them, on one line: `30 Nov 2026, 23:00 UTC`. */
function readable(text: string): string {
  return text.replace(INSTANT, (instant) => `${READABLE.format(Date.parse(instant))} UTC`.replaceAll(" ", "\u00a0"))
}

function html(message: AlertMessage): string {
  const { kind, organization, contributors, folded, link, raisedAt, data } = message
  const title = readable(message.title)
  const facts = message.facts.map(({ name, value }) => ({ name, value: readable(value) }))
  const percent = typeof data.percent === "number" ? data.percent : null
  const tone: Tone = percent === null ? "warn" : toneOf(percent)
  const list = (name: string, lines: readonly { name: string; value: string }[]) =>
    lines.length === 0 ? [] : [partHeading(name), rows(lines)]
  return mailPage({
    title,
    preview: readable(message.advice),
    about: organization.name,
    body: [
      pill(percent === null ? KIND_NAMES[kind] : `${KIND_NAMES[kind]} · ${percent} % used`, tone),
      heading(title),
      ...(percent === null ? [] : [`<div style="padding:16px 0 4px">${meter(percent, tone, 8)}</div>`]),
      `<div style="padding:12px 0 0">${rows(facts)}</div>`,
      ...list("Top contributors", contributors),
      ...list(
        "Since the last message",
        folded.map((line) => ({ name: readable(line), value: "" })),
      ),
      advice(readable(message.advice)),
      ...(link === null ? [] : [button("Look at the usage", link)]),
    ],
    foot: `Raised at ${readable(raisedAt)}.`,
  })
}

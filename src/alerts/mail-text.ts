/** An alert as a mail: its subject, as plain text and as HTML. Pure. Names come from users and are escaped. */
import { type AlertMessage, messageBody, type Named } from "./alert-message.ts"

const SUBJECT_MAX = 200

export type MailText = { readonly subject: string; readonly text: string; readonly html: string }

export function mailText(message: AlertMessage): MailText {
  const { organization, title } = message
  const subject = organization.name === "" ? title : `[${organization.name}] ${title}`
  // A line break would begin another header.
  const oneLine = subject.replace(/\s+/g, " ").slice(0, SUBJECT_MAX)
  return { subject: oneLine, text: `${title}\n\n${messageBody(message)}\n`, html: html(message) }
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign)
}

const CELL = "padding:4px 16px 4px 0;text-align:left;vertical-align:top"

function table(rows: readonly Named[]): string {
  const cells = rows.map(
    ({ name, value }) =>
      `<tr><th style="${CELL};font-weight:normal;color:#555">${escaped(name)}</th><td style="${CELL}">${escaped(value)}</td></tr>`,
  )
  return `<table style="border-collapse:collapse">${cells.join("")}</table>`
}

/** Styles stand in the elements, since mail programs drop the others. */
function html({ title, facts, contributors, folded, advice, link }: AlertMessage): string {
  const heading = (text: string) => `<p style="margin:16px 0 4px;font-weight:bold">${text}</p>`
  const items = folded.map((line) => `<li>${escaped(line)}</li>`).join("")
  return [
    `<!doctype html><html><body style="font-family:sans-serif;font-size:14px;color:#111">`,
    `<h1 style="font-size:18px">${escaped(title)}</h1>`,
    table(facts),
    ...(contributors.length === 0 ? [] : [heading("Top contributors"), table(contributors)]),
    ...(folded.length === 0 ? [] : [heading("Since the last message"), `<ul>${items}</ul>`]),
    `<p>${escaped(advice)}</p>`,
    ...(link === null ? [] : [`<p><a href="${escaped(link)}">Look at the usage</a></p>`]),
    "</body></html>",
  ].join("\n")
}

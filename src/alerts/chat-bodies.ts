/**
 * An alert or a digest as chats take it: Slack's blocks, Discord's embed, an adaptive card for Teams, and the plain event of a
 * webhook. Pure. Names come from users, so nothing in them is taken for markup or calls anybody, and each text is cut to
 * what the chat accepts, since a message that is refused tells nobody.
 */
import { type AlertMessage, messageBody } from "./alert-message.ts"
import type { Message } from "./deliveries.ts"
import { digestParts } from "./digest-mail.ts"
import type { DigestMessage } from "./digest-message.ts"

const SLACK_HEADER_MAX = 150
const SLACK_TEXT_MAX = 3_000
const DIGEST_HEADINGS: ReadonlySet<string> = new Set(["", "Budgets", "Projects"])
const DIGEST_LINES_MAX = 3
const DISCORD_TITLE_MAX = 256
const DISCORD_TEXT_MAX = 4_096
const TEAMS_TEXT_MAX = 8_000
const RED = 0xc62828
const GREY = 0x3d4652

/** What chats show of a message: parts with their headings, '' for none. */
type Shown = {
  readonly parts: readonly { readonly heading: string; readonly lines: readonly string[] }[]
  readonly text: string
  readonly open: string
}

function shownOf(message: Message): Shown {
  return message.kind === "digest" ? digestShown(message) : alertShown(message)
}

function alertShown(message: AlertMessage): Shown {
  const { facts, contributors, folded, advice } = message
  const parts = [
    { heading: "", lines: facts.map(({ name, value }) => `${name}: ${value}`) },
    { heading: "Top contributors", lines: contributors.map(({ name, value }) => `${name}: ${value}`) },
    { heading: "Since the last message", lines: folded },
    { heading: "", lines: [advice] },
  ]
  return { parts, text: messageBody({ ...message, link: null }), open: "Look at the usage" }
}

/** The short form: the sums, the budgets and the largest; the rest is a click away. */
function digestShown(message: DigestMessage): Shown {
  const parts = digestParts(message)
    .filter(({ heading }) => DIGEST_HEADINGS.has(heading))
    .map(({ heading, lines }) => ({ heading, lines: heading === "" ? lines : lines.slice(0, DIGEST_LINES_MAX) }))
  const text = parts.map(({ heading, lines }) =>
    (heading === "" ? lines : [`${heading}:`, ...lines.map((line) => `  - ${line}`)]).join("\n"),
  )
  return { parts, text: text.join("\n\n"), open: "Open the report" }
}

/** The first `max` characters, with … for what is left out. */
function cut(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`
}

export function slackBody(message: Message): string {
  const { title, link } = message
  const { text, open } = shownOf(message)
  const plain = (shown: string, max: number) => ({ type: "plain_text", text: cut(shown, max), emoji: false })
  const look = { type: "button", text: plain(open, SLACK_HEADER_MAX), url: link ?? "" }
  return JSON.stringify({
    // What notifications show: `&`, `<` and `>` are all that Slack reads in it once markup is off.
    text: cut(title.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"), SLACK_TEXT_MAX),
    mrkdwn: false,
    blocks: [
      { type: "header", text: plain(title, SLACK_HEADER_MAX) },
      { type: "section", text: plain(text, SLACK_TEXT_MAX) },
      ...(link === null ? [] : [{ type: "actions", elements: [look] }]),
    ],
  })
}

/** Discord reads markdown in an embed; a backslash takes its meaning from each sign. */
function discordText(text: string): string {
  return text.replace(/[\\*_~`|>#[\]()<:@-]/g, "\\$&")
}

export function discordBody(message: Message): string {
  const { title, link, raisedAt } = message
  return JSON.stringify({
    allowed_mentions: { parse: [] },
    embeds: [
      {
        title: cut(discordText(title), DISCORD_TITLE_MAX),
        description: cut(discordText(shownOf(message).text), DISCORD_TEXT_MAX),
        color: message.kind === "digest" ? GREY : RED,
        timestamp: raisedAt,
        ...(link === null ? {} : { url: link }),
      },
    ],
  })
}

/** A text block of a card reads some markdown; text runs read none. */
function teamsText(text: string, more: object = {}) {
  return { type: "RichTextBlock", inlines: [{ type: "TextRun", text: cut(text, TEAMS_TEXT_MAX), ...more }] }
}

/** A card as the workflows of Teams take it. */
export function teamsBody(message: Message): string {
  const { title, link } = message
  const { parts, open } = shownOf(message)
  const blocks = parts.flatMap(({ heading, lines }) => {
    if (lines.length === 0) return []
    const head = heading === "" ? [] : [teamsText(heading, { weight: "Bolder" })]
    return [...head, ...lines.map((line) => teamsText(line))]
  })
  const card = {
    $schema: "http://adaptivecards.io/schemas/adaptive-card.json",
    type: "AdaptiveCard",
    version: "1.4",
    body: [teamsText(title, { weight: "Bolder", size: "Large" }), ...blocks],
    actions: link === null ? [] : [{ type: "Action.OpenUrl", title: open, url: link }],
  }
  const attachment = { contentType: "application/vnd.microsoft.card.adaptive", contentUrl: null, content: card }
  return JSON.stringify({ type: "message", attachments: [attachment] })
}

/** The event of a webhook: its type, when it was raised, and all that the message says. */
export function webhookBody(message: Message): string {
  if (message.kind === "digest") {
    const { kind, occasion, raisedAt, ...data } = message
    return JSON.stringify({ type: `digest.${message.digest.period}`, timestamp: raisedAt, data })
  }
  const { kind, raisedAt, organization, title, facts, contributors, folded, advice, link, data } = message
  return JSON.stringify({
    type: `alert.${kind}`,
    timestamp: raisedAt,
    data: { organization, title, facts, contributors, folded, advice, link, ...data },
  })
}

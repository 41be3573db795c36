/**
 * An alert as chats take it: Slack's blocks, Discord's embed, an adaptive card for Teams, and the plain event of a
 * webhook. Pure. Names come from users, so nothing in them is taken for markup or calls anybody, and each text is cut to
 * what the chat accepts, since a message that is refused tells nobody.
 */
import { type AlertMessage, messageBody } from "./alert-message.ts"

const SLACK_HEADER_MAX = 150
const SLACK_TEXT_MAX = 3_000
const DISCORD_TITLE_MAX = 256
const DISCORD_TEXT_MAX = 4_096
const TEAMS_TEXT_MAX = 8_000
const RED = 0xc62828

/** The first `max` characters, with … for what is left out. */
function cut(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`
}

export function slackBody(message: AlertMessage): string {
  const { title, link } = message
  const plain = (text: string, max: number) => ({ type: "plain_text", text: cut(text, max), emoji: false })
  const look = { type: "button", text: plain("Look at the usage", SLACK_HEADER_MAX), url: link ?? "" }
  return JSON.stringify({
    // What notifications show: `&`, `<` and `>` are all that Slack reads in it once markup is off.
    text: cut(title.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"), SLACK_TEXT_MAX),
    mrkdwn: false,
    blocks: [
      { type: "header", text: plain(title, SLACK_HEADER_MAX) },
      { type: "section", text: plain(messageBody({ ...message, link: null }), SLACK_TEXT_MAX) },
      ...(link === null ? [] : [{ type: "actions", elements: [look] }]),
    ],
  })
}

/** Discord reads markdown in an embed; a backslash takes its meaning from each sign. */
function discordText(text: string): string {
  return text.replace(/[\\*_~`|>#[\]()<:@-]/g, "\\$&")
}

export function discordBody(message: AlertMessage): string {
  const { title, link, raisedAt } = message
  return JSON.stringify({
    allowed_mentions: { parse: [] },
    embeds: [
      {
        title: cut(discordText(title), DISCORD_TITLE_MAX),
        description: cut(discordText(messageBody({ ...message, link: null })), DISCORD_TEXT_MAX),
        color: RED,
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
export function teamsBody(message: AlertMessage): string {
  const { title, facts, contributors, folded, advice, link } = message
  const list = (heading: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : [teamsText(heading, { weight: "Bolder" }), ...lines.map((line) => teamsText(line))]
  const card = {
    $schema: "http://adaptivecards.io/schemas/adaptive-card.json",
    type: "AdaptiveCard",
    version: "1.4",
    body: [
      teamsText(title, { weight: "Bolder", size: "Large" }),
      ...facts.map(({ name, value }) => teamsText(`${name}: ${value}`)),
      ...list(
        "Top contributors",
        contributors.map(({ name, value }) => `${name}: ${value}`),
      ),
      ...list("Since the last message", folded),
      teamsText(advice),
    ],
    actions: link === null ? [] : [{ type: "Action.OpenUrl", title: "Look at the usage", url: link }],
  }
  const attachment = { contentType: "application/vnd.microsoft.card.adaptive", contentUrl: null, content: card }
  return JSON.stringify({ type: "message", attachments: [attachment] })
}

/** The event of a webhook: its type, when it was raised, and all that the message says. */
export function webhookBody(message: AlertMessage): string {
  const { kind, raisedAt, organization, title, facts, contributors, folded, advice, link, data } = message
  return JSON.stringify({
    type: `alert.${kind}`,
    timestamp: raisedAt,
    data: { organization, title, facts, contributors, folded, advice, link, ...data },
  })
}

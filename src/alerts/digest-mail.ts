/** A digest as a mail: its subject, as plain text and as HTML. Pure. Names come from users and are escaped. */
import type { DigestBudget, DigestGroup, DigestMessage } from "./digest-message.ts"
import {
  beforeText,
  changeText,
  grouped,
  largestOf,
  shareOf,
  shortCount,
  shortUsd,
  stretchText,
} from "./digest-words.ts"
import {
  button,
  columns,
  escaped,
  figures,
  heroFigure,
  mailPage,
  note,
  partHeading,
  pill,
  type Row,
  rows,
  toneOf,
} from "./mail-layout.ts"
import { type MailText, subjectOf } from "./mail-text.ts"

const TOP_NAMES = { organizations: "Organizations", projects: "Projects", keys: "Keys", models: "Models" } as const
const PERIOD_NAMES = { daily: "Daily", weekly: "Weekly", monthly: "Monthly" } as const

export function digestMail(message: DigestMessage): MailText {
  return {
    subject: subjectOf(message.organization.name, message.title),
    text: digestText(message),
    html: html(message),
  }
}

/** What the digest says in lines, as parts with headings: for plain text, and the first ones for chats. */
export function digestParts(message: DigestMessage): { readonly heading: string; readonly lines: readonly string[] }[] {
  const { usd, calls, tokens, refused, unpriced, top, budgets } = message
  const before = beforeText(message.digest.period)
  const lineOf = ({ name, usd: now, previousUsd }: DigestGroup) =>
    [`${name}: ${shortUsd(now)}`, changeText({ now, before: previousUsd })].filter((part) => part !== "").join(", ")
  const sums = [
    `Spent: ${shortUsd(usd.now)} (${before}: ${shortUsd(usd.before)})`,
    `Calls: ${grouped(calls.now)}, tokens: ${shortCount(tokens.now)}`,
    `Refused calls: ${grouped(refused.now)} (${before}: ${grouped(refused.before)})`,
    ...(unpriced.calls === "0" ? [] : [`Calls without a price: ${grouped(unpriced.calls)}, in no sum of money`]),
    `This month: ${monthText(message)}`,
  ]
  return [
    { heading: "", lines: sums },
    {
      heading: "Budgets",
      lines: budgets.map((budget) => `${budget.name}: ${budgetFigure(budget)}, ${budgetNote(budget)}`),
    },
    ...(Object.keys(TOP_NAMES) as (keyof typeof TOP_NAMES)[]).map((name) => ({
      heading: TOP_NAMES[name],
      lines: top[name].map(lineOf),
    })),
    { heading: "Refused for", lines: refused.reasons.map(({ code, calls: count }) => `${code}: ${grouped(count)}`) },
    {
      heading: "Without a price",
      lines: unpriced.models.map(({ name, calls: count }) => `${name}: ${grouped(count)}`),
    },
  ].filter(({ lines }) => lines.length > 0)
}

function digestText(message: DigestMessage): string {
  const parts = digestParts(message).map(({ heading, lines }) =>
    heading === "" ? lines.join("\n") : `${heading}:\n${lines.map((line) => `  - ${line}`).join("\n")}`,
  )
  return `${[message.title, ...parts, ...(message.link === null ? [] : [message.link])].join("\n\n")}\n`
}

function html(message: DigestMessage): string {
  const { title, organization, digest, usd, calls, tokens, refused, unpriced, link } = message
  const { from, until, timeZone } = message.stretch
  const stretch = stretchText(digest.period, { fromMs: Date.parse(from), toMs: Date.parse(until) }, timeZone)
  return mailPage({
    title,
    preview: `This month: ${monthText(message)}`,
    about: organization.name,
    body: [
      pill(`${PERIOD_NAMES[digest.period]} digest`, "plain"),
      note(`Spent, ${stretch}`),
      heroFigure(shortUsd(usd.now)),
      note(againstText(message), "ink3"),
      chart(message),
      figures([
        { name: "Calls", value: shortCount(calls.now), more: changeText(calls) },
        { name: "Tokens", value: shortCount(tokens.now), more: changeText(tokens) },
        { name: "Refused", value: shortCount(refused.now), more: changeText(refused) },
        { name: "Unpriced", value: shortCount(unpriced.calls) },
      ]),
      partHeading("This month"),
      note(monthText(message)),
      ...budgetPart(message),
      ...topPart(message),
      ...countPart(
        "Refused for",
        refused.reasons.map(({ code, calls: count }) => ({ name: code, count })),
      ),
      ...countPart(
        "Without a price",
        unpriced.models.map(({ name, calls: count }) => ({ name, count })),
      ),
      ...(link === null ? [] : [button("Look at the usage", link)]),
    ],
    foot: `Sent by the digest “${escaped(digest.name)}”. Days are those of ${escaped(timeZone)}. The attached table has projects and models in full.`,
  })
}

function againstText({ usd, digest: { period } }: DigestMessage): string {
  const change = changeText(usd)
  if (change === "") return `Nothing, and nothing ${beforeText(period)}.`
  if (change === "new") return `Nothing ${beforeText(period)}.`
  return `${change} against ${beforeText(period)}, ${shortUsd(usd.before)}`
}

function chart({ bars, digest: { period } }: DigestMessage): string {
  const largest = largestOf(bars.map(({ usd }) => usd))
  const peak = bars.find(({ usd }) => usd === largest)
  const each = period === "daily" ? "hour" : "day"
  const said = `Spent by ${each}${peak === undefined ? "" : `, most ${shortUsd(largest)} (${peak.label})`}`
  const step = bars.length <= 8 ? 1 : period === "daily" ? 6 : 7
  return columns(
    bars.map(({ label, usd }) => ({ label, text: shortUsd(usd), percent: shareOf(usd, largest) })),
    step,
    said,
  )
}

function monthText({ month: { usd, projected, low, high } }: DigestMessage): string {
  if (projected === null) return `${shortUsd(usd)} so far; it is too early to say where it goes.`
  const interval = low === null || high === null ? "" : `, most likely between ${shortUsd(low)} and ${shortUsd(high)}`
  return `${shortUsd(usd)} so far, and ${shortUsd(projected)} at its end at this pace${interval}.`
}

function budgetPart({ budgets, budgetsMore }: DigestMessage): string[] {
  if (budgets.length === 0) return []
  const shown = budgets.map((budget): Row => {
    const tone = toneOf(budget.percent)
    return {
      ...{ name: budget.name, value: budgetFigure(budget), note: budgetNote(budget) },
      bar: { percent: budget.percent ?? 100, tone },
    }
  })
  return [partHeading("Budgets", budgetsMore === 0 ? "" : `and ${budgetsMore} more`), rows(shown)]
}

function budgetFigure({ percent }: DigestBudget): string {
  return percent === null ? "the cap is nothing" : `${percent} %`
}

function budgetNote({ kind, used, cap, window, state, projected }: DigestBudget): string {
  const amount = (value: string) => (kind === "usd" ? shortUsd(value) : shortCount(value))
  const unit = kind === "usd" ? "" : " tokens"
  const per = window === "lifetime" ? "in all" : /^\d/.test(window) ? `in ${window}` : `a ${window}`
  const going = {
    exceeded: "used up",
    warning: projected === null ? "used up soon at this pace" : `goes to ${amount(projected)} at this pace`,
    ok: projected === null ? "" : `goes to ${amount(projected)} at this pace`,
    too_early: "too early to say where it goes",
  }[state]
  return [`${amount(used)} of ${amount(cap)}${unit} ${per}`, going].filter((part) => part !== "").join(", ")
}

function topPart({ top }: DigestMessage): string[] {
  return (Object.keys(TOP_NAMES) as (keyof typeof TOP_NAMES)[]).flatMap((name) => {
    const groups = top[name]
    if (groups.length === 0) return []
    const largest = groups[0]?.usd ?? "0"
    const shown = groups.map(
      ({ name: label, usd, previousUsd }): Row => ({
        ...{ name: label, value: shortUsd(usd), more: changeText({ now: usd, before: previousUsd }) },
        bar: { percent: shareOf(usd, largest), tone: "plain" },
      }),
    )
    return [partHeading(TOP_NAMES[name]), rows(shown)]
  })
}

function countPart(name: string, counts: readonly { readonly name: string; readonly count: string }[]): string[] {
  if (counts.length === 0) return []
  return [
    partHeading(name),
    rows(
      counts.map(({ name: label, count }) => ({
        name: label,
        value: `${grouped(count)} ${count === "1" ? "call" : "calls"}`,
      })),
    ),
  ]
}

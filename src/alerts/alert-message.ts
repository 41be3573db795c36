/**
 * What an alert says, whichever channel carries it: a title, facts by name, who contributed most, what to do and where to
 * look. Pure. Facts are kept with the alert, so that one that waited is told with what was true when it was raised.
 */
import type { RuleKind } from "./alert-rule.ts"

export type Named = { readonly name: string; readonly value: string }

/** What is kept of one alert. */
export type AlertFacts = {
  readonly kind: RuleKind
  readonly title: string
  readonly facts: readonly Named[]
  /** Largest first; empty where nothing contributes. */
  readonly contributors: readonly Named[]
  readonly advice: string
  /** Address of the matching view, without host: `/dashboard/usage?...`. */
  readonly path: string
  /** For programs: ids and exact amounts. */
  readonly data: Readonly<Record<string, string | number | null>>
}

/** What goes out: the alert that is the reason, and those that are told along with it. */
export type AlertMessage = AlertFacts & {
  readonly organization: { readonly id: string; readonly name: string }
  /** ISO 8601. */
  readonly raisedAt: string
  /** Titles, oldest first. */
  readonly folded: readonly string[]
  /** Null where the installation does not know its own address. */
  readonly link: string | null
}

export function linkTo(baseUrl: string | null, path: string): string | null {
  return baseUrl === null ? null : baseUrl.replace(/\/$/, "") + path
}

/** What a channel's test and its preview show. */
export function sampleMessage(
  organization: AlertMessage["organization"],
  baseUrl: string | null,
  nowMs: number,
): AlertMessage {
  const path = "/dashboard/usage"
  return {
    kind: "threshold",
    title: "Test: project search has used 80 % of its dollars of this month",
    facts: [
      { name: "Spent", value: "$400" },
      { name: "Cap", value: "$500" },
      { name: "Used", value: "80 %" },
      { name: "Window", value: "month 2026-11" },
      { name: "Projected at the window's end", value: "$545.45" },
    ],
    contributors: [
      { name: "key crawler", value: "$310" },
      { name: "key assistant", value: "$90" },
    ],
    advice: "This is a test of the channel. Nothing has happened, and there is nothing to do.",
    path,
    data: { threshold_percent: 80, test: "true" },
    organization,
    raisedAt: new Date(nowMs).toISOString(),
    folded: [],
    link: linkTo(baseUrl, path),
  }
}

/** The message as plain text, its title left out. */
export function messageBody(message: AlertMessage): string {
  const { facts, contributors, folded, advice, link } = message
  const list = (heading: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : [`${heading}:\n${lines.map((line) => `  - ${line}`).join("\n")}`]
  return [
    facts.map(({ name, value }) => `${name}: ${value}`).join("\n"),
    ...list(
      "Top contributors",
      contributors.map(({ name, value }) => `${name}: ${value}`),
    ),
    ...list("Since the last message", folded),
    advice,
    ...(link === null ? [] : [link]),
  ].join("\n\n")
}

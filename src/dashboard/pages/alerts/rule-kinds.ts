/** What alert rules can watch, what each is told, and each rule in one sentence. Pure. */
import type { AlertRule } from "../../api/alerts.ts"
import { count } from "../../format/format.ts"
import { listed } from "../budgets/words.ts"

export type NumberField = {
  readonly name: string
  readonly label: string
  readonly hint: string
  readonly min: number
  readonly max: number
  readonly otherwise: number
}

export type RuleKind = {
  readonly name: string
  /** What it is for, in the list of kinds. */
  readonly hint: string
  /** About the proxies themselves: it belongs to no organization. */
  readonly isInstallations?: boolean
  /** Has thresholds in percent, and kinds of limits. */
  readonly hasThresholds?: boolean
  /** Compares keys, projects or tools with themselves. */
  readonly hasGroups?: boolean
  readonly fields: readonly NumberField[]
  /** The clause before who is told; `of` is what the rule is over. */
  readonly when: (parameters: Readonly<Record<string, unknown>>, of: string) => string
  /** How often the same thing is told. */
  readonly often: string
}

const number = (value: unknown): string => (typeof value === "number" ? count(value) : "…")
const plural = (value: unknown, word: string): string => `${number(value)} ${word}${value === 1 ? "" : "s"}`

export const RULE_KINDS: Readonly<Record<string, RuleKind>> = {
  threshold: {
    name: "Budget used up to a threshold",
    hint: "Each limit at the percents that you name, or on its way there",
    hasThresholds: true,
    fields: [],
    when: (parameters, of) => {
      const kinds = anyOf(limitKindsOf(parameters).map((kind) => LIMIT_KINDS[kind] ?? kind))
      const used = anyOf(percentsOf(parameters, "thresholds").map((percent) => `${percent} %`))
      const going = anyOf(percentsOf(parameters, "forecast_thresholds").map((percent) => `${percent} %`))
      return `When a limit of ${kinds} ${of} is used up to ${used}${going === "" ? "" : `, or at its pace ends its window at ${going} or more`}`
    },
    often: "Once for each threshold and window; a higher one is told at once, the rest at most once a day.",
  },
  anomaly: {
    name: "Unusual spending",
    hint: "A day far above what is usual for a key, project or tool",
    hasGroups: true,
    fields: [
      {
        name: "usd_min",
        label: "Above the usual by",
        hint: "Dollars a day at least",
        min: 1,
        max: 1_000_000_000,
        otherwise: 10,
      },
      { name: "deviations", label: "And by", hint: "Standard deviations", min: 2, max: 100, otherwise: 6 },
    ],
    when: (parameters, of) =>
      `When a ${anyOf(groupsOf(parameters))} ${of} spends in a day at least $${number(parameters.usd_min)} and ${number(parameters.deviations)} standard deviations more than is usual for it`,
    often: "Once a day for each.",
  },
  error_rate: {
    name: "Many calls fail",
    hint: "A part of all calls within the last minutes",
    fields: [
      { name: "percent", label: "From", hint: "Percent of calls", min: 1, max: 100, otherwise: 10 },
      { name: "minutes", label: "In the last", hint: "Minutes", min: 1, max: 1_440, otherwise: 15 },
      {
        name: "calls_min",
        label: "Of at least",
        hint: "Calls; fewer say nothing",
        min: 1,
        max: 1_000_000,
        otherwise: 20,
      },
    ],
    when: ({ percent, minutes, calls_min: calls }, of) =>
      `When ${number(percent)} % or more of the calls ${of} failed in the last ${plural(minutes, "minute")}, and there were at least ${plural(calls, "call")}`,
    often: "Once a day.",
  },
  provider_down: {
    name: "A provider does not answer",
    hint: "Calls to one account that got no answer, or its failure",
    fields: [
      { name: "percent", label: "From", hint: "Percent of an account's calls", min: 1, max: 100, otherwise: 50 },
      { name: "minutes", label: "In the last", hint: "Minutes", min: 1, max: 1_440, otherwise: 5 },
      {
        name: "calls_min",
        label: "Of at least",
        hint: "Calls; of fewer all must fail",
        min: 1,
        max: 1_000_000,
        otherwise: 10,
      },
    ],
    when: ({ percent, minutes, calls_min: calls }, of) =>
      `When ${number(percent)} % or more of the calls ${of} to one provider account got no answer in the last ${plural(minutes, "minute")}, of at least ${plural(calls, "call")}`,
    often: "Once a day for each account.",
  },
  unpriced: {
    name: "A model has no price",
    hint: "Its calls are in no sum of money",
    fields: [],
    when: (_, of) => `When a model without a price is called ${of.replace(/^of /, "by ")}`,
    often: "Once a month for each model.",
  },
  key_expiry: {
    name: "A key is about to expire",
    hint: "So many days before",
    fields: [{ name: "days", label: "From", hint: "Days before", min: 1, max: 365, otherwise: 14 }],
    when: ({ days }, of) => `From ${plural(days, "day")} before a key ${of} expires`,
    often: "Once for each key.",
  },
  store_degraded: {
    name: "A store does not serve",
    hint: "Redis, Postgres or the journal's disk",
    isInstallations: true,
    fields: [{ name: "minutes", label: "For", hint: "Minutes", min: 0, max: 1_440, otherwise: 1 }],
    when: ({ minutes }) => `When a store has not served for ${plural(minutes, "minute")}`,
    often: "Once a day for each store.",
  },
  journal_backlog: {
    name: "Records wait for the ledger",
    hint: "More than so many, in one process",
    isInstallations: true,
    fields: [
      { name: "rows", label: "From", hint: "Records that wait", min: 1, max: 1_000_000_000, otherwise: 100_000 },
    ],
    when: ({ rows }) => `When ${plural(rows, "record")} or more wait for the ledger`,
    often: "Once a day.",
  },
}

export const LIMIT_KINDS: Readonly<Record<string, string>> = { usd: "dollars", tokens: "tokens", requests: "requests" }
export const ANOMALY_GROUPS: Readonly<Record<string, string>> = { key: "key", project: "project", tool: "tool" }
const LIMIT_KINDS_OTHERWISE = ["usd", "tokens"]
const PERCENTS_OTHERWISE: Readonly<Record<PercentsName, readonly number[]>> = {
  thresholds: [50, 80, 100],
  forecast_thresholds: [100],
}
type PercentsName = "thresholds" | "forecast_thresholds"

export function limitKindsOf({ limit_kinds: kinds }: Readonly<Record<string, unknown>>): readonly string[] {
  return Array.isArray(kinds) && kinds.length > 0 ? kinds.map(String) : LIMIT_KINDS_OTHERWISE
}

export function percentsOf(parameters: Readonly<Record<string, unknown>>, name: PercentsName): readonly number[] {
  const given = parameters[name]
  return Array.isArray(given) ? given.map(Number) : PERCENTS_OTHERWISE[name]
}

export function groupsOf({ by }: Readonly<Record<string, unknown>>): readonly string[] {
  return Array.isArray(by) && by.length > 0 ? by.map(String) : Object.keys(ANOMALY_GROUPS)
}

/** `dollars, tokens or requests`. */
function anyOf(parts: readonly string[]): string {
  return listed(parts).replace(" and ", " or ")
}

/** What a kind is called; of one that this page does not know, its own name. */
export function kindName(kind: string): string {
  return RULE_KINDS[kind]?.name ?? kind.replaceAll("_", " ")
}

/** What each member is where nobody says otherwise. */
export function parametersOtherwise(kind: string): Record<string, unknown> {
  const known = RULE_KINDS[kind]
  return {
    ...Object.fromEntries((known?.fields ?? []).map(({ name, otherwise }) => [name, otherwise])),
    ...(known?.hasGroups === true ? { by: Object.keys(ANOMALY_GROUPS) } : {}),
    ...(known?.hasThresholds === true ? { limit_kinds: LIMIT_KINDS_OTHERWISE, ...PERCENTS_OTHERWISE } : {}),
  }
}

/** The rule in words: when, who, how often. `who` names the channels, with its verb: `ops and on-call are`. */
export function ruleSentence(rule: Pick<AlertRule, "kind" | "parameters">, of: string, who: string): string {
  const known = RULE_KINDS[rule.kind]
  if (known === undefined) return `A rule of the kind ${kindName(rule.kind)}: ${who} told.`
  return `${known.when(rule.parameters, of)}, ${who} told. ${known.often}`
}

/** What is said of budgets: where they go, what they do at their cap, and in one sentence what a limit will do. Pure. */
import type { BudgetStanding, Each, Enforcement, Limit, LimitScope, NewLimit } from "../../api/limits.ts"
import { compact, guess } from "../../format/format.ts"
import { dayAndTime, fullDay, inTime, weekdayAndDay, zoneName } from "../../format/moment.ts"
import { amountWords, windowWords } from "../limit-words.ts"

export const AT_CAP: Readonly<Record<Enforcement, string>> = {
  hard: "Refuse",
  soft: "Warn only",
  shadow: "Count only",
}
const WINDOW_NAMES: Readonly<Record<string, string>> = {
  second: "Second",
  minute: "Minute",
  hour: "Hour",
  per_day: "24 hours",
  day: "Day",
  week: "Week",
  month: "Month",
  quarter: "Quarter",
  year: "Year",
  lifetime: "No end",
  none: "At once",
}

/** `Month`, `7 days`. */
export function windowName({ window, days }: Pick<Limit, "window" | "days">): string {
  return window === "rolling" ? `${days ?? "?"} days` : (WINDOW_NAMES[window] ?? window)
}

/** Windows that begin and end by the calendar of a zone. */
export function isOfCalendar(window: string): boolean {
  return ["day", "week", "month", "quarter", "year", "rolling"].includes(window)
}

/** A guess in the limit's unit. */
export function aboutWords(kind: string, amount: string): string {
  return kind === "usd" ? guess(amount) : compact(amount)
}

/** Amber from 70, red from 90 per cent, as the bar. */
export function toneOfPercent(percent: number | null): "plain" | "warn" | "bad" {
  if (percent === null || percent >= 90) return "bad"
  return percent >= 70 ? "warn" : "plain"
}

export function percentWords(percent: number | null): string {
  return percent === null ? "no cap" : `${percent} %`
}

export type Outlook = {
  readonly text: string
  /** The exact moment, or the range of a guess; for hover. */
  readonly more: string | null
  readonly isAtRisk: boolean
}

/** Where a budget goes: `Full on Wed 25 Nov`, `Ends at about $8,000`, `Too early to project`. */
export function outlookOf(standing: BudgetStanding, asOf: string): Outlook {
  const { state, kind, enforcement, exhausted_at: at, projected_end: end, low, high, time_zone: zone } = standing
  if (state === "exceeded") {
    const text = { hard: "Used up, refusing", soft: "Used up, warning", shadow: "Used up, counting" }[enforcement]
    return { text, more: null, isAtRisk: true }
  }
  if (state === "too_early") {
    return { text: "Too early to project", more: "It takes 3 whole days of calls", isAtRisk: false }
  }
  if (at !== null) {
    const soon = inTime(at, asOf)
    const day = farFrom(at, asOf) ? fullDay(at, zone) : weekdayAndDay(at, zone)
    const text = soon === null ? `Full on ${day}` : `Full ${soon}`
    return { text, more: `${dayAndTime(at, zone)} ${zoneName(zone, at)}`, isAtRisk: state === "warning" }
  }
  if (end === null) return { text: "Not full within a year", more: null, isAtRisk: false }
  const range = low === null || high === null ? null : `${aboutWords(kind, low)} to ${aboutWords(kind, high)}`
  return { text: `Ends at about ${aboutWords(kind, end)}`, more: range, isAtRisk: false }
}

const FAR_MS = 180 * 86_400_000

/** Whether a day without its year could be taken for one of another year. */
function farFrom(at: string, asOf: string): boolean {
  return Date.parse(at) - Date.parse(asOf) > FAR_MS
}

/** `Resets 1 Dec, 00:00 CET`. */
export function resetWords(at: string, zone: string): string {
  return `${dayAndTime(at, zone)} ${zoneName(zone, at)}`
}

export type Described = Pick<
  NewLimit,
  "kind" | "window" | "time_zone" | "anchor_day" | "enforcement" | "thresholds"
> & {
  readonly cap: string
  readonly days: number | null
  readonly scope: LimitScope
  /** What the subject is called. */
  readonly name: string
}

/** What the limit will do, in words. */
export function sentenceOf(limit: Described): string {
  const { kind, cap, enforcement = "hard", thresholds = [] } = limit
  const verb = { usd: "spend", tokens: "use", requests: "make" }[kind]
  const amount = amountWords(kind, cap)
  const may =
    kind === "concurrency"
      ? `${whoWords(limit)} may have ${amount}.`
      : `${whoWords(limit)} may ${verb ?? "use"} ${amount} ${windowWords(limit)}${beginWords(limit)}.`
  const told =
    thresholds.length === 0
      ? "Nobody is told as it fills up."
      : `Whoever watches it under Alerts is told at ${listed(thresholds.map((percent) => `${percent} %`))}.`
  return [may, CAP_SENTENCES[enforcement], ...(kind === "concurrency" ? [] : [told])].join(" ")
}

export const CAP_SENTENCES: Readonly<Record<Enforcement, string>> = {
  hard: "A call that could go over it is refused.",
  soft: "Calls over it pass, and their answers carry a warning.",
  shadow: "Calls over it pass unsaid; how many would have been refused is counted.",
}

const EACH_WORDS: Readonly<Record<Each, string>> = {
  organization: "Each organization",
  project: "Each project",
  user: "Each user",
  key: "Each key",
}

function whoWords({ scope, name }: Pick<Described, "scope" | "name">): string {
  const kind = subjectWord(scope)
  const each = scope.each ? EACH_WORDS[scope.each] : null
  const of = `the ${kind.toLowerCase()} ${name}`
  const calls = scope.tool ? `with the tool ${scope.tool}` : scope.tag ? `with the tag ${scope.tag}` : ""
  if (scope.provider_account !== undefined) {
    return each === null ? `All calls through ${of} together` : `${each}, through ${of},`
  }
  if (each !== null) return `${each} of ${of}${calls === "" ? "" : `, in calls ${calls},`}`
  return `All calls of ${of}${calls === "" ? "" : ` ${calls}`} together`
}

const SUBJECT_WORDS = {
  organization_id: "Organization",
  project_id: "Project",
  user_id: "User",
  key_id: "Key",
  provider_account: "Provider account",
} as const
export type SubjectMember = keyof typeof SUBJECT_WORDS

/** The member of the scope that names its subject. */
export function subjectMember(scope: LimitScope): SubjectMember {
  const members = Object.keys(SUBJECT_WORDS) as SubjectMember[]
  return members.find((member) => scope[member] !== undefined) ?? "organization_id"
}

/** `Project`. */
export function subjectWord(scope: LimitScope): string {
  return SUBJECT_WORDS[subjectMember(scope)]
}

/** How many of what: `Each user`, `Tool helpdesk`; '' where all calls count together. */
export function narrowingWords({ each, tool, tag }: LimitScope): string {
  return [each ? EACH_WORDS[each].toLowerCase() : "", tool ? `tool ${tool}` : "", tag ? `tag ${tag}` : ""]
    .filter((part) => part !== "")
    .join(", ")
}

const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] as const
export function weekdayName(anchorDay: number): string {
  return WEEKDAYS[anchorDay - 1] ?? "Monday"
}

/** Where the window begins, where that is to be said. */
function beginWords({
  window,
  time_zone: zone = "UTC",
  anchor_day: anchor = 1,
}: Pick<Described, "window" | "time_zone" | "anchor_day">): string {
  switch (window) {
    case "day":
    case "rolling":
      return `, days by ${zone}`
    case "week":
      return `, from ${weekdayName(anchor)} on, by ${zone}`
    case "month":
      return `, from day ${anchor} on, by ${zone}`
    case "quarter":
    case "year":
      return `, from day ${anchor} of its first month on, by ${zone}`
    default:
      return ""
  }
}

/** `50 %, 80 % and 100 %`. */
export function listed(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`
}

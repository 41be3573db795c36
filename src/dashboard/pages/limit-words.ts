/** Limits in words: what is counted, up to how much, in which window. */
import type { Limit, NewLimit } from "../api/limits.ts"
import { count, total } from "../format/format.ts"

const UNITS: Readonly<Record<string, string>> = { requests: "requests", tokens: "tokens", concurrency: "calls at once" }
const WINDOWS: Readonly<Record<string, string>> = {
  second: "a second",
  minute: "a minute",
  hour: "an hour",
  per_day: "in 24 hours",
  day: "a day",
  week: "a week",
  month: "a month",
  quarter: "a quarter",
  year: "a year",
  lifetime: "in all",
  none: "",
}

/** `$200.00 a month`, `600 requests a minute`, `4 calls at once`, `$50.00 in 7 days`. */
export function limitWords(limit: Pick<Limit, "kind" | "window" | "cap" | "days">): string {
  return `${amountWords(limit.kind, limit.cap)} ${windowWords(limit)}`.trim()
}

/** `$200.00`, `600 requests`. */
export function amountWords(kind: string, amount: string): string {
  return kind === "usd" ? total(amount) : `${count(amount)} ${UNITS[kind] ?? kind}`
}

/** `a month`, `in 7 days`; '' of what has no window. */
export function windowWords({ window, days }: Pick<Limit, "window" | "days">): string {
  return window === "rolling" ? `in ${days ?? "some"} days` : (WINDOWS[window] ?? window)
}

export const BUDGET_WINDOWS = { month: "a month", day: "a day", lifetime: "in all" } as const

/** The dollars that somebody typed, as the API takes them; what is wrong with them, in words. */
export function readBudget(text: string): { readonly cap: string } | { readonly error: string } {
  const plain = text.trim().replace(/^\$/, "").replaceAll(",", "")
  if (!/^\d{1,12}(\.\d{1,9})?$/.test(plain)) return { error: "Write an amount of dollars such as 200 or 0.50" }
  return { cap: plain }
}

/** The limits that the form of a new key means. */
export function limitsOf(form: {
  budget: string
  budgetWindow: string
  rate: string
  timeZone: string | null
}): readonly NewLimit[] | { error: string; field: "budget" | "rate" } {
  const limits: NewLimit[] = []
  if (form.budget.trim() !== "") {
    const budget = readBudget(form.budget)
    if ("error" in budget) return { error: budget.error, field: "budget" }
    const zone = form.timeZone !== null && form.budgetWindow !== "lifetime" ? { time_zone: form.timeZone } : {}
    limits.push({ kind: "usd", window: form.budgetWindow, cap: budget.cap, ...zone })
  }
  if (form.rate.trim() !== "") {
    const plain = form.rate.trim().replaceAll(",", "")
    if (!/^\d{1,9}$/.test(plain)) return { error: "Write a whole number of requests such as 600", field: "rate" }
    limits.push({ kind: "requests", window: "minute", cap: Number(plain) })
  }
  return limits
}

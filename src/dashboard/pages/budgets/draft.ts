/** What a form of a limit holds while it is typed, and what the API is told of it; what is wrong in words, by field. Pure. */
import type { Each, Enforcement, LimitChange, LimitScope, NewScopedLimit } from "../../api/limits.ts"
import { readBudget } from "../limit-words.ts"
import type { Described, SubjectMember } from "./words.ts"
import { isOfCalendar } from "./words.ts"

export type Draft = {
  readonly on: SubjectMember
  /** Ids by what the limit is on, so that a change of mind and back keeps the choice. */
  readonly subjects: Readonly<Partial<Record<SubjectMember, string>>>
  readonly each: Each | ""
  readonly narrowedBy: "" | "tool" | "tag"
  readonly narrowedTo: string
  readonly kind: string
  readonly cap: string
  readonly window: string
  readonly days: string
  readonly timeZone: string
  readonly anchorDay: string
  readonly enforcement: Enforcement
  /** Percents as they are typed. */
  readonly thresholds: string
  readonly onStoreFailure: string
}
export type Faults = Readonly<Partial<Record<keyof Draft | "subject" | "form", string>>>

export const KINDS = { usd: "Dollars", tokens: "Tokens", requests: "Requests", concurrency: "Calls at once" } as const
export const WINDOWS = {
  minute: "A minute",
  day: "A day",
  week: "A week",
  month: "A month",
  quarter: "A quarter",
  year: "A year",
  rolling: "The last days",
  lifetime: "In all",
} as const

export function newDraft(timeZone: string, subjects: Draft["subjects"]): Draft {
  const on = subjects.project_id !== undefined ? "project_id" : "organization_id"
  return {
    ...{ on, subjects, each: "", narrowedBy: "", narrowedTo: "" },
    ...{ kind: "usd", cap: "", window: "month", days: "7", timeZone, anchorDay: "1" },
    ...{ enforcement: "hard", thresholds: "50, 80, 100", onStoreFailure: "local" },
  } as const
}

/** Whom a limit on this may count apart. */
export function eachOf(on: SubjectMember): readonly Each[] {
  if (on === "provider_account") return ["organization", "project", "user", "key"]
  return on === "organization_id" || on === "project_id" ? ["user", "key"] : []
}

/** Whether a limit on this may count calls of one tool or tag alone. */
export function mayNarrow(on: SubjectMember): boolean {
  return on === "organization_id" || on === "project_id"
}

/** The largest day on which the window may begin; 0 where it begins where it must. */
export function anchorMax(window: string): number {
  if (window === "week") return 7
  return window === "month" || window === "quarter" || window === "year" ? 31 : 0
}

export function scopeOf({ on, subjects, each, narrowedBy, narrowedTo }: Draft): LimitScope {
  return {
    [on]: subjects[on] ?? "",
    ...(each !== "" && eachOf(on).includes(each) ? { each } : {}),
    ...(narrowedBy !== "" && mayNarrow(on) && narrowedTo.trim() !== "" ? { [narrowedBy]: narrowedTo.trim() } : {}),
  }
}

/** The limit that the draft means, as its sentence is made of it; null while its amount is no amount. */
export function describedBy(draft: Draft, name: string): Described | null {
  const cap = readCap(draft.kind, draft.cap)
  const thresholds = readThresholds(draft.thresholds)
  if ("error" in cap || "error" in thresholds || name === "") return null
  return {
    ...{ kind: draft.kind, cap: cap.cap, scope: scopeOf(draft), name, enforcement: draft.enforcement },
    window: windowOf(draft),
    days: draft.window === "rolling" ? Number(draft.days) : null,
    time_zone: draft.timeZone,
    anchor_day: Number(draft.anchorDay) || 1,
    thresholds: thresholds.percents,
  }
}

export function readDraft(draft: Draft): { readonly wanted: NewScopedLimit } | { readonly faults: Faults } {
  const cap = readCap(draft.kind, draft.cap)
  const thresholds = readThresholds(draft.thresholds)
  const window = windowOf(draft)
  const days = Number(draft.days)
  const faults: Record<string, string> = {}
  if ((draft.subjects[draft.on] ?? "") === "") faults.subject = "Choose whose it is"
  if ("error" in cap) faults.cap = cap.error
  if ("error" in thresholds) faults.thresholds = thresholds.error
  if (draft.narrowedBy !== "" && mayNarrow(draft.on) && draft.narrowedTo.trim() === "") {
    faults.narrowedTo = `Write the ${draft.narrowedBy} whose calls count`
  }
  if (window === "rolling" && !(Number.isInteger(days) && days >= 2 && days <= 31)) {
    faults.days = "Write 2 to 31 days, today among them"
  }
  if (Object.keys(faults).length > 0 || "error" in cap || "error" in thresholds) return { faults }
  return {
    wanted: {
      scope: scopeOf(draft),
      ...{ kind: draft.kind, window, cap: capOf(draft.kind, cap.cap), enforcement: draft.enforcement },
      ...{ thresholds: thresholds.percents, on_store_failure: draft.onStoreFailure },
      ...(isOfCalendar(window) ? { time_zone: draft.timeZone } : {}),
      ...(anchorMax(window) > 0 ? { anchor_day: Number(draft.anchorDay) || 1 } : {}),
      ...(window === "rolling" ? { days } : {}),
    },
  }
}

/** What a form of an existing limit changes: its amount and what it does, not what it counts. */
export function readChange(
  kind: string,
  draft: Pick<Draft, "cap" | "enforcement" | "thresholds" | "onStoreFailure">,
): { readonly wanted: LimitChange } | { readonly faults: Faults } {
  const cap = readCap(kind, draft.cap)
  const thresholds = readThresholds(draft.thresholds)
  const faults: Faults = {
    ...("error" in cap ? { cap: cap.error } : {}),
    ...("error" in thresholds ? { thresholds: thresholds.error } : {}),
  }
  if ("error" in cap || "error" in thresholds) return { faults }
  return {
    wanted: {
      ...{ cap: capOf(kind, cap.cap), enforcement: draft.enforcement, thresholds: thresholds.percents },
      on_store_failure: draft.onStoreFailure,
    },
  }
}

/** Calls at once have no window, whatever was chosen before. */
function windowOf({ kind, window }: Draft): string {
  return kind === "concurrency" ? "none" : window
}

/** Money as decimal text, everything else as a whole number. */
export function capOf(kind: string, cap: string): string | number {
  return kind === "usd" ? cap : Number(cap)
}

export function readCap(kind: string, text: string): { readonly cap: string } | { readonly error: string } {
  if (kind === "usd") return readBudget(text)
  const plain = text.trim().replaceAll(",", "")
  if (!/^\d{1,15}$/.test(plain)) return { error: "Write a whole number such as 100000" }
  return { cap: plain }
}

/** Percents, each larger than the one before; none where nothing is written. */
export function readThresholds(text: string): { readonly percents: readonly number[] } | { readonly error: string } {
  const parts = text
    .split(",")
    .map((part) => part.replace("%", "").trim())
    .filter((part) => part !== "")
  const percents = parts.map(Number)
  const isRising = percents.every((percent, index) => index === 0 || percent > (percents[index - 1] ?? 0))
  const isWhole = percents.every((percent) => Number.isInteger(percent) && percent >= 1 && percent <= 1_000)
  if (!isWhole || !isRising || percents.length > 10) {
    return { error: "Write whole percents, each larger than the one before, such as 50, 80, 100" }
  }
  return { percents }
}

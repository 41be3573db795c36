/** Which rows the page of budgets has, in which order: who will hit a wall first stands first. Pure. */
import type { BudgetStanding, ScopedLimit } from "../../api/limits.ts"
import type { Filters } from "../../view/view.ts"
import { narrowingWords, subjectMember, subjectWord } from "./words.ts"

export type BudgetRow = {
  readonly id: string
  readonly limit: ScopedLimit
  /** Null where nothing is known of its end: a rate, or a limit that counts several apart and has counted none. */
  readonly standing: BudgetStanding | null
  readonly name: string
  /** `Project`, `User, of project search`. */
  readonly what: string
  /** Place in the order of the page. */
  readonly place: number
}

/** The name of a project, user, key or organization by its id; the id where nobody knows one. */
export type SubjectName = (id: string) => string

const RATES: ReadonlySet<string> = new Set(["second", "minute", "hour", "per_day"])

/** Whether the window is a rate's, which fills and drains. */
export function isRate(window: string): boolean {
  return RATES.has(window)
}

/** Money and tokens over time, as against rates and calls at once. */
export function isBudget({ kind, window }: Pick<ScopedLimit, "kind" | "window">): boolean {
  return (kind === "usd" || kind === "tokens") && !isRate(window) && window !== "none"
}

/** A row for each limit; of one that counts several apart, a row for each that has used something. */
export function budgetRows(
  limits: readonly ScopedLimit[],
  standings: readonly BudgetStanding[],
  nameOf: SubjectName,
): readonly BudgetRow[] {
  const byLimit = Map.groupBy(standings, ({ limit_id }) => limit_id)
  const rows = limits.flatMap((limit) => {
    const own = byLimit.get(limit.id) ?? []
    return own.length === 0 ? [rowOf(limit, null, nameOf)] : own.map((standing) => rowOf(limit, standing, nameOf))
  })
  return rows.sort(compareRows).map((row, place) => ({ ...row, place }))
}

function rowOf(limit: ScopedLimit, standing: BudgetStanding | null, nameOf: SubjectName): BudgetRow {
  const { scope } = limit
  const subject = nameOf(scope[subjectMember(scope)] ?? "")
  const counted = standing?.counted ?? null
  const calls = narrowingWords({
    ...(scope.tool ? { tool: scope.tool } : {}),
    ...(scope.tag ? { tag: scope.tag } : {}),
  })
  if (standing !== null && counted !== null) {
    const own = standing.counted_name ?? (counted === "nobody" ? "Calls without a user" : counted)
    const of = `${wordOf(standing.each ?? "user")}, of ${subjectWord(scope).toLowerCase()} ${subject}`
    return { id: `${limit.id} ${counted}`, limit, standing, name: own, what: join(of, calls), place: 0 }
  }
  const each = scope.each ? narrowingWords({ each: scope.each }) : ""
  return { id: limit.id, limit, standing, name: subject, what: join(subjectWord(scope), each, calls), place: 0 }
}

function wordOf(each: string): string {
  return each.charAt(0).toUpperCase() + each.slice(1)
}

function join(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(", ")
}

const RANKS = { exceeded: 0, warning: 1, ok: 2, too_early: 3 } as const

function compareRows(one: BudgetRow, other: BudgetRow): number {
  const { standing: left } = one
  const { standing: right } = other
  const byStanding =
    left === null || right === null ? Number(left === null) - Number(right === null) : compareStandings(left, right)
  return byStanding || one.name.localeCompare(other.name, "en") || one.id.localeCompare(other.id, "en")
}

/** Those that are used up first, then by when they will be, then by how much of them is used. */
export function compareStandings(one: BudgetStanding, other: BudgetStanding): number {
  const days = ({ days_to_exhaustion: left }: BudgetStanding) => left ?? Number.MAX_SAFE_INTEGER
  // Of a cap of nothing everything is used.
  const percent = (standing: BudgetStanding) => standing.percent ?? 100
  return RANKS[one.state] - RANKS[other.state] || days(one) - days(other) || percent(other) - percent(one)
}

/** How many hit their cap before the window ends, or have; shadow limits are no walls. */
export function countAtRisk(standings: readonly Pick<BudgetStanding, "state" | "enforcement">[]): number {
  return standings.filter(({ state, enforcement }) => enforcement !== "shadow" && isAtRisk(state)).length
}

function isAtRisk(state: BudgetStanding["state"]): boolean {
  return state === "exceeded" || state === "warning"
}

/** Whether the limit is one of those that the filters mean; as the server narrows budgets. */
export function isMeant(
  { scope }: ScopedLimit,
  filters: Filters,
  projectOfKey: (key: string) => string | null,
): boolean {
  const isIn = (ids: readonly string[] | undefined, ...of: readonly (string | null | undefined)[]) =>
    ids === undefined || of.some((id) => id != null && ids.includes(id))
  const project = scope.key_id === undefined ? scope.project_id : projectOfKey(scope.key_id)
  return isIn(filters.key, scope.key_id) && isIn(filters.user, scope.user_id) && isIn(filters.project, project)
}

/** Rows that hold the text in a name, in what they are, or in what they narrow to. */
export function matchesSearch({ name, what, limit }: BudgetRow, search: string): boolean {
  const text = search.trim().toLowerCase()
  return text === "" || [name, what, limit.window, limit.kind].some((part) => part.toLowerCase().includes(text))
}

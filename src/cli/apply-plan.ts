/** What has to be done so that an installation has what the configuration declares. Pure: it compares, and orders the acts. */
import { readCap } from "../admin/limit-shape.ts"
import type { DeclaredLimit, DeclaredOrganization } from "../config/schema.ts"

export type PresentLimit = {
  readonly id: string
  readonly kind: DeclaredLimit["kind"]
  readonly window: DeclaredLimit["window"]
  /** Of a rolling window; null elsewhere. */
  readonly days: number | null
  readonly cap: string
  readonly time_zone: string
  readonly anchor_day: number
  readonly on_store_failure: string
  readonly enforcement: string
  readonly unbounded: string
  readonly slice_tokens: number | null
  readonly thresholds: readonly number[]
  /** '' where it counts all calls together, of whichever tool, and with whichever tags. */
  readonly each: string
  readonly tool: string
  readonly tag: string
}

/** What is there of one declared organization; ids are the installation's own. */
export type Present = {
  readonly organization: { readonly id: string; readonly name: string; readonly time_zone: string } | null
  readonly organizationLimits: readonly PresentLimit[]
  /** By external id, of those that are declared. */
  readonly projects: ReadonlyMap<string, PresentProject>
}
export type PresentProject = {
  readonly id: string
  readonly name: string
  readonly client: string
  readonly cost_center: string
  readonly limits: readonly PresentLimit[]
}

type Value = string | number | readonly number[]
export type Member = { readonly name: string; readonly from: Value | null; readonly to: Value }

export type Change = {
  /** `replace`: a limit whose windows begin elsewhere is made anew, with nothing used, and the one before it deleted. */
  readonly act: "create" | "change" | "replace"
  readonly what: "organization" | "project" | "limit"
  /** External id of the organization, or of it and the project. */
  readonly of: readonly [string] | readonly [string, string]
  /** Of what is changed or replaced; null of what is made. */
  readonly id: string | null
  readonly members: readonly Member[]
}

/** What is missing or differs, in an order in which it can be done: a thing before its limits. */
export function planOf(declared: DeclaredOrganization, present: Present): readonly Change[] {
  const { organization } = present
  const own = membersOf({ name: declared.name, time_zone: declared.time_zone }, organization)
  const of = [declared.id] as const
  return [
    ...changeOf("organization", of, organization, own),
    ...declared.limits.flatMap((limit) => limitChanges(of, limit, present.organizationLimits)),
    ...declared.projects.flatMap((project) => {
      const there = present.projects.get(project.id) ?? null
      const { name, client, cost_center } = project
      const place = [declared.id, project.id] as const
      return [
        ...changeOf("project", place, there, membersOf({ name, client, cost_center }, there)),
        ...project.limits.flatMap((limit) => limitChanges(place, limit, there?.limits ?? [])),
      ]
    }),
  ]
}

function limitChanges(of: Change["of"], declared: DeclaredLimit, present: readonly PresentLimit[]): Change[] {
  const { kind, window, days, each, tool, tag, cap, time_zone, anchor_day } = declared
  const { on_store_failure, enforcement, unbounded, slice_tokens, thresholds } = declared
  const rules = { on_store_failure, enforcement, unbounded, slice_tokens, thresholds }
  const counting = { kind, window, days, each, tool, tag }
  const place = { time_zone, anchor_day }
  const alike = present.filter((limit) => isCounting(limit, declared))
  const there = alike.find((limit) => membersOf(place, limit).length === 0) ?? alike[0]
  if (there === undefined) {
    const wanted = { ...counting, cap: String(cap), ...place, ...rules }
    return changeOf("limit", of, null, membersOf(wanted, null))
  }
  // 5 and "5.00" are the same cap.
  const isSameCap = readCap(kind, cap) === readCap(kind, there.cap)
  const moved = membersOf(place, there)
  const wanted = { cap: isSameCap ? undefined : String(cap), ...rules }
  const members = [...moved, ...membersOf(wanted, there)]
  if (members.length === 0) return []
  const named = membersOf(counting, null).map(({ name, to }) => ({ name, from: to, to }))
  const act = moved.length === 0 ? "change" : "replace"
  return [{ act, what: "limit", of, id: there.id, members: [...named, ...members] }]
}

/** Whether they are the same limit, wherever their windows begin. */
function isCounting(present: PresentLimit, { kind, window, days, each, tool, tag }: DeclaredLimit): boolean {
  return (
    present.kind === kind &&
    present.window === window &&
    present.days === (days ?? null) &&
    present.each === (each ?? "") &&
    present.tool === (tool ?? "") &&
    present.tag === (tag ?? "")
  )
}

function changeOf(
  what: Change["what"],
  of: Change["of"],
  there: { readonly id: string } | null,
  members: readonly Member[],
): Change[] {
  if (there === null) return [{ act: "create", what, of, id: null, members }]
  return members.length === 0 ? [] : [{ act: "change", what, of, id: there.id, members }]
}

/** The members that are declared and differ. */
function membersOf(wanted: Readonly<Record<string, Value | undefined>>, there: object | null): Member[] {
  const present = new Map<string, Value>(Object.entries(there ?? {}))
  return Object.entries(wanted).flatMap(([name, to]) => {
    const from = present.get(name)
    if (to === undefined || String(from) === String(to)) return []
    return [{ name, from: from ?? null, to }]
  })
}

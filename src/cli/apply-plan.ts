/** What has to be done so that an installation has what the configuration declares. Pure: it compares, and orders the acts. */
import { readCap } from "../admin/limit-shape.ts"
import type { DeclaredLimit, DeclaredOrganization } from "../config/schema.ts"

export type PresentLimit = {
  readonly id: string
  readonly kind: DeclaredLimit["kind"]
  readonly window: string
  readonly cap: string
  readonly on_store_failure: string
  readonly enforcement: string
  readonly unbounded: string
  /** '' where it counts all calls together. */
  readonly each: string
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

export type Member = { readonly name: string; readonly from: string | null; readonly to: string }

export type Change = {
  readonly act: "create" | "change"
  readonly what: "organization" | "project" | "limit"
  /** External id of the organization, or of it and the project. */
  readonly of: readonly [string] | readonly [string, string]
  /** Of what is changed; null of what is made. */
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
  const { kind, window, cap, on_store_failure, enforcement, unbounded, each } = declared
  const there = present.find((limit) => limit.kind === kind && limit.window === window && limit.each === (each ?? ""))
  if (there === undefined) {
    const wanted = { kind, window, each, cap: String(cap), on_store_failure, enforcement, unbounded }
    return changeOf("limit", of, null, membersOf(wanted, null))
  }
  // 5 and "5.00" are the same cap.
  const isSameCap = readCap(kind, cap) === readCap(kind, there.cap)
  const wanted = { cap: isSameCap ? undefined : String(cap), on_store_failure, enforcement, unbounded }
  const named = [
    { name: "kind", from: kind, to: kind },
    { name: "window", from: window, to: window },
    ...(each === undefined ? [] : [{ name: "each", from: each, to: each }]),
  ]
  const members = membersOf(wanted, there)
  return changeOf("limit", of, there, members.length === 0 ? [] : [...named, ...members])
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
function membersOf(wanted: Readonly<Record<string, string | undefined>>, there: object | null): Member[] {
  const present = new Map<string, unknown>(Object.entries(there ?? {}))
  return Object.entries(wanted).flatMap(([name, to]) => {
    const from = present.get(name)
    if (to === undefined || from === to) return []
    return [{ name, from: from === undefined ? null : String(from), to }]
  })
}

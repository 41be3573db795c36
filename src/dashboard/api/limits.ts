/** Limits, where budgets stand and how they go on, and what changes them, as the admin API tells and takes it. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query"
import { change, get } from "./client.ts"
import { all, type Page, useChange } from "./lists.ts"

export type LimitKind = "usd" | "tokens" | "requests" | "concurrency" | (string & {})
export type Enforcement = "hard" | "soft" | "shadow"
export type Each = "organization" | "project" | "user" | "key"

export type Limit = {
  readonly id: string
  readonly kind: LimitKind
  readonly window: string
  /** The limit's own; a raise in force stands in `raised_cap`. */
  readonly cap: string
  readonly time_zone: string
  readonly anchor_day: number
  /** Of a rolling window; null elsewhere. */
  readonly days: number | null
  readonly enforcement: Enforcement
  readonly thresholds: readonly number[]
  readonly on_store_failure: string
  readonly raised_cap: string | null
  readonly raised_until: string | null
}
/** Exactly one subject; whom it counts apart, and calls of which tool or tag alone. */
export type LimitScope = {
  readonly organization_id?: string
  readonly project_id?: string
  readonly user_id?: string
  readonly key_id?: string
  readonly provider_account?: string
  readonly each?: Each | ""
  readonly tool?: string
  readonly tag?: string
}
export type ScopedLimit = Limit & {
  /** '' of a provider account's. */
  readonly organization_id: string
  readonly scope: LimitScope
  /** Calls that were refused because of it, in all its windows. */
  readonly refusals: number
  /** Of a shadow limit, calls that it would have refused; null elsewhere. */
  readonly shadow_refusals: number | null
  readonly created_at: string
}
export type NewLimit = {
  readonly kind: string
  readonly window: string
  readonly cap: string | number
  readonly time_zone?: string
  readonly anchor_day?: number
  readonly days?: number
  readonly enforcement?: Enforcement
  readonly thresholds?: readonly number[]
  readonly on_store_failure?: string
}
export type NewScopedLimit = NewLimit & { readonly scope: LimitScope }
export type LimitChange = Partial<Pick<NewLimit, "cap" | "enforcement" | "thresholds" | "on_store_failure">>

/** Where one budget stands, or what one of those that a limit counts apart has used of it. */
export type BudgetStanding = {
  readonly limit_id: string
  readonly scope: string
  readonly subject: string
  readonly subject_name: string | null
  readonly each: Each | null
  readonly counted: string | null
  readonly counted_name: string | null
  readonly tool: string | null
  readonly tag: string | null
  readonly kind: LimitKind
  readonly window: string
  readonly days: number | null
  readonly time_zone: string
  readonly enforcement: Enforcement
  /** In force, that of a raise included. */
  readonly cap: string
  readonly used: string
  /** Null where the cap is nothing. */
  readonly percent: number | null
  readonly resets_at: string | null
  readonly state: "ok" | "warning" | "exceeded" | "too_early"
  readonly projected_end: string | null
  readonly low: string | null
  readonly high: string | null
  readonly exhausted_at: string | null
  readonly days_to_exhaustion: number | null
}
export type Projection = {
  readonly as_of: string
  readonly from: string
  readonly until: string
  readonly time_zone: string
  readonly state: "projected" | "too_early"
  readonly spent: string
  readonly projected: string | null
  readonly low: string | null
  readonly high: string | null
  readonly budgets: readonly BudgetStanding[]
  /** Beyond those that are shown, which are the ones used most. */
  readonly budgets_more: number
}
/** One window of a limit in which anything was used or refused. */
export type LimitWindow = {
  readonly id: string
  readonly counted: string | null
  /** Null of a lifetime, as its end. */
  readonly from: string | null
  readonly until: string | null
  readonly is_current: boolean
  /** In force at its last moment. */
  readonly cap: string
  readonly settled: string
  readonly percent: number | null
  readonly refusals: number
  readonly shadow_refusals: number
}
/** Whose budgets are meant; what is absent does not narrow. */
export type BudgetFilter = Readonly<Partial<Record<"organization" | "project" | "user" | "key", string>>>

/** Figures of an open page are asked for anew; the old ones stay until the new ones are there. */
const EVERY_MS = 60_000
const LISTS = ["limits", "projection", "keys", "limit windows"] as const

export const limitsQuery = queryOptions({
  queryKey: ["limits"],
  queryFn: ({ signal }) => all<ScopedLimit>("/admin/v1/limits", {}, signal),
  staleTime: 10_000,
})

export function projectionQuery(filter: BudgetFilter) {
  return queryOptions({
    queryKey: ["projection", filter],
    queryFn: ({ signal }) => get<Projection>("/admin/v1/usage/projection", filter, signal),
    placeholderData: keepPreviousData,
    staleTime: 20_000,
    refetchInterval: EVERY_MS,
  })
}

/** The newest first; as many as a plot can show. */
export function windowsQuery(id: string, counted: string | null) {
  return queryOptions({
    queryKey: ["limit windows", id, counted],
    queryFn: async ({ signal }) =>
      (await get<Page<LimitWindow>>(`/admin/v1/limits/${id}/windows`, { counted, limit: WINDOWS_SHOWN }, signal)).data,
    staleTime: 20_000,
  })
}
const WINDOWS_SHOWN = 31

export function useCreateLimit() {
  return useChange((wanted: NewScopedLimit) => change<ScopedLimit>("POST", "/admin/v1/limits", wanted), ...LISTS)
}
export function useChangeLimit() {
  return useChange(
    ({ id, wanted }: { id: string; wanted: LimitChange }) =>
      change<ScopedLimit>("PATCH", `/admin/v1/limits/${id}`, wanted),
    ...LISTS,
  )
}
export function useRaiseLimit() {
  return useChange(
    ({ id, cap, until }: { id: string; cap: string | number; until: string }) =>
      change<ScopedLimit>("POST", `/admin/v1/limits/${id}/raises`, { cap, until }),
    ...LISTS,
  )
}
export function useEndRaise() {
  return useChange((id: string) => change<ScopedLimit>("DELETE", `/admin/v1/limits/${id}/raises`), ...LISTS)
}
export function useDeleteLimit() {
  return useChange((id: string) => change<ScopedLimit>("DELETE", `/admin/v1/limits/${id}`), ...LISTS)
}

/** Prices as they are used, models without one, pricing calls again, and months with their statements. */
import { keepPreviousData, queryOptions, useMutation } from "@tanstack/react-query"
import { addressOf, change, get, type Query } from "./client.ts"
import { useChange } from "./lists.ts"
import type { Summary } from "./usage.ts"

export type PriceNow = {
  readonly tier: string
  readonly model: string
  readonly effective_from: string | null
  readonly sheets: readonly {
    readonly price_row: string
    readonly context_over: number
    readonly usd_per_1m_tokens: Readonly<Record<string, string>>
  }[]
  readonly usd_per_unit: Readonly<Record<string, string>>
  readonly usd_per_call: Readonly<Record<string, string>>
  readonly source: string
  readonly checked: string
  readonly origin: "organization" | "installation" | "book"
  readonly terms_apply: boolean
}
export type ModelInUse = {
  readonly provider: string
  readonly model: string
  readonly records: string
  readonly unpriced_records: string
  readonly tokens: string
  readonly cost_usd: string
  /** What a million tokens came to; null where that cannot be said. */
  readonly usd_per_1m_tokens: string | null
  readonly price: PriceNow | null
  readonly reason: string | null
  readonly tiers: readonly string[]
  readonly coming: readonly { readonly at: string; readonly price: PriceNow | null }[]
}
export type ModelsInUse = Pick<Summary, "range" | "totals"> & {
  readonly organization_id: string | null
  readonly data: readonly ModelInUse[]
}

export type UnpricedModel = {
  readonly organization_id: string
  readonly organization: string
  readonly provider: string
  readonly priced_as: string
  readonly model: string
  readonly calls: string
  readonly tokens: string
  readonly first_seen: string
  readonly last_seen: string
  /** `price`: one is to be set. `reprice`: there is one by now. */
  readonly next: "price" | "reprice"
  readonly reason: string | null
}

export type RepriceWanted = {
  readonly from: string
  readonly until: string
  readonly organization_id?: string
  readonly provider?: readonly string[]
  readonly model?: readonly string[]
  readonly dry_run: boolean
}
type RepricedPart = { readonly records: number; readonly first_priced: number; readonly difference_usd: string }
export type Repriced = RepricedPart & {
  readonly end: "finished" | "stopped"
  readonly looked_at: number
  readonly still_unpriced: number
  readonly organizations: readonly (RepricedPart & {
    readonly organization_id: string
    readonly organization: string | null
  })[]
  readonly models: readonly (RepricedPart & {
    readonly provider: string
    readonly model: string
    readonly price_row: string
  })[]
  readonly limits: readonly {
    readonly limit_id: string
    readonly scope: string
    readonly subject: string
    readonly subject_name: string | null
    readonly counted: string | null
    readonly counted_name: string | null
    readonly window_id: string
    readonly cap: string
    readonly records: number
    readonly difference_usd: string
  }[]
}

export type NewPrice = {
  readonly provider: string
  readonly model: string
  readonly rates: Readonly<Record<"standard", Readonly<Record<string, string>>>>
  readonly effective_from?: string
  readonly source?: string
}

export type Period = {
  readonly organization_id: string
  readonly organization: string
  readonly period: string
  readonly time_zone: string
  readonly from: string
  readonly until: string
  readonly state: "running" | "open" | "closed"
  readonly closed_at: string | null
}
type LineSums = {
  readonly records: string
  readonly adjustments: string
  readonly unpriced_records: string
  readonly cost_usd: string
}
export type Statement = Period & {
  readonly totals: LineSums
  readonly own_cost_usd: string
  readonly prior_period_cost_usd: string
  readonly lines: readonly (LineSums & {
    readonly line: "usage" | "prior_period"
    readonly for_period: string
    readonly project_id: string
    readonly project: string
    readonly provider: string
    readonly model: string
  })[]
}

export function modelsQuery(query: Query) {
  return queryOptions({
    queryKey: ["prices", "models", query],
    queryFn: ({ signal }) => get<ModelsInUse>("/admin/v1/prices/models", query, signal),
    placeholderData: keepPreviousData,
  })
}

export function unpricedQuery(organization: string | undefined) {
  const query = { organization_id: organization }
  return queryOptions({
    queryKey: ["prices", "unpriced", query],
    queryFn: ({ signal }) =>
      get<{ readonly data: readonly UnpricedModel[] }>("/admin/v1/prices/unpriced", query, signal).then(
        ({ data }) => data,
      ),
  })
}

/** What pricing calls again would change; nothing is booked. */
export function repriceQuery(wanted: Omit<RepriceWanted, "dry_run">) {
  return queryOptions({
    queryKey: ["prices", "reprice", wanted],
    queryFn: () => change<Repriced>("POST", "/admin/v1/prices/reprice", { ...wanted, dry_run: true }),
    staleTime: 0,
    gcTime: 0,
  })
}

export function useReprice() {
  return useChange(
    (wanted: Omit<RepriceWanted, "dry_run">) =>
      change<Repriced>("POST", "/admin/v1/prices/reprice", { ...wanted, dry_run: false }),
    ...["prices", "usage", "limits", "periods"],
  )
}

/** The new price is in force everywhere within a second: lists are read anew by whoever goes on from it. */
export function useSetPrice() {
  return useMutation({ mutationFn: (price: NewPrice) => change("POST", "/admin/v1/prices", price) })
}

export function periodsQuery(organization: string | undefined) {
  const query = { organization_id: organization }
  return queryOptions({
    queryKey: ["periods", query],
    queryFn: ({ signal }) =>
      get<{ readonly data: readonly Period[] }>("/admin/v1/periods", query, signal).then(({ data }) => data),
  })
}

export function statementQuery(period: string, organization: string | undefined) {
  const query = { organization_id: organization }
  return queryOptions({
    queryKey: ["periods", "statement", period, query],
    queryFn: ({ signal }) => get<Statement>(`/admin/v1/periods/${period}`, query, signal),
  })
}

export function useClosePeriod() {
  return useChange(
    ({ period, organization, force }: { period: string; organization: string | undefined; force: boolean }) =>
      change<Statement>("POST", `/admin/v1/periods/${period}/close`, {
        ...(organization === undefined ? {} : { organization_id: organization }),
        force,
      }),
    "periods",
  )
}

/** The address of a statement as a file. */
export function statementFile(period: string, organization: string | undefined): string {
  return addressOf(`/admin/v1/periods/${period}`, { organization_id: organization, format: "csv" })
}

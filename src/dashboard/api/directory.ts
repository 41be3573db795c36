/** Organizations, projects, users, keys and limits: who there is and what each may do, as the admin API tells and takes it. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query"
import { change, get, type Query } from "./client.ts"

export type Organization = {
  readonly id: string
  readonly name: string
  readonly time_zone: string
  readonly disabled_at: string | null
}
export type Project = {
  readonly id: string
  readonly organization_id: string
  readonly name: string
  readonly client: string
  readonly cost_center: string
  readonly disabled_at: string | null
  readonly created_at: string
}
export type User = {
  readonly id: string
  readonly organization_id: string
  readonly kind: "person" | "service_account"
  readonly name: string
  readonly email: string | null
  readonly project_ids: readonly string[]
  readonly disabled_at: string | null
  readonly created_at: string
}
type LimitKind = "usd" | "tokens" | "requests" | "concurrency" | (string & {})
export type Limit = {
  readonly id: string
  readonly kind: LimitKind
  readonly window: string
  readonly cap: string
  readonly time_zone: string
  readonly anchor_day: number
}
export type ScopedLimit = Limit & {
  readonly organization_id: string
  readonly scope: Readonly<Record<string, string>>
  readonly settled?: string
  readonly held?: string
  readonly resets_at?: string | null
}
export type VirtualKey = {
  readonly id: string
  readonly name: string
  readonly organization_id: string
  readonly project_id: string
  readonly user_id: string | null
  readonly tags: readonly string[]
  readonly allowed_models: readonly string[] | null
  readonly max_output_tokens: number | null
  readonly max_cost_usd: string | null
  readonly expires_at: string | null
  readonly revoked_at: string | null
  readonly created_at: string
  readonly last4: string
  readonly rotated_at: string | null
  readonly previous_valid_until: string | null
  readonly limits: readonly Limit[]
}
/** With the secret, which is shown this once. */
export type CreatedKey = VirtualKey & { readonly key: string }
export type NewLimit = {
  readonly kind: string
  readonly window: string
  readonly cap: string | number
  readonly time_zone?: string
}
export type NewKey = {
  readonly name: string
  readonly organization_id?: string
  readonly project_id?: string
  readonly user_id?: string
  readonly allowed_models?: readonly string[]
  readonly expires_at?: string
  readonly limits?: readonly NewLimit[]
}

type Page<Row> = { readonly data: readonly Row[]; readonly next: string | null }
const PAGE_MAX = 1_000
/** An installation with more of a kind than this is searched by name instead; lists say that they end here. */
const ROWS_MAX = 10_000

/** Every row of a paged list. */
async function all<Row>(path: string, query: Query, signal: AbortSignal): Promise<readonly Row[]> {
  const rows: Row[] = []
  let after: string | null = null
  do {
    const page: Page<Row> = await get<Page<Row>>(path, { ...query, limit: PAGE_MAX, after }, signal)
    rows.push(...page.data)
    after = page.next
  } while (after !== null && rows.length < ROWS_MAX)
  return rows
}

export const organizationsQuery = queryOptions({
  queryKey: ["organizations"],
  queryFn: ({ signal }) => all<Organization>("/admin/v1/organizations", {}, signal),
  staleTime: 60_000,
})

function listQuery<Row>(name: string, path: string) {
  return (organization: string | undefined) =>
    queryOptions({
      queryKey: [name, organization],
      queryFn: ({ signal }) => all<Row>(path, { organization_id: organization }, signal),
      staleTime: 10_000,
    })
}
export const projectsQuery = listQuery<Project>("projects", "/admin/v1/projects")
export const usersQuery = listQuery<User>("users", "/admin/v1/users")
export const serviceAccountsQuery = listQuery<User>("service accounts", "/admin/v1/service-accounts")
export const keysQuery = listQuery<VirtualKey>("keys", "/admin/v1/keys")

export const limitsQuery = queryOptions({
  queryKey: ["limits"],
  queryFn: ({ signal }) => all<ScopedLimit>("/admin/v1/limits", {}, signal),
  staleTime: 10_000,
})

/** The keys of whoever is logged in. */
export const ownKeysQuery = queryOptions({
  queryKey: ["own keys"],
  queryFn: async ({ signal }) => (await get<Page<VirtualKey>>("/v1/keys", {}, signal)).data,
  staleTime: 10_000,
})

/** A change, after which the lists named are read anew. */
function useChange<Input, Answer>(act: (input: Input) => Promise<Answer>, ...lists: readonly string[]) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: act,
    onSuccess: () => Promise.all(lists.map((name) => client.invalidateQueries({ queryKey: [name] }))),
  })
}

/** Where keys are changed: in the admin API, or one's own. */
export type KeyRealm = "admin" | "own"
const KEY_PATHS = { admin: "/admin/v1/keys", own: "/v1/keys" } as const
const KEY_LISTS = ["keys", "own keys", "limits"] as const

export function useCreateKey(realm: KeyRealm) {
  return useChange((wanted: NewKey) => change<CreatedKey>("POST", KEY_PATHS[realm], wanted), ...KEY_LISTS)
}
export function useRotateKey(realm: KeyRealm) {
  return useChange(
    ({ id, overlapSeconds }: { id: string; overlapSeconds: number }) =>
      change<CreatedKey>("POST", `${KEY_PATHS[realm]}/${id}/rotate`, { overlap_seconds: overlapSeconds }),
    ...KEY_LISTS,
  )
}
export function useRevokeKey(realm: KeyRealm) {
  return useChange((id: string) => change<VirtualKey>("POST", `${KEY_PATHS[realm]}/${id}/revoke`), ...KEY_LISTS)
}
export function useCreateProject() {
  return useChange(
    (wanted: { name: string; organization_id?: string; cost_center?: string }) =>
      change<Project>("POST", "/admin/v1/projects", wanted),
    "projects",
  )
}
export function useCreateUser() {
  return useChange(
    (wanted: { name: string; email?: string; organization_id?: string; project_ids?: readonly string[] }) =>
      change<User>("POST", "/admin/v1/users", wanted),
    "users",
  )
}
export function useCreateLimit() {
  return useChange(
    (wanted: NewLimit & { scope: Record<string, string> }) => change<ScopedLimit>("POST", "/admin/v1/limits", wanted),
    "limits",
    "keys",
  )
}
export function useMembership() {
  return useChange(
    ({ projectId, userId, isMember }: { projectId: string; userId: string; isMember: boolean }) =>
      change(isMember ? "PUT" : "DELETE", `/admin/v1/projects/${projectId}/members/${userId}`),
    "users",
  )
}

/** Organizations, projects, users and keys: who there is, as the admin API tells and takes it. */
import { queryOptions } from "@tanstack/react-query"
import { change, get } from "./client.ts"
import type { Limit, NewLimit } from "./limits.ts"
import { all, type Page, useChange } from "./lists.ts"

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
export type Provider = { readonly name: string; readonly accounts: readonly { readonly name: string }[] }
/** With the secret, which is shown this once. */
export type CreatedKey = VirtualKey & { readonly key: string }
export type NewKey = {
  readonly name: string
  readonly organization_id?: string
  readonly project_id?: string
  readonly user_id?: string
  readonly allowed_models?: readonly string[]
  readonly expires_at?: string
  readonly limits?: readonly NewLimit[]
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

/** Providers with their accounts; readable to roles over the whole installation. */
export const providersQuery = queryOptions({
  queryKey: ["providers"],
  queryFn: async ({ signal }) =>
    (await get<{ readonly data: readonly Provider[] }>("/admin/v1/providers", {}, signal)).data,
  staleTime: 60_000,
})

/** The keys of whoever is logged in. */
export const ownKeysQuery = queryOptions({
  queryKey: ["own keys"],
  queryFn: async ({ signal }) => (await get<Page<VirtualKey>>("/v1/keys", {}, signal)).data,
  staleTime: 10_000,
})

/** Where keys are changed: in the admin API, or one's own. */
export type KeyRealm = "admin" | "own"
const KEY_PATHS = { admin: "/admin/v1/keys", own: "/v1/keys" } as const
const KEY_LISTS = ["keys", "own keys", "limits", "projection"] as const

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
export function useMembership() {
  return useChange(
    ({ projectId, userId, isMember }: { projectId: string; userId: string; isMember: boolean }) =>
      change(isMember ? "PUT" : "DELETE", `/admin/v1/projects/${projectId}/members/${userId}`),
    "users",
  )
}

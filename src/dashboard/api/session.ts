/** Who is logged in. A log-in hands a secret over once and gets a cookie for it; nothing of the secret stays in the page. */
import { queryOptions, useQueryClient, useSuspenseQuery } from "@tanstack/react-query"
import { ApiFailure, change, get, keepCsrfToken } from "./client.ts"

export type Session = {
  readonly kind: "admin_key" | "user" | "key" | "environment"
  readonly name: string
  readonly display_name: string
  readonly roles: readonly { readonly role: string; readonly scope: Readonly<Record<string, string>> }[]
  readonly key_id?: string | null
  readonly user_id?: string | null
  readonly organization_id: string | null
  readonly csrf_token: string
  readonly expires_at: string
}

export type LoginMethods = {
  readonly password: boolean
  readonly oidc: { readonly name: string; readonly url: string } | null
}
export type Credential =
  | { readonly admin_key: string }
  | { readonly email: string; readonly password: string }
  | { readonly key: string }

/** The session; null where nobody is logged in. */
export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: async (): Promise<Session | null> => {
    try {
      return kept(await get<Session>("/auth/session"))
    } catch (error) {
      if (error instanceof ApiFailure && error.status === 401) return kept(null)
      throw error
    }
  },
  staleTime: Number.POSITIVE_INFINITY,
  retry: false,
})

export const methodsQuery = queryOptions({
  queryKey: ["login methods"],
  queryFn: ({ signal }) => get<LoginMethods>("/auth/methods", {}, signal),
  staleTime: Number.POSITIVE_INFINITY,
})

export async function logIn(credential: Credential): Promise<Session> {
  const session = await change<Session>("POST", "/auth/login", credential)
  keepCsrfToken(session.csrf_token)
  return session
}

/** Ends the session here and on the server; what was read with it is forgotten. */
export function useLogOut(): () => Promise<void> {
  const client = useQueryClient()
  return async () => {
    try {
      await change("POST", "/auth/logout")
    } catch (error) {
      // A session that has ended already is what was wanted.
      if (!(error instanceof ApiFailure && error.status === 401)) throw error
    }
    client.setQueryData(sessionQuery.queryKey, kept(null))
    // The page has given way to the log-in by then, and nobody looks at what is taken away.
    setTimeout(() => client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== sessionQuery.queryKey[0] }))
  }
}

/** The session, within pages that only someone who is logged in sees. */
export function useSession(): Session {
  const { data } = useSuspenseQuery(sessionQuery)
  if (data === null) throw new Error("A page was shown without a session.")
  return data
}

/** True where the role says that whoever is logged in may change things of this kind somewhere; the server decides. */
export function mayChange(
  { roles }: Pick<Session, "roles">,
  what: "keys" | "projects" | "users" | "limits" | "alerts" | "usage" | "prices" | "periods",
): boolean {
  const changing = {
    keys: ["owner", "admin"],
    projects: ["owner", "admin"],
    users: ["owner", "admin"],
    limits: ["owner", "admin", "billing"],
    alerts: ["owner", "admin", "billing"],
    usage: ["owner", "admin"],
    prices: ["owner", "admin"],
    periods: ["owner", "admin", "billing"],
  }
  return roles.some(({ role }) => changing[what].includes(role))
}

/** A key holder, or a person without any role: sees what is their own. */
export function isOwnOnly({ roles }: Pick<Session, "roles">): boolean {
  return roles.length === 0
}

function kept<S extends Session | null>(session: S): S {
  keepCsrfToken(session?.csrf_token ?? "")
  return session
}

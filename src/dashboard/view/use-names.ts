/** Names of the ids that stand in filters. */
import { useQuery } from "@tanstack/react-query"
import { keysQuery, ownKeysQuery, projectsQuery, serviceAccountsQuery, usersQuery } from "../api/directory.ts"
import type { Realm } from "../api/realm.ts"
import { className, outcomeName } from "./group-names.ts"
import { NONE } from "./none.ts"

/** The name of a value of this dimension, or the value itself. */
export type NameOf = (dimension: string, value: string) => string

export function useNames(realm: Realm, organization: string | undefined): NameOf {
  const isAdmin = realm === "admin"
  const projects = useQuery({ ...projectsQuery(organization), enabled: isAdmin }).data
  const users = useQuery({ ...usersQuery(organization), enabled: isAdmin }).data
  const programs = useQuery({ ...serviceAccountsQuery(organization), enabled: isAdmin }).data
  const keys = useQuery({ ...keysQuery(organization), enabled: isAdmin }).data
  const own = useQuery({ ...ownKeysQuery, enabled: !isAdmin }).data
  const lists: Readonly<Record<string, readonly { readonly id: string; readonly name: string }[]>> = {
    project: projects ?? [],
    user: [...(users ?? []), ...(programs ?? [])],
    key: keys ?? own ?? [],
  }
  return (dimension, value) => {
    if (value === NONE) return "none"
    if (dimension === "outcome") return outcomeName(value)
    if (dimension === "token_class") return className(value)
    return lists[dimension]?.find(({ id }) => id === value)?.name ?? value
  }
}

/** What the subjects of limits are called, from the lists that other pages read as well. */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import { keysQuery, organizationsQuery, projectsQuery, serviceAccountsQuery, usersQuery } from "../../api/directory.ts"
import type { SubjectName } from "./rows.ts"

type Named = { readonly id: string; readonly name: string }

export function useSubjectName(organization: string | undefined): SubjectName {
  const organizations = useQuery(organizationsQuery).data
  const projects = useQuery(projectsQuery(organization)).data
  const users = useQuery(usersQuery(organization)).data
  const programs = useQuery(serviceAccountsQuery(organization)).data
  const keys = useQuery(keysQuery(organization)).data
  return useMemo(() => {
    const lists: readonly (readonly Named[] | undefined)[] = [organizations, projects, users, programs, keys]
    const names = new Map(lists.flatMap((list) => list ?? []).map(({ id, name }) => [id, name]))
    return (id) => names.get(id) ?? id
  }, [organizations, projects, users, programs, keys])
}

/** The project that a key lies in; null where the key is not known here. */
export function useProjectOfKey(organization: string | undefined): (key: string) => string | null {
  const keys = useQuery(keysQuery(organization)).data
  return useMemo(() => {
    const projects = new Map((keys ?? []).map(({ id, project_id }) => [id, project_id]))
    return (key) => projects.get(key) ?? null
  }, [keys])
}

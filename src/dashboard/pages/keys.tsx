/** Keys: who can call models, up to how much, and who still does. */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import { useLocation } from "wouter"
import { keysQuery, projectsQuery, usersQuery, type VirtualKey } from "../api/directory.ts"
import { mayChange, useSession } from "../api/session.ts"
import { fullDay } from "../format/moment.ts"
import { PageHead } from "../frame/page-head.tsx"
import { Button, ButtonLink } from "../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../ui/card.tsx"
import { Missing, Pill } from "../ui/pill.tsx"
import { SearchField } from "../ui/search-field.tsx"
import { type Column, DataTable } from "../ui/table.tsx"
import { useQueryName, useView } from "../view/use-view.ts"
import { KeyForm } from "./key-form.tsx"
import { KeySheet } from "./key-sheet.tsx"
import { limitWords } from "./limit-words.ts"

export function KeysPage({ id }: { id: string | null }) {
  const session = useSession()
  const { view, href } = useView()
  const [, go] = useLocation()
  const [search, setSearch] = useQueryName("q")
  const organization = view.organization ?? undefined
  const keys = useQuery(keysQuery(organization))
  const projects = useQuery(projectsQuery(organization))
  const users = useQuery(usersQuery(organization))
  const columns = useMemo(
    () => keyColumns(namesOf(projects.data ?? []), namesOf(users.data ?? [])),
    [projects.data, users.data],
  )
  const shown = useShown(keys.data, search, view.filters.project)
  const close = () => go(href("/keys", search === "" ? {} : { q: search }))
  const chosen = id === null || id === "new" ? undefined : keys.data?.find((key) => key.id === id)
  const mayMake = mayChange(session, "keys")
  return (
    <>
      <PageHead title="Keys">
        <SearchField label="Search keys" value={search} onChange={setSearch} />
        {mayMake && (
          <ButtonLink look="primary" href={href("/keys/new")}>
            Create key
          </ButtonLink>
        )}
      </PageHead>
      <Card
        title="Keys"
        unit={keys.data === undefined ? undefined : countOf(shown.length, keys.data.length)}
        isBusy={keys.isFetching && !keys.isPending}
      >
        {keys.isPending ? (
          <Skeleton lines={8} />
        ) : keys.isError ? (
          <Failure error={keys.error} what="Keys" retry={() => void keys.refetch()} />
        ) : shown.length === 0 ? (
          <NoKeys hasAny={keys.data.length > 0} search={search} clear={() => setSearch(null)} mayMake={mayMake} />
        ) : (
          <DataTable
            label="Keys"
            columns={columns}
            rows={shown}
            rowId={(key) => key.id}
            href={(key) => href(`/keys/${key.id}`, search === "" ? {} : { q: search })}
            isChosen={(key) => key.id === id}
            sortedAtFirst={{ id: "name", desc: false }}
          />
        )}
      </Card>
      {id === "new" && (
        <KeyForm realm="admin" projects={projects.data ?? []} users={users.data ?? []} onClose={close} />
      )}
      {chosen !== undefined && (
        <KeySheet
          realm="admin"
          virtualKey={chosen}
          projectName={namesOf(projects.data ?? []).get(chosen.project_id) ?? chosen.project_id}
          ownerName={chosen.user_id === null ? null : (namesOf(users.data ?? []).get(chosen.user_id) ?? chosen.user_id)}
          onClose={close}
        />
      )}
    </>
  )
}

function useShown(
  keys: readonly VirtualKey[] | undefined,
  search: string,
  projects: readonly string[] | undefined,
): readonly VirtualKey[] {
  return useMemo(() => {
    const isIn = ({ project_id: id }: VirtualKey) => projects === undefined || projects.includes(id)
    return (keys ?? []).filter((key) => matches(key, search) && isIn(key))
  }, [keys, search, projects])
}

function NoKeys({
  hasAny,
  search,
  clear,
  mayMake,
}: {
  hasAny: boolean
  search: string
  clear: () => void
  mayMake: boolean
}) {
  const { href } = useView()
  if (hasAny) {
    return (
      <Empty action={search !== "" && <Button onClick={clear}>Clear search</Button>}>
        No key {search === "" ? "of these projects" : `has “${search}” in its name, its last characters or a tag`}.
      </Empty>
    )
  }
  return (
    <Empty action={mayMake && <ButtonLink href={href("/keys/new")}>Create the first key</ButtonLink>}>
      A virtual key is what an application calls models with, in place of a provider's key. Each has its own limits, and
      everything called with it is counted here.
    </Empty>
  )
}

export function keyColumns(
  projects: ReadonlyMap<string, string>,
  users: ReadonlyMap<string, string>,
): readonly Column<VirtualKey>[] {
  return [
    {
      id: "name",
      head: "Name",
      cell: (key) => <span className="font-medium">{key.name}</span>,
      sortBy: (key) => key.name,
    },
    {
      id: "secret",
      head: "Secret",
      cell: (key) => <code className="font-mono text-meta text-ink2">tg_…{key.last4}</code>,
      from: "sm",
    },
    {
      id: "project",
      head: "Project",
      cell: (key) => projects.get(key.project_id) ?? key.project_id,
      sortBy: (key) => projects.get(key.project_id) ?? "",
      from: "md",
    },
    {
      id: "owner",
      head: "Owner",
      cell: (key) =>
        key.user_id === null ? <Missing why="Bound to no user" /> : (users.get(key.user_id) ?? key.user_id),
      sortBy: (key) => users.get(key.user_id ?? "") ?? "",
      from: "lg",
    },
    { id: "limits", head: "Limits", cell: (key) => <Limits virtualKey={key} />, from: "sm" },
    {
      id: "expires",
      head: "Expires",
      cell: (key) => (key.expires_at === null ? <Missing why="Does not expire" /> : fullDay(key.expires_at, "UTC")),
      sortBy: (key) => key.expires_at ?? "9",
      from: "lg",
    },
    {
      id: "status",
      head: "Status",
      cell: (key) => <KeyStatus virtualKey={key} />,
      sortBy: (key) => key.revoked_at ?? "",
    },
  ]
}

export function Limits({ virtualKey: { limits } }: { virtualKey: Pick<VirtualKey, "limits"> }) {
  if (limits.length === 0) return <Missing why="No limit of its own; those of its project and organization apply" />
  return limits.map(limitWords).join(", ")
}

export function KeyStatus({ virtualKey: key }: { virtualKey: VirtualKey }) {
  const now = new Date().toISOString()
  if (key.revoked_at !== null) return <Pill tone="bad">Revoked</Pill>
  if (key.expires_at !== null && key.expires_at < now) return <Pill tone="warn">Expired</Pill>
  if (key.previous_valid_until !== null && key.previous_valid_until > now) return <Pill tone="accent">Two secrets</Pill>
  return <Pill>Active</Pill>
}

function namesOf(rows: readonly { readonly id: string; readonly name: string }[]): ReadonlyMap<string, string> {
  return new Map(rows.map(({ id, name }) => [id, name]))
}

function matches(key: VirtualKey, search: string): boolean {
  const text = search.toLowerCase()
  return text === "" || [key.name, key.last4, ...key.tags].some((part) => part.toLowerCase().includes(text))
}

function countOf(shown: number, all: number): string {
  return shown === all ? String(all) : `${shown} of ${all}`
}

/**
 * Projects and users: which team, which person, and what each spent in the period. Spend is what the summary says of each
 * project; a project without any is in the list all the same.
 */
import { useQuery } from "@tanstack/react-query"
import { useMemo } from "react"
import { useLocation } from "wouter"
import { keysQuery, type Project, projectsQuery, type User, usersQuery } from "../api/directory.ts"
import { limitsQuery } from "../api/limits.ts"
import { mayChange, useSession } from "../api/session.ts"
import { type Group, summaryQuery } from "../api/usage.ts"
import { change, count, lengthOf, share, total } from "../format/format.ts"
import { PageHead } from "../frame/page-head.tsx"
import { PeriodControls } from "../frame/period-controls.tsx"
import { ButtonLink } from "../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../ui/card.tsx"
import { Missing, Pill } from "../ui/pill.tsx"
import { type Column, DataTable } from "../ui/table.tsx"
import { useView } from "../view/use-view.ts"
import { filterQuery } from "../view/view.ts"
import { limitWords } from "./limit-words.ts"
import { NewProject, NewUser } from "./project-forms.tsx"
import { ProjectSheet } from "./project-sheet.tsx"

const SPENDERS_MAX = 5_000

export function ProjectsPage({ id }: { id: string | null }) {
  const session = useSession()
  const { view, href } = useView()
  const [, go] = useLocation()
  const organization = view.organization ?? undefined
  const projects = useQuery(projectsQuery(organization))
  const users = useQuery(usersQuery(organization))
  const bySpend = { ...filterQuery({ ...view, filters: {}, truths: {} }), compare: view.compare, top: SPENDERS_MAX }
  const ofProjects = useQuery(summaryQuery("admin", { ...bySpend, group_by: "project" }))
  const ofUsers = useQuery(summaryQuery("admin", { ...bySpend, group_by: "user" }))
  const close = () => go(href("/projects", {}, "range"))
  const chosen = projects.data?.find((project) => project.id === id)
  return (
    <>
      <PageHead title="Projects & users">
        <PeriodControls range={ofProjects.data?.range} previous={ofProjects.data?.previous ?? null} />
      </PageHead>
      <div className="flex flex-col gap-4">
        <Card
          title="Projects"
          unit={projects.data === undefined ? undefined : `${projects.data.length}, spend in USD`}
          isBusy={ofProjects.isFetching && !ofProjects.isPending}
          actions={
            mayChange(session, "projects") && (
              <ButtonLink href={href("/projects/new", {}, "range")}>Create project</ButtonLink>
            )
          }
        >
          {projects.isPending ? (
            <Skeleton lines={6} />
          ) : projects.isError ? (
            <Failure error={projects.error} what="Projects" retry={() => void projects.refetch()} />
          ) : (
            <ProjectTable
              projects={projects.data}
              spent={ofProjects.data?.data}
              totals={ofProjects.data?.totals.cost_usd}
            />
          )}
        </Card>
        <Card
          title="Users"
          unit={users.data === undefined ? undefined : `${users.data.length}, spend in USD`}
          actions={
            mayChange(session, "users") && (
              <ButtonLink href={href("/projects/new-user", {}, "range")}>Add user</ButtonLink>
            )
          }
        >
          {users.isPending ? (
            <Skeleton lines={4} />
          ) : users.isError ? (
            <Failure error={users.error} what="Users" retry={() => void users.refetch()} />
          ) : users.data.length === 0 ? (
            <Empty>
              Users are people, or programs, whose spend is told apart. Add one and make it the owner of keys; or let a
              key name its users with each call.
            </Empty>
          ) : (
            <UserTable users={users.data} projects={projects.data ?? []} spent={ofUsers.data?.data} />
          )}
        </Card>
      </div>
      {id === "new" && <NewProject organization={organization} onClose={close} />}
      {id === "new-user" && <NewUser organization={organization} projects={projects.data ?? []} onClose={close} />}
      {chosen !== undefined && <ProjectSheet project={chosen} users={users.data ?? []} onClose={close} />}
    </>
  )
}

type Spent = readonly Group[] | undefined

function ProjectTable({
  projects,
  spent,
  totals,
}: {
  projects: readonly Project[]
  spent: Spent
  totals: string | undefined
}) {
  const { href } = useView()
  const keys = useQuery(keysQuery(undefined))
  const limits = useQuery(limitsQuery)
  const columns = useMemo((): readonly Column<Project>[] => {
    const of = byName(spent, "project")
    const keysOf = (project: Project) =>
      (keys.data ?? []).filter((key) => key.project_id === project.id && key.revoked_at === null).length
    return [
      {
        id: "name",
        head: "Project",
        cell: (project) => (
          <>
            <span className="font-medium">{project.name}</span>{" "}
            {project.disabled_at !== null && <Pill tone="bad">Disabled</Pill>}
          </>
        ),
        sortBy: ({ name }) => name,
      },
      {
        id: "limits",
        head: "Limits",
        cell: ({ id }) => {
          const own = (limits.data ?? []).filter(({ scope }) => scope.project_id === id)
          return own.length === 0 ? <Missing why="No limit of its own" /> : own.map(limitWords).join(", ")
        },
        from: "md",
      },
      {
        id: "keys",
        head: "Keys",
        isFigure: true,
        cell: (project) => count(keysOf(project)),
        sortBy: keysOf,
        from: "sm",
      },
      ...spendColumns<Project>((project) => of.get(project.id), totals),
    ]
  }, [spent, totals, keys.data, limits.data])
  return (
    <DataTable
      label="Projects"
      columns={columns}
      rows={projects}
      rowId={({ id }) => id}
      href={({ id }) => href(`/projects/${id}`, {}, "range")}
      sortedAtFirst={{ id: "spend", desc: true }}
      {...(totals === undefined ? {} : { foot: { name: "Total of all projects", spend: total(totals) } })}
    />
  )
}

function UserTable({ users, projects, spent }: { users: readonly User[]; projects: readonly Project[]; spent: Spent }) {
  const { href } = useView()
  const columns = useMemo((): readonly Column<User>[] => {
    const of = byName(spent, "user")
    const names = new Map(projects.map(({ id, name }) => [id, name]))
    return [
      {
        id: "name",
        head: "User",
        cell: ({ name }) => <span className="font-medium">{name}</span>,
        sortBy: ({ name }) => name,
      },
      { id: "email", head: "E-mail", cell: ({ email }) => email ?? <Missing why="No address" />, from: "md" },
      {
        id: "projects",
        head: "Projects",
        cell: ({ project_ids: ids }) =>
          ids.map((id) => names.get(id) ?? id).join(", ") || <Missing why="Member of none" />,
        from: "lg",
      },
      ...spendColumns<User>((user) => of.get(user.id), undefined),
    ]
  }, [projects, spent])
  return (
    <DataTable
      label="Users"
      columns={columns}
      rows={users}
      rowId={({ id }) => id}
      href={({ id }) => href("/usage", { user: id, by: "model" }, "range")}
      sortedAtFirst={{ id: "spend", desc: true }}
    />
  )
}

function spendColumns<Row>(spentOf: (row: Row) => Group | undefined, totals: string | undefined): Column<Row>[] {
  const nothing = <Missing why="Nothing was called in this period" />
  return [
    {
      id: "requests",
      head: "Requests",
      isFigure: true,
      cell: (row) => {
        const spent = spentOf(row)
        return spent === undefined ? nothing : count(spent.records)
      },
      sortBy: (row) => lengthOf(spentOf(row)?.records ?? "0"),
      from: "sm",
    },
    {
      id: "spend",
      head: "Spend",
      isFigure: true,
      className: "font-[550]",
      cell: (row) => {
        const spent = spentOf(row)
        return spent === undefined ? nothing : total(spent.cost_usd)
      },
      sortBy: (row) => lengthOf(spentOf(row)?.cost_usd ?? "0"),
    },
    ...(totals === undefined
      ? []
      : [
          {
            id: "share",
            head: "Share",
            isFigure: true,
            cell: (row: Row) => share(spentOf(row)?.cost_usd ?? "0", totals),
            from: "lg" as const,
          },
        ]),
    {
      id: "change",
      head: "vs before",
      isFigure: true,
      cell: (row) => {
        const spent = spentOf(row)
        return spent?.previous === undefined ? nothing : change(spent.cost_usd, spent.previous.cost_usd)
      },
    },
  ]
}

function byName(spent: Spent, name: string): ReadonlyMap<string, Group> {
  return new Map((spent ?? []).map((group) => [String(group[name]), group]))
}

/** One project: its limits and members, and the way to its usage and keys. */
import { useQuery } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import { type Project, type User, useMembership } from "../api/directory.ts"
import { limitsQuery, useCreateLimit } from "../api/limits.ts"
import { mayChange, useSession } from "../api/session.ts"
import { Button, ButtonLink, TextButton } from "../ui/button.tsx"
import { Failure, Skeleton } from "../ui/card.tsx"
import { INPUT, SelectField, TextField } from "../ui/field.tsx"
import { Sheet } from "../ui/sheet.tsx"
import { useToast } from "../ui/toasts.tsx"
import { useView } from "../view/use-view.ts"
import { BUDGET_WINDOWS, limitWords, readBudget } from "./limit-words.ts"

export function ProjectSheet({
  project,
  users,
  onClose,
}: {
  project: Project
  users: readonly User[]
  onClose: () => void
}) {
  const { href } = useView()
  return (
    <Sheet
      title={project.name}
      subtitle={project.cost_center === "" ? "Project" : `Cost centre ${project.cost_center}`}
      onClose={onClose}
    >
      <div className="flex flex-wrap gap-2">
        <ButtonLink href={href("/usage", { project: project.id, by: "key" }, "range")}>See its usage</ButtonLink>
        <ButtonLink href={href("/keys", { project: project.id }, "range")}>See its keys</ButtonLink>
      </div>
      <ProjectLimits project={project} />
      <Members project={project} users={users} />
    </Sheet>
  )
}

function ProjectLimits({ project }: { project: Project }) {
  const session = useSession()
  const limits = useQuery(limitsQuery)
  const own = (limits.data ?? []).filter(({ scope }) => scope.project_id === project.id)
  return (
    <section className="mt-6">
      <h3 className="mb-2 text-body font-semibold">Limits that all its keys share</h3>
      {limits.isPending ? (
        <Skeleton lines={2} />
      ) : limits.isError ? (
        <Failure error={limits.error} what="Limits" retry={() => void limits.refetch()} />
      ) : own.length === 0 ? (
        <p className="text-table text-ink2">None. Its keys spend what their own limits and the organization's allow.</p>
      ) : (
        <ul className="divide-y divide-line text-table">
          {own.map((limit) => (
            <li key={limit.id} className="py-2">
              {limitWords(limit)}
              <span className="text-ink3">
                {limit.window === "month" || limit.window === "day" ? `, ${limit.time_zone}` : ""}
              </span>
            </li>
          ))}
        </ul>
      )}
      {mayChange(session, "limits") && <NewBudget project={project} />}
    </section>
  )
}

function NewBudget({ project }: { project: Project }) {
  const create = useCreateLimit()
  const toast = useToast()
  const [fault, setFault] = useState<string | null>(null)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const element = event.currentTarget
    const form = new FormData(element)
    const budget = readBudget(String(form.get("cap")))
    if ("error" in budget) return setFault(budget.error)
    setFault(null)
    create.mutate(
      { kind: "usd", window: String(form.get("window")), cap: budget.cap, scope: { project_id: project.id } },
      {
        onSuccess: () => {
          toast("Budget set")
          element.reset()
        },
        onError: (error) => setFault(error.message),
      },
    )
  }
  return (
    <form
      onSubmit={submit}
      noValidate
      className="mt-3 grid grid-cols-[minmax(0,1fr)_110px_auto] items-end gap-2 max-sm:grid-cols-1"
    >
      <TextField label="Budget" name="cap" inputMode="decimal" placeholder="500.00" error={fault} />
      <SelectField label="for" name="window" defaultValue="month">
        {Object.entries(BUDGET_WINDOWS).map(([window, words]) => (
          <option key={window} value={window}>
            {words}
          </option>
        ))}
      </SelectField>
      <Button type="submit" disabled={create.isPending}>
        Set budget
      </Button>
    </form>
  )
}

function Members({ project, users }: { project: Project; users: readonly User[] }) {
  const session = useSession()
  const membership = useMembership()
  const mayAct = mayChange(session, "projects")
  const members = users.filter(({ project_ids: ids }) => ids.includes(project.id))
  const others = users.filter(
    (user) =>
      !user.project_ids.includes(project.id) &&
      user.organization_id === project.organization_id &&
      user.disabled_at === null,
  )
  return (
    <section className="mt-6">
      <h3 className="mb-2 text-body font-semibold">Members</h3>
      {members.length === 0 && (
        <p className="text-table text-ink2">
          None. Members may make keys for themselves, as far as the project lets them.
        </p>
      )}
      <ul className="divide-y divide-line text-table">
        {members.map((user) => (
          <li key={user.id} className="flex items-center gap-3 py-2">
            <span className="mr-auto min-w-0">
              {user.name} <span className="text-ink3">{user.email}</span>
            </span>
            {mayAct && (
              <TextButton
                aria-label={`Remove ${user.name}`}
                onClick={() => membership.mutate({ projectId: project.id, userId: user.id, isMember: false })}
              >
                Remove
              </TextButton>
            )}
          </li>
        ))}
      </ul>
      {mayAct && others.length > 0 && (
        <select
          aria-label="Add a member"
          value=""
          onChange={(event) => membership.mutate({ projectId: project.id, userId: event.target.value, isMember: true })}
          className={`${INPUT} mt-3`}
        >
          <option value="">Add a member …</option>
          {others.map((user) => (
            <option key={user.id} value={user.id}>
              {user.name}
            </option>
          ))}
        </select>
      )}
      {membership.error !== null && (
        <p role="alert" className="mt-2 text-table text-bad">
          {membership.error.message}
        </p>
      )}
    </section>
  )
}

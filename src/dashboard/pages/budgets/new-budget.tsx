/** Makes a budget or another limit: whose, of what, how much in which window, what happens at its cap; then says it in words. */
import { useQuery } from "@tanstack/react-query"
import { type FormEvent, useMemo, useState } from "react"
import { ApiFailure } from "../../api/client.ts"
import { keysQuery, organizationsQuery, projectsQuery, providersQuery, usersQuery } from "../../api/directory.ts"
import { useCreateLimit } from "../../api/limits.ts"
import { useSession } from "../../api/session.ts"
import { Skeleton } from "../../ui/card.tsx"
import { FormSheet } from "../../ui/form-sheet.tsx"
import { Sheet } from "../../ui/sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { useView } from "../../view/use-view.ts"
import { type Draft, describedBy, type Faults, newDraft, readDraft } from "./draft.ts"
import { AtCapFields, InWords } from "./limit-fields.tsx"
import { SubjectFields, type Subjects } from "./subject-fields.tsx"
import { AmountFields } from "./window-fields.tsx"
import { type SubjectMember, sentenceOf } from "./words.ts"

export function NewBudget({ onClose }: { onClose: () => void }) {
  const { view } = useView()
  const organizations = useQuery(organizationsQuery).data
  const subjects = useSubjects(view.organization ?? undefined)
  // The zone of the organization, and the choice that other pages have made, stand in the form from the start.
  if (organizations === undefined || subjects === null) {
    return (
      <Sheet title="Create budget" onClose={onClose} isWide>
        <Skeleton lines={8} className="h-8" />
      </Sheet>
    )
  }
  const organization = organizations.find(({ id }) => id === view.organization) ?? organizations[0]
  const project = view.filters.project?.[0]
  const chosen = {
    ...(organization === undefined ? {} : { organization_id: organization.id }),
    ...(project === undefined ? {} : { project_id: project }),
  }
  const first = organization === undefined && project === undefined ? subjects.project_id[0]?.id : undefined
  const start = newDraft(organization?.time_zone ?? "UTC", first === undefined ? chosen : { project_id: first })
  return <BudgetForm start={start} subjects={subjects} onClose={onClose} />
}

function BudgetForm({ start, subjects, onClose }: { start: Draft; subjects: Subjects; onClose: () => void }) {
  const create = useCreateLimit()
  const toast = useToast()
  const [draft, setDraft] = useState(start)
  const [faults, setFaults] = useState<Faults>({})
  const change = (changed: Partial<Draft>) => setDraft((known) => ({ ...known, ...changed }))
  const name = subjects[draft.on].find(({ id }) => id === draft.subjects[draft.on])?.name ?? ""
  const described = describedBy(draft, name)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const read = readDraft(draft)
    if ("faults" in read) return setFaults(read.faults)
    setFaults({})
    create.mutate(read.wanted, {
      onSuccess: () => {
        toast("Budget created")
        onClose()
      },
      onError: (error) => setFaults(faultsOf(error)),
    })
  }
  return (
    <FormSheet
      id="new-budget"
      title="Create budget"
      subtitle="It applies to the next call."
      onClose={onClose}
      isWide
      button={create.isPending ? "Creating budget …" : "Create budget"}
      isPending={create.isPending}
      fault={faults.form}
      submit={submit}
    >
      <SubjectFields draft={draft} subjects={subjects} faults={faults} onChange={change} />
      <AmountFields draft={draft} faults={faults} onChange={change} />
      <AtCapFields draft={draft} faults={faults} hasThresholds={draft.kind !== "concurrency"} onChange={change} />
      <InWords
        sentence={described === null ? null : sentenceOf(described)}
        otherwise="What it will do stands here once it has an amount."
      />
    </FormSheet>
  )
}

/** What limits can be on, by kind; null until all of it is known. */
function useSubjects(organization: string | undefined): Subjects | null {
  const session = useSession()
  const isWhole = session.roles.some(({ scope }) => Object.keys(scope).length === 0)
  const organizations = useQuery(organizationsQuery).data
  const projects = useQuery(projectsQuery(organization)).data
  const users = useQuery(usersQuery(organization)).data
  const keys = useQuery(keysQuery(organization)).data
  const providers = useQuery({ ...providersQuery, enabled: isWhole }).data
  return useMemo(() => {
    if (organizations === undefined || projects === undefined || users === undefined || keys === undefined) return null
    const accounts = (providers ?? []).flatMap(({ name, accounts: own }) =>
      own.map((account) => ({ id: `${name}/${account.name}`, name: `${name}/${account.name}` })),
    )
    return {
      organization_id: organizations,
      project_id: projects.filter(isOpen),
      user_id: users.filter(isOpen),
      key_id: keys.filter(({ revoked_at: revokedAt }) => revokedAt === null),
      provider_account: accounts,
    } satisfies Record<SubjectMember, unknown>
  }, [organizations, projects, users, keys, providers])
}

function isOpen({ disabled_at: disabledAt }: { readonly disabled_at: string | null }): boolean {
  return disabledAt === null
}

/** What the server found wrong, beside the field it is about. */
function faultsOf(error: Error): Faults {
  const param = error instanceof ApiFailure ? error.param : null
  if (param === "cap") return { cap: error.message }
  if (param === "days") return { days: error.message }
  if (param === "anchor_day") return { anchorDay: error.message }
  if (param === "time_zone") return { timeZone: error.message }
  if (param === "scope.tool" || param === "scope.tag") return { narrowedTo: error.message }
  return { form: error.message }
}

/** Forms that make a project or add a user. */
import { type FormEvent, useState } from "react"
import { type Project, useCreateProject, useCreateUser } from "../api/directory.ts"
import { SelectField, TextField } from "../ui/field.tsx"
import { FormSheet } from "../ui/form-sheet.tsx"
import { useToast } from "../ui/toasts.tsx"

export function NewProject({ organization, onClose }: { organization: string | undefined; onClose: () => void }) {
  const create = useCreateProject()
  const toast = useToast()
  const [fault, setFault] = useState<string | null>(null)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const name = String(form.get("name")).trim()
    if (name === "") return setFault("Give the project a name")
    const costCenter = String(form.get("cost_center")).trim()
    create.mutate(
      {
        name,
        ...(organization ? { organization_id: organization } : {}),
        ...(costCenter ? { cost_center: costCenter } : {}),
      },
      {
        onSuccess: () => {
          toast("Project created")
          onClose()
        },
        onError: (error) => setFault(error.message),
      },
    )
  }
  return (
    <FormSheet
      id="new-project"
      title="Create project"
      button="Create project"
      isPending={create.isPending}
      submit={submit}
      onClose={onClose}
    >
      <TextField
        label="Name"
        name="name"
        autoFocus
        error={fault}
        hint="A team, a product, or whatever spend is told apart by"
      />
      <TextField label="Cost centre" name="cost_center" isOptional hint="Stands in exports" />
    </FormSheet>
  )
}

export function NewUser({
  organization,
  projects,
  onClose,
}: {
  organization: string | undefined
  projects: readonly Project[]
  onClose: () => void
}) {
  const create = useCreateUser()
  const toast = useToast()
  const [fault, setFault] = useState<string | null>(null)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const text = (name: string) => String(form.get(name)).trim()
    if (text("name") === "") return setFault("Give the user a name")
    create.mutate(
      {
        name: text("name"),
        ...(text("email") ? { email: text("email") } : {}),
        ...(text("project_id") ? { project_ids: [text("project_id")] } : {}),
        ...(organization ? { organization_id: organization } : {}),
      },
      {
        onSuccess: () => {
          toast("User added")
          onClose()
        },
        onError: (error) => setFault(error.message),
      },
    )
  }
  return (
    <FormSheet
      id="new-user"
      title="Add user"
      button="Add user"
      isPending={create.isPending}
      submit={submit}
      onClose={onClose}
    >
      <TextField label="Name" name="name" autoFocus error={fault} />
      <TextField label="E-mail" name="email" type="email" isOptional />
      <SelectField label="Project" name="project_id" isOptional>
        <option value="">None</option>
        {projects.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </SelectField>
    </FormSheet>
  )
}

/** Makes a key: name, where it belongs, how much it may; then shows its secret, once, with lines that use it. */
import { type FormEvent, useState } from "react"
import { ApiFailure } from "../api/client.ts"
import { type CreatedKey, type KeyRealm, type NewKey, type Project, type User, useCreateKey } from "../api/directory.ts"
import { Button } from "../ui/button.tsx"
import { SelectField, TextField } from "../ui/field.tsx"
import { Sheet } from "../ui/sheet.tsx"
import { KeyReveal } from "./key-reveal.tsx"
import { BUDGET_WINDOWS, limitsOf } from "./limit-words.ts"

type Faults = Readonly<Partial<Record<"name" | "budget" | "rate" | "models" | "form", string>>>

type KeyFormProps = {
  realm: KeyRealm
  projects: readonly Project[]
  users: readonly User[]
  onClose: () => void
}

export function KeyForm({ realm, projects, users, onClose }: KeyFormProps) {
  const create = useCreateKey(realm)
  const [made, setMade] = useState<CreatedKey | null>(null)
  const [faults, setFaults] = useState<Faults>({})
  if (made !== null) return <KeyReveal created={made} title="Key created" onClose={onClose} />
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const wanted = keyIn(new FormData(event.currentTarget), projects)
    if ("faults" in wanted) return setFaults(wanted.faults)
    setFaults({})
    create.mutate(wanted.key, { onSuccess: setMade, onError: (error) => setFaults(faultsOf(error)) })
  }
  return (
    <Sheet
      title="Create key"
      subtitle="It works at once. Its secret is shown once, on the next page."
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" form="new-key" disabled={create.isPending}>
            {create.isPending ? "Creating key …" : "Create key"}
          </Button>
        </>
      }
    >
      <form id="new-key" onSubmit={submit} className="flex flex-col gap-5" noValidate>
        {faults.form !== undefined && (
          <p role="alert" className="rounded-control bg-badsoft px-3 py-2 text-table text-bad">
            {faults.form}
          </p>
        )}
        <TextField
          label="Name"
          name="name"
          autoFocus
          required
          error={faults.name}
          hint="Where it is used, such as checkout-prod"
        />
        <Belonging realm={realm} projects={projects} users={users} />
        {realm === "admin" && <LimitFields faults={faults} />}
        <TextField
          label="Models"
          name="models"
          isOptional
          error={faults.models}
          placeholder="gpt-*, claude-sonnet-*"
          hint="Names, or patterns with *, separated by commas; empty: every model that is routed"
        />
        <TextField label="Expires on" name="expires" type="date" isOptional hint="At the end of that day, UTC" />
      </form>
    </Sheet>
  )
}

function LimitFields({ faults }: { faults: Faults }) {
  return (
    <>
      <div className="grid grid-cols-[minmax(0,1fr)_120px] items-start gap-3">
        <TextField
          label="Budget"
          name="budget"
          inputMode="decimal"
          isOptional
          error={faults.budget}
          placeholder="200.00"
          hint="US dollars; a call that could go over it is refused"
        />
        <SelectField label="for" name="budget_window" defaultValue="month">
          {Object.entries(BUDGET_WINDOWS).map(([window, words]) => (
            <option key={window} value={window}>
              {words}
            </option>
          ))}
        </SelectField>
      </div>
      <TextField
        label="Requests a minute"
        name="rate"
        inputMode="numeric"
        isOptional
        error={faults.rate}
        placeholder="600"
      />
    </>
  )
}

function Belonging({ realm, projects, users }: Omit<KeyFormProps, "onClose">) {
  const open = projects.filter(({ disabled_at }) => disabled_at === null)
  return (
    <>
      {open.length > 0 && (
        <SelectField label="Project" name="project_id" defaultValue={open.find(({ name }) => name === "default")?.id}>
          {open.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </SelectField>
      )}
      {realm === "admin" && users.length > 0 && (
        <SelectField label="Owner" name="user_id" isOptional hint="What the key spends counts against this user too">
          <option value="">Nobody</option>
          {users
            .filter(({ disabled_at }) => disabled_at === null)
            .map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
        </SelectField>
      )}
    </>
  )
}

function keyIn(form: FormData, projects: readonly Project[]): { key: NewKey } | { faults: Faults } {
  const text = (name: string) => String(form.get(name) ?? "").trim()
  if (text("name") === "") return { faults: { name: "Give the key a name, by which it is found again" } }
  const limits = limitsOf({
    budget: text("budget"),
    budgetWindow: text("budget_window"),
    rate: text("rate"),
    timeZone: null,
  })
  if ("error" in limits) return { faults: { [limits.field]: limits.error } }
  const models = text("models")
    .split(",")
    .map((model) => model.trim())
    .filter((model) => model !== "")
  const project = projects.find(({ id }) => id === text("project_id"))
  return {
    key: {
      name: text("name"),
      ...(project === undefined ? {} : { project_id: project.id }),
      ...(text("user_id") === "" ? {} : { user_id: text("user_id") }),
      ...(models.length === 0 ? {} : { allowed_models: models }),
      ...(text("expires") === "" ? {} : { expires_at: `${text("expires")}T23:59:59Z` }),
      ...(limits.length === 0 ? {} : { limits }),
    },
  }
}

/** What the server found wrong, beside the field it is about. */
function faultsOf(error: Error): Faults {
  const param = error instanceof ApiFailure ? error.param : null
  if (param === "name") return { name: error.message }
  if (param?.startsWith("allowed_models")) return { models: error.message }
  return { form: error.message }
}

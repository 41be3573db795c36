/** Chooses what to filter by: a field, then any of its values that there were in this range, the dearest first. */
import { useQuery } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import type { Realm } from "../api/realm.ts"
import { summaryQuery } from "../api/usage.ts"
import { count, total } from "../format/format.ts"
import { Button } from "../ui/button.tsx"
import { Failure, Skeleton } from "../ui/card.tsx"
import { SelectField, TextField } from "../ui/field.tsx"
import { Sheet } from "../ui/sheet.tsx"
import { groupName } from "../view/group-names.ts"
import { NONE } from "../view/none.ts"
import { useView } from "../view/use-view.ts"
import {
  FILTER_NAMES,
  FILTERS,
  type FilterName,
  filterQuery,
  type GroupName,
  TRUTH_NAMES,
  TRUTHS,
  type TruthName,
} from "../view/view.ts"

const VALUES_MAX = 200

/** What only single records know is typed, since no sum tells it apart. */
const TYPED: ReadonlySet<FilterName> = new Set(["end_customer", "conversation", "tag"])
/** Whom a key holder's own usage has no others of. */
const ADMIN_ONLY: ReadonlySet<FilterName> = new Set(["project", "user"])

export function FilterSheet({
  realm,
  first,
  onClose,
}: {
  realm: Realm
  first: FilterName | null
  onClose: () => void
}) {
  const { view, set } = useView()
  const [field, setField] = useState<FilterName | TruthName>(first ?? (realm === "admin" ? "project" : "model"))
  const fields = FILTER_NAMES.filter((name) => realm === "admin" || !ADMIN_ONLY.has(name))
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const values = form
      .getAll("value")
      .map(String)
      .filter((value) => value.trim() !== "")
    set({ [field]: values.length === 0 ? null : values.join(",") })
    onClose()
  }
  return (
    <Sheet
      title="Filter"
      subtitle="Several values of one field are any of them; several fields must all match."
      onClose={onClose}
      foot={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" form="filter">
            Apply filter
          </Button>
        </>
      }
    >
      <form id="filter" onSubmit={submit} className="flex flex-col gap-5">
        <SelectField
          label="Field"
          value={field}
          onChange={(event) => setField(event.target.value as FilterName | TruthName)}
        >
          {fields.map((name) => (
            <option key={name} value={name}>
              {FILTERS[name]}
            </option>
          ))}
          {TRUTH_NAMES.map((name) => (
            <option key={name} value={name}>
              {TRUTHS[name]}
            </option>
          ))}
        </SelectField>
        <Values
          key={field}
          realm={realm}
          field={field}
          chosen={field in FILTERS ? (view.filters[field as FilterName] ?? []) : []}
        />
      </form>
    </Sheet>
  )
}

function Values({ realm, field, chosen }: { realm: Realm; field: FilterName | TruthName; chosen: readonly string[] }) {
  if (field in TRUTHS) {
    return (
      <fieldset className="flex flex-col gap-1">
        <legend className="mb-1 text-table font-medium">Requests</legend>
        <Value type="radio" value="true" name="Only these" isChosen />
        <Value type="radio" value="false" name="All but these" />
      </fieldset>
    )
  }
  const name = field as FilterName
  if (TYPED.has(name)) {
    return (
      <TextField
        label="Value"
        name="value"
        defaultValue={chosen.join(",")}
        hint="Several with commas between them; ranges of 31 days at most"
      />
    )
  }
  return <KnownValues realm={realm} field={name as FilterName & GroupName} chosen={chosen} />
}

function KnownValues({
  realm,
  field,
  chosen,
}: {
  realm: Realm
  field: FilterName & GroupName
  chosen: readonly string[]
}) {
  const { view } = useView()
  const [search, setSearch] = useState("")
  const filters = { ...view.filters, [field]: [] }
  const { data, error, refetch } = useQuery(
    summaryQuery(realm, { ...filterQuery({ ...view, filters }), group_by: field, top: VALUES_MAX }),
  )
  if (error !== null && data === undefined) return <Failure error={error} what="Values" retry={() => void refetch()} />
  if (data === undefined || data.group_by[0] !== field) return <Skeleton lines={6} />
  const values = data.data.map((group) => ({
    value: String(group[field] ?? "") || NONE,
    name: groupName(group, [field]),
    group,
  }))
  const found = values.filter(({ name }) => name.toLowerCase().includes(search.toLowerCase()))
  const gone = chosen.filter((value) => !values.some((known) => known.value === value))
  return (
    <fieldset>
      <legend className="mb-1 text-table font-medium">Any of</legend>
      {values.length > 8 && (
        <TextField
          label="Search values"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
          className="mb-2"
        />
      )}
      {values.length === 0 && (
        <p className="text-table text-ink2">Nothing was called in this range. Take a longer one.</p>
      )}
      {gone.map((value) => (
        <Value key={value} type="checkbox" value={value} name={value} isChosen />
      ))}
      {values.map(({ value, name, group }) => (
        <Value
          key={value}
          type="checkbox"
          value={value}
          name={name}
          more={`${count(group.records)} requests, ${total(group.cost_usd)}`}
          isChosen={chosen.includes(value)}
          isHidden={!found.some((one) => one.value === value)}
        />
      ))}
    </fieldset>
  )
}

function Value({
  type,
  value,
  name,
  more,
  isChosen = false,
  isHidden = false,
}: {
  type: "checkbox" | "radio"
  value: string
  name: string
  more?: string
  isChosen?: boolean
  isHidden?: boolean
}) {
  return (
    <label
      className={`control flex items-center gap-3 rounded-item px-1 py-1 text-table hover:bg-sunken ${isHidden ? "hidden" : ""}`}
    >
      <input
        type={type}
        name="value"
        value={value}
        defaultChecked={isChosen}
        className="size-4 flex-none accent-(--accent)"
      />
      <span className="min-w-0">{name}</span>
      {more !== undefined && <span className="ml-auto text-right text-meta whitespace-nowrap text-ink3">{more}</span>}
    </label>
  )
}

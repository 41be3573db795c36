/** Whose calls a limit counts: of what, all together or each apart, and calls of one tool or tag alone. */
import type { Each } from "../../api/limits.ts"
import { SelectField, TextField } from "../../ui/field.tsx"
import { type Draft, eachOf, type Faults, mayNarrow } from "./draft.ts"
import type { SubjectMember } from "./words.ts"

/** What limits can be on, by kind. */
export type Subjects = Readonly<Record<SubjectMember, readonly { readonly id: string; readonly name: string }[]>>

const ON: Readonly<Record<SubjectMember, string>> = {
  organization_id: "An organization",
  project_id: "A project",
  user_id: "A user",
  key_id: "A key",
  provider_account: "A provider's account",
}
const EACH: Readonly<Record<Each, string>> = {
  organization: "Each organization apart",
  project: "Each project apart",
  user: "Each user apart",
  key: "Each key apart",
}

export function SubjectFields({
  draft,
  subjects,
  faults,
  onChange,
}: {
  draft: Draft
  subjects: Subjects
  faults: Faults
  onChange: (changed: Partial<Draft>) => void
}) {
  const { on } = draft
  const kinds = (Object.keys(ON) as SubjectMember[]).filter((member) => subjects[member].length > 0)
  const each = eachOf(on)
  return (
    <>
      <div className="grid grid-cols-2 items-start gap-3 max-sm:grid-cols-1">
        <SelectField
          label="Limit on"
          autoFocus
          value={on}
          onChange={(event) => onChange({ on: event.target.value as SubjectMember })}
        >
          {kinds.map((member) => (
            <option key={member} value={member}>
              {ON[member]}
            </option>
          ))}
        </SelectField>
        <SelectField
          label="Which one"
          value={draft.subjects[on] ?? ""}
          error={faults.subject}
          onChange={(event) => onChange({ subjects: { ...draft.subjects, [on]: event.target.value } })}
        >
          <option value="">Choose …</option>
          {subjects[on].map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </SelectField>
      </div>
      {each.length > 0 && <Counts draft={draft} each={each} onChange={onChange} />}
      {mayNarrow(on) && draft.narrowedBy !== "" && (
        <TextField
          label={draft.narrowedBy === "tool" ? "Tool" : "Tag"}
          value={draft.narrowedTo}
          error={faults.narrowedTo}
          onChange={(event) => onChange({ narrowedTo: event.target.value })}
          hint={
            draft.narrowedBy === "tool"
              ? "As calls name it in x-tallygate-tool"
              : "As calls or their keys carry it, such as env:prod"
          }
        />
      )}
    </>
  )
}

/** Whom it counts apart, and whether all of their calls. */
function Counts({
  draft,
  each,
  onChange,
}: {
  draft: Draft
  each: readonly Each[]
  onChange: (changed: Partial<Draft>) => void
}) {
  return (
    <div className="grid grid-cols-2 items-start gap-3 max-sm:grid-cols-1">
      <SelectField
        label="Counts"
        value={each.includes(draft.each as Each) ? draft.each : ""}
        onChange={(event) => onChange({ each: event.target.value as Draft["each"] })}
        hint={draft.each === "" ? undefined : "Each has the whole amount"}
      >
        <option value="">All its calls together</option>
        {each.map((one) => (
          <option key={one} value={one}>
            {EACH[one]}
          </option>
        ))}
      </SelectField>
      {mayNarrow(draft.on) && (
        <SelectField
          label="Of them"
          value={draft.narrowedBy}
          onChange={(event) => onChange({ narrowedBy: event.target.value as Draft["narrowedBy"] })}
        >
          <option value="">All calls</option>
          <option value="tool">Those of one tool</option>
          <option value="tag">Those with one tag</option>
        </SelectField>
      )}
    </div>
  )
}

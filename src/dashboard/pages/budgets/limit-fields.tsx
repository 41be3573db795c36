/** Fields that a new limit and the change of one share: how much, what happens at the cap, and when somebody is told. */
import { SelectField, TextField } from "../../ui/field.tsx"
import type { Draft, Faults } from "./draft.ts"
import { AT_CAP, CAP_SENTENCES } from "./words.ts"

type Shared = Pick<Draft, "enforcement" | "thresholds" | "onStoreFailure">

export function AtCapFields({
  draft,
  faults,
  hasThresholds,
  onChange,
}: {
  draft: Shared
  faults: Faults
  /** Calls at once are not told of. */
  hasThresholds: boolean
  onChange: (changed: Partial<Shared>) => void
}) {
  const choices = Object.entries(AT_CAP) as [Draft["enforcement"], string][]
  return (
    <>
      <fieldset>
        <legend className="mb-1 text-table font-medium">At the cap</legend>
        <div className="flex flex-col gap-1.5">
          {choices.map(([enforcement, name]) => (
            <label key={enforcement} className="control flex items-start gap-2.5 py-1 text-table">
              <input
                type="radio"
                name="enforcement"
                className="mt-0.5 size-4 flex-none accent-(--ink)"
                checked={draft.enforcement === enforcement}
                onChange={() => onChange({ enforcement })}
              />
              <span>
                <span className="font-medium">{name}</span>
                <span className="block text-meta text-ink3">{CAP_SENTENCES[enforcement]}</span>
              </span>
            </label>
          ))}
        </div>
      </fieldset>
      {hasThresholds && (
        <TextField
          label="Told at"
          isOptional
          value={draft.thresholds}
          onChange={(event) => onChange({ thresholds: event.target.value })}
          error={faults.thresholds}
          placeholder="50, 80, 100"
          hint="Percents of the cap; the rules under Alerts say who is told. Empty: nobody"
        />
      )}
      <SelectField
        label="While the store that counts is away"
        value={draft.onStoreFailure}
        onChange={(event) => onChange({ onStoreFailure: event.target.value })}
      >
        <option value="local">Go on within a share of what was left</option>
        <option value="deny">Refuse calls</option>
        <option value="allow">Do not apply the limit</option>
      </SelectField>
    </>
  )
}

/** The limit in words, where a form ends; it speaks up as it changes. */
export function InWords({ sentence, otherwise }: { sentence: string | null; otherwise: string }) {
  return (
    <p role="status" className="rounded-control bg-sunken px-3 py-2.5 text-table">
      {sentence ?? <span className="text-ink2">{otherwise}</span>}
    </p>
  )
}

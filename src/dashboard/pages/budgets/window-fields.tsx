/** How much of what, in which window: by whose days, and where it begins. */
import { SelectField, TextField } from "../../ui/field.tsx"
import { anchorMax, type Draft, type Faults, KINDS, WINDOWS } from "./draft.ts"
import { isOfCalendar, weekdayName } from "./words.ts"

type FieldsProps = { draft: Draft; faults: Faults; onChange: (changed: Partial<Draft>) => void }

export function AmountFields({ draft, faults, onChange }: FieldsProps) {
  const { kind } = draft
  return (
    <>
      <div className="grid grid-cols-3 items-start gap-3 max-sm:grid-cols-2">
        <TextField
          label="At most"
          inputMode={kind === "usd" ? "decimal" : "numeric"}
          value={draft.cap}
          error={faults.cap}
          placeholder={kind === "usd" ? "500.00" : "100000"}
          onChange={(event) => onChange({ cap: event.target.value })}
        />
        <SelectField label="Of" value={kind} onChange={(event) => onChange({ kind: event.target.value })}>
          {Object.entries(KINDS).map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </SelectField>
        {kind !== "concurrency" && (
          <SelectField
            label="In"
            className="max-sm:col-span-2"
            value={draft.window}
            onChange={(event) => onChange({ window: event.target.value })}
          >
            {Object.entries(WINDOWS).map(([value, name]) => (
              <option key={value} value={value}>
                {name}
              </option>
            ))}
          </SelectField>
        )}
      </div>
      {kind !== "concurrency" && <CalendarFields draft={draft} faults={faults} onChange={onChange} />}
    </>
  )
}

function CalendarFields({ draft, faults, onChange }: FieldsProps) {
  const { window } = draft
  if (!isOfCalendar(window)) return null
  return (
    <div className="grid grid-cols-2 items-start gap-3 max-sm:grid-cols-1">
      <SelectField
        label="Days of"
        value={draft.timeZone}
        error={faults.timeZone}
        onChange={(event) => onChange({ timeZone: event.target.value })}
        hint="Where its days begin at midnight"
      >
        {zonesWith(draft.timeZone).map((zone) => (
          <option key={zone} value={zone}>
            {zone}
          </option>
        ))}
      </SelectField>
      {window === "rolling" && (
        <TextField
          label="How many days"
          inputMode="numeric"
          value={draft.days}
          error={faults.days}
          onChange={(event) => onChange({ days: event.target.value })}
          hint="Today among them, 31 at most"
        />
      )}
      {anchorMax(window) > 0 && (
        <SelectField
          label="Begins on"
          value={draft.anchorDay}
          error={faults.anchorDay}
          onChange={(event) => onChange({ anchorDay: event.target.value })}
          hint={window === "week" ? undefined : "On the last day of a month that is shorter"}
        >
          {Array.from({ length: anchorMax(window) }, (_, index) => String(index + 1)).map((day) => (
            <option key={day} value={day}>
              {dayName(window, day)}
            </option>
          ))}
        </SelectField>
      )}
    </div>
  )
}

function dayName(window: string, day: string): string {
  if (window === "week") return weekdayName(Number(day))
  return window === "month" ? `Day ${day}` : `Day ${day} of its first month`
}

function zonesWith(chosen: string): readonly string[] {
  return [...new Set(["UTC", chosen, ...Intl.supportedValuesOf("timeZone")])]
}

/** Fields of a rule: its figures, and who is told. */
import { useQuery } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { alertChannelsQuery } from "../../api/alerts.ts"
import { TextField } from "../../ui/field.tsx"
import type { RuleDraft, RuleFaults } from "./rule-draft.ts"
import { ANOMALY_GROUPS, LIMIT_KINDS, RULE_KINDS } from "./rule-kinds.ts"
import { channelKindName, useOrganizationOf } from "./words.ts"

type FieldsProps = { draft: RuleDraft; faults: RuleFaults; onChange: (changed: Partial<RuleDraft>) => void }

export function ParameterFields({ draft, faults, onChange }: FieldsProps) {
  const known = RULE_KINDS[draft.kind]
  if (known === undefined) return null
  return (
    <>
      {known.hasThresholds === true && (
        <>
          <Ticks legend="Limits of" fault={faults.limitKinds}>
            {Object.entries(LIMIT_KINDS).map(([kind, name]) => (
              <Tick
                key={kind}
                isOn={draft.limitKinds.includes(kind)}
                onChange={(isOn) => onChange({ limitKinds: toggled(draft.limitKinds, kind, isOn) })}
              >
                {name.charAt(0).toUpperCase() + name.slice(1)}
              </Tick>
            ))}
          </Ticks>
          <TextField
            label="Thresholds"
            value={draft.thresholds}
            error={faults.thresholds}
            hint="Percents of the cap that are used, each larger than the one before"
            onChange={(event) => onChange({ thresholds: event.target.value })}
          />
          <TextField
            label="On its way to"
            isOptional
            value={draft.forecastThresholds}
            error={faults.forecastThresholds}
            hint="Percents of the cap that will be used at the window's end, at its pace. Empty: forecasts are not told"
            onChange={(event) => onChange({ forecastThresholds: event.target.value })}
          />
        </>
      )}
      {known.hasGroups === true && (
        <Ticks legend="Compares each" fault={faults.groups}>
          {Object.entries(ANOMALY_GROUPS).map(([group, name]) => (
            <Tick
              key={group}
              isOn={draft.groups.includes(group)}
              onChange={(isOn) => onChange({ groups: toggled(draft.groups, group, isOn) })}
            >
              {name.charAt(0).toUpperCase() + name.slice(1)}
            </Tick>
          ))}
        </Ticks>
      )}
      {known.fields.length > 0 && (
        <div className="grid grid-cols-3 items-start gap-3 max-sm:grid-cols-1">
          {known.fields.map(({ name, label, hint }) => (
            <TextField
              key={name}
              label={label}
              inputMode="numeric"
              value={draft.numbers[name] ?? ""}
              error={faults[name]}
              hint={hint}
              onChange={(event) => onChange({ numbers: { ...draft.numbers, [name]: event.target.value } })}
            />
          ))}
        </div>
      )}
    </>
  )
}

/** Which channels are told; of a rule or of a digest. */
export function ChannelChoice({
  draft,
  fault,
  onChange,
}: {
  draft: Pick<RuleDraft, "scope" | "channelIds">
  fault: string | undefined
  onChange: (changed: Pick<RuleDraft, "channelIds">) => void
}) {
  const { scope, channelIds } = draft
  const organization = useOrganizationOf()(scope)
  // A rule of an organization tells its own channels; one of the installation whichever there are.
  const channels = (useQuery(alertChannelsQuery).data ?? []).filter(
    ({ scope: of }) => organization === null || of.organization_id === organization,
  )
  return (
    <Ticks legend="Tells" fault={fault}>
      <Tick isOn={channelIds === null} onChange={(isOn) => onChange({ channelIds: isOn ? null : [] })}>
        All channels
        <span className="block text-meta text-ink3">
          Those of the organization, or the installation's where it has none
        </span>
      </Tick>
      {channelIds !== null &&
        channels.map(({ id, name, kind }) => (
          <Tick
            key={id}
            isOn={channelIds.includes(id)}
            onChange={(isOn) => onChange({ channelIds: toggled(channelIds, id, isOn) })}
          >
            {name} <span className="text-ink3">{channelKindName(kind)}</span>
          </Tick>
        ))}
      {channelIds !== null && channels.length === 0 && (
        <p className="text-meta text-ink3">There is no channel that this rule could tell. Add one under Channels.</p>
      )}
    </Ticks>
  )
}

function Ticks({ legend, fault, children }: { legend: string; fault: string | undefined; children: ReactNode }) {
  return (
    <fieldset>
      <legend className="mb-1 text-table font-medium">{legend}</legend>
      {fault !== undefined && <p className="mb-1 text-meta text-bad">{fault}</p>}
      <div className="flex flex-col gap-0.5">{children}</div>
    </fieldset>
  )
}

function Tick({ isOn, onChange, children }: { isOn: boolean; onChange: (isOn: boolean) => void; children: ReactNode }) {
  return (
    <label className="control flex items-start gap-2.5 py-1.5 text-table">
      <input
        type="checkbox"
        className="mt-0.5 size-4 flex-none accent-(--ink)"
        checked={isOn}
        onChange={(event) => onChange(event.target.checked)}
      />
      <span>{children}</span>
    </label>
  )
}

function toggled(list: readonly string[], one: string, isOn: boolean): readonly string[] {
  return isOn ? [...list, one] : list.filter((other) => other !== one)
}

/** Makes a digest, or changes when and to whom it goes; ends with it in words. */
import { useQuery } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import {
  alertChannelsQuery,
  DIGEST_PERIODS,
  type Digest,
  type DigestPeriod,
  useChangeDigest,
  useCreateDigest,
} from "../../api/alerts.ts"
import { ApiFailure } from "../../api/client.ts"
import { organizationsQuery } from "../../api/directory.ts"
import { useSession } from "../../api/session.ts"
import { SelectField, TextField } from "../../ui/field.tsx"
import { FormSheet } from "../../ui/form-sheet.tsx"
import { Sheet } from "../../ui/sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { useView } from "../../view/use-view.ts"
import { InWords } from "../budgets/limit-fields.tsx"
import { ChannelChoice } from "./rule-fields.tsx"
import { ScopeField } from "./scope-field.tsx"
import { isOverAll, useScopePhrase, useWhoWords } from "./words.ts"

type Draft = {
  readonly name: string
  readonly scope: Digest["scope"]
  readonly period: DigestPeriod
  /** '' for the period's own. */
  readonly schedule: string
  readonly timeZone: string
  readonly channelIds: readonly string[] | null
}
type Faults = Readonly<Partial<Record<"name" | "schedule" | "timeZone" | "channels" | "form", string>>>

/** When each is sent where nobody says more. */
const SCHEDULES: Readonly<
  Record<DigestPeriod, { readonly cron: string; readonly words: string; readonly about: string }>
> = {
  daily: { cron: "0 8 * * *", words: "every day at 08:00", about: "the day before" },
  weekly: { cron: "0 8 * * 1", words: "every Monday at 08:00", about: "the week before" },
  monthly: { cron: "0 8 1 * *", words: "on day 1 of every month at 08:00", about: "the month before" },
}

/** `digest`: the one that is changed; null makes one. */
export function DigestForm({ digest, onClose }: { digest: Digest | null; onClose: () => void }) {
  const session = useSession()
  const { view } = useView()
  const { data: organizations } = useQuery(organizationsQuery)
  const { isPending } = useQuery(alertChannelsQuery)
  if (organizations === undefined || isPending) {
    return (
      <Sheet title="Digest" onClose={onClose} isWide>
        {null}
      </Sheet>
    )
  }
  const organization = organizations.find(({ id }) => id === view.organization) ?? organizations[0]
  const isOverMany = isOverAll(session) && organizations.length > 1 && view.organization === null
  const start: Draft = {
    name: digest?.name ?? "",
    scope: digest?.scope ?? (isOverMany || organization === undefined ? {} : { organization_id: organization.id }),
    period: digest?.period ?? "weekly",
    schedule: digest === null || digest.schedule === SCHEDULES[digest.period].cron ? "" : digest.schedule,
    timeZone: digest?.time_zone ?? organization?.time_zone ?? "UTC",
    channelIds: digest?.channel_ids ?? null,
  }
  return <DigestEditor digest={digest} start={start} onClose={onClose} />
}

function DigestEditor({ digest, start, onClose }: { digest: Digest | null; start: Draft; onClose: () => void }) {
  const [draft, setDraft] = useState(start)
  const { faults, isSaving, submit } = useSave(digest, draft, onClose)
  const sentence = useSentence(draft)
  const change = (changed: Partial<Draft>) => setDraft((known) => ({ ...known, ...changed }))
  const isNew = digest === null
  return (
    <FormSheet
      id="digest"
      title={isNew ? "Create digest" : `Edit ${digest.name}`}
      onClose={onClose}
      isWide
      button={isNew ? "Create digest" : "Save changes"}
      isPending={isSaving}
      fault={faults.form}
      submit={submit}
    >
      <TextField
        label="Name"
        autoFocus
        value={draft.name}
        error={faults.name}
        placeholder="Weekly for finance"
        onChange={(event) => change({ name: event.target.value })}
      />
      {isNew && (
        <ScopeField
          label="About"
          hasProjects={false}
          scope={draft.scope}
          onChange={(scope) => change({ scope, channelIds: null })}
        />
      )}
      <WhenFields draft={draft} faults={faults} onChange={change} />
      <ChannelChoice draft={draft} fault={faults.channels} onChange={change} />
      <InWords sentence={sentence} otherwise="" />
    </FormSheet>
  )
}

/** For which stretch of time, by whose days, and when. */
function WhenFields({
  draft,
  faults,
  onChange,
}: {
  draft: Draft
  faults: Faults
  onChange: (changed: Partial<Draft>) => void
}) {
  const zones = [...new Set(["UTC", draft.timeZone, ...Intl.supportedValuesOf("timeZone")])]
  return (
    <>
      <div className="grid grid-cols-2 items-start gap-3 max-sm:grid-cols-1">
        <SelectField
          label="Sent"
          value={draft.period}
          onChange={(event) => onChange({ period: event.target.value as DigestPeriod })}
        >
          {Object.entries(DIGEST_PERIODS).map(([period, name]) => (
            <option key={period} value={period}>
              {name}
            </option>
          ))}
        </SelectField>
        <SelectField
          label="Days of"
          value={draft.timeZone}
          error={faults.timeZone}
          onChange={(event) => onChange({ timeZone: event.target.value })}
        >
          {zones.map((zone) => (
            <option key={zone} value={zone}>
              {zone}
            </option>
          ))}
        </SelectField>
      </div>
      <TextField
        label="Schedule"
        isOptional
        value={draft.schedule}
        error={faults.schedule}
        placeholder={SCHEDULES[draft.period].cron}
        hint={`Minute, hour, day, month, weekday as cron has them; empty: ${SCHEDULES[draft.period].words}`}
        onChange={(event) => onChange({ schedule: event.target.value })}
      />
    </>
  )
}

function useSentence({ scope, period, schedule, timeZone, channelIds }: Draft): string {
  const phrase = useScopePhrase()
  const who = useWhoWords()
  const { words, about } = SCHEDULES[period]
  const when = schedule.trim() === "" ? words : `at the times of ${schedule.trim()}`
  const of = scope.organization_id === undefined ? "of all organizations" : phrase(scope)
  return `What ${about} cost, ${of}, goes out ${when} by ${timeZone}: ${who(channelIds, scope)} told, once.`
}

function useSave(digest: Digest | null, draft: Draft, onClose: () => void) {
  const create = useCreateDigest()
  const edit = useChangeDigest()
  const toast = useToast()
  const [faults, setFaults] = useState<Faults>({})
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (draft.name.trim() === "") return setFaults({ name: "Give the digest a name" })
    if (draft.channelIds?.length === 0) return setFaults({ channels: "Choose at least one channel, or all of them" })
    setFaults({})
    const { scope, period, timeZone, channelIds } = draft
    const wanted = {
      ...{ name: draft.name.trim(), period, time_zone: timeZone, channel_ids: channelIds },
      schedule: draft.schedule.trim() || SCHEDULES[period].cron,
    }
    const outcome = (said: string) => ({
      onSuccess: () => {
        toast(said)
        onClose()
      },
      onError: (error: Error) => setFaults(faultsOf(error)),
    })
    if (digest === null) create.mutate({ ...wanted, scope }, outcome("Digest created"))
    else edit.mutate({ id: digest.id, wanted }, outcome("Digest changed"))
  }
  return { faults, isSaving: create.isPending || edit.isPending, submit }
}

/** What the server found wrong, beside the field it is about. */
function faultsOf(error: Error): Faults {
  const param = error instanceof ApiFailure ? error.param : null
  if (param === "name" || param === "schedule") return { [param]: error.message }
  if (param === "time_zone") return { timeZone: error.message }
  return param?.startsWith("channel_ids") === true ? { channels: error.message } : { form: error.message }
}

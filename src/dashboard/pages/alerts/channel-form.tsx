/** Adds a channel, or changes where one goes. The secret that signs a webhook's messages is shown once, as it is made. */
import { useQuery } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import { type AlertChannel, type CreatedChannel, useChangeChannel, useCreateChannel } from "../../api/alerts.ts"
import { ApiFailure } from "../../api/client.ts"
import { organizationsQuery } from "../../api/directory.ts"
import { useSession } from "../../api/session.ts"
import { Button } from "../../ui/button.tsx"
import { Snippet } from "../../ui/copy.tsx"
import { SelectField, TextField } from "../../ui/field.tsx"
import { FormSheet } from "../../ui/form-sheet.tsx"
import { Sheet } from "../../ui/sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { useView } from "../../view/use-view.ts"
import { type ChannelDraft, type ChannelFaults, channelDraft, readChannel } from "./channel-draft.ts"
import { RECIPIENTS } from "./recipients.ts"
import { ScopeField } from "./scope-field.tsx"
import { CHANNEL_KINDS, isOverAll } from "./words.ts"

/** `channel`: the one that is changed; null adds one. */
export function ChannelForm({ channel, onClose }: { channel: AlertChannel | null; onClose: () => void }) {
  const session = useSession()
  const { view } = useView()
  const { data: organizations } = useQuery(organizationsQuery)
  const [made, setMade] = useState<CreatedChannel | null>(null)
  if (made?.signing_secret != null) return <SecretOnce channel={made} secret={made.signing_secret} onClose={onClose} />
  if (organizations === undefined) {
    return (
      <Sheet title="Channel" onClose={onClose}>
        {null}
      </Sheet>
    )
  }
  const first = view.organization ?? organizations[0]?.id
  const scope =
    first === undefined || (isOverAll(session) && organizations.length > 1) ? {} : { organization_id: first }
  const done = (created: CreatedChannel) => (created.signing_secret === null ? onClose() : setMade(created))
  return <ChannelEditor channel={channel} start={channelDraft(channel, scope)} onMade={done} onClose={onClose} />
}

function ChannelEditor({
  channel,
  start,
  onMade,
  onClose,
}: {
  channel: AlertChannel | null
  start: ChannelDraft
  onMade: (created: CreatedChannel) => void
  onClose: () => void
}) {
  const [draft, setDraft] = useState(start)
  const { faults, isSaving, submit } = useSave(channel, draft, onMade, onClose)
  const change = (changed: Partial<ChannelDraft>) => setDraft((known) => ({ ...known, ...changed }))
  const isNew = channel === null
  return (
    <FormSheet
      id="channel"
      title={isNew ? "Add channel" : `Edit ${channel.name}`}
      onClose={onClose}
      button={isNew ? "Add channel" : "Save changes"}
      isPending={isSaving}
      fault={faults.form}
      submit={submit}
    >
      <TextField
        label="Name"
        autoFocus
        value={draft.name}
        error={faults.name}
        placeholder="on-call"
        onChange={(event) => change({ name: event.target.value })}
      />
      {isNew && (
        <>
          <SelectField label="Kind" value={draft.kind} onChange={(event) => change({ kind: event.target.value })}>
            {Object.entries(CHANNEL_KINDS).map(([kind, name]) => (
              <option key={kind} value={kind}>
                {name}
              </option>
            ))}
          </SelectField>
          <ScopeField
            label="Of"
            hasProjects={false}
            scope={draft.scope}
            fault={faults.scope}
            onChange={(scope) => change({ scope })}
          />
        </>
      )}
      {draft.kind === "email" ? (
        <Recipients draft={draft} fault={faults.recipients} onChange={change} />
      ) : (
        <TextField
          label="Address"
          type="url"
          isOptional={!isNew}
          value={draft.url}
          error={faults.url}
          placeholder={isNew ? "https://" : `https://${channel.host}/…`}
          hint={URL_HINTS[draft.kind] ?? "Stored encrypted; only its host is shown again"}
          onChange={(event) => change({ url: event.target.value })}
        />
      )}
    </FormSheet>
  )
}

const URL_HINTS: Readonly<Record<string, string>> = {
  slack: "An incoming webhook of Slack. Stored encrypted; only its host is shown again",
  discord: "A webhook of a Discord channel. Stored encrypted; only its host is shown again",
  teams: "A workflow's address of Teams. Stored encrypted; only its host is shown again",
  webhook: "Messages are posted as JSON and signed. Stored encrypted; only its host is shown again",
}

function Recipients({
  draft,
  fault,
  onChange,
}: {
  draft: ChannelDraft
  fault: string | undefined
  onChange: (changed: Partial<ChannelDraft>) => void
}) {
  return (
    <>
      <TextField
        label="Addresses"
        isOptional
        value={draft.addresses}
        error={fault}
        placeholder="ops@example.com, finance@example.com"
        hint="Separated by commas"
        onChange={(event) => onChange({ addresses: event.target.value })}
      />
      <fieldset>
        <legend className="mb-1 text-table font-medium">And</legend>
        <div className="flex flex-col gap-0.5">
          {Object.entries(RECIPIENTS).map(([recipient, name]) => (
            <label key={recipient} className="control flex items-center gap-2.5 text-table">
              <input
                type="checkbox"
                className="size-4 flex-none accent-(--ink)"
                checked={draft.others.includes(recipient)}
                onChange={(event) =>
                  onChange({
                    others: event.target.checked
                      ? [...draft.others, recipient]
                      : draft.others.filter((one) => one !== recipient),
                  })
                }
              />
              {name}
            </label>
          ))}
        </div>
      </fieldset>
    </>
  )
}

function useSave(
  channel: AlertChannel | null,
  draft: ChannelDraft,
  onMade: (created: CreatedChannel) => void,
  onClose: () => void,
) {
  const create = useCreateChannel()
  const edit = useChangeChannel()
  const toast = useToast()
  const [faults, setFaults] = useState<ChannelFaults>({})
  const onError = (error: Error) => setFaults(faultsOf(error))
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const read = readChannel(draft, channel === null)
    if ("faults" in read) return setFaults(read.faults)
    setFaults({})
    if (channel === null) {
      const onSuccess = (created: CreatedChannel) => {
        toast("Channel added")
        onMade(created)
      }
      return create.mutate(read.wanted, { onSuccess, onError })
    }
    const { name, recipients, url } = read.wanted
    const onSuccess = () => {
      toast("Channel changed")
      onClose()
    }
    edit.mutate({ id: channel.id, wanted: { name, recipients, url } }, { onSuccess, onError })
  }
  return { faults, isSaving: create.isPending || edit.isPending, submit }
}

/** What the server found wrong, beside the field it is about. */
function faultsOf(error: Error): ChannelFaults {
  const param = (error instanceof ApiFailure ? error.param : null)?.split(".")[0] ?? ""
  return ["name", "url", "recipients", "scope"].includes(param) ? { [param]: error.message } : { form: error.message }
}

function SecretOnce({ channel, secret, onClose }: { channel: CreatedChannel; secret: string; onClose: () => void }) {
  return (
    <Sheet
      title="Channel added"
      subtitle={`${channel.name}: this secret is shown once.`}
      isSticky
      onClose={onClose}
      foot={
        <Button look="primary" onClick={onClose}>
          I have the secret
        </Button>
      }
    >
      <p className="mb-3 text-table text-ink2">
        Every message carries a signature of the Standard Webhooks kind, made with this secret. Check it before you
        believe a message.
      </p>
      <Snippet label="Signing secret" text={secret} />
    </Sheet>
  )
}

/** Makes a rule, or changes one; ends with the rule in words and a message as its channels get it. */
import { useQuery } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import { type AlertRule, alertChannelsQuery, useChangeRule, useCreateRule } from "../../api/alerts.ts"
import { ApiFailure } from "../../api/client.ts"
import { organizationsQuery } from "../../api/directory.ts"
import { useSession } from "../../api/session.ts"
import { SelectField, TextField } from "../../ui/field.tsx"
import { FormSheet } from "../../ui/form-sheet.tsx"
import { Sheet } from "../../ui/sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { useView } from "../../view/use-view.ts"
import { InWords } from "../budgets/limit-fields.tsx"
import { MessageOf } from "./message-preview.tsx"
import { parameterDraft, type RuleDraft, type RuleFaults, readRule, ruleDraft } from "./rule-draft.ts"
import { ChannelChoice, ParameterFields } from "./rule-fields.tsx"
import { kindName, RULE_KINDS, ruleSentence } from "./rule-kinds.ts"
import { ScopeField } from "./scope-field.tsx"
import { isOverAll, useScopePhrase, useWhoWords } from "./words.ts"

/** `rule`: the one that is changed; null makes one. */
export function RuleForm({ rule, onClose }: { rule: AlertRule | null; onClose: () => void }) {
  const session = useSession()
  const { view } = useView()
  const { data: organizations } = useQuery(organizationsQuery)
  const { isPending } = useQuery(alertChannelsQuery)
  if (organizations === undefined || isPending) {
    return (
      <Sheet title="Rule" onClose={onClose} isWide>
        {null}
      </Sheet>
    )
  }
  const organization = view.organization ?? organizations[0]?.id
  const isWhole = isOverAll(session) || organization === undefined
  const start = rule ?? {
    ...{ name: "", kind: "threshold", parameters: {}, channel_ids: null },
    scope: isWhole && view.organization === null ? {} : { organization_id: organization },
  }
  return <RuleEditor rule={rule} start={ruleDraft(start)} onClose={onClose} />
}

function RuleEditor({ rule, start, onClose }: { rule: AlertRule | null; start: RuleDraft; onClose: () => void }) {
  const [draft, setDraft] = useState(start)
  const { faults, isSaving, submit } = useSave(rule, draft, onClose)
  const change = (changed: Partial<RuleDraft>) => setDraft((known) => ({ ...known, ...changed }))
  const sentence = useSentence(draft)
  const isNew = rule === null
  return (
    <FormSheet
      id="rule"
      title={isNew ? "Create rule" : `Edit ${rule.name}`}
      subtitle={isNew ? "It is looked at within ten seconds." : kindName(rule.kind)}
      onClose={onClose}
      isWide
      button={isNew ? "Create rule" : "Save changes"}
      isPending={isSaving}
      fault={faults.form}
      submit={submit}
    >
      <TextField
        label="Name"
        autoFocus
        value={draft.name}
        error={faults.name}
        placeholder="Budgets of production"
        onChange={(event) => change({ name: event.target.value })}
      />
      {isNew && <WhatAndWhere draft={draft} faults={faults} onChange={change} />}
      <ParameterFields draft={draft} faults={faults} onChange={change} />
      <ChannelChoice draft={draft} fault={faults.channels} onChange={change} />
      <InWords sentence={sentence} otherwise="The rule stands here in words once its figures are right." />
      <MessageOf channelIds={draft.channelIds} scope={draft.scope} />
    </FormSheet>
  )
}

type FieldsProps = { draft: RuleDraft; faults: RuleFaults; onChange: (changed: Partial<RuleDraft>) => void }

/** What a rule watches and over whom: both stay as they are for its life. */
function WhatAndWhere({ draft, faults, onChange }: FieldsProps) {
  const session = useSession()
  const kinds = Object.entries(RULE_KINDS).filter(([, kind]) => isOverAll(session) || kind.isInstallations !== true)
  const known = RULE_KINDS[draft.kind]
  const choose = (kind: string) => {
    const scope = RULE_KINDS[kind]?.isInstallations === true ? {} : draft.scope
    onChange({ kind, scope, ...parameterDraft(kind, {}) })
  }
  return (
    <>
      <SelectField
        label="Watches"
        value={draft.kind}
        hint={known?.hint}
        onChange={(event) => choose(event.target.value)}
      >
        {kinds.map(([kind, { name }]) => (
          <option key={kind} value={kind}>
            {name}
          </option>
        ))}
      </SelectField>
      {known?.isInstallations !== true && (
        <ScopeField scope={draft.scope} fault={faults.scope} onChange={(scope) => onChange({ scope })} />
      )}
    </>
  )
}

function useSentence(draft: RuleDraft): string | null {
  const phrase = useScopePhrase()
  const who = useWhoWords()
  const read = readRule({ ...draft, name: draft.name || "…" })
  return "faults" in read ? null : ruleSentence(read.wanted, phrase(draft.scope), who(draft.channelIds, draft.scope))
}

function useSave(rule: AlertRule | null, draft: RuleDraft, onClose: () => void) {
  const create = useCreateRule()
  const edit = useChangeRule()
  const toast = useToast()
  const [faults, setFaults] = useState<RuleFaults>({})
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const read = readRule(draft)
    if ("faults" in read) return setFaults(read.faults)
    setFaults({})
    const outcome = (said: string) => ({
      onSuccess: () => {
        toast(said)
        onClose()
      },
      onError: (error: Error) => setFaults(faultsOf(error)),
    })
    if (rule === null) return create.mutate(read.wanted, outcome("Rule created"))
    const { name, parameters, channel_ids } = read.wanted
    edit.mutate({ id: rule.id, wanted: { name, parameters, channel_ids } }, outcome("Rule changed"))
  }
  return { faults, isSaving: create.isPending || edit.isPending, submit }
}

const FIELDS: ReadonlySet<string> = new Set([
  ...["name", "percent", "minutes", "calls_min", "days", "rows", "usd_min", "deviations", "thresholds"],
])

/** What the server found wrong, beside the field it is about. */
function faultsOf(error: Error): RuleFaults {
  const param = error instanceof ApiFailure ? error.param : null
  const field = param?.replace(/^parameters\./, "").split(".")[0]
  const isField = field !== undefined && FIELDS.has(field)
  if (isField) return { [field]: error.message }
  return param?.startsWith("channel_ids") === true ? { channels: error.message } : { form: error.message }
}

/** Changes how much a limit lets through and what it does at its cap. What it counts stays, and so does what was counted. */
import { type FormEvent, useState } from "react"
import { ApiFailure } from "../../api/client.ts"
import { useChangeLimit } from "../../api/limits.ts"
import { TextField } from "../../ui/field.tsx"
import { FormSheet } from "../../ui/form-sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { limitWords } from "../limit-words.ts"
import { type Faults, readCap, readChange, readThresholds } from "./draft.ts"
import { AtCapFields, InWords } from "./limit-fields.tsx"
import type { BudgetRow } from "./rows.ts"
import { sentenceOf } from "./words.ts"

export function ChangeBudget({ row: { limit, name, what }, onClose }: { row: BudgetRow; onClose: () => void }) {
  const change = useChangeLimit()
  const toast = useToast()
  const [draft, setDraft] = useState({
    cap: limit.cap,
    enforcement: limit.enforcement,
    thresholds: limit.thresholds.join(", "),
    onStoreFailure: limit.on_store_failure,
  })
  const [faults, setFaults] = useState<Faults>({})
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const read = readChange(limit.kind, draft)
    if ("faults" in read) return setFaults(read.faults)
    setFaults({})
    change.mutate(
      { id: limit.id, wanted: read.wanted },
      {
        onSuccess: () => {
          toast("Budget changed")
          onClose()
        },
        onError: (error) => {
          const isCap = error instanceof ApiFailure && error.param === "cap"
          setFaults(isCap ? { cap: error.message } : { form: error.message })
        },
      },
    )
  }
  const cap = readCap(limit.kind, draft.cap)
  const thresholds = readThresholds(draft.thresholds)
  const sentence =
    "error" in cap || "error" in thresholds
      ? null
      : sentenceOf({ ...limit, name, cap: cap.cap, enforcement: draft.enforcement, thresholds: thresholds.percents })
  return (
    <FormSheet
      id="change-budget"
      title={`Edit ${name}`}
      subtitle={`${what}, ${limitWords(limit)}`}
      onClose={onClose}
      isWide
      button="Save changes"
      isPending={change.isPending}
      fault={faults.form}
      submit={submit}
    >
      <TextField
        label="At most"
        autoFocus
        inputMode={limit.kind === "usd" ? "decimal" : "numeric"}
        value={draft.cap}
        error={faults.cap}
        onChange={(event) => setDraft({ ...draft, cap: event.target.value })}
        hint="What was used in this window still counts. A limit with another window, zone or subject is a new one"
      />
      <AtCapFields
        draft={draft}
        faults={faults}
        hasThresholds={limit.kind !== "concurrency"}
        onChange={(changed) => setDraft({ ...draft, ...changed })}
      />
      <InWords sentence={sentence} otherwise="What it will do stands here once the amount is one." />
    </FormSheet>
  )
}

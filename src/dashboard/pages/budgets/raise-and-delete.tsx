/** Acts on a limit that are asked about first: a larger cap for a time, its end, and the end of the limit. */
import { type FormEvent, useState } from "react"
import { type ScopedLimit, useDeleteLimit, useEndRaise, useRaiseLimit } from "../../api/limits.ts"
import { endOfDay } from "../../format/moment.ts"
import { Button } from "../../ui/button.tsx"
import { TextField } from "../../ui/field.tsx"
import { Question } from "../../ui/sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { amountWords, limitWords } from "../limit-words.ts"
import { capOf, readCap } from "./draft.ts"
import { resetWords } from "./words.ts"

type ActProps = { limit: ScopedLimit; name: string; onClose: () => void }

export function RaiseBudget({ limit, name, onClose }: ActProps) {
  const raise = useRaiseLimit()
  const toast = useToast()
  const [cap, setCap] = useState("")
  const [day, setDay] = useState("")
  const [faults, setFaults] = useState<{ cap?: string; day?: string }>({})
  const read = readCap(limit.kind, cap)
  const until = day === "" ? null : endOfDay(day, limit.time_zone)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    if ("error" in read) return setFaults({ cap: read.error })
    if (until === null) return setFaults({ day: "Choose the last day of the raise" })
    setFaults({})
    raise.mutate(
      { id: limit.id, cap: capOf(limit.kind, read.cap), until },
      {
        onSuccess: () => {
          toast("Budget raised")
          onClose()
        },
        onError: (error) => setFaults(/^until/.test(error.message) ? { day: error.message } : { cap: error.message }),
      },
    )
  }
  return (
    <Question
      title={`Raise ${name} until …`}
      onClose={onClose}
      actions={
        <Button look="primary" type="submit" form="raise-budget" disabled={raise.isPending}>
          Raise budget
        </Button>
      }
    >
      <form id="raise-budget" onSubmit={submit} noValidate className="flex flex-col gap-4 text-ink">
        <div className="grid grid-cols-2 items-start gap-3 max-sm:grid-cols-1">
          <TextField
            label="At most"
            autoFocus
            inputMode={limit.kind === "usd" ? "decimal" : "numeric"}
            value={cap}
            placeholder={limit.cap}
            error={faults.cap}
            onChange={(event) => setCap(event.target.value)}
          />
          <TextField
            label="Until the end of"
            type="date"
            value={day}
            error={faults.day}
            onChange={(event) => setDay(event.target.value)}
          />
        </div>
        <p role="status">
          {"error" in read || until === null
            ? `It is ${limitWords(limit)} now. A raise ends by itself.`
            : `Until ${resetWords(until, limit.time_zone)} it is ${amountWords(limit.kind, read.cap)} in place of ${limitWords(limit)}; then it is that again by itself.`}
        </p>
      </form>
    </Question>
  )
}

export function EndRaise({ limit, name, onClose }: ActProps) {
  const end = useEndRaise()
  const toast = useToast()
  const act = () =>
    end.mutate(limit.id, {
      onSuccess: () => {
        toast("Raise ended")
        onClose()
      },
    })
  return (
    <Question
      title={`End the raise of ${name}?`}
      onClose={onClose}
      actions={
        <Button look="primary" onClick={act} disabled={end.isPending}>
          End raise
        </Button>
      }
    >
      <p>From the next call on it is {limitWords(limit)} again. What was used in this window still counts.</p>
      <Failed error={end.error} />
    </Question>
  )
}

export function DeleteBudget({ limit, name, onClose, onDone }: ActProps & { onDone: () => void }) {
  const remove = useDeleteLimit()
  const toast = useToast()
  const act = () =>
    remove.mutate(limit.id, {
      onSuccess: () => {
        toast("Limit deleted")
        onDone()
      },
    })
  return (
    <Question
      title={`Delete the limit of ${name}?`}
      onClose={onClose}
      actions={
        <Button look="danger" onClick={act} disabled={remove.isPending}>
          Delete limit
        </Button>
      }
    >
      <p>
        {limitWords(limit)} no longer applies from the next call on; other limits on the same calls still do. What was
        called stays in the ledger.
      </p>
      <Failed error={remove.error} />
    </Question>
  )
}

function Failed({ error }: { error: Error | null }) {
  if (error === null) return null
  return (
    <p role="alert" className="mt-3 text-bad">
      {error.message}
    </p>
  )
}

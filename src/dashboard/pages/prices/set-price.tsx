/** Sets the price of a model that has none, and goes on to the preview of what that makes of its calls. */
import { type FormEvent, useState } from "react"
import { useLocation } from "wouter"
import { type UnpricedModel, useSetPrice } from "../../api/prices.ts"
import { count } from "../../format/format.ts"
import { TextField } from "../../ui/field.tsx"
import { FormSheet } from "../../ui/form-sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"
import { useView } from "../../view/use-view.ts"
import { modelId } from "./columns.tsx"

const CLASSES = { input: "Input", cache_read: "Cache read", output: "Output" } as const
type ClassName = keyof typeof CLASSES

export function SetPrice({ model, onClose }: { model: UnpricedModel; onClose: () => void }) {
  const set = useSetPrice()
  const toast = useToast()
  const { href } = useView()
  const [, go] = useLocation()
  const [faults, setFaults] = useState<Partial<Record<ClassName, string>>>({})
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const read = readRates(form)
    setFaults(read.faults)
    if (Object.keys(read.faults).length > 0) return
    const [from, source] = [String(form.get("from")), String(form.get("source")).trim()]
    set.mutate(
      {
        provider: model.priced_as,
        model: model.model,
        rates: { standard: read.rates },
        ...(from === "" ? {} : { effective_from: `${from}T00:00:00Z` }),
        ...(source === "" ? {} : { source }),
      },
      {
        onSuccess: () => {
          toast("Price set")
          go(href("/prices/reprice", { row: modelId(model) }, "range"))
        },
      },
    )
  }
  return (
    <FormSheet
      id="set-price"
      title="Set price"
      subtitle={`${modelId(model)}, ${count(model.calls)} requests without a price`}
      button="Set price"
      isPending={set.isPending}
      fault={set.error?.message}
      submit={submit}
      onClose={onClose}
    >
      {(Object.entries(CLASSES) as [ClassName, string][]).map(([name, label], index) => (
        <TextField
          key={name}
          label={`${label}, USD per 1 M tokens`}
          name={name}
          inputMode="decimal"
          error={faults[name] ?? null}
          isOptional={name === "cache_read"}
          autoFocus={index === 0}
          {...(name === "cache_read" ? { hint: "Left out: as input" } : {})}
        />
      ))}
      <TextField
        label="Holds from"
        name="from"
        type="date"
        defaultValue={model.first_seen.slice(0, 10)}
        hint="The first of these calls came on this day. Calls before it stay without a price."
      />
      <TextField label="Source" name="source" isOptional hint="Where the figures come from, such as a contract" />
    </FormSheet>
  )
}

function readRates(form: FormData) {
  const rates: Partial<Record<ClassName, string>> = {}
  const faults: Partial<Record<ClassName, string>> = {}
  for (const name of Object.keys(CLASSES) as ClassName[]) {
    const text = String(form.get(name)).trim().replace(/^\$/, "")
    if (text === "" && name === "cache_read") continue
    if (/^(0|[1-9]\d{0,8})(\.\d{1,12})?$/.test(text)) rates[name] = text
    else faults[name] = "Write dollars such as 2.50, or 0 for a class that is free"
  }
  return { rates, faults } as const
}

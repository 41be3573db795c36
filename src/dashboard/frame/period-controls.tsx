/** Range, comparison and zone, in this order on every page that has a period. Dates are always printed. */
import { type FormEvent, useState } from "react"
import type { Summary } from "../api/usage.ts"
import { dayRange, shortDayRange, zoneName } from "../format/moment.ts"
import { Button } from "../ui/button.tsx"
import { TextField } from "../ui/field.tsx"
import { Choice, MenuItem, MenuLine } from "../ui/menu.tsx"
import { Sheet } from "../ui/sheet.tsx"
import { useView } from "../view/use-view.ts"
import { COMPARISONS, type Comparison, RANGES, type RangeName } from "../view/view.ts"

export function PeriodControls({
  range,
  previous,
}: {
  /** What the server made of the question; absent until it has answered. */
  range: Summary["range"] | undefined
  /** What is compared with; absent on pages that compare nothing. */
  previous?: Summary["previous"]
}) {
  const { view, set } = useView()
  const [isAsking, setAsking] = useState(false)
  const zone = range?.time_zone
  const ranges = (Object.keys(RANGES) as RangeName[]).map((value) => ({ value, text: RANGES[value] }))
  const comparisons = (Object.keys(COMPARISONS) as Comparison[]).map((value) => ({ value, text: COMPARISONS[value] }))
  return (
    <>
      <Choice
        label="Range"
        value={view.range}
        options={ranges}
        onChoose={(name) => set({ range: name, from: null, until: null })}
        shown={
          <>
            {view.range === null ? "Custom" : RANGES[view.range]}
            <span className="text-meta font-normal text-ink3">
              {range === undefined ? "…" : dayRange(range.from, range.until, range.time_zone)}
            </span>
          </>
        }
      >
        <MenuLine />
        <MenuItem onAct={() => setAsking(true)}>Other days …</MenuItem>
      </Choice>
      {previous !== undefined && (
        <Choice
          label="Compare with"
          value={view.compare}
          options={comparisons}
          onChoose={(compare) => set({ compare })}
          className="max-sm:hidden"
          shown={
            <>
              Compare
              <span className="text-meta font-normal text-ink3">
                {previous === null || zone === undefined ? "none" : shortDayRange(previous.from, previous.until, zone)}
              </span>
            </>
          }
        />
      )}
      {zone !== undefined && (
        <span className="inline-flex min-h-8 items-center rounded-control border border-line bg-surface px-[11px] text-meta text-ink3 max-sm:hidden">
          {zone}
          {zoneName(zone, range?.until ?? "") !== zone && `, ${zoneName(zone, range?.until ?? "")}`}
        </span>
      )}
      {isAsking && <OtherDays onClose={() => setAsking(false)} />}
    </>
  )
}

function OtherDays({ onClose }: { onClose: () => void }) {
  const { view, set } = useView()
  const [fault, setFault] = useState<string | null>(null)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const [from, until] = [String(form.get("from")), String(form.get("until"))]
    if (from === "" || until === "" || from > until) return setFault("Choose two days, the first one first")
    set({ range: null, from, until })
    onClose()
  }
  return (
    <Sheet
      title="Other days"
      subtitle="Both days belong to the range, in the zone of the report."
      onClose={onClose}
      foot={
        <Button look="primary" type="submit" form="other-days">
          Show these days
        </Button>
      }
    >
      <form id="other-days" onSubmit={submit} noValidate className="flex flex-col gap-5">
        <TextField
          label="From"
          name="from"
          type="date"
          defaultValue={view.from?.slice(0, 10)}
          error={fault}
          autoFocus
        />
        <TextField label="Until" name="until" type="date" defaultValue={view.until?.slice(0, 10)} />
      </form>
    </Sheet>
  )
}

/** Pricing calls again: what it would change, by organization and budget, and only then the button that books it. */
import { useQuery } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"
import { type Repriced, type RepriceWanted, repriceQuery, type UnpricedModel, useReprice } from "../../api/prices.ts"
import { count, counted, exact } from "../../format/format.ts"
import { Button } from "../../ui/button.tsx"
import { Failure, Skeleton } from "../../ui/card.tsx"
import { TextField } from "../../ui/field.tsx"
import { Question, Sheet } from "../../ui/sheet.tsx"
import { useToast } from "../../ui/toasts.tsx"

const DAY_MS = 86_400_000

export function RepriceSheet({
  model,
  since,
  organization,
  onClose,
}: {
  /** The model whose calls are meant; null: all. */
  model: UnpricedModel | null
  /** When the first call came that waits for a price; null: none does. */
  since: string | null
  organization: string | undefined
  onClose: () => void
}) {
  const tomorrow = new Date(Date.now() + DAY_MS).toISOString().slice(0, 10)
  const [days, setDays] = useState({
    from: (model?.first_seen ?? since ?? `${new Date().toISOString().slice(0, 8)}01`).slice(0, 10),
    until: tomorrow,
  })
  const [isAsking, setAsking] = useState(false)
  // What was chosen stays chosen when the queue is read anew and the model is not in it any more.
  const [chosen] = useState(model)
  const wanted: Omit<RepriceWanted, "dry_run"> = {
    ...days,
    ...(organization === undefined ? {} : { organization_id: organization }),
    ...(chosen === null ? {} : { provider: [chosen.provider], model: [chosen.model] }),
  }
  const isSpan = days.from !== "" && days.until !== "" && days.from < days.until
  const preview = useQuery({ ...repriceQuery(wanted), enabled: isSpan })
  const found = preview.data
  return (
    <>
      <Sheet
        title="Re-price calls"
        subtitle={
          chosen === null ? "By the prices of now, as of when each call came" : `${chosen.provider}/${chosen.model}`
        }
        onClose={onClose}
        isWide
        foot={
          <>
            <Button onClick={onClose}>Cancel</Button>
            <Button
              look="primary"
              disabled={found === undefined || found.records === 0 || preview.isFetching}
              onClick={() => setAsking(true)}
            >
              {found === undefined || found.records === 0
                ? "Re-price requests"
                : `Re-price ${counted(found.records, "request")}`}
            </Button>
          </>
        }
      >
        <div className="flex flex-col gap-5">
          <Span days={days} isSpan={isSpan} onChange={setDays} />
          {preview.isError ? (
            <Failure error={preview.error} what="The preview" retry={() => void preview.refetch()} />
          ) : found === undefined ? (
            isSpan && <Skeleton lines={5} />
          ) : (
            <Preview found={found} />
          )}
        </div>
      </Sheet>
      {isAsking && found !== undefined && (
        <Confirm wanted={wanted} found={found} onClose={() => setAsking(false)} onDone={onClose} />
      )}
    </>
  )
}

type Days = { readonly from: string; readonly until: string }

function Span({ days, isSpan, onChange }: { days: Days; isSpan: boolean; onChange: (days: Days) => void }) {
  return (
    <div className="grid gap-4 sm:grid-cols-2">
      <TextField
        label="From"
        type="date"
        value={days.from}
        onChange={(event) => onChange({ ...days, from: event.target.value })}
        hint="Midnight UTC"
      />
      <TextField
        label="Until before"
        type="date"
        value={days.until}
        onChange={(event) => onChange({ ...days, until: event.target.value })}
        error={isSpan ? null : "Choose a day after the first one"}
      />
    </div>
  )
}

function Confirm({
  wanted,
  found,
  onClose,
  onDone,
}: {
  wanted: Omit<RepriceWanted, "dry_run">
  found: Repriced
  onClose: () => void
  onDone: () => void
}) {
  const reprice = useReprice()
  const toast = useToast()
  const act = () =>
    reprice.mutate(wanted, {
      onSuccess: ({ records }) => {
        toast(`${counted(records, "request")} re-priced`)
        onDone()
      },
    })
  return (
    <Question
      title={`Re-price ${counted(found.records, "request")}?`}
      onClose={onClose}
      actions={
        <Button look="primary" onClick={act} disabled={reprice.isPending}>
          Re-price requests
        </Button>
      }
    >
      <p>
        Corrections of {exact(found.difference_usd)} are booked beside the requests, as of when they came. Sums and
        budgets follow; closed months keep their statement, and the next one has them as prior-period lines.
      </p>
      {reprice.error !== null && (
        <p role="alert" className="mt-3 text-bad">
          {reprice.error.message}
        </p>
      )}
    </Question>
  )
}

function Preview({ found }: { found: Repriced }) {
  return (
    <div className="flex flex-col gap-5 text-table" aria-live="polite">
      <p>
        <b className="font-semibold">
          {found.records === 0
            ? "Nothing would change."
            : `${counted(found.records, "request")} would be re-priced, ${exact(found.difference_usd)} in all.`}
        </b>{" "}
        <span className="text-ink2">
          {counted(found.looked_at, "request")} looked at
          {found.first_priced > 0 && `; ${count(found.first_priced)} had no price until now`}
          {found.still_unpriced > 0 && `; ${count(found.still_unpriced)} still have no price`}.
        </span>
      </p>
      {found.records > 0 && (
        <>
          <Effect
            title="By organization"
            rows={found.organizations.map((one) => ({
              id: one.organization_id,
              name: one.organization ?? one.organization_id,
              records: one.records,
              usd: one.difference_usd,
            }))}
          />
          <Effect
            title="By model"
            rows={found.models.map((one) => ({
              id: `${one.provider} ${one.model} ${one.price_row}`,
              name: (
                <>
                  {one.provider}/{one.model}
                  <span className="block font-mono text-meta text-ink3 [overflow-wrap:anywhere]">{one.price_row}</span>
                </>
              ),
              records: one.records,
              usd: one.difference_usd,
            }))}
          />
          {found.limits.length > 0 && (
            <Effect
              title="By budget"
              rows={found.limits.map((one) => ({
                id: `${one.limit_id} ${one.subject} ${one.counted} ${one.window_id}`,
                name: (
                  <>
                    {one.subject_name ?? one.subject}
                    {one.counted !== null && `, ${one.counted_name ?? one.counted}`}
                    <span className="block text-meta text-ink3">
                      {one.scope.replace("_", " ")}, window {one.window_id}, cap ${one.cap}
                    </span>
                  </>
                ),
                records: one.records,
                usd: one.difference_usd,
              }))}
            />
          )}
        </>
      )}
    </div>
  )
}

type EffectRow = { readonly id: string; readonly name: ReactNode; readonly records: number; readonly usd: string }

function Effect({ title, rows }: { title: string; rows: readonly EffectRow[] }) {
  const head = "py-1 text-meta font-medium whitespace-nowrap text-ink3"
  return (
    <table className="w-full border-collapse" aria-label={title}>
      <thead>
        <tr>
          <th scope="col" className={`${head} text-left`}>
            {title}
          </th>
          <th scope="col" className={`${head} pl-2 text-right`}>
            Requests
          </th>
          <th scope="col" className={`${head} pl-2 text-right`}>
            Difference
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ id, name, records, usd }) => (
          <tr key={id} className="border-t border-line align-top">
            <td className="py-1.5 [overflow-wrap:anywhere]">{name}</td>
            <td className="py-1.5 pl-2 text-right text-ink2">{count(records)}</td>
            <td className="py-1.5 pl-2 text-right whitespace-nowrap">{exact(usd)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

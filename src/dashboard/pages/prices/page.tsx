/** Models & prices: what is paid per model, what has no price and what to do about it, and the months that finance closes. */
import { useQuery } from "@tanstack/react-query"
import { useLocation } from "wouter"
import { modelsQuery, unpricedQuery } from "../../api/prices.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { count, total } from "../../format/format.ts"
import { PageHead } from "../../frame/page-head.tsx"
import { PeriodControls } from "../../frame/period-controls.tsx"
import { ButtonLink } from "../../ui/button.tsx"
import { Card, Empty, Failure, Skeleton } from "../../ui/card.tsx"
import { DataTable } from "../../ui/table.tsx"
import { useView } from "../../view/use-view.ts"
import { filterQuery } from "../../view/view.ts"
import { modelColumns, modelId } from "./columns.tsx"
import { ModelSheet } from "./model-sheet.tsx"
import { Months } from "./months.tsx"
import { RepriceSheet } from "./reprice-sheet.tsx"
import { SetPrice } from "./set-price.tsx"
import { StatementSheet } from "./statement-sheet.tsx"
import { UnpricedQueue } from "./unpriced.tsx"

export function PricesPage({ act, id }: { act: string | null; id: string | null }) {
  const session = useSession()
  const { view, href, search } = useView()
  const [, go] = useLocation()
  const organization = view.organization ?? undefined
  const models = useQuery(modelsQuery(filterQuery({ ...view, filters: {}, truths: {} })))
  const unpriced = useQuery(unpricedQuery(organization))
  const close = () => go(href("/prices", {}, "range"))
  const row = search.get("row")
  const chosen = models.data?.data.find((model) => modelId(model) === row)
  const waiting = unpriced.data?.find((model) => modelId(model) === row)
  const since = unpriced.data?.map(({ first_seen: first }) => first).sort()[0] ?? null
  const zone = models.data?.range.time_zone ?? "UTC"
  return (
    <>
      <PageHead title="Models & prices">
        <PeriodControls range={models.data?.range} />
        {mayChange(session, "usage") && (
          <ButtonLink href={href("/prices/reprice", {}, "range")}>Re-price calls</ButtonLink>
        )}
      </PageHead>
      <div className="flex flex-col gap-4">
        <UnpricedQueue state={unpriced} timeZone={zone} />
        <Card
          title="Models in use"
          unit={models.data === undefined ? undefined : `${models.data.data.length}, rates in USD per 1 M tokens`}
          isBusy={models.isFetching && !models.isPending}
        >
          {models.isPending ? (
            <Skeleton lines={6} />
          ) : models.isError ? (
            <Failure error={models.error} what="Models and prices" retry={() => void models.refetch()} />
          ) : models.data.data.length === 0 ? (
            <Empty>Models stand here with their price as soon as they are called. None was in this period.</Empty>
          ) : (
            <DataTable
              label="Models in use"
              columns={modelColumns(zone)}
              rows={models.data.data}
              rowId={modelId}
              href={(model) => href("/prices/model", { row: modelId(model) }, "range")}
              isChosen={(model) => act === "model" && modelId(model) === row}
              sortedAtFirst={{ id: "spend", desc: true }}
              foot={{
                name: "Total of all models",
                spend: total(models.data.totals.cost_usd),
                requests: count(models.data.totals.records),
              }}
            />
          )}
        </Card>
        <Months organization={organization} />
      </div>
      {act === "model" && chosen !== undefined && <ModelSheet model={chosen} timeZone={zone} onClose={close} />}
      {act === "set" && waiting !== undefined && <SetPrice model={waiting} onClose={close} />}
      {act === "reprice" && !unpriced.isPending && (
        <RepriceSheet model={waiting ?? null} since={since} organization={organization} onClose={close} />
      )}
      {act === "months" && id !== null && <StatementSheet period={id} organization={organization} onClose={close} />}
    </>
  )
}

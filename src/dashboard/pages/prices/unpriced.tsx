/** The queue of models that were called without a price: nobody knows what they cost until somebody says so. */
import type { UseQueryResult } from "@tanstack/react-query"
import type { UnpricedModel } from "../../api/prices.ts"
import { mayChange, useSession } from "../../api/session.ts"
import { compact, count, fullCount } from "../../format/format.ts"
import { dayAndTime } from "../../format/moment.ts"
import { ButtonLink } from "../../ui/button.tsx"
import { Card, Failure } from "../../ui/card.tsx"
import { type Column, DataTable } from "../../ui/table.tsx"
import { useView } from "../../view/use-view.ts"
import { modelId } from "./columns.tsx"

/** Absent while there is nothing in it: calm is what is expected. */
export function UnpricedQueue({
  state,
  timeZone,
}: {
  state: UseQueryResult<readonly UnpricedModel[]>
  timeZone: string
}) {
  const { data, error, refetch } = state
  if (data === undefined) {
    if (error === null) return null
    return (
      <Card title="Called without a price">
        <Failure error={error} what="The queue" retry={() => void refetch()} />
      </Card>
    )
  }
  if (data.length === 0) return null
  const isOne = new Set(data.map(({ organization_id: id }) => id)).size === 1
  return (
    <Card
      title="Called without a price"
      unit={`${data.length === 1 ? "1 model" : `${data.length} models`} in the last 90 days`}
    >
      <p className="mb-3 max-w-prose text-table text-ink2">
        What these calls cost is unknown: they are in no sum, and no budget counts them, until there is a price.
      </p>
      <DataTable
        label="Called without a price"
        columns={columnsOf(timeZone, isOne)}
        rows={data}
        rowId={(model) => `${model.organization_id} ${modelId(model)}`}
      />
    </Card>
  )
}

/** `isOne`: all are of one organization, whose name then says nothing. */
function columnsOf(timeZone: string, isOne: boolean): readonly Column<UnpricedModel>[] {
  return [
    {
      id: "model",
      head: "Model",
      cell: (model) => (
        <span className="block">
          <span className="font-medium [overflow-wrap:anywhere]">{model.model || "No model"}</span>
          <span className="block text-meta text-ink3">
            {model.provider}
            {!isOne && `, ${model.organization}`}
          </span>
        </span>
      ),
    },
    { id: "calls", head: "Requests", isFigure: true, cell: ({ calls }) => count(calls) },
    {
      id: "tokens",
      head: "Tokens",
      isFigure: true,
      cell: ({ tokens }) => <span title={fullCount(tokens)}>{compact(tokens)}</span>,
      from: "sm",
    },
    {
      id: "first",
      head: <span className="pl-4">First seen</span>,
      cell: ({ first_seen: at }) => <span className="pl-4">{dayAndTime(at, timeZone)}</span>,
      from: "lg",
    },
    {
      id: "last",
      head: <span className="pl-4">Last seen</span>,
      cell: ({ last_seen: at }) => <span className="pl-4">{dayAndTime(at, timeZone)}</span>,
      from: "md",
    },
    {
      id: "act",
      head: "What to do",
      cell: (model) => <WhatToDo model={model} />,
      className: "sm:w-0",
    },
  ]
}

function WhatToDo({ model }: { model: UnpricedModel }) {
  const session = useSession()
  const { href } = useView()
  const row = { row: modelId(model) }
  if (model.next === "reprice") {
    return mayChange(session, "usage") ? (
      <ButtonLink href={href("/prices/reprice", row, "range")}>Re-price</ButtonLink>
    ) : (
      "It has a price by now; an admin can re-price"
    )
  }
  return mayChange(session, "prices") ? (
    <ButtonLink href={href("/prices/set", row, "range")}>Set price</ButtonLink>
  ) : (
    "An admin can set a price"
  )
}

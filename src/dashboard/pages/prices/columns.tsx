/** The columns of the models in use. */
import type { ModelInUse, PriceNow } from "../../api/prices.ts"
import { count, lengthOf, rate, spend, total } from "../../format/format.ts"
import { fullDay } from "../../format/moment.ts"
import { Missing, Pill } from "../../ui/pill.tsx"
import type { Column } from "../../ui/table.tsx"

/** As it stands in addresses. */
export function modelId({ provider, model }: Pick<ModelInUse, "provider" | "model">): string {
  return `${provider}/${model}`
}

export function modelColumns(timeZone: string): readonly Column<ModelInUse>[] {
  return [
    {
      id: "name",
      head: "Model",
      cell: (model) => <ModelName model={model} timeZone={timeZone} />,
      sortBy: ({ model }) => model,
    },
    rateColumn("input", "Input", "sm"),
    rateColumn("cache_read", "Cache read", "lg"),
    rateColumn("cache_write_5m", "Cache write", "xl"),
    rateColumn("output", "Output", "sm"),
    {
      id: "since",
      head: <span className="pl-4">In effect since</span>,
      cell: ({ price }) => (
        <span className="block pl-4">
          {price === null ? <Missing why="No price" /> : <Since price={price} timeZone={timeZone} />}
        </span>
      ),
      from: "xl",
      className: "whitespace-nowrap",
    },
    {
      id: "requests",
      head: "Requests",
      isFigure: true,
      cell: ({ records }) => count(records),
      sortBy: ({ records }) => lengthOf(records),
      from: "lg",
    },
    {
      id: "spend",
      head: "Spend",
      isFigure: true,
      className: "font-[550]",
      cell: (model) => spend(model),
      sortBy: ({ cost_usd: cost }) => lengthOf(cost),
    },
    {
      id: "effective",
      head: "Paid per 1 M",
      isFigure: true,
      cell: ({ usd_per_1m_tokens: paid }) =>
        paid === null ? <Missing why="No tokens, or calls without a price" /> : total(paid),
      sortBy: ({ usd_per_1m_tokens: paid }) => lengthOf(paid ?? "0"),
      from: "md",
    },
  ]
}

function ModelName({ model, timeZone }: { model: ModelInUse; timeZone: string }) {
  const [next] = model.coming
  return (
    <span className="block">
      <span className="font-medium [overflow-wrap:anywhere]">{model.model || "No model"}</span>{" "}
      {model.price === null && <Pill tone="warn">No price</Pill>}
      {next !== undefined && <Pill tone="accent">New price from {fullDay(next.at, timeZone)}</Pill>}
      <span className="block text-meta text-ink3">{model.provider}</span>
    </span>
  )
}

function rateColumn(name: string, head: string, from: "sm" | "lg" | "xl"): Column<ModelInUse> {
  return {
    id: name,
    head,
    isFigure: true,
    cell: ({ price }) => {
      const usd = price?.sheets[0]?.usd_per_1m_tokens[name]
      if (usd !== undefined) return rate(usd)
      return <Missing why={price === null ? "No price" : "No rate of its own"} />
    },
    from,
    className: "text-ink2",
  }
}

function Since({ price, timeZone }: { price: PriceNow; timeZone: string }) {
  const { effective_from: from, origin, checked } = price
  return (
    <>
      {from === null ? "Always" : fullDay(from, timeZone)}
      <span className="block text-meta text-ink3">
        {ORIGINS[origin]}
        {origin === "book" && `, checked ${fullDay(checked, "UTC")}`}
      </span>
    </>
  )
}

export const ORIGINS: Readonly<Record<PriceNow["origin"], string>> = {
  organization: "Set for this organization",
  installation: "Set for the installation",
  book: "Price file",
}

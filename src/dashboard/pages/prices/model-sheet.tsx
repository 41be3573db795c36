/** One model: every rate of the price that holds now, where it comes from, and what will change. */
import type { ModelInUse, PriceNow } from "../../api/prices.ts"
import { count, rate, spend, total } from "../../format/format.ts"
import { fullDay } from "../../format/moment.ts"
import { ButtonLink } from "../../ui/button.tsx"
import { Sheet } from "../../ui/sheet.tsx"
import { className } from "../../view/group-names.ts"
import { useView } from "../../view/use-view.ts"
import { Fact, Facts } from "../key-sheet.tsx"
import { ORIGINS } from "./columns.tsx"

export function ModelSheet({ model, timeZone, onClose }: { model: ModelInUse; timeZone: string; onClose: () => void }) {
  const { href } = useView()
  const { price, coming, tiers } = model
  const isNamed = { model: model.model, provider: model.provider }
  return (
    <Sheet
      title={model.model}
      subtitle={model.provider}
      onClose={onClose}
      foot={
        <>
          <ButtonLink href={href("/requests", isNamed)}>See its requests</ButtonLink>
          <ButtonLink href={href("/usage", { ...isNamed, by: "project" })}>See its usage</ButtonLink>
        </>
      }
    >
      <div className="flex flex-col gap-6">
        <Facts>
          <Fact name="Spend">{spend(model)}</Fact>
          <Fact name="Requests">{count(model.records)}</Fact>
          <Fact name="Paid per 1 M">
            {model.usd_per_1m_tokens === null
              ? "Cannot be said"
              : `${total(model.usd_per_1m_tokens)}, all tokens alike`}
          </Fact>
          {tiers.length > 1 && <Fact name="Tiers">{tiers.join(", ")}</Fact>}
        </Facts>
        {price === null ? (
          <p className="text-table text-ink2">It has no price: {model.reason}.</p>
        ) : (
          <PriceTable title="Price that holds now" price={price} timeZone={timeZone} />
        )}
        {coming.map(({ at, price: next }) =>
          next === null ? (
            <p key={at} className="text-table">
              From {fullDay(at, timeZone)} on it has no price.
            </p>
          ) : (
            <PriceTable key={at} title={`From ${fullDay(at, timeZone)}`} price={next} timeZone={timeZone} />
          ),
        )}
      </div>
    </Sheet>
  )
}

function PriceTable({ title, price, timeZone }: { title: string; price: PriceNow; timeZone: string }) {
  const rows = [
    ...price.sheets.flatMap(({ context_over: over, usd_per_1m_tokens: rates }) =>
      Object.entries(rates).map(([name, usd]) => ({
        id: `${over} ${name}`,
        name: over === 0 ? className(name) : `${className(name)}, over ${count(over)} tokens of input`,
        usd: `${rate(usd)} per 1 M`,
      })),
    ),
    ...Object.entries(price.usd_per_unit).map(([name, usd]) => ({ id: name, name, usd: `${rate(usd)} each` })),
    ...Object.entries(price.usd_per_call).map(([name, usd]) => ({
      id: `fee ${name}`,
      name: className(name),
      usd: `${rate(usd)} a call`,
    })),
  ]
  return (
    <section>
      <h3 className="mb-2 text-body font-semibold">{title}</h3>
      <table className="w-full border-collapse text-table" aria-label={title}>
        <thead className="sr-only">
          <tr>
            <th scope="col">Class</th>
            <th scope="col">Rate</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ id, name, usd }) => (
            <tr key={id} className="border-t border-line">
              <td className="py-1.5">{name}</td>
              <td className="py-1.5 pl-2 text-right whitespace-nowrap">{usd}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="mt-2 text-meta text-ink3 [overflow-wrap:anywhere]">
        {ORIGINS[price.origin]}, tier {price.tier}
        {price.effective_from !== null && `, in effect since ${fullDay(price.effective_from, timeZone)}`}. Source:{" "}
        {price.source}, checked {price.checked}.{price.terms_apply && " The organization's markup and discount apply."}
      </p>
    </section>
  )
}

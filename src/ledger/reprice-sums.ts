/** What a run of re-pricing comes to: by organization, by model, and by the money limits that count the records. */
import type { Limit } from "../identity/limit.ts"
import type { Change, Decided } from "./reprice-decision.ts"
import type { UsageRecord } from "./usage-record.ts"

export type RepricedPart = {
  readonly records: number
  /** Of them those that had no cost before. */
  readonly firstPriced: number
  readonly differencePicos: bigint
}

export type Repriced = RepricedPart & {
  /** `stopped`: before the end of the span, since nobody waited for it any more. */
  readonly end: "finished" | "stopped"
  readonly lookedAt: number
  /** Records for which there is no price at present either. */
  readonly stillUnpriced: number
  readonly organizations: readonly (RepricedPart & { readonly organizationId: string })[]
  readonly models: readonly (RepricedPart & {
    readonly provider: string
    readonly model: string
    readonly priceRow: string
  })[]
  readonly limits: readonly RepricedLimit[]
}

/** One window of one limit, and by how much more it is used. */
export type RepricedLimit = {
  readonly limit: Limit
  readonly window: string
  readonly records: number
  /** Each entry's cost rounded up to the next nano-dollar, then added: as limits count. */
  readonly differenceNanos: bigint
}

const NOTHING: RepricedPart = { records: 0, firstPriced: 0, differencePicos: 0n }

export class RepriceSums {
  #lookedAt = 0
  #stillUnpriced = 0
  #all = NOTHING
  readonly #organizations = new Map<string, RepricedPart & { organizationId: string }>()
  readonly #models = new Map<string, RepricedPart & { provider: string; model: string; priceRow: string }>()
  readonly #limits = new Map<string, RepricedLimit>()

  looked(decided: readonly Decided[]): void {
    this.#lookedAt += decided.length
    this.#stillUnpriced += decided.filter(({ kind }) => kind === "unpriced").length
  }

  changed(change: Change, entry: UsageRecord, limits: readonly Limit[]): void {
    const { organization_id: organizationId, provider, model_served: model } = change.original
    const { pin: priceRow } = change
    this.#all = withChange(this.#all, change)
    put(this.#organizations, organizationId, { organizationId }, change)
    put(this.#models, `${provider}\n${model}\n${priceRow}`, { provider, model, priceRow }, change)
    for (const { limit_id, subject, window, amount } of entry.charges) {
      const limit = limits.find((one) => one.id === limit_id && one.subject === subject)
      if (limit?.kind !== "usd") continue
      const name = `${limit_id}\n${subject}\n${window}`
      const so = this.#limits.get(name) ?? { limit, window, records: 0, differenceNanos: 0n }
      this.#limits.set(name, {
        ...so,
        records: so.records + 1,
        differenceNanos: so.differenceNanos + BigInt(amount),
      })
    }
  }

  /** The largest differences first. */
  result(end: Repriced["end"]): Repriced {
    const largest = <Part extends RepricedPart>(parts: Iterable<Part>) =>
      [...parts].sort((one, two) => compare(two.differencePicos, one.differencePicos))
    return {
      ...this.#all,
      end,
      lookedAt: this.#lookedAt,
      stillUnpriced: this.#stillUnpriced,
      organizations: largest(this.#organizations.values()),
      models: largest(this.#models.values()),
      limits: [...this.#limits.values()].sort((one, two) => compare(two.differenceNanos, one.differenceNanos)),
    }
  }
}

function put<Named extends object>(
  parts: Map<string, RepricedPart & Named>,
  key: string,
  named: Named,
  change: Change,
) {
  parts.set(key, { ...named, ...withChange(parts.get(key) ?? NOTHING, change) })
}

function withChange(part: RepricedPart, { differencePicos, isFirstPrice }: Change): RepricedPart {
  return {
    records: part.records + 1,
    firstPriced: part.firstPriced + (isFirstPrice ? 1 : 0),
    differencePicos: part.differencePicos + differencePicos,
  }
}

/** By size, whatever the sign. */
function compare(one: bigint, two: bigint): number {
  const [a, b] = [one < 0n ? -one : one, two < 0n ? -two : two]
  return a < b ? -1 : a > b ? 1 : 0
}

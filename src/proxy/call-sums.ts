/**
 * Forwarded calls summed by provider, model and end, in plain numbers. Callers and providers word models, statuses and,
 * through them, how many series there are: what finds no room any more is summed under `other`. Providers,
 * HTTP's own statuses and outcomes are closed sets, so what `other` may take is bounded too.
 */
import { STATUS_CODES } from "node:http"
import type { Outcome, UsageRecord } from "../ledger/usage-record.ts"
import { FOLDED_LABEL, type SeriesCap } from "../platform/series-cap.ts"

export const TOKEN_TYPES = ["input", "cached", "cache_write", "cache_write_1h", "output", "reasoning"] as const
export type TokenType = (typeof TOKEN_TYPES)[number]

/** Series of a model beside its answers: one for each token type, its cost, and its calls without a price. */
const SERIES_PER_MODEL = TOKEN_TYPES.length + 2

/** Statuses that are not HTTP's own, where they are summed under `other`. */
const OTHER_STATUS = -1

/** Calls that ended in the same way. `httpStatus` is 0 where the caller left before one was sent. */
type Answers = { readonly httpStatus: number; readonly outcome: Outcome; calls: number }
type ModelSums = Record<TokenType, number> & {
  readonly answersByOrganization: Map<string, Answers[]>
  costUsd: number
  unpriced: number
}
type ProviderSums = {
  readonly models: Map<string, ModelSums>
  estimated: number
  mismatched: number
  reported: number
  theirsUsd: number
  apartUsd: number
}

export type AnswersSum = {
  readonly provider: string
  readonly model: string
  readonly organization: string
  readonly status: string
  readonly outcome: Outcome
  readonly calls: number
}

export class CallSums {
  readonly #cap: SeriesCap
  readonly #providers = new Map<string, ProviderSums>()
  #folded = 0

  constructor(cap: SeriesCap) {
    this.#cap = cap
  }

  /** Calls that were summed under `other`, wholly or in how they ended. */
  get folded(): number {
    return this.#folded
  }

  /** `costElsewhereUsd`: what another bill than the provider's has of the call. */
  add(record: UsageRecord, costElsewhereUsd: string | null): void {
    const provider = this.#provider(record.provider)
    const model = this.#model(provider, record.model_served)
    this.#countAnswer(provider, model, record)
    this.#addUsage(provider, model, record)
    if (record.provider_cost_usd !== null) compareCost(provider, record, Number(costElsewhereUsd ?? 0))
  }

  /** Of a call that went past the proxy: what it used, and no answer. `provider` is a label, since callers word it. */
  addReported(record: UsageRecord, provider: string): void {
    const sums = this.#provider(provider)
    sums.reported++
    this.#addUsage(sums, this.#model(sums, record.model_served), record)
  }

  #addUsage(provider: ProviderSums, model: ModelSums, record: UsageRecord): void {
    model.input += record.input_uncached_tokens
    model.cached += record.cache_read_tokens
    model.cache_write += record.cache_write_5m_tokens
    model.cache_write_1h += record.cache_write_1h_tokens
    model.output += record.output_tokens
    model.reasoning += record.reasoning_tokens
    // A float is good enough for a graph; the ledger holds the money.
    if (record.price_state === "priced") model.costUsd += Number(record.cost_usd)
    if (record.price_state === "unpriced") model.unpriced++
    if (record.usage_source === "estimated") provider.estimated++
    if (record.usage_mismatch) provider.mismatched++
  }

  answers(): AnswersSum[] {
    return this.byModel(({ answersByOrganization }, provider, name) =>
      [...answersByOrganization].flatMap(([organization, all]) =>
        all.map(({ httpStatus, outcome, calls }) => {
          const status = httpStatus === OTHER_STATUS ? FOLDED_LABEL : String(httpStatus)
          return { provider, model: name, organization, status, outcome, calls }
        }),
      ),
    )
  }

  byModel<T>(read: (sums: ModelSums, provider: string, model: string) => T[]): T[] {
    return this.byProvider(({ models }, provider) => [...models].flatMap(([name, sums]) => read(sums, provider, name)))
  }

  byProvider<T>(read: (sums: ProviderSums, provider: string) => T[]): T[] {
    return [...this.#providers].flatMap(([name, sums]) => read(sums, name))
  }

  #provider(name: string): ProviderSums {
    let provider = this.#providers.get(name)
    if (provider === undefined) {
      provider = { models: new Map(), estimated: 0, mismatched: 0, reported: 0, theirsUsd: 0, apartUsd: 0 }
      this.#providers.set(name, provider)
    }
    return provider
  }

  #model({ models }: ProviderSums, name: string): ModelSums {
    const known = models.get(name)
    if (known !== undefined) return known
    const label = this.#cap.take(SERIES_PER_MODEL) ? name : FOLDED_LABEL
    return models.get(label) ?? begin(models, label)
  }

  #countAnswer(provider: ProviderSums, model: ModelSums, record: UsageRecord): void {
    const { organization_id: organization, http_status: httpStatus, outcome } = record
    const known = findAnswers(model, organization, httpStatus, outcome)
    const isFolded = known === undefined && !this.#cap.take(1)
    if (isFolded || provider.models.get(FOLDED_LABEL) === model) this.#folded++
    if (known !== undefined) known.calls++
    else if (!isFolded) beginAnswers(model, organization, httpStatus, outcome)
    else {
      const other = provider.models.get(FOLDED_LABEL) ?? begin(provider.models, FOLDED_LABEL)
      const status = httpStatus === 0 || httpStatus in STATUS_CODES ? httpStatus : OTHER_STATUS
      const answers = findAnswers(other, FOLDED_LABEL, status, outcome)
      if (answers === undefined) beginAnswers(other, FOLDED_LABEL, status, outcome)
      else answers.calls++
    }
  }
}

function begin(models: Map<string, ModelSums>, label: string): ModelSums {
  const tokens = { input: 0, cached: 0, cache_write: 0, cache_write_1h: 0, output: 0, reasoning: 0 }
  const sums: ModelSums = { answersByOrganization: new Map(), ...tokens, costUsd: 0, unpriced: 0 }
  models.set(label, sums)
  return sums
}

/** Of what has no price here there is nothing to compare. */
function compareCost(provider: ProviderSums, record: UsageRecord, elsewhereUsd: number): void {
  const theirsUsd = Number(record.provider_cost_usd) + elsewhereUsd
  provider.theirsUsd += theirsUsd
  if (record.price_state !== "priced") return
  // What the provider asks has nothing to do with our markup.
  provider.apartUsd += Math.abs(Number(record.base_cost_usd ?? record.cost_usd) - theirsUsd)
}

/** Few ways to end differ within one organization's calls to one model. */
function findAnswers(
  model: ModelSums,
  organization: string,
  httpStatus: number,
  outcome: Outcome,
): Answers | undefined {
  const answers = model.answersByOrganization.get(organization)
  return answers?.find((known) => known.httpStatus === httpStatus && known.outcome === outcome)
}

function beginAnswers(model: ModelSums, organization: string, httpStatus: number, outcome: Outcome): void {
  const answers = { httpStatus, outcome, calls: 1 }
  const beside = model.answersByOrganization.get(organization)
  if (beside === undefined) model.answersByOrganization.set(organization, [answers])
  else beside.push(answers)
}

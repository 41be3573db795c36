/** A record's cost in words: where it comes from, what is odd about it, and what to do where it is not known. */
import type { UsageRecord } from "../ledger/usage-record.ts"
import type { EffectiveCost } from "../pricing/effective-price.ts"
import { formatUsd } from "../pricing/money.ts"
import { tierName } from "../pricing/price-row.ts"
import type { ExplainedTerms, Explanation } from "./explain-record.ts"
import { NOT_SPLIT } from "./token-classes.ts"

export type ExplainedWords = {
  /** Sentences. */
  readonly says: readonly string[]
  /** What to do about it, a sentence; null: nothing. */
  readonly next: string | null
}

const DAY_MS = 86_400_000

/** `present`: what the prices of now make of an unpriced record; null for others. */
export function explainInWords(
  record: UsageRecord,
  explained: Omit<Explanation, keyof ExplainedWords>,
  present: EffectiveCost | null,
): ExplainedWords {
  switch (explained.state) {
    case "correction":
      return {
        says: [
          `This entry corrects the record ${record.adjusts_id}: ${record.metadata.reason ?? "no reason is given"}`,
        ],
        next: "Ask for the explanation of that record to see both.",
      }
    case "reported":
      return { says: reportedWords(record), next: null }
    case "free":
      return {
        says: [`Nothing was billed: the call ended as \`${record.end_state}\` and the provider reported no usage.`],
        next: null,
      }
    case "unmetered":
      return {
        says: [`Calls to ${record.endpoint} cannot be metered, so neither their usage nor their cost is known.`],
        next: "Tell what it cost as an adjustment of this record, or refuse such calls: `unmetered: deny`.",
      }
    case "unpriced":
      return unpricedWords(record, explained, present)
    case "priced":
      return pricedWords(record, explained)
  }
}

function reportedWords({ kind, book_cost_usd: book }: UsageRecord): string[] {
  const whose = kind === "report" ? "whoever reported this usage" : "the provider"
  const beside =
    book === null ? "The price book has no price for it." : `The price book would have said ${book} dollars.`
  return [`The cost was named by ${whose}; no price row stands behind it.`, beside]
}

function unpricedWords(
  record: UsageRecord,
  { adjustments, provider, model }: Omit<Explanation, keyof ExplainedWords>,
  present: EffectiveCost | null,
): ExplainedWords {
  const odd = [
    ...(record.end_state === "interrupted"
      ? ["Tallygate was stopped while the call ran: what it used is not known, and limits keep what was held for it."]
      : []),
    ...(record.cost_source === "ceiling"
      ? ["Limits are charged for it by the organization's ceiling for models without a price, until it has one."]
      : []),
  ]
  if (adjustments.some(({ cost_usd: cost }) => cost !== null)) {
    return {
      says: [...odd, "It had no price when it came; its cost was booked since, as an entry."],
      next: null,
    }
  }
  if (present?.kind === "priced") {
    const price = `${formatUsd(present.costPicos)} dollars by ${present.pin}`
    return {
      says: [...odd, `No price was known when the call came. There is one by now: ${price}.`],
      next: `Book it with \`tallygate prices reprice ${spanOf(record.time)}\`.`,
    }
  }
  const reason = present?.kind === "unpriced" ? present.reason : "the price book has no price for it"
  return {
    says: [...odd, `It has no price, because ${reason}. It costs nothing in any sum until it has one.`],
    next: `Set a price for ${provider}/${model}, then run \`tallygate prices reprice ${spanOf(record.time)}\`.`,
  }
}

function pricedWords(record: UsageRecord, explained: Omit<Explanation, keyof ExplainedWords>): ExplainedWords {
  const { price, lines, is_estimated: isEstimated } = explained
  const says: string[] = []
  let next: string | null = null
  if (isEstimated)
    says.push(`The provider reported no usage, so it was estimated here${estimator(record)}: the cost is an estimate.`)
  if (price !== null && !price.is_in_book) {
    says.push(
      `The price row ${price.row} is not in the price book any more, so its rates cannot be shown. The cost is the one ` +
        "that the record was booked with.",
    )
  } else if (lines.some((line) => line.class === NOT_SPLIT)) {
    says.push(
      `The price row ${record.price_row} says something else today than when the call was booked. The cost stays as it ` +
        `was booked; the line ${NOT_SPLIT} is the difference.`,
    )
    next = `Book the present price with \`tallygate prices reprice ${spanOf(record.time)}\`, where it is the right one.`
  } else if (price !== null) {
    const since = price.effective_from === null ? "" : `, in effect since ${price.effective_from.slice(0, 10)}`
    says.push(`Priced by the row ${price.row}${since}. The figures are from ${price.source}, checked ${price.checked}.`)
  }
  says.push(...oddities(record, explained))
  return { says, next }
}

function oddities(record: UsageRecord, { price, lines }: Omit<Explanation, keyof ExplainedWords>): string[] {
  const asked = tierName(record.tier_requested)
  const served = tierName(record.tier_served)
  const stands = lines.filter((line) => line.rated_as !== null && line.rated_as !== line.class)
  const terms = price?.terms ?? null
  return [
    ...(price?.region == null
      ? []
      : [`Token rates of the region ${price.region} are those that are listed, times a multiplier.`]),
    ...(terms === null ? [] : [termsWords(terms)]),
    ...(record.tier_requested !== "" && record.tier_served !== "" && asked !== served
      ? [`Tier ${asked} was asked for and ${served} was served: the served one is billed.`]
      : []),
    ...((price?.context_over ?? 0) > 0
      ? [`The whole request is billed at the rates for more than ${price?.context_over} input tokens.`]
      : []),
    ...stands.map((line) => `No rate is quoted for ${line.class}: those tokens go at the rate of ${line.rated_as}.`),
    ...(record.usage_mismatch ? ["The token classes and the provider's own total do not agree."] : []),
  ]
}

function termsWords({ id, markup_percent: markup, discount_percent: discount }: ExplainedTerms): string {
  if (markup === null || discount === null)
    return `The organization's terms ${id} changed the cost; they are not known any more.`
  const parts = [
    ...(markup === "0" ? [] : [`a markup of ${markup} %`]),
    ...(discount === "0" ? [] : [`a discount of ${discount} %`]),
  ]
  return `The organization has ${parts.join(" and ")}, by its terms ${id}: the line terms.`
}

function estimator({ estimator: name }: UsageRecord): string {
  return name === "" ? "" : ` (${name})`
}

/** The options that name the UTC day of an instant. */
function spanOf(time: string): string {
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10)
  return `--from ${day(Date.parse(time))} --to ${day(Date.parse(time) + DAY_MS)}`
}

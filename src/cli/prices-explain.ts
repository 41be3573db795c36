/** `tallygate prices explain`: what a call of this much would cost, line by line, as the ledger would book it. */
import type { Environment } from "../config/interpolate.ts"
import { type Usage, ZERO_USAGE } from "../metering/usage.ts"
import type { CostLine } from "../pricing/cost.ts"
import { type EffectiveCost, type EffectivePrice, effectiveCost } from "../pricing/effective-price.ts"
import { formatUsd } from "../pricing/money.ts"
import type { FoundPrice, PriceBook } from "../pricing/price-book.ts"
import type { PriceRow } from "../pricing/price-row.ts"
import { formatPercent } from "../pricing/price-terms.ts"
import { inRegion } from "../pricing/region.ts"
import { CommandError, type CommandOutput, type OptionValues, runCommand, toJson, WrongUsage } from "./command.ts"
import { readInstant } from "./instant.ts"
import { askLivePrice } from "./live-price.ts"
import { readConfig } from "./read-config.ts"
import { readPriceBook } from "./read-prices.ts"
import { alignColumns } from "./text-table.ts"

const count = (text: string) => ({ type: "string", value: "N", text }) as const

const SHAPE = {
  name: "prices explain",
  about:
    "Prices a usage: each class by its own rate, in exact decimals. Classes are disjoint, as on a usage record: --input\n" +
    "is the input that neither came from a cache nor was written to one. By the price files, or with --live by the prices of\n" +
    "a running Tallygate and what an organization pays beside them.",
  options: {
    input: count("uncached input tokens"),
    output: count("output tokens, reasoning included"),
    "cache-read": count("input tokens read from a cache"),
    "cache-write-5m": count("input tokens written to a cache for 5 minutes, or without a stated time"),
    "cache-write-1h": count("input tokens written to a cache for an hour"),
    reasoning: count("of the output, reasoning tokens"),
    "audio-input": count("of the uncached input, audio tokens"),
    "image-input": count("of the uncached input, image tokens"),
    "audio-output": count("of the output, audio tokens"),
    "image-output": count("of the output, image tokens"),
    "web-searches": count("web searches of the provider's own tool"),
    units: { type: "string", value: "N:TYPE", text: "what is not billed by tokens: 7:seconds, 2:images:high" },
    tier: { type: "string", value: "T", text: "the tier that served it: batch, flex, priority (default: standard)" },
    at: { type: "string", value: "DATE", text: "the prices in force then (default: now)" },
    provider: { type: "string", value: "P", text: "the provider, where several list the model" },
    region: {
      type: "string",
      value: "R",
      text: "the region of the account, where the price has multipliers by region",
    },
    live: { type: "boolean", text: "ask the Tallygate at TALLYGATE_URL, with the prices that were set there" },
    organization: { type: "string", value: "ORG", text: "with --live: whose call it is" },
  },
  words: { text: "MODEL", min: 1, max: 1 },
  exits: "0 priced, 1 the price is not known",
} as const

type Values = OptionValues<typeof SHAPE.options>

/** Runs the command with the arguments that follow `prices explain`; resolves with the exit code. */
export function runPricesExplain(
  args: readonly string[],
  env: Environment,
  cwd: string,
  out: CommandOutput,
): Promise<number> {
  return runCommand(SHAPE, args, out, async ({ values, words: [model = ""], isJson }) => {
    const atMs = values.at === undefined ? Date.now() : readInstant("at", values.at)
    const usage = readUsage(values)
    const question = { model, provider: values.provider, tier: values.tier ?? "", atMs }
    const found =
      values.live === true
        ? await liveOf(env, question, values.organization)
        : await fromFiles(env, cwd, question, values)
    const price = { ...found, row: inRegion(found.row, values.region ?? "") }
    const priced = effectiveCost(price, usage)
    if (priced.kind === "unpriced") throw new CommandError(`the call would be unpriced: ${priced.reason}.`)
    if (isJson) out.stdout.write(toJson(toData(price, priced)))
    else out.stdout.write(toText(price, priced))
    return 0
  })
}

function readUsage(values: Values): Usage {
  const tokens = (
    name: Exclude<keyof Values, "units" | "tier" | "at" | "provider" | "region" | "live" | "organization">,
  ) => readCount(name, values[name] ?? "0")
  const usage = {
    ...ZERO_USAGE,
    inputUncachedTokens: tokens("input"),
    cacheReadTokens: tokens("cache-read"),
    cacheWrite5mTokens: tokens("cache-write-5m"),
    cacheWrite1hTokens: tokens("cache-write-1h"),
    outputTokens: tokens("output"),
    reasoningTokens: tokens("reasoning"),
    audioInputTokens: tokens("audio-input"),
    imageInputTokens: tokens("image-input"),
    audioOutputTokens: tokens("audio-output"),
    imageOutputTokens: tokens("image-output"),
    webSearches: tokens("web-searches"),
    ...readUnits(values.units),
  }
  const { inputUncachedTokens: input, outputTokens: output } = usage
  if (Object.values(usage).every((amount) => amount === 0 || amount === ""))
    throw new WrongUsage("--input, --output or another amount is needed")
  if (usage.audioInputTokens + usage.imageInputTokens > input)
    throw new WrongUsage("--audio-input and --image-input are parts of --input and cannot exceed it")
  if (Math.max(usage.reasoningTokens, usage.audioOutputTokens + usage.imageOutputTokens) > output)
    throw new WrongUsage("--reasoning, --audio-output and --image-output are parts of --output and cannot exceed it")
  return usage
}

function readCount(name: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new WrongUsage(`--${name} takes a whole number, not ${text}`)
}

function readUnits(text: string | undefined): Pick<Usage, "units" | "unitType"> {
  if (text === undefined) return { units: 0, unitType: "" }
  const [, quantity, unitType] = /^(\d{1,9}(?:\.\d{1,6})?):([\w.:-]+)$/.exec(text) ?? []
  if (quantity !== undefined && unitType !== undefined) return { units: Number(quantity), unitType }
  throw new WrongUsage(`--units takes a quantity and what it counts, such as 7:seconds, not ${text}`)
}

type Question = { readonly model: string; readonly provider: string | undefined; readonly tier: string; atMs: number }

type Found = Extract<EffectivePrice, { readonly kind: "found" }>

/** @throws CommandError where nobody answers, or no price applies */
async function liveOf(env: Environment, question: Question, organizationId: string | undefined): Promise<Found> {
  const slash = question.model.indexOf("/")
  const isNamed = question.provider === undefined && slash > 0
  const provider = isNamed ? question.model.slice(0, slash) : question.provider
  if (provider === undefined)
    throw new WrongUsage("--live needs --provider, or the provider in front of the model: openai/gpt-4o")
  const model = isNamed ? question.model.slice(slash + 1) : question.model
  const { tier, atMs } = question
  return askLivePrice(env, { provider, model, tier, atMs, organizationId })
}

async function fromFiles(env: Environment, cwd: string, question: Question, { organization }: Values): Promise<Found> {
  if (organization !== undefined) throw new WrongUsage("--organization needs --live: price files know no organizations")
  const book = await readPriceBook(readConfig(env, cwd).config)
  return { kind: "found", row: findRow(book, question), origin: "book", terms: null }
}

/** @throws CommandError where no provider lists the model, or several do */
function findRow(book: PriceBook, { model, provider, tier, atMs }: Question): PriceRow {
  const ask = (provider: string, model: string): FoundPrice => book.find({ provider, model, tier, atMs })
  const slash = model.indexOf("/")
  const [first, rest] = [model.slice(0, slash), model.slice(slash + 1)]
  const places: [provider: string, model: string][] =
    provider !== undefined
      ? [[provider, model]]
      : slash > 0 && book.providers().includes(first)
        ? [[first, rest]]
        : book.providers().map((name) => [name, model])
  const answers = places.map(([provider, model]) => ask(provider, model))
  const rows = answers.flatMap((answer) => (answer.kind === "found" ? [answer.row] : []))
  const [row, other] = rows
  if (other !== undefined) {
    throw new CommandError(
      `several providers list ${model}: ${rows.map((row) => row.provider).join(", ")}. Add --provider.`,
    )
  }
  if (row !== undefined) return row
  const reasons = answers.flatMap((answer) =>
    answer.kind === "unpriced" && !answer.reason.endsWith("is not in the price book") ? [answer.reason] : [],
  )
  if (reasons.length === 0)
    reasons.push(`the price book does not list ${model}; \`tallygate prices list\` shows what it has`)
  throw new CommandError(`the call would be unpriced: ${reasons.join("; ")}.`)
}

type Priced = Extract<EffectiveCost, { readonly kind: "priced" }>

function toText({ row, origin, terms }: Found, { pin, costPicos, baseCostPicos, lines }: Priced): string {
  const markup = terms === null ? "" : `markup ${formatPercent(terms.markupPpm)} %, `
  const discount = terms === null ? "" : `discount ${formatPercent(terms.discountPpm)} %`
  const ofTerms = baseCostPicos === null ? [] : [[markup + discount, "", "", "", formatUsd(costPicos - baseCostPicos)]]
  const cells = [
    ["class", "count", "USD", "", "cost in USD"],
    ...lines.map((line) => [
      line.ratedAs === line.class ? line.class : `${line.class} (at the rate of ${line.ratedAs})`,
      String(line.count),
      formatUsd(line.ratePicos),
      line.per === 1 ? "each" : "per 1000000 tokens",
      formatUsd(line.picos),
    ]),
    ...ofTerms,
    ["total", "", "", "", formatUsd(costPicos)],
  ]
  const whose = origin === "book" ? "" : `, the ${origin}'s own price`
  return `${pin}${whose}, checked ${row.checked}; source: ${row.source}\n${alignColumns(cells, [1, 2]).join("\n")}\n`
}

function toData({ row, origin, terms }: Found, { pin, costPicos, baseCostPicos, lines }: Priced): object {
  return {
    price_row: pin,
    origin,
    provider: row.provider,
    model: row.model,
    tier: row.tier,
    source: row.source,
    checked: row.checked,
    lines: lines.map((line: CostLine) => ({
      class: line.class,
      rated_as: line.ratedAs,
      count: line.count,
      rate_usd: formatUsd(line.ratePicos),
      per: line.per,
      cost_usd: formatUsd(line.picos),
    })),
    markup_percent: terms === null ? null : formatPercent(terms.markupPpm),
    discount_percent: terms === null ? null : formatPercent(terms.discountPpm),
    base_cost_usd: baseCostPicos === null ? null : formatUsd(baseCostPicos),
    cost_usd: formatUsd(costPicos),
  }
}

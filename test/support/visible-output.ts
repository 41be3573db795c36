/** How far estimates of visible output are from what providers counted, over the recorded answers of the fixture. */
import { readFileSync } from "node:fs"
import { familyNameOf, outputTokensFor } from "../../src/metering/model-family.ts"

export type RecordedAnswer = {
  readonly model: string
  /** Tokens of the visible text by the encoding that the model is counted with. */
  readonly counted: number
  /** Tokens that the provider reported for it. */
  readonly reported: number
  readonly source: string
}

export type ErrorRow = {
  readonly name: string
  readonly answers: number
  /** Shares of what was reported; of answers with at least SHORT_TOKENS where `Long` stands in the name. */
  readonly median: number
  readonly p90Long: number
  readonly worstLong: number
  /** The most tokens that a shorter answer is off. */
  readonly worstShortTokens: number
}

/** Below it, one token more or less is a large share and little money. */
export const SHORT_TOKENS = 16

const FILE = new URL("../fixtures/visible-output/answers.json", import.meta.url)
const NAMES: readonly (readonly [name: string, families: RegExp])[] = [
  ["**OpenAI**", /^openai/],
  ["**all others**", /^(?!openai)/],
  ["OpenAI, without hidden reasoning", /^openai(?:-4o)?$/],
  ["OpenAI, reasoning models (visible part)", /^openai-reasoning$/],
  ["Claude 3 to 4.6", /^claude$/],
  ["Claude 4.7 and 5", /^claude-5$/],
  ["Gemini", /^gemini$/],
  ["DeepSeek", /^deepseek$/],
  ["Mistral, since 2024-07", /^mistral$/],
  ["Llama, Qwen, Command", /^(?:llama|qwen|command)$/],
]

export function recordedAnswers(): readonly RecordedAnswer[] {
  return JSON.parse(readFileSync(FILE, "utf8")) as RecordedAnswer[]
}

export function errorRows(): ErrorRow[] {
  const answers = recordedAnswers()
  return NAMES.map(([name, families]) => ({
    name,
    ...errorsOf(answers.filter(({ model }) => families.test(familyNameOf(model)))),
  }))
}

function errorsOf(answers: readonly RecordedAnswer[]): Omit<ErrorRow, "name"> {
  const off = answers.map(({ model, counted, reported }) => {
    const tokens = Math.abs(outputTokensFor(counted, model) - reported)
    return { tokens, share: tokens / reported, isShort: reported < SHORT_TOKENS }
  })
  const shares = off.map(({ share }) => share).sort((a, b) => a - b)
  const long = off.flatMap(({ share, isShort }) => (isShort ? [] : [share])).sort((a, b) => a - b)
  return {
    answers: answers.length,
    median: quantile(shares, 0.5),
    p90Long: quantile(long, 0.9),
    worstLong: long.at(-1) ?? 0,
    worstShortTokens: Math.max(0, ...off.filter(({ isShort }) => isShort).map(({ tokens }) => tokens)),
  }
}

/** The nearest rank, without interpolation: a value that was really measured. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}

/** The rows as a table of a Markdown page. */
export function errorTable(): string {
  const head = `| answers of | n | median error, all | p90, ${SHORT_TOKENS} tokens or more | worst of these | shorter: at most off by |`
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`
  const lines = errorRows().map(({ name, answers, median, p90Long, worstLong, worstShortTokens }) => {
    const tokens = `${worstShortTokens} token${worstShortTokens === 1 ? "" : "s"}`
    return `| ${name} | ${answers} | ${percent(median)} | ${percent(p90Long)} | ${percent(worstLong)} | ${tokens} |`
  })
  return [head, "|---|---:|---:|---:|---:|---:|", ...lines].join("\n")
}

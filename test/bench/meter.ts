/**
 * What reading usage costs beside carrying the bytes: CPU of one thread per SSE event and per KB of a JSON answer, the
 * meter on less the meter off, in rounds that alternate. `node test/bench/meter.ts [rounds]` prints a Markdown table.
 * The bytes come in memory, so no socket is in the figures.
 */
import { anthropicMessages } from "../../src/providers/anthropic-messages.ts"
import { type Dialect, newReading } from "../../src/providers/dialect.ts"
import { googleGenerate } from "../../src/providers/google-generate.ts"
import { openAiChat } from "../../src/providers/openai-chat.ts"
import { openAiResponses } from "../../src/providers/openai-responses.ts"
import { AnswerReader } from "../../src/proxy/answer-reader.ts"

type Subject = {
  readonly name: string
  readonly dialect: Dialect
  readonly isSse: boolean
  readonly hidesUsage: boolean
  readonly chunks: readonly Buffer[]
  /** Events, or KB. */
  readonly units: number
  readonly unit: string
}

const EVENTS = 200
const ROUND_MS = 150
const ROUNDS_DEFAULT = 15

const sse = (name: string, dialect: Dialect, events: readonly object[], hidesUsage = false): Subject => ({
  ...{ name, dialect, isSse: true, hidesUsage, units: events.length, unit: "event" },
  chunks: events.map((event) => {
    const named = "type" in event ? `event: ${event.type}\n` : ""
    return Buffer.from(`${named}data: ${JSON.stringify(event)}\n\n`)
  }),
})

const times = <T>(make: (at: number) => T): T[] => Array.from({ length: EVENTS }, (_, at) => make(at))
const word = (at: number) => ` word${at * 7_919}`

const CHAT_HEAD = {
  id: "chatcmpl-0123456789",
  object: "chat.completion.chunk",
  created: 1_790_000_000,
  model: "gpt-4o-mini",
}
const CHAT_USAGE = { prompt_tokens: 21, completion_tokens: EVENTS, total_tokens: 21 + EVENTS }
const CHAT_EVENTS = [
  ...times((at) => ({
    ...{ ...CHAT_HEAD, service_tier: "default", system_fingerprint: "fp_0123456789" },
    ...{ choices: [{ index: 0, delta: { content: word(at) }, logprobs: null, finish_reason: null }], usage: null },
    obfuscation: "0123456789abcdef".slice(at % 16),
  })),
  { ...CHAT_HEAD, choices: [], usage: CHAT_USAGE },
]
const RESPONSES_EVENTS = [
  ...times((at) => ({
    ...{ type: "response.output_text.delta", item_id: "msg_0123456789", output_index: 0, content_index: 0 },
    ...{ delta: word(at), logprobs: [], sequence_number: at, obfuscation: "0123456789abcdef".slice(at % 16) },
  })),
  {
    type: "response.completed",
    response: { id: "resp_1", usage: { input_tokens: 21, output_tokens: EVENTS, total_tokens: 21 + EVENTS } },
  },
]
const CLAUDE_EVENTS = [
  {
    type: "message_start",
    message: { id: "msg_1", model: "claude-sonnet-4-5", usage: { input_tokens: 21, output_tokens: 1 } },
  },
  ...times((at) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: word(at) } })),
  { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: EVENTS } },
]
const GEMINI_EVENTS = times((at) => ({
  ...{ candidates: [{ content: { role: "model", parts: [{ text: word(at) }] }, index: 0 }] },
  ...{ usageMetadata: { promptTokenCount: 21, candidatesTokenCount: at, totalTokenCount: 21 + at } },
  ...{ modelVersion: "gemini-2.5-flash", responseId: "r-1" },
}))

function json(name: string, kilobytes: number): Subject {
  const message = { role: "assistant", content: "word ".repeat(Math.round((kilobytes * 1_024 - 300) / 5)) }
  const body = { ...CHAT_HEAD, choices: [{ index: 0, message, finish_reason: "stop" }], usage: CHAT_USAGE }
  const bytes = Buffer.from(JSON.stringify(body))
  const chunks = Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, at) =>
    bytes.subarray(at * 65_536, (at + 1) * 65_536),
  )
  return {
    ...{ name, dialect: openAiChat, isSse: false, hidesUsage: false, chunks },
    ...{ units: bytes.length / 1_024, unit: "KB" },
  }
}

const SUBJECTS: readonly Subject[] = [
  sse("chat completions, SSE", openAiChat, CHAT_EVENTS),
  sse("chat completions, SSE, the usage event taken out", openAiChat, CHAT_EVENTS, true),
  sse("responses, SSE", openAiResponses, RESPONSES_EVENTS),
  sse("Anthropic messages, SSE", anthropicMessages, CLAUDE_EVENTS),
  sse("Google generateContent, SSE, usage in each event", googleGenerate, GEMINI_EVENTS),
  json("chat completion, JSON of 1 KB", 1),
  json("chat completion, JSON of 16 KB", 16),
  json("chat completion, JSON of 1 MB", 1_024),
]

let carried = 0

function carry(chunk: Buffer): void {
  carried += chunk.length
}

function metered({ dialect, isSse, hidesUsage, chunks }: Subject): void {
  const reading = newReading()
  const contentType = isSse ? "text/event-stream" : "application/json"
  const reader = new AnswerReader(dialect, reading, { isSse, contentType, encoding: "", hidesUsage, streamEnd: null })
  for (const chunk of chunks) carry(reader.push(chunk))
  const left = reader.end()
  if (left !== null) carry(left)
  if (reading.usage === null) throw new Error("the meter found no usage")
}

function carriedAlone({ chunks }: Subject): void {
  for (const chunk of chunks) carry(chunk)
}

/** CPU of this process in µs per unit, over as many answers as fit into a round. */
function cpuPerUnit(subject: Subject, play: (subject: Subject) => void): number {
  const startedMs = performance.now()
  const before = process.cpuUsage()
  let answers = 0
  while (performance.now() - startedMs < ROUND_MS) {
    for (let batch = 0; batch < 8; batch++) play(subject)
    answers += 8
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / (answers * subject.units)
}

function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

const rounds = Number(process.argv[2] ?? ROUNDS_DEFAULT)
const costs = SUBJECTS.map(() => [] as number[])
for (let round = 0; round <= rounds; round++) {
  for (const [at, subject] of SUBJECTS.entries()) {
    const cost = cpuPerUnit(subject, metered) - cpuPerUnit(subject, carriedAlone)
    // The first round is for the compiler.
    if (round > 0) costs[at]?.push(cost)
  }
}
const lines = SUBJECTS.map(({ name, unit }, at) => {
  const sorted = [...(costs[at] ?? [])].sort((a, b) => a - b)
  const range = `${(sorted[0] ?? 0).toFixed(2)} to ${(sorted.at(-1) ?? 0).toFixed(2)}`
  return `| ${name} | ${medianOf(sorted).toFixed(2)} µs per ${unit} | ${range} |`
})
process.stdout.write(`| answer | meter, median of ${rounds} rounds | range |\n|---|---:|---:|\n${lines.join("\n")}\n`)
if (carried === 0) throw new Error("nothing was carried")

/**
 * Ends a stream of chat completions, or of legacy completions: each choice that is still open gets a chunk with
 * `finish_reason: "length"`, then comes the usage where the caller asked for it, then `[DONE]`. (OpenAI API reference,
 * chat completion chunk object; completions, streaming.)
 */
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { dataEvent, type StreamCut, type StreamEnd, type UsageSoFar } from "./stream-end.ts"

/** What an open choice of the two objects has beside its index and reason. */
const EMPTY_CHOICE = { "chat.completion.chunk": { delta: {} }, text_completion: { text: "" } } as const

export class OpenAiStreamEnd implements StreamEnd {
  readonly #object: keyof typeof EMPTY_CHOICE
  readonly #asksUsage: boolean
  /** Members that all chunks of a stream share. */
  #common: Readonly<Record<string, unknown>> = {}
  readonly #choices = new Map<number, boolean>()

  /** `asksUsage`: the caller expects the event with the usage. */
  constructor(object: keyof typeof EMPTY_CHOICE, asksUsage: boolean) {
    this.#object = object
    this.#asksUsage = asksUsage
  }

  see(data: string): void {
    const chunk = parsedObject(data)
    if (chunk === null) return
    if (asText(this.#common.id) === "") {
      const { choices: _, usage: __, ...common } = chunk
      this.#common = common
    }
    for (const value of asArray(chunk.choices)) {
      const choice = asObject(value)
      if (choice !== null) this.#note(count(choice.index) ?? 0, asText(choice.finish_reason) !== "")
    }
  }

  end(cut: StreamCut, { inputTokens, outputTokens }: UsageSoFar): string {
    if (this.#choices.size === 0) this.#choices.set(0, false)
    const chunk = { ...this.#common, object: this.#object }
    let events = ""
    for (const [index, isFinished] of this.#choices) {
      if (isFinished) continue
      const choice = { index, ...EMPTY_CHOICE[this.#object], logprobs: null, finish_reason: "length" }
      events += dataEvent({ ...chunk, choices: [choice], ...(this.#asksUsage ? { usage: null } : {}), tallygate: cut })
    }
    if (this.#asksUsage) {
      const usage = {
        prompt_tokens: inputTokens,
        completion_tokens: outputTokens,
        total_tokens: inputTokens + outputTokens,
      }
      events += dataEvent({ ...chunk, choices: [], usage, tallygate: cut })
    }
    return `${events}data: [DONE]\n\n`
  }

  #note(index: number, isFinished: boolean): void {
    this.#choices.set(index, isFinished || this.#choices.get(index) === true)
  }
}

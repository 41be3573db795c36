/**
 * Ends a stream of Anthropic's Messages API: the open block is closed, `message_delta` gives `max_tokens` as the reason
 * and the output so far, `message_stop` follows. (Anthropic API reference, streaming messages.)
 */
import { asText, count, parsedObject } from "./json-values.ts"
import { namedEvent, type StreamCut, type StreamEnd, type UsageSoFar } from "./stream-end.ts"

export class AnthropicStreamEnd implements StreamEnd {
  #openBlock: number | null = null
  #hasDelta = false

  see(data: string): void {
    const event = parsedObject(data)
    if (event === null) return
    const type = asText(event.type)
    if (type === "content_block_start") this.#openBlock = count(event.index) ?? 0
    else if (type === "content_block_stop") this.#openBlock = null
    else if (type === "message_delta") this.#hasDelta = true
  }

  end(cut: StreamCut, { outputTokens }: UsageSoFar): string {
    let events = ""
    if (this.#openBlock !== null) events += namedEvent({ type: "content_block_stop", index: this.#openBlock })
    if (!this.#hasDelta) {
      const delta = { stop_reason: "max_tokens", stop_sequence: null }
      events += namedEvent({
        type: "message_delta",
        delta,
        usage: { output_tokens: outputTokens },
        tallygate: cut,
      })
    }
    return events + namedEvent({ type: "message_stop" })
  }
}

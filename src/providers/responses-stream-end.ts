/**
 * Ends a stream of OpenAI's Responses API: what is open is closed from the inside out (text, part, item), each with
 * what it holds so far, then `response.incomplete` gives the whole response with the reason `max_output_tokens`. So the
 * output is put together here from the events as an SDK would. (OpenAI API reference, Responses, streaming events.)
 */
import { asArray, asObject, asText, count, parsedObject } from "./json-values.ts"
import { namedEvent, type StreamCut, type StreamEnd, type UsageSoFar } from "./stream-end.ts"

type Json = Record<string, unknown>

/** Parts that the provider has closed itself. */
const closedParts = new WeakSet<Json>()

/** Events that add to a text of a part, by the member that they add to. */
const PART_DELTAS: Readonly<Record<string, string>> = {
  "response.output_text.delta": "text",
  "response.refusal.delta": "refusal",
  "response.reasoning_text.delta": "text",
}
/** Events that add to a text of an item itself. */
const ITEM_DELTAS: Readonly<Record<string, string>> = {
  "response.function_call_arguments.delta": "arguments",
  "response.mcp_call_arguments.delta": "arguments",
  "response.custom_tool_call_input.delta": "input",
  "response.code_interpreter_call_code.delta": "code",
}

export class ResponsesStreamEnd implements StreamEnd {
  #response: Json = {}
  readonly #items = new Map<number, Json>()
  readonly #open = new Set<number>()
  #sequence = -1

  see(data: string): void {
    const event = parsedObject(data)
    if (event === null) return
    this.#sequence = count(event.sequence_number) ?? this.#sequence
    const type = asText(event.type)
    const response = asObject(event.response)
    if (response !== null) this.#response = response
    const at = count(event.output_index)
    if (at === null) return
    const item = asObject(event.item)
    if (item !== null) {
      this.#items.set(at, item)
      if (type === "response.output_item.done") this.#open.delete(at)
      else this.#open.add(at)
      return
    }
    const known = this.#items.get(at)
    if (known !== undefined) addTo(known, type, event)
  }

  end(cut: StreamCut, { inputTokens, outputTokens }: UsageSoFar): string {
    let events = ""
    const say = (type: string, members: Json) => {
      this.#sequence += 1
      events += namedEvent({ type, sequence_number: this.#sequence, ...members })
    }
    for (const at of this.#open) {
      const item = this.#items.get(at)
      if (item !== undefined) closeItem(item, at, say)
    }
    const usage = {
      input_tokens: inputTokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: outputTokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: inputTokens + outputTokens,
    }
    const output = [...this.#items].sort(([one], [other]) => one - other).map(([, item]) => item)
    const incomplete_details = { reason: "max_output_tokens" }
    const response = { ...this.#response, status: "incomplete", incomplete_details, output, usage, tallygate: cut }
    say("response.incomplete", { response })
    return events
  }
}

function addTo(item: Json, type: string, event: Json): void {
  const delta = asText(event.delta)
  const member = ITEM_DELTAS[type]
  if (member !== undefined) {
    item[member] = asText(item[member]) + delta
    return
  }
  const part = asObject(event.part)
  if (part !== null && type === "response.content_part.done") closedParts.add(part)
  if (type === "response.content_part.added" || type === "response.content_part.done") {
    place(item, "content", event.content_index, part)
  } else if (type === "response.reasoning_summary_part.added" || type === "response.reasoning_summary_part.done") {
    place(item, "summary", event.summary_index, part)
  } else if (type === "response.reasoning_summary_text.delta") {
    lengthen(asArray(item.summary)[count(event.summary_index) ?? 0], "text", delta)
  } else {
    const text = PART_DELTAS[type]
    if (text !== undefined) lengthen(asArray(item.content)[count(event.content_index) ?? 0], text, delta)
  }
}

function place(item: Json, member: "content" | "summary", index: unknown, part: Json | null): void {
  const parts = asArray(item[member])
  const at = count(index) ?? 0
  // A hostile index must not make an array of any length.
  if (part === null || at > parts.length) return
  item[member] = [...parts.slice(0, at), part, ...parts.slice(at + 1)]
}

function lengthen(value: unknown, member: string, delta: string): void {
  const part = asObject(value)
  if (part !== null) part[member] = asText(part[member]) + delta
}

function closeItem(item: Json, output_index: number, say: (type: string, members: Json) => void): void {
  const item_id = asText(item.id)
  asArray(item.content).forEach((value, content_index) => {
    const part = asObject(value)
    if (part === null || closedParts.has(part)) return
    const where = { item_id, output_index, content_index }
    if (part.type === "output_text") {
      say("response.output_text.done", { ...where, text: asText(part.text), logprobs: asArray(part.logprobs) })
    } else if (part.type === "refusal") {
      say("response.refusal.done", { ...where, refusal: asText(part.refusal) })
    }
    say("response.content_part.done", { ...where, part })
  })
  if (item.type === "function_call") {
    const { name, arguments: given } = item
    say("response.function_call_arguments.done", { item_id, output_index, name, arguments: asText(given) })
  }
  item.status = "incomplete"
  say("response.output_item.done", { output_index, item })
}

import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { AnthropicStreamEnd } from "../../src/providers/anthropic-stream-end.ts"
import { GoogleStreamEnd } from "../../src/providers/google-stream-end.ts"
import { mayHideOutput } from "../../src/providers/hidden-output.ts"
import { OpenAiStreamEnd } from "../../src/providers/openai-stream-end.ts"
import { ResponsesStreamEnd } from "../../src/providers/responses-stream-end.ts"
import type { StreamEnd } from "../../src/providers/stream-end.ts"

const CUT = { cut_by: "budget", limit_id: "lim_1", message: "No room." } as const
const USED = { inputTokens: 10, outputTokens: 20 }

/** The events' data, parsed; `[DONE]` as it stands. */
function endOf(end: StreamEnd, ...events: object[]): unknown[] {
  for (const event of events) end.see(JSON.stringify(event))
  const blocks = end.end(CUT, USED).split("\n\n")
  expect(blocks.pop()).toBe("")
  return blocks.map((block) => {
    const [, data = ""] = /^data: (.*)$/m.exec(block) ?? []
    return data === "[DONE]" ? data : JSON.parse(data)
  })
}

describe("the end of a stream of completions", () => {
  const chunk = (...choices: object[]) => ({
    id: "c1",
    object: "chat.completion.chunk",
    created: 5,
    model: "m",
    choices,
  })

  it("finishes each choice that is open, and no other", () => {
    const ended = endOf(
      new OpenAiStreamEnd("chat.completion.chunk", false),
      chunk({ index: 0, delta: { content: "a" }, finish_reason: null }),
      chunk({ index: 1, delta: { content: "b" }, finish_reason: null }),
      chunk({ index: 2, delta: {}, finish_reason: "stop" }),
      chunk({ index: 0, delta: {}, finish_reason: "stop" }),
    )
    expect(ended).toEqual([
      {
        ...{ id: "c1", object: "chat.completion.chunk", created: 5, model: "m", tallygate: CUT },
        choices: [{ index: 1, delta: {}, logprobs: null, finish_reason: "length" }],
      },
      "[DONE]",
    ])
  })

  it("states the usage so far where the caller waits for it", () => {
    const ended = endOf(new OpenAiStreamEnd("text_completion", true), { id: "x", choices: [{ index: 0, text: "a" }] })
    expect(ended).toMatchObject([
      { object: "text_completion", usage: null, choices: [{ text: "", finish_reason: "length" }] },
      { choices: [], usage: { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 } },
      "[DONE]",
    ])
  })
})

describe("the end of a stream of messages", () => {
  it("closes the block that is open", () => {
    const ended = endOf(
      new AnthropicStreamEnd(),
      { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
      { type: "content_block_stop", index: 0 },
      { type: "content_block_start", index: 1, content_block: { type: "tool_use", id: "t", name: "f", input: {} } },
    )
    expect(ended).toMatchObject([
      { type: "content_block_stop", index: 1 },
      { type: "message_delta", delta: { stop_reason: "max_tokens" }, usage: { output_tokens: 20 }, tallygate: CUT },
      { type: "message_stop" },
    ])
  })

  it("says no second time how it ended", () => {
    const ended = endOf(new AnthropicStreamEnd(), { type: "message_delta", delta: { stop_reason: "end_turn" } })
    expect(ended).toEqual([{ type: "message_stop" }])
  })
})

describe("the end of a response", () => {
  const at = { item_id: "i1", output_index: 1, content_index: 0 }
  const call = { id: "i2", type: "function_call", name: "f", arguments: "", status: "in_progress" }

  it("closes what is open from the inside out, and keeps what was complete", () => {
    const whole = { id: "i0", type: "reasoning", summary: [], status: "completed" }
    const ended = endOf(
      new ResponsesStreamEnd(),
      { type: "response.created", sequence_number: 0, response: { id: "r1", status: "in_progress", output: [] } },
      { type: "response.output_item.added", sequence_number: 1, output_index: 0, item: { ...whole, status: "x" } },
      { type: "response.output_item.done", sequence_number: 2, output_index: 0, item: whole },
      {
        type: "response.output_item.added",
        sequence_number: 3,
        output_index: 1,
        item: { id: "i1", type: "message", content: [] },
      },
      { type: "response.content_part.added", sequence_number: 4, ...at, part: { type: "output_text", text: "" } },
      { type: "response.output_text.delta", sequence_number: 5, ...at, delta: "Hel" },
      { type: "response.output_text.delta", sequence_number: 6, ...at, delta: "lo" },
      { type: "response.content_part.done", sequence_number: 7, ...at, part: { type: "output_text", text: "Hello" } },
      { type: "response.output_item.added", sequence_number: 8, output_index: 2, item: call },
      {
        type: "response.function_call_arguments.delta",
        sequence_number: 9,
        item_id: "i2",
        output_index: 2,
        delta: '{"a',
      },
    )
    expect(ended).toMatchObject([
      { type: "response.output_item.done", sequence_number: 10, item: { id: "i1", status: "incomplete" } },
      { type: "response.function_call_arguments.done", sequence_number: 11, arguments: '{"a' },
      { type: "response.output_item.done", sequence_number: 12, item: { id: "i2", status: "incomplete" } },
      {
        ...{ type: "response.incomplete", sequence_number: 13 },
        response: {
          ...{ id: "r1", status: "incomplete", incomplete_details: { reason: "max_output_tokens" }, tallygate: CUT },
          usage: { input_tokens: 10, output_tokens: 20, total_tokens: 30 },
          output: [whole, { id: "i1", content: [{ text: "Hello" }] }, { id: "i2", arguments: '{"a' }],
        },
      },
    ])
  })
})

it("the end of a Gemini stream finishes the open candidates and repeats what was last said of usage", () => {
  const ended = endOf(
    new GoogleStreamEnd(),
    {
      candidates: [{ index: 0 }, { index: 1, finishReason: "STOP" }],
      usageMetadata: { totalTokenCount: 3 },
      responseId: "r",
    },
    { candidates: [{ index: 0 }], usageMetadata: { totalTokenCount: 4 } },
  )
  expect(ended).toEqual([
    {
      ...{ usageMetadata: { totalTokenCount: 4 }, responseId: "r", tallygate: CUT },
      candidates: [{ content: { parts: [{ text: "" }], role: "model" }, finishReason: "MAX_TOKENS", index: 0 }],
    },
  ])
})

it("whatever events come, none throws, and the end is whole events", () => {
  const ends = [
    () => new OpenAiStreamEnd("chat.completion.chunk", true),
    () => new OpenAiStreamEnd("text_completion", false),
    () => new AnthropicStreamEnd(),
    () => new ResponsesStreamEnd(),
    () => new GoogleStreamEnd(),
  ]
  const type = fc.constantFrom(
    ...["message_start", "content_block_start", "message_delta", "response.created", "response.output_item.added"],
    ...["response.content_part.added", "response.output_text.delta", "response.reasoning_summary_part.added"],
    ...["response.reasoning_summary_text.delta", "response.function_call_arguments.delta", "response.output_item.done"],
  )
  const small = fc.oneof(fc.integer({ min: -2, max: 3 }), fc.jsonValue())
  const event = fc.record(
    {
      type,
      output_index: small,
      content_index: small,
      summary_index: small,
      item: fc.jsonValue(),
      part: fc.jsonValue(),
      delta: fc.jsonValue(),
      choices: fc.jsonValue(),
      candidates: fc.jsonValue(),
      response: fc.jsonValue(),
      index: small,
    },
    { requiredKeys: ["type"] },
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(event, fc.jsonValue())), (events) => {
      for (const make of ends) {
        const end = make()
        for (const one of events) end.see(JSON.stringify(one))
        end.see("not json")
        expect(end.end(CUT, USED)).toMatch(/^(?:(?:event: [\w.]+\n)?data: .+\n\n)+$/)
      }
    }),
  )
})

it.each([
  ["o3-mini", true],
  ["gpt-5", true],
  ["openai/gpt-5-mini", true],
  ["gemini-2.5-flash", true],
  ["grok-4", true],
  ["x-ai/grok-code-fast-1", true],
  ["deepseek-reasoner", true],
  ["gpt-4o", false],
  ["gpt-4.1-mini", false],
  ["gemini-2.0-flash", false],
  ["claude-sonnet-4-5", false],
  ["grok-3", false],
])("%s may write what it does not show: %s", (model, isHidden) => {
  expect(mayHideOutput(model, Buffer.from("{}"))).toBe(isHidden)
  expect(mayHideOutput(model, Buffer.from('{"thinking":{"type":"enabled"}}'))).toBe(true)
})

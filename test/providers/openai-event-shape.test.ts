/** Events whose frame is known are read without parsing: held against the parser, which reads every event alone. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { newReading, type Reading } from "../../src/providers/dialect.ts"
import { openAiChat } from "../../src/providers/openai-chat.ts"
import { learnShape, textByShape } from "../../src/providers/openai-event-shape.ts"

const HEAD = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m", service_tier: "default" }

function event(delta: object, more: object = {}): string {
  return JSON.stringify({ ...HEAD, choices: [{ index: 0, delta, logprobs: null, finish_reason: null }], ...more })
}

/** What the events say when each is read by a reading that knows nothing of the others. */
function readAlone(events: readonly string[]): Partial<Reading> {
  const readings = events.map((data) => {
    const reading = newReading()
    openAiChat.readEvent(data, reading)
    return reading
  })
  return {
    outputText: readings.map((reading) => reading.outputText).join(""),
    hasContent: readings.some((reading) => reading.hasContent),
    hasError: readings.some((reading) => reading.hasError),
    usage: readings.findLast((reading) => reading.usage !== null)?.usage ?? null,
    tier: readings.findLast((reading) => reading.tier !== "")?.tier ?? "",
    model: readings.find((reading) => reading.model !== "")?.model ?? "",
    responseId: readings.find((reading) => reading.responseId !== "")?.responseId ?? "",
  }
}

function readTogether(events: readonly string[]): Reading {
  const reading = newReading()
  for (const data of events) openAiChat.readEvent(data, reading)
  return reading
}

describe("an event of a known shape", () => {
  test.each([
    ["OpenAI's own", (text: string) => event({ content: text }, { usage: null })],
    ["with padding", (text: string) => event({ content: text }, { usage: null, obfuscation: "x".repeat(text.length) })],
    ["reasoning that is shown", (text: string) => event({ role: "assistant", reasoning_content: text })],
  ])("%s: its text is read without parsing", (_name, make) => {
    const shape = learnShape(make("Hello"), "Hello")
    if (shape === null) throw new Error("nothing was learned")
    for (const text of ["", " ", " world", "zoë 🙂", "x".repeat(1_000)])
      expect(textByShape(make(text), shape)).toBe(text)
  })

  test.each([
    ["escapes in its text", event({ content: 'a"b' })],
    ["a line break in its text", event({ content: "a\nb" })],
    ["another finish reason", event({ content: "a" }).replace('"finish_reason":null', '"finish_reason":"stop"')],
    ["usage", event({ content: "a" }, { usage: { prompt_tokens: 1, completion_tokens: 1 } })],
    ["another model", event({ content: "a" }).replace('"model":"m"', '"model":"n"')],
    ["a second choice", event({ content: "a" }).replace('"index":0', '"index":1')],
    ["a broken end", event({ content: "a" }).slice(0, -1)],
    ["a second text", event({ content: "a", refusal: "b" })],
    ["a control character that JSON forbids", event({ content: "a" }).replace(':"a"', ':"\u0001"')],
  ])("%s: it is parsed", (_name, data) => {
    const shape = learnShape(event({ content: "Hello" }), "Hello")
    if (shape === null) throw new Error("nothing was learned")
    expect(textByShape(data, shape)).toBeNull()
  })

  test.each([
    ["stands elsewhere too", `{"x":{"content":"Hi"},"choices":[{"delta":{"content": "Hi"}}]}`],
    ["is overruled by a second member", `{"choices":[{"delta":{"content":"Hi","content":"Hi"}}]}`],
    ["stands in one of two choices", `{"choices":[{"delta":{"content":"Hi"}},{"delta":{}}]}`],
    ["has padding that stands inside", `{"choices":[{"delta":{"content":"Hi"},"obfuscation":"x"}]}`],
  ])("nothing is learned where the text %s", (_name, data) => expect(learnShape(data, "Hi")).toBeNull())
})

describe("a stream", () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.constantFrom("", "a", '"usage"', "\\", "\n", "é"),
  )
  const delta = fc.oneof(
    text.map((content) => ({ content })),
    text.map((content) => ({ content })),
    text.map((reasoning_content) => ({ content: null, reasoning_content })),
    text.map((argument) => ({ tool_calls: [{ index: 0, function: { name: "f", arguments: argument } }] })),
  )
  const more = fc.oneof(
    fc.constant({}),
    fc.constant({ usage: null }),
    fc.constantFrom({ service_tier: "flex" }, { error: { message: "no" } }, { model: "other" }, { id: "other" }),
    text.map((obfuscation) => ({ obfuscation })),
    fc.nat(9).map((tokens) => ({ usage: { prompt_tokens: 3, completion_tokens: tokens } })),
  )
  const events = fc.array(
    fc.oneof(
      fc.tuple(delta, more).map(([shown, rest]) => event(shown, rest)),
      text.map((content) => event({ content })),
      text.map((content) => event({ content }).replace('"content":', '"content": ')),
      fc.tuple(text, fc.nat(400)).map(([content, length]) => event({ content }).slice(0, length)),
    ),
    { minLength: 2, maxLength: 30 },
  )

  test("read as a whole says what its events say one by one", () => {
    fc.assert(
      fc.property(events, (stream) => {
        const { outputText, hasContent, hasError, usage, tier, model, responseId } = readTogether(stream)
        const read = { outputText, hasContent, hasError, usage, tier, model, responseId }
        expect(read).toEqual(readAlone(stream))
      }),
      { numRuns: 3_000 },
    )
  })

  test("whose events keep differing stops learning", () => {
    const stream = Array.from({ length: 40 }, (_, index) => event({ content: `word${index}` }, { sequence: index }))
    expect(readTogether(stream).repeated.learnsLeft).toBe(0)
    expect(readTogether(stream).outputText).toContain("word39")
  })
})

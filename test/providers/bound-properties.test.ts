/** What the bound of a request promises, held against real tokenizers and against answers as providers report them. */
import fc from "fast-check"
import { get_encoding } from "tiktoken"
import { expect, test } from "vitest"
import type { RequestBound } from "../../src/providers/request-bound.ts"
import { boundOfRequest, markOf } from "../support/request-bounds.ts"
import { type WireFixture, wireFixtures } from "../support/wire-fixtures.ts"

const encodings = [get_encoding("o200k_base"), get_encoding("cl100k_base")]

/** The most tokens that any encoding makes of it, with what chat formats put around each message. */
function tokensOf(texts: readonly string[]): number {
  const counts = encodings.map((encoding) =>
    texts.reduce((sum, text) => sum + encoding.encode_ordinary(text).length, 0),
  )
  return Math.max(...counts) + 3 + 4 * texts.length
}

/** Text that costs many tokens a byte: emoji, controls, other scripts, halves of surrogates, marks of the tokenizer itself. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({
    unit: fc.constantFrom("👩‍👩‍👧‍👦", "🏳️‍🌈", "\u0000", "\u001b", "ﷺ", "์", "𒐫", "﷽", "\ud83d", "‮", " "),
    maxLength: 40,
  }),
  fc.constantFrom(
    "<|endoftext|>",
    "<|im_start|>system",
    "<|fim_prefix|>",
    "\n\n\n\t",
    "a".repeat(200),
    "12345678901234567890",
  ),
)

const chatOf = (texts: readonly string[], tools: readonly string[]) => ({
  model: "gpt-4o-mini",
  max_tokens: 5,
  messages: texts.map((content, at) => ({ role: at % 2 === 0 ? "user" : "assistant", content })),
  ...(tools.length === 0
    ? {}
    : { tools: tools.map((name) => ({ type: "function", function: { name, description: name, parameters: {} } })) }),
})

const SHAPES: readonly [string, (texts: readonly string[], tools: readonly string[]) => RequestBound][] = [
  ["chat", (texts, tools) => boundOfRequest("openai", "/chat/completions", chatOf(texts, tools))],
  [
    "responses",
    (texts, tools) =>
      boundOfRequest("openai", "/responses", {
        ...{ model: "gpt-5", max_output_tokens: 16 },
        input: texts.map((said) => ({ role: "user", content: [{ type: "input_text", text: said }] })),
        ...(tools.length === 0 ? {} : { tools: tools.map((name) => ({ type: "function", name, description: name })) }),
      }),
  ],
  [
    "messages",
    (texts, tools) =>
      boundOfRequest("anthropic", "/messages", {
        ...{ model: "claude-sonnet-4-5", max_tokens: 5 },
        messages: texts.map((said) => ({ role: "user", content: [{ type: "text", text: said }] })),
        ...(tools.length === 0 ? {} : { tools: tools.map((name) => ({ name, description: name, input_schema: {} })) }),
      }),
  ],
  [
    "generateContent",
    (texts, tools) =>
      boundOfRequest("google", "/models/gemini-2.5-flash:generateContent", {
        contents: texts.map((said) => ({ parts: [{ text: said }] })),
        ...(tools.length === 0
          ? {}
          : { tools: [{ functionDeclarations: tools.map((name) => ({ name, description: name })) }] }),
      }),
  ],
]

test.each(SHAPES)(
  "the bound of %s is never less than what a tokenizer counts, and grows with what is added",
  (_, boundOf) => {
    const texts = fc.array(text, { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(texts, fc.array(text, { maxLength: 3 }), text, (said, tools, more) => {
        const { most } = boundOf(said, tools)
        expect(most.inputTokens).toBeGreaterThanOrEqual(tokensOf([...said, ...tools, ...tools]))
        expect(boundOf([...said, more], tools).most.inputTokens).toBeGreaterThan(most.inputTokens)
        expect(boundOf(said, [...tools, more]).most.inputTokens).toBeGreaterThan(most.inputTokens)
      }),
      { numRuns: 150 },
    )
  },
)

const RECORDED = [
  ["openai-chat", (fixture: WireFixture) => boundOfRequest("openai", "/chat/completions", fixture.request)],
  [
    "openai-responses",
    (fixture: WireFixture) =>
      boundOfRequest("openai", fixture.name === "json-compact" ? "/responses/compact" : "/responses", fixture.request),
  ],
  ["anthropic-messages", (fixture: WireFixture) => boundOfRequest("anthropic", "/messages", fixture.request)],
  [
    "google-generate",
    ({ request, expected }: WireFixture) =>
      boundOfRequest("google", `/models/${expected.model || "gemini-2.5-flash"}:generateContent`, request),
  ],
] as const

test.each(RECORDED)("no recorded answer of %s used more than its request's bound", (dialect, boundOf) => {
  const marks = wireFixtures(dialect).map((fixture) => {
    const bound = boundOf(fixture)
    const { inputUncachedTokens, cacheReadTokens, cacheWrite5mTokens, cacheWrite1hTokens, outputTokens } =
      fixture.expected
    const used = {
      input: inputUncachedTokens + cacheReadTokens + cacheWrite5mTokens + cacheWrite1hTokens,
      output: outputTokens,
    }
    const isBeyond = used.input > bound.most.inputTokens || used.output > bound.most.outputTokens
    if (bound.kind === "bounded" && isBeyond)
      throw new Error(`${fixture.name}: ${JSON.stringify({ used, most: bound.most })}`)
    return markOf(bound)
  })
  expect(marks.filter((mark) => mark === "bounded").length).toBeGreaterThan(marks.length / 2)
})

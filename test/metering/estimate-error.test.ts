/** Estimates of visible output against what providers counted, and prompts whose tokens they stated. */
import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { openTokenizer } from "../../src/metering/tokenizer.ts"
import { errorRows, errorTable, recordedAnswers, SHORT_TOKENS } from "../support/visible-output.ts"

const PAGE = readFileSync(new URL("../../docs/metering.md", import.meta.url), "utf8")

describe("visible output of recorded answers", () => {
  const [openAi, others] = errorRows()

  test("is off by 1 % in the middle for OpenAI and 8 % for all others, and by 15 % in nine of ten", () => {
    expect(openAi?.median).toBeLessThanOrEqual(0.01)
    expect(others?.median).toBeLessThanOrEqual(0.08)
    for (const row of [openAi, others]) expect(row?.p90Long).toBeLessThanOrEqual(0.15)
  })

  test("of fewer tokens than a share means anything for is off by three at most", () => {
    expect(recordedAnswers().some(({ reported }) => reported < SHORT_TOKENS)).toBe(true)
    for (const { worstShortTokens } of errorRows()) expect(worstShortTokens).toBeLessThanOrEqual(3)
  })

  test("the documentation has the table as it comes out", () => expect(PAGE).toContain(errorTable()))
})

describe("prompts whose tokens a provider stated", () => {
  const tokenizer = openTokenizer()
  const asked = (content: unknown) => ({ role: "user", content })
  const capital = {
    ...{ name: "get_capital", description: "Get the capital of a country." },
    parameters: {
      ...{ type: "object", additionalProperties: false, required: ["country"] },
      properties: { country: { type: "string", description: "The country name." } },
    },
  }
  const tools = [{ type: "function", function: { ...capital, strict: true } }]
  const called = (country: string) => ({
    ...{ role: "assistant", content: null },
    tool_calls: [
      { id: "call_1", type: "function", function: { name: "get_capital", arguments: `{"country":"${country}"}` } },
    ],
  })
  const answered = (content: string) => ({ role: "tool", tool_call_id: "call_1", content })
  const paris = [
    ...[asked("What is the capital of France?"), called("France"), answered("Paris")],
    ...[{ role: "assistant", content: "The capital of France is Paris." }, asked("What is the capital of England?")],
  ]

  test.each<[string, object, number]>([
    ["gpt-3.5-turbo", { messages: [asked("Tell me a joke about opentelemetry")] }, 15],
    ["gpt-5-nano", { messages: [asked("Hello!")] }, 8],
    ["gpt-4o-mini", { messages: paris, tools }, 104],
    ["gpt-4o-mini", { messages: [...paris, called("England"), answered("London")], tools }, 129],
  ])("%s: exact, calls and declarations of tools included", (model, body, stated) => {
    expect(tokenizer.promptTokens(body, model).input).toBe(stated)
  })

  const parts = (text: string) => ({ role: "user", parts: [{ text }] })
  test.each<[string, object, number]>([
    ["claude-3-opus", { messages: [asked("Tell me a joke about OpenTelemetry")] }, 17],
    ["claude-opus-5", { messages: [asked([{ type: "text", text: "What is 2+2?" }])] }, 13],
    ["gemini-2.5-flash", { contents: [parts("The quick brown fox jumps over the lazydog.")] }, 12],
    [
      "gemini-2.5-flash",
      { systemInstruction: parts("You are a helpful chatbot."), contents: [parts("What is the capital of France?")] },
      15,
    ],
    ["deepseek-reasoner", { messages: [asked("How do I cross the street?")] }, 12],
  ])("%s: within three tokens", (model, body, stated) => {
    expect(Math.abs(tokenizer.promptTokens(body, model).input - stated)).toBeLessThanOrEqual(3)
  })
})

/** Token counts against tiktoken itself, and the texts that are made to hurt a tokenizer. */
import fc from "fast-check"
import { get_encoding } from "tiktoken"
import { afterAll, describe, expect, test } from "vitest"
import {
  encodingOf,
  estimatorName,
  factorOf,
  openTokenizer,
  scaledTokens,
  TEXT_CHARS_MAX,
} from "../../src/metering/tokenizer.ts"

const tokenizer = openTokenizer()
const reference = get_encoding("o200k_base")
const exact = (text: string) => reference.encode_ordinary(text).length

afterAll(() => reference.free())

const PROSE = Array.from({ length: 400 }, (_, index) => `Line ${index}: the meter (which counts) reads ${index * 37}.`)

describe("texts made to hurt", () => {
  test("an unbroken run of 200,000 letters, spaces or line ends is counted within seconds", () => {
    for (const unit of ["a", " ", "\n", "!"]) {
      const startedMs = performance.now()
      const tokens = tokenizer.countTokens(unit.repeat(200_000), "o200k_base")
      // In one piece 200,000 letters take a minute and a half.
      expect(performance.now() - startedMs).toBeLessThan(8_000)
      expect(tokens).toBeGreaterThan(1_000)
      expect(tokens).toBeLessThan(200_000)
    }
  })

  test("text that spells a special token is counted as text", () => {
    const text = "before <|endoftext|> after <|im_start|>"
    expect(tokenizer.countTokens(text, "o200k_base")).toBe(exact(text))
    expect(tokenizer.countTokens("<|endoftext|>", "cl100k_base")).toBeGreaterThan(1)
  })

  test("beyond the cap the rest of a text counts 3.5 characters a token", () => {
    const capped = "ab ".repeat(TEXT_CHARS_MAX).slice(0, TEXT_CHARS_MAX)
    const base = tokenizer.countTokens(capped, "o200k_base")
    expect(tokenizer.countTokens(capped + "x".repeat(35), "o200k_base")).toBe(base + 10)
  })

  test("the cap is on the whole request, not on each message", () => {
    const content = "ab ".repeat(TEXT_CHARS_MAX).slice(0, TEXT_CHARS_MAX)
    const one = tokenizer.chatPromptTokens({ messages: [{ content }] }, "gpt-4o")
    const two = tokenizer.chatPromptTokens({ messages: [{ content }, { content: "x".repeat(70) }] }, "gpt-4o")
    expect(two - one).toBe(3 + 20)
  })

  test("a character outside the basic plane is never cut in two", () => {
    for (const lead of ["", "a"]) {
      const text = lead + "🙂".repeat(1_000)
      expect(tokenizer.countTokens(text, "o200k_base")).toBeLessThanOrEqual(exact(text) + 4)
    }
  })
})

describe("counts", () => {
  test("known texts", () => {
    expect(tokenizer.countTokens("", "o200k_base")).toBe(0)
    expect(tokenizer.countTokens("hello world", "o200k_base")).toBe(2)
    expect(tokenizer.countTokens("hello world", "cl100k_base")).toBe(2)
    // The newer encoding knows more of other languages.
    const hindi = "नमस्ते दुनिया"
    expect(tokenizer.countTokens(hindi, "o200k_base")).toBeLessThan(tokenizer.countTokens(hindi, "cl100k_base"))
  })

  test("a text of one piece counts as tiktoken counts it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 500 }), (text) => {
        expect(tokenizer.countTokens(text, "o200k_base")).toBe(exact(text))
      }),
      { numRuns: 200 },
    )
  })

  test("prose and code are counted the same in pieces as whole", () => {
    for (const glue of [" ", "\n", "\n\n  "]) {
      const text = PROSE.join(glue)
      expect(text.length).toBeGreaterThan(10_000)
      expect(tokenizer.countTokens(text, "o200k_base")).toBe(exact(text))
    }
  })

  test("text without spaces is off by less than one percent", () => {
    const text = JSON.stringify(PROSE.map((line, index) => ({ index, line: line.replaceAll(" ", "_") })))
    const tokens = tokenizer.countTokens(text, "o200k_base")
    expect(Math.abs(tokens / exact(text) - 1)).toBeLessThan(0.01)
  })
})

describe("the prompt of a chat request", () => {
  const prompt = (body: unknown, model = "gpt-4o") => tokenizer.chatPromptTokens(body, model)

  test("bodies of any shape are counted, none throws", () => {
    for (const body of [
      null,
      7,
      [],
      {},
      { messages: [null, 3, {}] },
      { messages: "text" },
      { messages: [{ content: 4 }] },
    ]) {
      expect(prompt(body)).toBeGreaterThanOrEqual(0)
    }
    expect(prompt("hello world")).toBe(2)
    expect(prompt({ input: ["hello world", "hello world"] })).toBe(4)
    expect(prompt({ prompt: "hello world" })).toBe(2)
  })

  test("each message costs three tokens, its role and its content; a name one more; the answer's lead three", () => {
    const messages = [
      { role: "system", content: "hello world" },
      { role: "user", name: "ann", content: "hello world" },
    ]
    expect(prompt({ messages })).toBe(3 + (3 + 1 + 2) + (3 + 1 + 2 + exact("ann") + 1))
  })

  test("of content parts only text counts, a picture's base64 does not", () => {
    const picture = { type: "image_url", image_url: { url: `data:image/png;base64,${"A".repeat(10_000)}` } }
    expect(prompt({ messages: [{ role: "user", content: [{ type: "text", text: "hello world" }, picture] }] })).toBe(9)
  })

  test("tools and tool calls count as their JSON, and gpt-5 adds its own frame", () => {
    const tools = [{ type: "function", function: { name: "now", parameters: { type: "object" } } }]
    const plain = { messages: [{ role: "user", content: "hello world" }] }
    const frame = exact(JSON.stringify(tools))
    expect(prompt({ ...plain, tools }) - prompt(plain)).toBe(frame)
    expect(prompt({ ...plain, tools }, "gpt-5-mini") - prompt(plain)).toBe(frame + 90)
    const tool_calls = [{ id: "1", type: "function", function: { name: "now", arguments: "{}" } }]
    const called = prompt({ messages: [{ role: "assistant", content: null, tool_calls }] })
    expect(called).toBe(3 + 3 + 1 + exact(JSON.stringify(tool_calls)))
  })
})

describe("models", () => {
  test("a model that nobody knows gets the newest encoding and a cautious factor", () => {
    expect(estimatorName("hal-9000")).toBe("o200k_base×1.2")
    expect(estimatorName("")).toBe("o200k_base×1.2")
  })

  test("each model has its encoding", () => {
    for (const model of ["gpt-4", "gpt-4-0613", "gpt-4-turbo", "gpt-3.5-turbo", "text-embedding-3-small"]) {
      expect([model, encodingOf(model)]).toEqual([model, "cl100k_base"])
    }
    for (const model of [
      "gpt-4o-mini",
      "gpt-4.1",
      "gpt-4.5-preview",
      "gpt-5.6-sol",
      "gpt-oss-120b",
      "ft:gpt-4o:acme",
      "o3",
    ]) {
      expect([model, encodingOf(model)]).toEqual([model, "o200k_base"])
    }
  })

  test("each family has its factor, with or without its host's path", () => {
    const expected: Record<string, number> = {
      "gpt-4o": 1,
      "openai/o3-mini": 1,
      "sandbox/echo": 1,
      "deepseek-chat": 1.05,
      "meta-llama/Llama-3.3-70B-Instruct": 1.05,
      "models/gemini-2.5-pro": 1.1,
      "claude-3-5-sonnet-20241022": 1.2,
      "claude-opus-4-20250514": 1.2,
      "claude-opus-4-5-20251101": 1.2,
      "claude-opus-4-7": 1.35,
      "anthropic/claude-sonnet-5": 1.35,
      "mistral-large-latest": 1.2,
    }
    for (const [model, factor] of Object.entries(expected)) expect([model, factorOf(model)]).toEqual([model, factor])
  })

  test("a factor is applied without the noise of floats and rounded up", () => {
    expect(scaledTokens(10, "gemini-2.5-pro")).toBe(11)
    expect(scaledTokens(101, "claude-3-opus")).toBe(122)
    expect(scaledTokens(7, "gpt-4o")).toBe(7)
  })
})

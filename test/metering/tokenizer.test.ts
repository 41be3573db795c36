/** Token counts against tiktoken itself, and the texts that are made to hurt a tokenizer. */
import fc from "fast-check"
import { get_encoding } from "tiktoken"
import { afterAll, describe, expect, test } from "vitest"
import { openTokenizer, TEXT_CHARS_MAX } from "../../src/metering/tokenizer.ts"

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
    const tokensOf = (...contents: string[]) =>
      tokenizer.promptTokens({ messages: contents.map((text) => ({ role: "user", content: text })) }, "gpt-4o").input
    expect(tokensOf(content, "x".repeat(70)) - tokensOf(content)).toBe(4 + 20)
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

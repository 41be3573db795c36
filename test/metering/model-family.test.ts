/** Which family a model belongs to, and what an estimate's name says of it. */
import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import {
  ESTIMATOR_VERSION,
  encodingOf,
  estimatorName,
  familyNameOf,
  inputTokensFor,
  outputTokensFor,
} from "../../src/metering/model-family.ts"

test("a model that nobody knows gets the newest encoding and a cautious factor", () => {
  for (const model of ["hal-9000", "", "constructor"]) expect(estimatorName(model)).toBe("v2 unknown o200k_base×1.2")
})

test("an estimate's name holds version, family, encoding, factor and frame, so that figures of two versions differ", () => {
  expect(estimatorName("claude-sonnet-4-5")).toBe(`v${ESTIMATOR_VERSION} claude o200k_base×1.15+3`)
  expect(estimatorName("gpt-3.5-turbo")).toBe(`v${ESTIMATOR_VERSION} openai cl100k_base×1`)
})

const FAMILIES: [string, string[]][] = [
  ["openai", ["gpt-4", "gpt-4-0613", "gpt-4-turbo", "gpt-35-turbo", "text-embedding-3-small", "davinci-002"]],
  ["openai-4o", ["gpt-4o-mini", "gpt-4.1", "gpt-4.5-preview", "ft:gpt-4o:acme", "openai/gpt-4o", "chatgpt-4o-latest"]],
  ["openai-reasoning", ["gpt-5.6-sol", "gpt-6-luna", "o3", "openai/o4-mini", "openai.gpt-oss-120b-1:0", "codex-mini"]],
  ["claude", ["claude-3-opus", "claude-opus-4-20250514", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"]],
  ["claude-5", ["claude-opus-4-7", "anthropic/claude-sonnet-5", "claude-fable-5.1", "claude-opus-4.8"]],
  ["mistral-1", ["mistral-tiny", "open-mixtral-8x7b", "mistral-large-2407", "mistral.mistral-7b-instruct-v0:2"]],
  ["mistral", ["mistral-large-latest", "ministral-8b", "pixtral-12b", "mistral-small-2503"]],
  ["gemini", ["models/gemini-2.5-pro", "google/gemma-3-27b-it"]],
  ["deepseek", ["deepseek-chat", "deepseek-ai/DeepSeek-R1"]],
  ["llama", ["meta-llama/Llama-3.3-70B-Instruct", "us.meta.llama3-1-70b-instruct-v1:0"]],
  ["qwen", ["qwen-plus", "Qwen/QwQ-32B"]],
  ["unknown", ["grok-4", "sonar-pro", "whisper-1"]],
  ["command", ["command-r-plus", "cohere.command-r-v1:0"]],
  ["sandbox", ["sandbox/echo"]],
]

describe("models", () => {
  test.each(FAMILIES)("of the family %s", (family, models) => {
    expect(models.map((model) => [model, familyNameOf(model)])).toEqual(models.map((model) => [model, family]))
  })

  test("older ones of OpenAI count with the older encoding, all others with the newest", () => {
    expect([encodingOf("gpt-4-turbo"), encodingOf("gpt-4o"), encodingOf("claude-3-opus")]).toEqual([
      "cl100k_base",
      "o200k_base",
      "o200k_base",
    ])
  })
})

test("the documentation has every family with what its estimates are named by", () => {
  const page = readFileSync(new URL("../../docs/metering.md", import.meta.url), "utf8")
  const rows = page.split("\n").filter((line) => line.endsWith(`| v${ESTIMATOR_VERSION} |`))
  for (const [family, [model = ""]] of FAMILIES.filter(([name]) => name !== "sandbox")) {
    const [, , encoding, factor, frame = "0"] =
      /^(\S+) \S+ (\w+)×([\d.]+)(?:\+(\d+))?$/.exec(estimatorName(model)) ?? []
    const row = rows.find((line) => line.startsWith(`| \`${family}\``))
    expect(row).toMatch(new RegExp(`\\| ${encoding} \\| ${factor} \\| ${frame} \\| v`))
  }
})

test("a factor is applied without the noise of floats, to the nearest token, and frames only an answer with text", () => {
  expect(inputTokensFor(100, "gemini-2.5-pro")).toBe(107)
  expect(inputTokensFor(7, "gpt-4o")).toBe(7)
  expect(outputTokensFor(100, "claude-3-opus")).toBe(118)
  expect(outputTokensFor(0, "claude-3-opus")).toBe(0)
})

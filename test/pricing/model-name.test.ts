/** An id finds its own model's price, never a sibling's. */
import { describe, expect, it } from "vitest"
import { isSnapshotOf, spellings } from "../../src/pricing/model-name.ts"

describe("a listed prefix", () => {
  it.each([
    ["claude-opus-5", "claude-opus-5-5"],
    ["claude-opus-5", "claude-opus-5.1"],
    ["claude-opus-5", "claude-opus-5-5-20261101"],
    ["claude-opus-4-1", "claude-opus-4-15"],
    ["gemini-3.6-flash", "gemini-3.6-flash-lite"],
    ["gemini-2.5-pro", "gemini-2.5-pro-preview-tts"],
    ["gpt-4o-audio", "gpt-4o-audiobook"],
    ["gpt-5", "my-gpt-5"],
    ["ft:gpt-4-0", "ft:gpt-4-01"],
  ])("%s does not speak for %s", (prefix, id) => {
    expect(isSnapshotOf(prefix, id)).toBe(false)
  })

  it.each([
    ["claude-opus-5", "claude-opus-5"],
    ["claude-opus-5", "claude-opus-5-20260701"],
    ["claude-opus-4-1", "claude-opus-4-1@20250805"],
    ["claude-sonnet-4-2025", "claude-sonnet-4-20250514"],
    ["gemini-2.5-pro", "gemini-2.5-pro-preview-06-05"],
    ["gpt-5-nano-", "gpt-5-nano-2025-08-07"],
    ["ft:gpt-4-0", "ft:gpt-4-0613:acme::x1"],
    ["ft:gpt-3.5-turbo", "ft:gpt-3.5-turbo-0613:acme:mini:x1"],
  ])("%s speaks for %s", (prefix, id) => {
    expect(isSnapshotOf(prefix, id)).toBe(true)
  })
})

describe("the spellings of an id", () => {
  it("takes off a date, a region and a resource name, and keeps the id itself first", () => {
    expect(spellings("gpt-4.1-2025-04-14")).toEqual(["gpt-4.1-2025-04-14", "gpt-4.1"])
    expect(spellings("claude-opus-4@20250514")).toContain("claude-opus-4")
    expect(spellings("us.claude-haiku-4-5-20251001")).toContain("claude-haiku-4-5")
    expect(spellings("models/gemini-2.5-pro")).toContain("gemini-2.5-pro")
  })

  it("leaves a name alone that only looks decorated", () => {
    expect(spellings("gpt-4-0613")).toEqual(["gpt-4-0613"])
    expect(spellings("bus.model")).toEqual(["bus.model"])
  })
})

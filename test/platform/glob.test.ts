import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { isExactModel, matchesGlob } from "../../src/platform/glob.ts"

describe("a model glob", () => {
  it.each([
    ["gpt-4o", "gpt-4o-mini"],
    ["gpt-4o", "GPT-4o"],
    ["gpt-*", "my-gpt-4o"],
    ["*-mini", "gpt-4o-mini-2"],
    ["ab*ba", "aba"],
    ["a*bc*c", "abc"],
    ["a*b*c", "acb"],
    ["gpt-4.1", "gpt-4x1"],
    ["[a-z]*", "gpt"],
    ["?pt", "gpt"],
    ["", "gpt"],
    ["gpt-*", ""],
  ])("%s does not describe %s", (glob, name) => {
    expect(matchesGlob(glob, name)).toBe(false)
  })

  it.each([
    ["gpt-4o", "gpt-4o"],
    ["gpt-*", "gpt-"],
    ["gpt-*", "gpt-4o"],
    ["*", ""],
    ["*", "vendor/model"],
    ["**", "x"],
    ["*-mini", "gpt-4o-mini"],
    ["gpt-*-mini*", "gpt-4o-mini-2024-07-18"],
    ["ab*ba", "abba"],
    ["a*b*b", "abab"],
    ["*aab*", "aaab"],
    ["openrouter/*", "openrouter/vendor/model:free"],
    ["$^(.+)\\*", "$^(.+)\\x"],
  ])("%s describes %s", (glob, name) => {
    expect(matchesGlob(glob, name)).toBe(true)
  })

  it("agrees with the definition: stars are replaced by some texts that make the name", () => {
    const piece = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 4 })
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 5 }), piece, piece, (pieces, filler, name) => {
        expect(matchesGlob(pieces.join("*"), pieces.join(filler))).toBe(true)
        expect(matchesGlob(pieces.join("*"), name)).toBe(describesByDefinition(pieces.join("*"), name))
      }),
    )
  })

  it("answers at once where a backtracking pattern would not", () => {
    const glob = `${"a*".repeat(60)}b`
    const startedMs = performance.now()
    expect(matchesGlob(glob, "a".repeat(100_000))).toBe(false)
    expect(matchesGlob(`*${"a*".repeat(60)}b*`, "a".repeat(100_000))).toBe(false)
    expect(performance.now() - startedMs).toBeLessThan(1_000)
  })

  it("is exact without a star", () => {
    expect(isExactModel("gpt-4o")).toBe(true)
    expect(isExactModel("gpt-*")).toBe(false)
  })
})

/** The definition, tried out in full; only for short texts. */
function describesByDefinition(glob: string, name: string): boolean {
  if (glob === "") return name === ""
  if (glob[0] !== "*") return name !== "" && glob[0] === name[0] && describesByDefinition(glob.slice(1), name.slice(1))
  return describesByDefinition(glob.slice(1), name) || (name !== "" && describesByDefinition(glob, name.slice(1)))
}

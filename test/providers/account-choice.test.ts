import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { chooseAccount } from "../../src/providers/account-choice.ts"

const KEYS = Array.from({ length: 4_000 }, (_, index) => `key_${index.toString(36)}`)

const accountsOf = fc.uniqueArray(
  fc.record({ name: fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/), weight: fc.integer({ min: 1, max: 1_000 }) }),
  { selector: ({ name }) => name, minLength: 2, maxLength: 8 },
)

function shares(accounts: readonly { name: string; weight: number }[]): Map<string, number> {
  const counts = new Map(accounts.map(({ name }) => [name, 0]))
  for (const key of KEYS) {
    const { name } = chooseAccount(accounts, key) ?? { name: "" }
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
}

describe("the account of a key", () => {
  it("is none where there is none, and the only one where there is one", () => {
    expect(chooseAccount([], "key_1")).toBeUndefined()
    const only = { name: "a", weight: 1 }
    expect(chooseAccount([only], "key_1")).toBe(only)
  })

  it("is drawn in proportion to the weights", () => {
    fc.assert(
      fc.property(accountsOf, (accounts) => {
        const total = accounts.reduce((sum, { weight }) => sum + weight, 0)
        const counts = shares(accounts)
        for (const { name, weight } of accounts) {
          const share = weight / total
          // Six standard deviations of a count, and one key: a fair draw strays so far once in a hundred million times.
          const stray = 6 * Math.sqrt(KEYS.length * share * (1 - share)) + 1
          expect(Math.abs((counts.get(name) ?? 0) - KEYS.length * share)).toBeLessThanOrEqual(stray)
        }
      }),
      { numRuns: 60, seed: 7 },
    )
  })

  it("changes only for the keys that a new account wins, or that one loses which goes, in whatever order they stand", () => {
    fc.assert(
      fc.property(accountsOf, (accounts) => {
        const [added, ...before] = accounts
        for (const key of KEYS.slice(0, 500)) {
          const was = chooseAccount(before, key)
          const is = chooseAccount(accounts, key)
          expect(is === was || is === added).toBe(true)
          expect(chooseAccount([...accounts].reverse(), key)).toBe(is)
        }
      }),
      { numRuns: 60, seed: 7 },
    )
  })

  it("changes only towards an account whose weight grows", () => {
    const before = [
      { name: "a", weight: 1 },
      { name: "b", weight: 1 },
      { name: "c", weight: 1 },
    ]
    const after = before.map((account) => (account.name === "b" ? { ...account, weight: 3 } : account))
    for (const key of KEYS) {
      const [was, is] = [chooseAccount(before, key)?.name, chooseAccount(after, key)?.name]
      if (is !== was) expect(is).toBe("b")
    }
  })

  it("is the same in every version: another choice would part keys from their files", () => {
    const accounts = ["a", "b", "c"].map((name) => ({ name, weight: 1 }))
    const chosen = KEYS.slice(0, 12).map((key) => chooseAccount(accounts, key)?.name)
    expect(chosen.join("")).toMatchInlineSnapshot(`"aacbbaaaabab"`)
  })
})

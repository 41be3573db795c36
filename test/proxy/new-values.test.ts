import { describe, expect, test } from "vitest"
import { FOLDED, NewValues } from "../../src/proxy/new-values.ts"

const HOUR_MS = 3_600_000
/** The beginning of an hour. */
const AT = 500_000 * HOUR_MS

/** What becomes of a key's values, one after the other. */
function admitted(bound: NewValues, key: string, values: readonly string[], atMs = AT): string[] {
  return values.map((value) => bound.admit(key, "tool", value, atMs))
}

describe("new values of a key", () => {
  test("beyond the bound of an hour are folded, and known ones stay as they are", () => {
    const bound = new NewValues(2)
    expect(admitted(bound, "key_1", ["a", "b", "c", "a", "d", "b"])).toEqual(["a", "b", FOLDED, "a", FOLDED, "b"])
    expect(FOLDED).toBe("other")
  })

  test("are counted over tools, operations and tags together, though the same text in two of them is two values", () => {
    const bound = new NewValues(2)
    expect(bound.admit("key_1", "tool", "a", AT)).toBe("a")
    expect(bound.admit("key_1", "operation", "a", AT)).toBe("a")
    expect(bound.admit("key_1", "tag", "a", AT)).toBe(FOLDED)
    expect(bound.admit("key_1", "tool", "a", AT)).toBe("a")
  })

  test("take nothing from another key", () => {
    const bound = new NewValues(1)
    expect(admitted(bound, "key_1", ["a", "b"])).toEqual(["a", FOLDED])
    expect(admitted(bound, "key_2", ["b", "a"])).toEqual(["b", FOLDED])
  })

  test("may be as many again in the next hour, and not before", () => {
    const bound = new NewValues(1)
    expect(admitted(bound, "key_1", ["a"])).toEqual(["a"])
    expect(admitted(bound, "key_1", ["b"], AT + HOUR_MS - 1)).toEqual([FOLDED])
    expect(admitted(bound, "key_1", ["b", "a"], AT + HOUR_MS)).toEqual(["b", FOLDED])
  })

  test("that are empty are none", () => {
    const bound = new NewValues(1)
    expect(admitted(bound, "key_1", ["", "", "a", ""])).toEqual(["", "", "a", ""])
    expect(bound.folded).toBe(0)
  })
})

test("every value that is folded is counted, of all keys", () => {
  const bound = new NewValues(1)
  expect(bound.folded).toBe(0)
  admitted(bound, "key_1", ["a", "b", "b"])
  admitted(bound, "key_2", ["a", "b"])
  expect(bound.folded).toBe(3)
})

test("ten thousand keys are remembered, and the one that came first is forgotten for one more", () => {
  const bound = new NewValues(1)
  for (let at = 0; at < 10_000; at++) admitted(bound, `key_${at}`, ["a"])
  admitted(bound, "key_10000", ["a"])
  expect(admitted(bound, "key_1", ["b"])).toEqual([FOLDED])
  expect(admitted(bound, "key_0", ["b"])).toEqual(["b"])
})

import fc from "fast-check"
import { expect, test } from "vitest"
import { jsonMembers, outline } from "../../src/providers/json-members.ts"

const spaces = fc.stringMatching(/^[ \t\r\n]{0,3}$/)
const texts = fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[\]["\\{},: a]{0,12}$/))
const values = fc.oneof(fc.jsonValue(), texts, fc.array(texts), fc.dictionary(texts, texts))
const members = fc.uniqueArray(fc.tuple(texts, values), { selector: ([name]) => name, maxLength: 6 })

/** An object's text with white space of any kind between its tokens. */
function written(pairs: readonly (readonly [string, unknown])[], space: string): string {
  const inner = pairs.map(
    ([name, value]) => `${JSON.stringify(name)}${space}:${space}${JSON.stringify(value, null, 1)}`,
  )
  return `${space}{${space}${inner.join(`${space},${space}`)}${space}}${space}`
}

test("an outline says what the object says, but for what stands in its arrays", () => {
  fc.assert(
    fc.property(members, spaces, (pairs, space) => {
      const text = written(pairs, space)
      const without = pairs.map(([name, value]) => [name, Array.isArray(value) ? [] : value])
      // JSON has no -0, which a generated value may be.
      const expected = JSON.parse(JSON.stringify(Object.fromEntries(without as [string, unknown][])))
      expect(JSON.parse(outline(Buffer.from(text)))).toEqual(expected)
    }),
    { numRuns: 2_000 },
  )
})

test("an outline of an object that was cut anywhere is refused by JSON.parse, as the object itself is", () => {
  fc.assert(
    fc.property(members, spaces, fc.nat(), (pairs, space, cut) => {
      const bytes = Buffer.from(written(pairs, space).trimEnd())
      expect(() => JSON.parse(outline(bytes.subarray(0, cut % bytes.length)))).toThrow(SyntaxError)
    }),
    { numRuns: 2_000 },
  )
})

test("any bytes at all have an outline, and it tells of no member that is not there", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.stringMatching(/^[\]["\\{},:0a ]{0,30}$/), (bytes, text) => {
      expect(typeof outline(Buffer.from(bytes))).toBe("string")
      const whole = Buffer.from(text)
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch {
        return
      }
      const isObject = typeof value === "object" && value !== null && !Array.isArray(value)
      const names = isObject ? Object.keys(value as object) : []
      const outlined: unknown = JSON.parse(outline(whole))
      if (isObject) expect(Object.keys(outlined as object)).toEqual(names)
      else expect(outlined).toEqual(value)
    }),
    { numRuns: 5_000 },
  )
})

test.each([
  ['{"model":"x","messages":[', "an array that does not end"],
  ['{"model":"x","messages":[}', "an array that ends as an object"],
  ['{"model":"x" "messages":[]}', "no comma"],
  ['{"model":"x","messages":[]]}', "one bracket too many"],
  ['{"model":"x","messages":["\\"]}', "a string that does not end"],
  ["\ufeff{}", "a byte order mark"],
  ["", "nothing"],
])("%s stays broken: %s", (text) => {
  expect(() => JSON.parse(outline(Buffer.from(text)))).toThrow(SyntaxError)
})

test("duplicates are told, also where an escape hides one", () => {
  const names = jsonMembers(Buffer.from('{"model":"a","n":[{"model":1}],"mod\\u0065l":"b"}')).map(({ name }) => name)
  expect(names).toEqual(["model", "n", "model"])
  expect(outline(Buffer.from('{"a":[1,[2]],"a":[3],"b":{"c":[4]}}'))).toBe('{"a":[],"a":[],"b":{"c":[4]}}')
})

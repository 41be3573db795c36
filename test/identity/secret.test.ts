import fc from "fast-check"
import { expect, test } from "vitest"
import {
  isAdminKeyShaped,
  mintAdminKey,
  mintVirtualKey,
  secretDigest,
  virtualKeyFault,
} from "../../src/identity/secret.ts"

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

test("what is minted is accepted, and no two are alike", () => {
  const keys = Array.from({ length: 200 }, () => mintVirtualKey("key_0123456789ab"))
  expect(keys.map(virtualKeyFault).filter((fault) => fault !== null)).toEqual([])
  expect(new Set(keys.map(secretDigest)).size).toBe(200)
  expect(keys[0]).toMatch(/^tg_0123456789ab_/)
  expect(isAdminKeyShaped(mintAdminKey())).toBe(true)
})

test("every change of one character is caught before any query", () => {
  const key = mintVirtualKey("key_0123456789ab")
  fc.assert(
    fc.property(fc.integer({ min: 3, max: key.length - 1 }), fc.constantFrom(...BASE62), (at, letter) => {
      fc.pre(key[at] !== letter)
      expect(virtualKeyFault(key.slice(0, at) + letter + key.slice(at + 1))).not.toBeNull()
    }),
  )
})

test("anything else is refused with a reason and without throwing", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(virtualKeyFault(text)).not.toBeNull()
    }),
  )
  expect(virtualKeyFault(mintAdminKey())).toContain("admin key")
  expect(isAdminKeyShaped(mintVirtualKey("key_0123456789ab"))).toBe(false)
})

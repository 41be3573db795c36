import { inspect } from "node:util"
import { describe, expect, it } from "vitest"
import {
  type EncryptionKey,
  newEncryptionKey,
  readEncryptionKey,
  type Sealed,
  SecretBox,
} from "../../src/platform/secret-box.ts"

const HEX = "00112233445566778899aabbccddeeff".repeat(2)

function keyOf(text: string): EncryptionKey {
  const key = readEncryptionKey(text)
  if (key === null) throw new Error(`${text} is no key`)
  return key
}

const key = keyOf(HEX)
const other = keyOf("ab".repeat(32))
const box = new SecretBox(key)
const sealed = box.seal("sk-canary ü", "account a")

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt8((copy[at] ?? 0) ^ 1, at)
  return copy
}

describe("an encryption key", () => {
  it.each(["", "short", "00".repeat(31), "00".repeat(33), `${"0".repeat(63)}g`, "A".repeat(42), "!".repeat(44)])(
    "is not read out of %j",
    (text) => expect(readEncryptionKey(text)).toBeNull(),
  )

  it("is the same in hex, base64, base64url and with a line end", () => {
    const bytes = Buffer.from(HEX, "hex")
    const texts = [HEX, HEX.toUpperCase(), bytes.toString("base64"), bytes.toString("base64url"), `${HEX}\n`]
    for (const text of texts) expect(keyOf(text).id).toBe(key.id)
    expect(other.id).not.toBe(key.id)
    expect(keyOf(newEncryptionKey()).id).not.toBe(keyOf(newEncryptionKey()).id)
  })

  it("shows nothing of itself where it is printed", () => {
    const printed = inspect(new SecretBox(key, [other]), { depth: 10 }) + JSON.stringify(key)
    expect(printed).not.toMatch(/00112233|ABEiM0RVZneImaq7/)
  })
})

describe("a sealed secret", () => {
  const tampered: [string, Sealed][] = [
    ...[...sealed.ciphertext.keys()].map((at): [string, Sealed] => [
      `byte ${at} of the ciphertext`,
      { ...sealed, ciphertext: flipped(sealed.ciphertext, at) },
    ]),
    ["the nonce", { ...sealed, nonce: flipped(sealed.nonce, 3) }],
    ["a ciphertext that is cut", { ...sealed, ciphertext: sealed.ciphertext.subarray(0, -1) }],
    ["a tag that is cut", { ...sealed, ciphertext: sealed.ciphertext.subarray(0, 12) }],
    ["a ciphertext without anything", { ...sealed, ciphertext: Buffer.alloc(0) }],
    ["a nonce of another length", { ...sealed, nonce: Buffer.alloc(16) }],
  ]

  it.each(tampered)("does not open with another %s", (_what, changed) => {
    expect(box.open(changed, "account a")).toEqual({ kind: "damaged" })
  })

  it("does not open for another owner", () => {
    expect(box.open(sealed, "account b")).toEqual({ kind: "damaged" })
  })

  it("does not open under another key, also where that calls itself the same", () => {
    expect(new SecretBox(other).open(sealed, "account a")).toEqual({ kind: "unknown key", keyId: key.id })
    const impostor = { ...other, id: key.id }
    expect(new SecretBox(impostor).open(sealed, "account a")).toEqual({ kind: "damaged" })
  })

  it("opens for its owner, also once its key is the previous one", () => {
    expect(box.open(sealed, "account a")).toEqual({ kind: "opened", text: "sk-canary ü" })
    expect(new SecretBox(other, [key]).open(sealed, "account a")).toEqual({ kind: "opened", text: "sk-canary ü" })
  })

  it("never looks the same twice", () => {
    const again = box.seal("sk-canary ü", "account a")
    expect(again.nonce.equals(sealed.nonce)).toBe(false)
    expect(again.ciphertext.equals(sealed.ciphertext)).toBe(false)
    expect(sealed.ciphertext.includes("canary")).toBe(false)
  })

  it("is not made where there is no key to make it with", () => {
    expect(() => new SecretBox(null, [key]).seal("x", "account a")).toThrow("no encryption key")
  })
})

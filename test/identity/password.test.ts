import { describe, expect, test } from "vitest"
import { Passwords, PasswordsBusy, passwordFault } from "../../src/identity/password.ts"

const CHEAP = { ln: 10, r: 8, p: 1 }
const GOOD = "correct horse battery"

describe("what a password must be like", () => {
  test.each([
    ["short", "must have at least 12 characters"],
    ["x".repeat(257), "must have at most 256 characters"],
    ["ada.lovelace@example.com", "must not be made of"],
    ["Ada.Lovelace!", "must not be made of"],
    ["LovelaceExample1", "must not be made of"],
    ["password1234", "must not be made of"],
    ["Password!Password!", "must not be made of"],
    ["qwertyuiop123456", "must not be made of"],
    ["tallygateadmin!!", "must not be made of"],
    ["zzzzzzzzzzzzzz", "must have at least 5 different characters"],
  ])("%s is refused: %s", (password, fault) => {
    expect(passwordFault(password, "ada.lovelace@example.com")).toContain(fault)
  })
  test.each([GOOD, "Kaffee um halb vier", "ein-langes-passwort-mit-Sinn", "山田さんの秘密の長い合言葉です"])(
    "%s is taken",
    (password) => {
      expect(passwordFault(password, "ada.lovelace@example.com")).toBeNull()
    },
  )
})

describe("how a password is kept", () => {
  test("right is right, wrong is wrong, and where none is stored nothing is right", async () => {
    const passwords = new Passwords({ waitingMax: 10 })
    const stored = await passwords.hash(GOOD)
    expect(stored).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$[\w-]{22}\$[\w-]{43}$/)
    expect(await passwords.verify(stored, GOOD)).toBe(true)
    expect(await passwords.verify(stored, `${GOOD} `)).toBe(false)
    expect(await passwords.verify(null, GOOD)).toBe(false)
  })
  test("a hash with other parameters is checked by those that stand in it", async () => {
    // scrypt("pleaseletmein", "SodiumChloride") with 2^14, 8, 1, of RFC 7914, cut to 32 bytes.
    const stored = `$scrypt$ln=14,r=8,p=1$${Buffer.from("SodiumChloride").toString("base64url")}$${Buffer.from(
      "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2",
      "hex",
    ).toString("base64url")}`
    const passwords = new Passwords({ waitingMax: 10, cost: CHEAP })
    expect(await passwords.verify(stored, "pleaseletmein")).toBe(true)
    expect(await passwords.verify(stored, "pleaseletmeIn")).toBe(false)
  })
  test("what is no hash of ours is a fault, not a wrong password", async () => {
    const passwords = new Passwords({ waitingMax: 10, cost: CHEAP })
    await expect(passwords.verify("$scrypt$ln=30,r=8,p=1$AA$AA", GOOD)).rejects.toThrow("no hash of ours")
    await expect(passwords.verify("plain", GOOD)).rejects.toThrow("no hash of ours")
    expect(await passwords.verify(null, GOOD)).toBe(false)
  })
  test("an accent is the same however a keyboard composes it", async () => {
    const passwords = new Passwords({ waitingMax: 10, cost: CHEAP })
    expect(await passwords.hash(GOOD)).not.toBe(await passwords.hash(GOOD))
    expect(await passwords.verify(await passwords.hash("caf\u00e9 um halb vier"), "cafe\u0301 um halb vier")).toBe(true)
  })
  test("more than may wait are told so at once, and those that wait get their answer", async () => {
    const passwords = new Passwords({ waitingMax: 2, cost: CHEAP })
    const waiting = [passwords.hash(GOOD), passwords.hash(GOOD)]
    await expect(passwords.hash(GOOD)).rejects.toThrow(PasswordsBusy)
    await Promise.all(waiting)
    expect(await passwords.hash(GOOD)).toContain("$scrypt$")
  })
})

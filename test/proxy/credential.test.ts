import { describe, expect, test } from "vitest"
import { presentedKey } from "../../src/proxy/credential.ts"

const NONE = { kind: "none" }
const presented = (secret: string) => ({ kind: "presented", secret, own: null })

describe("a key", () => {
  test.each([
    ["Authorization", { authorization: "Bearer tg_a" }, null],
    ["Authorization, spelled in another case and spaced", { authorization: "bEARER   tg_a  " }, null],
    ["x-api-key", { "x-api-key": "tg_a" }, null],
    ["x-goog-api-key", { "x-goog-api-key": "tg_a" }, null],
    ["api-key", { "api-key": "tg_a" }, null],
    ["xi-api-key", { "xi-api-key": "tg_a" }, null],
    ["?key=", {}, "tg_a"],
    ["x-tallygate-key", { "x-tallygate-key": "tg_a" }, null],
  ])("is found in %s", (_place, headers, queryKey) => {
    expect(presentedKey(headers, queryKey === null ? [] : [queryKey])).toEqual(presented("tg_a"))
  })

  test("is not found where there is none", () => {
    expect(presentedKey({}, [])).toEqual(NONE)
    expect(presentedKey({ "x-api-key": "" }, [""])).toEqual(NONE)
  })

  test.each(["tg_a", "Basic dGdfYQ==", "Bearer", "Bearer ", "Bearer tg_a tg_b", "Bearertg_a"])(
    "is not what stands in `Authorization: %s`",
    (authorization) => {
      expect(presentedKey({ authorization }, [])).toEqual(NONE)
      expect(presentedKey({ authorization, "x-api-key": "tg_b" }, [])).toEqual(presented("tg_b"))
    },
  )
})

describe("several places", () => {
  test("with the same key are one key", () => {
    const headers = { authorization: "Bearer tg_a", "x-api-key": "tg_a", "x-goog-api-key": "tg_a", "api-key": "tg_a" }
    expect(presentedKey(headers, ["tg_a"])).toEqual(presented("tg_a"))
  })

  test("that differ are named, all that hold a key and no other", () => {
    const headers = { authorization: "Bearer tg_a", "x-goog-api-key": "tg_a", "api-key": "" }
    expect(presentedKey(headers, ["tg_b"])).toEqual({
      kind: "differ",
      places: ["Authorization", "x-goog-api-key", "?key="],
    })
  })

  test("in one query differ as well", () => {
    expect(presentedKey({}, ["tg_a", "tg_a"])).toEqual(presented("tg_a"))
    expect(presentedKey({}, ["tg_a", "tg_b"])).toEqual({ kind: "differ", places: ["?key=", "?key="] })
  })

  test("differ in any pair", () => {
    const one = { "x-api-key": "tg_a", "api-key": "tg_b" }
    expect(presentedKey(one, [])).toEqual({ kind: "differ", places: ["x-api-key", "api-key"] })
  })

  test("of which one is empty do not differ", () => {
    expect(presentedKey({ authorization: "Bearer tg_a", "x-api-key": "" }, [""])).toEqual(presented("tg_a"))
  })
})

describe("x-tallygate-key", () => {
  const first = { "x-tallygate-key": "tg_a" }

  test("comes before every other place, and what stands there is the caller's own credential, as it was sent", () => {
    for (const [name, value] of [
      ["authorization", "Bearer sk-own"],
      ["authorization", "Basic b3du"],
      ["x-api-key", "sk-own"],
      ["x-goog-api-key", "AIza-own"],
      ["api-key", "azure-own"],
    ] as const) {
      const own = { name, value }
      expect(presentedKey({ ...first, [name]: value }, [])).toEqual({ kind: "presented", secret: "tg_a", own })
    }
  })

  test("takes no key of ours for the caller's own credential, wherever it stands", () => {
    for (const headers of [{ authorization: "Bearer tg_a" }, { "x-api-key": "tg_b" }, { "api-key": "tga_c" }]) {
      expect(presentedKey({ ...first, ...headers }, ["tg_d"])).toEqual(presented("tg_a"))
    }
    const both = { authorization: "Bearer tg_a", "x-api-key": "sk-own" }
    const own = { name: "x-api-key", value: "sk-own" }
    expect(presentedKey({ ...first, ...both }, [])).toEqual({ kind: "presented", secret: "tg_a", own })
  })

  test("leaves `?key=` to the caller's own credential, which goes on as a header", () => {
    const own = { name: "x-goog-api-key", value: "AIza-own" }
    expect(presentedKey(first, ["AIza-own"])).toEqual({ kind: "presented", secret: "tg_a", own })
  })

  test("alone is a key without a credential of the caller's own", () => {
    expect(presentedKey({ ...first, authorization: "" }, [""])).toEqual(presented("tg_a"))
  })
})

/** Nothing that a caller or a configuration names may break out of its place in a request. */
import { describe, expect, test } from "vitest"
import { requestHead } from "../../src/providers/http1-request.ts"

const line = { method: "POST", path: "/v1/chat/completions", headers: [], body: Buffer.from("{}") }

describe("a request that cannot be put on the wire is refused", () => {
  test.each([
    ["a line break in a value", { headers: ["x", "a\r\nevil: 1"] }],
    ["a line feed in a value", { headers: ["x", "a\nevil: 1"] }],
    ["a carriage return in a value", { headers: ["x", "a\revil: 1"] }],
    ["a NUL in a value", { headers: ["x", "a\0"] }],
    ["characters that would lose a byte and become a line break", { headers: ["x", "a\u010d\u010aevil: 1"] }],
    ["an emoji in a value", { headers: ["x", "\u{1F600}"] }],
    ["a line break in a name", { headers: ["x: 1\r\nevil", "1"] }],
    ["a colon in a name", { headers: ["x:y", "1"] }],
    ["a blank in a name", { headers: ["x y", "1"] }],
    ["an empty name", { headers: ["", "1"] }],
    ["a name without a value", { headers: ["x"] }],
    ["a blank in the path", { path: "/a b" }],
    ["a line break in the path", { path: "/a\r\nevil: 1" }],
    ["a path beyond ASCII", { path: "/\u00e4" }],
    ["a path that is an address", { path: "http://other/" }],
    ["an empty path", { path: "" }],
    ["a line break in the method", { method: "GET / HTTP/1.1\r\n\r\nGET" }],
    ["CONNECT", { method: "CONNECT" }],
    ["an unknown method", { method: "post" }],
    ...[
      "Host",
      "content-length",
      "Transfer-Encoding",
      "connection",
      "expect",
      "upgrade",
      "te",
      "trailer",
      "keep-alive",
    ].map((name): [string, object] => [`a ${name} of the caller's`, { headers: [name, "1"] }]),
  ])("%s", (_name, wrong) => {
    const head = requestHead({ ...line, ...wrong }, "api.example")
    expect(head.kind).toBe("invalid")
  })

  test("the refusal names the header and never shows its value", () => {
    const head = requestHead({ ...line, headers: ["authorization", "Bearer sk-secret\n"] }, "api.example")
    expect(head).toEqual({ kind: "invalid", detail: "The header authorization holds a character that cannot be sent." })
  })
})

describe("a request's head", () => {
  test("holds the host, the headers in order and the length", () => {
    const head = requestHead({ ...line, headers: ["b", "2 \xe4", "A", ""] }, "api.example:8080")
    expect(head).toEqual({
      kind: "head",
      text:
        "POST /v1/chat/completions HTTP/1.1\r\nhost: api.example:8080\r\nconnection: keep-alive\r\n" +
        "b: 2 \xe4\r\nA: \r\ncontent-length: 2\r\n\r\n",
    })
  })

  test("announces an empty body, and none where there is none", () => {
    expect(requestHead({ ...line, body: Buffer.alloc(0) }, "h")).toMatchObject({
      text: expect.stringMatching(/content-length: 0\r\n\r\n$/),
    })
    expect(requestHead({ ...line, method: "GET", body: null }, "h")).toMatchObject({
      text: expect.not.stringMatching(/content-length/),
    })
  })
})

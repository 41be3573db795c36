import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { RequestFacts } from "../../src/providers/dialect.ts"
import { openAiChat } from "../../src/providers/openai-chat.ts"

const FORM = { model: null, isStream: null, contentType: "application/json" }

function facts(body: string): RequestFacts {
  const read = openAiChat.readRequest(Buffer.from(body), FORM)
  if (read.kind !== "read") throw new Error(read.message)
  return read.facts
}

function refusal(body: string) {
  const read = openAiChat.readRequest(Buffer.from(body), FORM)
  return read.kind === "invalid" ? { code: read.code, param: read.param, message: read.message } : read.kind
}

function rewritten(body: string, model: string, injectsUsage: boolean): string {
  return openAiChat
    .rewriteRequest(Buffer.from(body), facts(body), { model, injectsUsage, outputTokensMax: null }, FORM)
    .toString()
}

describe("a request that cannot be metered is refused with the reason", () => {
  test("not JSON", () => expect(refusal('{"model":')).toMatchObject({ code: "invalid_json" }))
  test("not an object", () => expect(refusal("[1]")).toMatchObject({ code: "invalid_request" }))
  test("no model", () => expect(refusal('{"messages":[]}')).toMatchObject({ param: "model" }))
  test("a model that is no text", () => expect(refusal('{"model":7}')).toMatchObject({ param: "model" }))
  test("two models, which two servers would read differently", () => {
    expect(refusal('{"model":"cheap","messages":[],"model":"dear"}')).toMatchObject({ param: "model" })
  })
  test("a second model under an escaped name", () => {
    expect(refusal('{"model":"cheap","mod\\u0065l":"dear"}')).toMatchObject({ param: "model" })
  })
  test("but the word may stand twice elsewhere", () => {
    expect(
      facts('{"model":"a","messages":[{"role":"user","content":"\\"model\\" \\"model\\""}],"x":{"model":1}}').model,
    ).toBe("a")
  })
})

describe("facts", () => {
  test("the output bound counts every choice", () => {
    expect(facts('{"model":"a","max_tokens":10,"n":3}').outputTokensMax).toBe(30)
    expect(facts('{"model":"a","max_completion_tokens":7,"max_tokens":10}').outputTokensMax).toBe(7)
    expect(facts('{"model":"a"}').outputTokensMax).toBeNull()
  })
  test("who the caller's user is", () => {
    expect(facts('{"model":"a","user":"u","safety_identifier":"s"}').endCustomer).toBe("s")
    expect(facts('{"model":"a","user":"u"}').endCustomer).toBe("u")
  })
  test("a stream is a stream only when it says true", () => {
    expect(facts('{"model":"a","stream":true}').isStream).toBe(true)
    expect(facts('{"model":"a","stream":"true"}').isStream).toBe(false)
  })
})

describe("rewriting", () => {
  test("without a reason, not a byte changes", () => {
    const body = ' {\n "model" : "a" , "messages":[ ] }\n'
    expect(rewritten(body, "a", false)).toBe(body)
  })
  test("an alias replaces the value alone", () => {
    expect(rewritten('{ "messages":[{"model":"x"}], "model" :\t"fast" }', "real", false)).toBe(
      '{ "messages":[{"model":"x"}], "model" :\t"real" }',
    )
  })
  test.each([
    ['{"model":"a","stream":true}', '{"stream_options":{"include_usage":true},"model":"a","stream":true}'],
    ['{"model":"a","stream_options":null}', '{"model":"a","stream_options":{"include_usage":true}}'],
    ['{"model":"a","stream_options":{ }}', '{"model":"a","stream_options":{"include_usage":true }}'],
    [
      '{"model":"a","stream_options":{"include_usage":false,"x":1}}',
      '{"model":"a","stream_options":{"include_usage":true,"x":1}}',
    ],
    [
      '{"model":"a","stream_options":{"x":{"include_usage":0}}}',
      '{"model":"a","stream_options":{"include_usage":true,"x":{"include_usage":0}}}',
    ],
  ])("usage is asked for in %s", (body, expected) => expect(rewritten(body, "a", true)).toBe(expected))

  test("whatever else the body holds, the meaning is the caller's plus the two changes", () => {
    const body = fc.record({
      messages: fc.jsonValue(),
      stream_options: fc.option(fc.dictionary(fc.string(), fc.jsonValue()), { nil: undefined }),
      'm\\o"d': fc.jsonValue(),
    })
    fc.assert(
      fc.property(
        body,
        fc.string({ minLength: 1 }),
        fc.string({ minLength: 1 }),
        fc.nat(2),
        (rest, model, other, indent) => {
          const text = JSON.stringify({ ...rest, model, zz: [{ model: 1 }] }, null, indent)
          const changed = JSON.parse(rewritten(text, other, true))
          const { stream_options: options, ...same } = changed
          const { stream_options: before, ...original } = JSON.parse(text)
          expect(same).toEqual({ ...original, model: other })
          expect(options).toEqual({ ...(before ?? {}), include_usage: true })
        },
      ),
    )
  })
})

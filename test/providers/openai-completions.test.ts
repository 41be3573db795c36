/** OpenAI's legacy completions, embeddings and moderations, and the calls that manage a provider's objects. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { SseSplitter } from "../../src/metering/sse.ts"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { type Dialect, newReading, type Reading, type RequestFacts } from "../../src/providers/dialect.ts"
import { anthropicObject, googleObject, openAiObject } from "../../src/providers/object-call.ts"
import { openAiCompletions } from "../../src/providers/openai-completions.ts"
import { openAiEmbeddings, openAiModerations } from "../../src/providers/openai-embeddings.ts"

const FORM = { model: null, isStream: null, contentType: "application/json" }
const NAMED = [openAiCompletions, openAiEmbeddings, openAiModerations]
const OBJECTS = [openAiObject, anthropicObject, googleObject]
const USAGE = { prompt_tokens: 31, completion_tokens: 25, total_tokens: 56 }

function facts(dialect: Dialect, body: string): RequestFacts {
  const read = dialect.readRequest(Buffer.from(body), FORM)
  if (read.kind !== "read") throw new Error(read.message)
  return read.facts
}

function refusal(dialect: Dialect, body: string) {
  const read = dialect.readRequest(Buffer.from(body), FORM)
  return read.kind === "invalid" ? { code: read.code, param: read.param, message: read.message } : read.kind
}

function rewritten(dialect: Dialect, body: string, changes: Partial<Parameters<Dialect["rewriteRequest"]>[2]>): string {
  const known = facts(dialect, body)
  const rewrite = { model: known.model, injectsUsage: false, outputTokensMax: null, ...changes }
  return dialect.rewriteRequest(Buffer.from(body), known, rewrite, FORM).toString()
}

function answered(dialect: Dialect, answer: unknown): Reading {
  const reading = newReading()
  dialect.readAnswer(Buffer.from(typeof answer === "string" ? answer : JSON.stringify(answer)), reading)
  return reading
}

function streamed(events: readonly unknown[]): { reading: Reading; hidden: boolean[] } {
  const reading = newReading()
  const hidden = events.map((event) => {
    const data = typeof event === "string" ? event : JSON.stringify(event)
    return openAiCompletions.readEvent(data, reading).isInjectedUsage
  })
  return { reading, hidden }
}

describe.each(NAMED)("$name", (dialect) => {
  test("refuses what is not JSON, with the reason", () => {
    expect(refusal(dialect, '{"model":')).toMatchObject({ code: "invalid_json" })
    expect(refusal(dialect, "")).toMatchObject({ code: "invalid_json" })
  })
  test("refuses what is not an object", () => {
    expect(refusal(dialect, "[1]")).toMatchObject({ code: "invalid_request" })
  })
  test.each(['{"model":""}', '{"model":7}', '{"model":"cheap","model":"dear"}', '{"model":"a","mod\\u0065l":"b"}'])(
    "refuses the model in %s",
    (body) => expect(refusal(dialect, body)).toMatchObject({ code: "invalid_request", param: "model" }),
  )
  test("changes nothing without a reason", () => {
    const body = ' {\n "model" : "a" , "input":["x"],"prompt":\t"y","max_tokens" : 5 }\r\n'
    expect(rewritten(dialect, body, {})).toBe(body)
  })
  test("changes nothing of a body but the model's name", () => {
    const rest = fc.record({ input: fc.jsonValue(), prompt: fc.jsonValue(), 'm\\o"d': fc.jsonValue() })
    const name = fc.string({ minLength: 1 })
    fc.assert(
      fc.property(rest, fc.nat(2), name, name, (others, indent, model, other) => {
        const inside = JSON.stringify({ ...others, zz: [{ model: 1 }] }, null, indent).slice(1, -1)
        const text = (named: string) => `\t{${inside},\n"model" : ${JSON.stringify(named)} }\n`
        expect(rewritten(dialect, text(model), { model: other })).toBe(text(other))
      }),
    )
  })
  test("tells a failing stream in the API's own shape", () => {
    const [event] = new SseSplitter().push(Buffer.from(dialect.streamError("gone", "upstream_failed")))
    expect(JSON.parse(event?.data ?? "")).toMatchObject({ error: { message: "gone", code: "upstream_failed" } })
  })
})

describe("completions: facts", () => {
  test("of everything that counts", () => {
    const body =
      '{"model":"a","stream":true,"stream_options":{"include_usage":true},"max_tokens":10,"n":2,"user":"u","prompt":"x"}'
    expect(facts(openAiCompletions, body)).toEqual({
      model: "a",
      choices: 2,
      isStream: true,
      asksUsage: true,
      outputTokensMax: 20,
      tier: "",
      endCustomer: "u",
      conversation: "",
      units: null,
      isFree: false,
    })
  })
  test.each([
    ['{"model":"a"}', 16],
    ['{"model":"a","max_tokens":null}', 16],
    ['{"model":"a","max_tokens":0,"echo":true}', 0],
    ['{"model":"a","n":3}', 48],
    ['{"model":"a","n":2,"best_of":5,"max_tokens":10}', 50],
    ['{"model":"a","n":null,"best_of":0,"max_tokens":10}', 10],
    ['{"model":"a","max_tokens":10,"prompt":["x","y","z"]}', 30],
    ['{"model":"a","max_tokens":10,"prompt":[[1,2],[3]],"n":2}', 40],
    ['{"model":"a","max_tokens":10,"prompt":[1,2,3]}', 10],
    ['{"model":"a","max_tokens":10,"prompt":[]}', 10],
    ['{"model":"a","max_tokens":9007199254740991,"n":9007199254740991}', Number.MAX_SAFE_INTEGER],
  ])("output is bounded over all completions: %s", (body, max) => {
    expect(facts(openAiCompletions, body).outputTokensMax).toBe(max)
  })
  test("a bound that stands twice is refused", () => {
    for (const param of ["max_tokens", "n", "best_of", "prompt"]) {
      expect(refusal(openAiCompletions, `{"model":"a","${param}":1,"${param}":9}`)).toMatchObject({ param })
    }
  })
})

describe("completions: rewriting", () => {
  test.each([
    ['{"model":"a"}', 7, '{"max_tokens":7,"model":"a"}'],
    ['{"model":"a","max_tokens": 50}', 7, '{"model":"a","max_tokens": 7}'],
    ['{"model":"a","max_tokens":50,"n":2,"best_of":3}', 7, '{"model":"a","max_tokens":2,"n":2,"best_of":3}'],
    ['{"prompt":["x","y"],"model":"a","max_tokens":50}', 7, '{"prompt":["x","y"],"model":"a","max_tokens":3}'],
    ['{"model":"a","max_tokens":50}', 0.5, '{"model":"a","max_tokens":1}'],
  ])("%s bounded by %d in all", (body, outputTokensMax, expected) => {
    expect(rewritten(openAiCompletions, body, { outputTokensMax })).toBe(expected)
  })
  test("usage is asked for as in chat", () => {
    expect(rewritten(openAiCompletions, '{"model":"a","stream":true}', { injectsUsage: true })).toBe(
      '{"stream_options":{"include_usage":true},"model":"a","stream":true}',
    )
    expect(
      rewritten(openAiCompletions, '{"model":"a","stream_options":{"include_usage": false}}', { injectsUsage: true }),
    ).toBe('{"model":"a","stream_options":{"include_usage": true}}')
  })
})

describe("completions: answers", () => {
  const answer = { id: "cmpl-1", object: "text_completion", model: "babbage:2023-07-21-v2" }
  const choice = { index: 0, logprobs: null, finish_reason: "length" }
  const figures = { ...ZERO_USAGE, inputUncachedTokens: 31, outputTokens: 25 }

  test("usage, id and model, and no text where usage says it all", () => {
    const whole = { ...answer, choices: [{ ...choice, text: "counted" }], usage: USAGE }
    expect(answered(openAiCompletions, whole)).toEqual({
      ...newReading(),
      usage: figures,
      usageRaw: USAGE,
      model: "babbage:2023-07-21-v2",
      responseId: "cmpl-1",
      isFinished: true,
    })
  })
  test("text where usage is missing", () => {
    const choices = [{ ...choice, text: "one" }, { text: null }, { ...choice, index: 1, text: " two" }]
    expect(answered(openAiCompletions, { ...answer, choices })).toMatchObject({
      usage: null,
      outputText: "one two",
      hasContent: true,
      isFinished: true,
    })
  })
  test("an error in an answer that says success", () => {
    expect(answered(openAiCompletions, { error: { message: "no" } })).toMatchObject({ hasError: true, usage: null })
  })
  test("a stream, whose usage event is the only one to hide", () => {
    const { reading, hidden } = streamed([
      { ...answer, choices: [{ ...choice, text: "one" }], usage: null },
      { ...answer, choices: [{ ...choice, text: " two" }], usage: null },
      { ...answer, choices: [], usage: USAGE },
      "[DONE]",
    ])
    expect(hidden).toEqual([false, false, true, false])
    expect(reading).toMatchObject({ usage: figures, outputText: "one two", responseId: "cmpl-1", isFinished: true })
  })
  test("a stream whose last text comes with its usage is hidden in no part", () => {
    const { reading, hidden } = streamed([{ ...answer, choices: [{ ...choice, text: "one" }], usage: USAGE }])
    expect(hidden).toEqual([false])
    expect(reading).toMatchObject({ usage: figures, outputText: "one", isFinished: false })
  })
  test("a stream that was cut has text and no usage", () => {
    const { reading } = streamed([{ ...answer, choices: [{ ...choice, text: "one" }] }, '{"choices":'])
    expect(reading).toMatchObject({ usage: null, outputText: "one", isFinished: false })
  })
})

describe("embeddings", () => {
  test("put nothing out", () => {
    expect(facts(openAiEmbeddings, '{"model":"a","input":["x"],"user":"u","stream":true}')).toMatchObject({
      model: "a",
      isStream: false,
      asksUsage: true,
      outputTokensMax: 0,
      endCustomer: "u",
      units: null,
      isFree: false,
    })
  })
  test("need a model", () => {
    expect(refusal(openAiEmbeddings, '{"input":"x"}')).toMatchObject({ param: "model" })
  })
  test("take neither a bound nor a wish for usage", () => {
    const body = '{"model":"a","input":"x"}'
    expect(rewritten(openAiEmbeddings, body, { outputTokensMax: 7, injectsUsage: true })).toBe(body)
  })
  test("are billed by their input", () => {
    const usage = { prompt_tokens: 12, total_tokens: 12 }
    const data = [{ object: "embedding", index: 0, embedding: [0.1, -0.2] }]
    expect(answered(openAiEmbeddings, { object: "list", data, model: "text-embedding-3-small", usage })).toEqual({
      ...newReading(),
      usage: { ...ZERO_USAGE, inputUncachedTokens: 12 },
      usageRaw: usage,
      model: "text-embedding-3-small",
      isFinished: true,
    })
  })
})

describe("moderations", () => {
  test("are free, and have a model of their own where none is named", () => {
    const model = "omni-moderation-latest"
    expect(facts(openAiModerations, '{"input":"x"}')).toMatchObject({ model, isFree: true, outputTokensMax: 0 })
    expect(facts(openAiModerations, '{"input":"x","model":null}').model).toBe(model)
    expect(facts(openAiModerations, '{"input":"x","model":"b"}').model).toBe("b")
  })
  test("get a model added only where it is another", () => {
    expect(rewritten(openAiModerations, '{"input":"x"}', {})).toBe('{"input":"x"}')
    expect(rewritten(openAiModerations, '{"input":"x"}', { model: "b" })).toBe('{"model":"b","input":"x"}')
    expect(rewritten(openAiModerations, '{"model":null}', { model: "b" })).toBe('{"model":"b"}')
  })
  test("report no usage", () => {
    const answer = { id: "modr-1", model: "omni-moderation-2024-09-26", results: [{ flagged: false }] }
    expect(answered(openAiModerations, answer)).toMatchObject({ usage: null, responseId: "modr-1", isFinished: true })
  })
})

describe.each(OBJECTS)("$name", (dialect) => {
  test("takes whatever is sent, unread and unchanged", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const body = Buffer.from(bytes)
        const read = dialect.readRequest(body, { ...FORM, contentType: "multipart/form-data" })
        expect(read).toEqual({
          kind: "read",
          facts: {
            model: "",
            isStream: false,
            asksUsage: true,
            outputTokensMax: 0,
            tier: "",
            endCustomer: "",
            conversation: "",
            units: null,
            isFree: true,
          },
        })
        if (read.kind !== "read") return
        const rewrite = { model: "b", injectsUsage: true, outputTokensMax: 7 }
        expect(dialect.rewriteRequest(body, read.facts, rewrite, FORM)).toBe(body)
      }),
    )
  })
  test("an error is one", () => {
    expect(answered(dialect, { error: { message: "no" } })).toMatchObject({ hasError: true, isFinished: true })
    expect(answered(dialect, { id: "x", error: null }).hasError).toBe(false)
  })
  test("an answer that is no object is finished and says nothing", () => {
    for (const answer of ["", "[1]", "{", '"id"', "%PDF-1.7 {}", '{"id":"a"}\n{"id":"b"}\n']) {
      expect(answered(dialect, answer)).toEqual({ ...newReading(), isFinished: true })
    }
  })
  test("usage is not read, and events say nothing", () => {
    expect(answered(dialect, { usage: USAGE }).usage).toBeNull()
    const reading = newReading()
    expect(dialect.readEvent('{"id":"a","error":{}}', reading).isInjectedUsage).toBe(false)
    expect(reading).toEqual(newReading())
  })
})

describe("the id of an object", () => {
  test.each([
    [openAiObject, { id: "file-1", object: "file" }, "file-1"],
    [openAiObject, { object: "list", data: [{ id: "file-1" }] }, ""],
    [openAiObject, { id: 7, name: "files/a" }, ""],
    [anthropicObject, { id: "msgbatch_1", type: "message_batch" }, "msgbatch_1"],
    [googleObject, { name: "cachedContents/a", model: "models/m" }, "cachedContents/a"],
    [googleObject, { file: { name: "files/a", uri: "https://example.com" } }, "files/a"],
    [googleObject, { id: "a", files: [{ name: "files/a" }] }, ""],
    [googleObject, { name: null, file: ["files/a"] }, ""],
  ])("$name: %j", (dialect, answer, id) => expect(answered(dialect, answer).responseId).toBe(id))

  test("stands behind a line break as well", () => {
    expect(answered(openAiObject, '\r\n {\n "id" : "file-1"}').responseId).toBe("file-1")
  })
})

test.each([
  [openAiObject, { error: { message: "gone", code: "upstream_failed" } }],
  [anthropicObject, { type: "error", error: { message: "gone", code: "upstream_failed" } }],
  [googleObject, { error: { message: "gone", details: [{ reason: "upstream_failed" }] } }],
])("$name tells a failing stream in its API's shape", (dialect, expected) => {
  const [event] = new SseSplitter().push(Buffer.from(dialect.streamError("gone", "upstream_failed")))
  expect(JSON.parse(event?.data ?? "")).toMatchObject(expected)
})

describe.each([...NAMED, ...OBJECTS])("$name, hostile input", (dialect) => {
  const anything = fc.jsonValue()
  const counts = fc.oneof(fc.nat(), fc.double(), fc.bigInt().map(String), anything)
  const usage = fc.oneof(
    anything,
    fc.record({ prompt_tokens: counts, completion_tokens: counts, prompt_tokens_details: anything }),
  )
  const answer = fc.record(
    {
      id: anything,
      name: anything,
      file: anything,
      model: anything,
      error: anything,
      choices: fc.oneof(anything, fc.array(fc.oneof(anything, fc.record({ text: anything })))),
      usage,
      ["__proto__"]: anything,
    },
    { requiredKeys: [] },
  )
  const place = fc.double({ min: 0, max: 1, noNaN: true })

  test("throws nothing and leaves counts", () => {
    fc.assert(
      fc.property(answer, place, fc.nat(9), fc.uint8Array({ maxLength: 4 }), (hostile, at, cut, put) => {
        const whole = Buffer.from(JSON.stringify(hostile))
        const from = Math.floor(at * whole.length)
        const mutated = Buffer.concat([whole.subarray(0, from), put, whole.subarray(from + cut)])
        for (const bytes of [whole, mutated]) {
          const reading = newReading()
          dialect.readAnswer(bytes, reading)
          dialect.readEvent(bytes.toString(), reading)
          const { unitType: _, ...figures } = reading.usage ?? ZERO_USAGE
          for (const figure of Object.values(figures)) expect(Number.isSafeInteger(figure) && figure >= 0).toBe(true)
          expect([typeof reading.model, typeof reading.responseId]).toEqual(["string", "string"])
        }
      }),
    )
  })

  test("is read or refused as a request", () => {
    const member = fc.constantFrom("prompt", "n", "max_tokens", "stream_options", "user")
    const body = fc.tuple(member, anything).map(([name, value]) => JSON.stringify({ model: "a", [name]: value }))
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), body), (text) => {
        const read = dialect.readRequest(Buffer.from(text), FORM)
        if (read.kind !== "read") return
        const max = read.facts.outputTokensMax ?? 0
        expect(Number.isSafeInteger(max) && max >= 0).toBe(true)
        const rewrite = { model: "b", injectsUsage: true, outputTokensMax: 7 }
        expect(dialect.rewriteRequest(Buffer.from(text), read.facts, rewrite, FORM)).toBeInstanceOf(Buffer)
      }),
    )
  })
})

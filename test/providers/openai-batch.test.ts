/** OpenAI's batches: what their output is billed as, and which files their other answers name. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { newReading, type Reading } from "../../src/providers/dialect.ts"
import { bornFiles, openAiBatchOutput, uploadedFile } from "../../src/providers/openai-batch.ts"

const FORM = { model: null, isStream: null, contentType: "" }
const CHAT = {
  prompt_tokens: 100,
  prompt_tokens_details: { cached_tokens: 40 },
  completion_tokens: 20,
  completion_tokens_details: { reasoning_tokens: 5 },
  total_tokens: 120,
}
const RESPONSES = {
  input_tokens: 30,
  input_tokens_details: { cached_tokens: 10 },
  output_tokens: 7,
  output_tokens_details: { reasoning_tokens: 2 },
  total_tokens: 37,
}

function line(body: unknown, status_code: unknown = 200): string {
  return JSON.stringify({ id: "batch_req_1", custom_id: "a", response: { status_code, body }, error: null })
}

function read(lines: readonly string[]): Reading {
  const reading = newReading()
  for (const one of lines) openAiBatchOutput.readLine?.(one, reading)
  return reading
}

describe("asking for the output", () => {
  test("is free, and names no model", () => {
    const asked = openAiBatchOutput.readRequest(Buffer.alloc(0), FORM)
    expect(asked).toMatchObject({ kind: "read", facts: { model: "", isFree: true, isStream: false, units: null } })
    if (asked.kind !== "read") return
    const body = Buffer.from("x")
    const rewrite = { model: "b", injectsUsage: true, outputTokensMax: 7 }
    expect(openAiBatchOutput.rewriteRequest(body, asked.facts, rewrite, FORM)).toBe(body)
  })
})

describe("the output", () => {
  test("is billed by the sum of its lines, under the first model that served", () => {
    const chat = {
      id: "chatcmpl-1",
      model: "gpt-4o-mini-2024-07-18",
      service_tier: "default",
      choices: [],
      usage: CHAT,
    }
    expect(read([line(chat), line({ ...chat, model: "other" })])).toEqual({
      ...newReading(),
      usage: {
        ...ZERO_USAGE,
        inputUncachedTokens: 120,
        cacheReadTokens: 80,
        outputTokens: 40,
        reasoningTokens: 10,
      },
      usageRaw: { lines: 2, usage: CHAT },
      model: "gpt-4o-mini-2024-07-18",
      tier: "batch",
      isFinished: true,
    })
  })
  test("of responses counts their searches", () => {
    const output = [{ type: "web_search_call", action: { type: "search" } }, { type: "message" }]
    expect(read([line({ object: "response", model: "m", output, usage: RESPONSES })]).usage).toEqual({
      ...ZERO_USAGE,
      inputUncachedTokens: 20,
      cacheReadTokens: 10,
      outputTokens: 7,
      reasoningTokens: 2,
      webSearches: 1,
    })
  })
  test("of embeddings counts their input", () => {
    const body = {
      object: "list",
      data: [{ embedding: [1] }],
      model: "m",
      usage: { prompt_tokens: 9, total_tokens: 9 },
    }
    expect(read([line(body)]).usage).toEqual({ ...ZERO_USAGE, inputUncachedTokens: 9 })
  })
  test("of images knows them from text", () => {
    const usage = { input_tokens: 50, input_tokens_details: { image_tokens: 40 }, output_tokens: 60, total_tokens: 110 }
    expect(read([line({ data: [{ b64_json: "AA==" }], usage })]).usage).toMatchObject({
      imageInputTokens: 40,
      imageOutputTokens: 60,
    })
  })
  test("of moderations is nothing", () => {
    expect(read([line({ model: "omni-moderation-latest", results: [] })])).toEqual({
      ...newReading(),
      isFinished: true,
    })
  })
  test("is no bill where a request failed, or a line is something else", () => {
    const lines = [
      line({ error: { message: "no" }, usage: CHAT }, 400),
      line({ usage: CHAT }, "200"),
      JSON.stringify({ custom_id: "a", response: null, error: { code: "batch_expired" } }),
      JSON.stringify({ custom_id: "a", method: "POST", url: "/v1/responses", body: { model: "m", usage: CHAT } }),
      JSON.stringify({ usage: CHAT }),
      "[1]",
      "",
      " \r",
      "null",
    ]
    for (const one of lines) expect(read([one])).toMatchObject({ usage: null, usageRaw: null, model: "", tier: "" })
    expect(read([line({ model: "m", usage: CHAT }), ...lines]).usageRaw).toEqual({ lines: 1, usage: CHAT })
  })
  test("is whole when its last line is", () => {
    const whole = line({ model: "m", usage: CHAT })
    expect(read([whole, whole.slice(0, -9)])).toMatchObject({ isFinished: false, usageRaw: { lines: 1 } })
    expect(read([whole, `${whole}\r`, ""])).toMatchObject({ isFinished: true, usageRaw: { lines: 2 } })
  })
  test("that does not add up is marked", () => {
    const lines = [line({ usage: { ...CHAT, total_tokens: 1 } }), line({ usage: CHAT })]
    expect(read(lines).isMismatch).toBe(true)
  })
  test("is the same where it is read in one piece", () => {
    for (const lines of [[line({ model: "m", usage: CHAT })], [line({ usage: CHAT }), line({ usage: RESPONSES })]]) {
      for (const ending of ["", "\n"]) {
        const reading = newReading()
        openAiBatchOutput.readAnswer(Buffer.from(lines.join("\n") + ending), reading)
        expect(reading).toEqual(read(lines))
      }
    }
  })
  test("that is an error is one", () => {
    const reading = newReading()
    openAiBatchOutput.readAnswer(Buffer.from('{\n  "error": {\n    "message": "no"\n  }\n}'), reading)
    expect(reading).toMatchObject({ hasError: true, usage: null })
    expect(openAiBatchOutput.readEvent("{}", reading).isInjectedUsage).toBe(false)
  })
})

describe("files that answers name", () => {
  const files = (answer: unknown) => bornFiles(Buffer.from(JSON.stringify(answer)))
  const batch = { id: "batch_1", object: "batch", output_file_id: "file-o", error_file_id: null }
  const born = { batchId: "batch_1", outputFileId: "file-o", errorFileId: null }

  test("those of a batch, and of each batch in a list", () => {
    expect(files(batch)).toEqual([born])
    const later = { id: "batch_2", object: "batch", error_file_id: "file-e" }
    expect(files({ object: "list", data: [batch, null, later, {}] })).toEqual([
      born,
      { batchId: "batch_2", outputFileId: null, errorFileId: "file-e" },
    ])
  })
  test("that of an upload which is complete", () => {
    const upload = { id: "upload_1", object: "upload", status: "completed", file: { id: "file-1", object: "file" } }
    expect(uploadedFile(Buffer.from(JSON.stringify(upload)))).toBe("file-1")
    expect(uploadedFile(Buffer.from(JSON.stringify({ ...upload, file: null })))).toBeNull()
  })
})

describe("hostile input", () => {
  const anything = fc.jsonValue()
  const counts = fc.oneof(fc.nat(), fc.double(), fc.bigInt().map(String), anything)
  const usage = fc.record(
    {
      prompt_tokens: counts,
      completion_tokens: counts,
      input_tokens: counts,
      output_tokens: counts,
      input_tokens_details: fc.oneof(anything, fc.record({ cached_tokens: counts, image_tokens: counts })),
    },
    { requiredKeys: [] },
  )
  const body = fc.record(
    { model: anything, data: anything, output: anything, usage: fc.oneof(anything, usage), ["__proto__"]: anything },
    { requiredKeys: [] },
  )

  test("throws nothing and leaves counts", () => {
    const lines = fc.array(
      fc.oneof(
        body.map((one) => line(one)),
        fc.json(),
        fc.string(),
      ),
      { maxLength: 4 },
    )
    fc.assert(
      fc.property(lines, fc.nat(9), (texts, cut) => {
        const reading = read(texts.map((text, index) => (index % 2 === 0 ? text : text.slice(cut))))
        openAiBatchOutput.readAnswer(Buffer.from(texts.join("\n")), reading)
        const { unitType: _, ...figures } = reading.usage ?? ZERO_USAGE
        for (const figure of Object.values(figures)) expect(Number.isSafeInteger(figure) && figure >= 0).toBe(true)
        expect([typeof reading.model, typeof reading.tier]).toEqual(["string", "string"])
      }),
    )
  })

  test("names files or none", () => {
    const answer = fc.oneof(
      anything,
      fc.record({ id: anything, data: anything, file: anything, output_file_id: anything }, { requiredKeys: [] }),
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          answer.map((one) => JSON.stringify(one)),
        ),
        (text) => {
          for (const { batchId } of bornFiles(Buffer.from(text))) expect(batchId).not.toBe("")
          expect(["string", "object"]).toContain(typeof uploadedFile(Buffer.from(text)))
        },
      ),
    )
  })
})

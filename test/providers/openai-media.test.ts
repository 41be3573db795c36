/** OpenAI's images, speech and transcription, and the forms that some of them are sent in. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { ZERO_USAGE } from "../../src/metering/usage.ts"
import { type Dialect, newReading, type Reading, type RequestFacts } from "../../src/providers/dialect.ts"
import { readMultipart } from "../../src/providers/multipart-form.ts"
import { openAiSpeech, openAiTranscription } from "../../src/providers/openai-audio.ts"
import { openAiImages } from "../../src/providers/openai-images.ts"

const JSON_FORM = { model: null, isStream: null, contentType: "application/json" }
const MULTIPART = { ...JSON_FORM, contentType: "multipart/form-data; boundary=XX" }
const SOUND = Buffer.from([0, 255, 13, 10, 45, 45, 88, 13, 10, 13, 10, 254])

type Part = { name: string; value: string | Buffer; filename?: string }

function formOf(parts: readonly Part[], boundary = "XX"): Buffer {
  const bytes = parts.flatMap(({ name, value, filename }) => {
    const file = filename === undefined ? "" : `; filename="${filename}"`
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`
    return [Buffer.from(head), Buffer.from(value), Buffer.from("\r\n")]
  })
  return Buffer.concat([...bytes, Buffer.from(`--${boundary}--\r\n`)])
}

const file = { name: "file", value: SOUND, filename: "a.wav" }
const named = (name: string, value: string): Part => ({ name, value })

function asked(dialect: Dialect, body: string | Buffer, form = JSON_FORM) {
  return dialect.readRequest(Buffer.from(body), form)
}

function facts(dialect: Dialect, body: string | Buffer, form = JSON_FORM): RequestFacts {
  const read = asked(dialect, body, form)
  if (read.kind !== "read") throw new Error(read.message)
  return read.facts
}

function rewritten(dialect: Dialect, body: string | Buffer, model: string, form = JSON_FORM): Buffer {
  const rewrite = { model, injectsUsage: true, outputTokensMax: 7 }
  return dialect.rewriteRequest(Buffer.from(body), facts(dialect, body, form), rewrite, form)
}

function answered(dialect: Dialect, answer: unknown): Reading {
  const reading = newReading()
  const isBytes = typeof answer === "string" || Buffer.isBuffer(answer)
  dialect.readAnswer(Buffer.from(isBytes ? answer : JSON.stringify(answer)), reading)
  return reading
}

function streamed(dialect: Dialect, events: readonly object[]): Reading {
  const reading = newReading()
  for (const event of events) expect(dialect.readEvent(JSON.stringify(event), reading).isInjectedUsage).toBe(false)
  return reading
}

function filesOf(body: Buffer, form: ReturnType<typeof readMultipart>) {
  return form?.files.map(({ name, filename, start, end }) => ({ name, filename, bytes: body.subarray(start, end) }))
}

describe("a form", () => {
  test("is read by its offsets", () => {
    const body = formOf([named("model", "whisper-1"), file, named("prompt", "é\r\nx"), named("empty", "")])
    const form = readMultipart(body, MULTIPART.contentType)
    expect(filesOf(body, form)).toEqual([{ name: "file", filename: "a.wav", bytes: SOUND }])
    expect(form?.fields.map(({ name, value }) => [name, value])).toEqual([
      ["model", "whisper-1"],
      ["prompt", "é\r\nx"],
      ["empty", ""],
    ])
    for (const { value, valueStart, valueEnd } of form?.fields ?? []) {
      expect(body.toString("utf8", valueStart, valueEnd)).toBe(value)
    }
  })

  test.each([
    "multipart/form-data; boundary=XX",
    'Multipart/Form-Data; charset=utf-8; BOUNDARY="XX"',
    "multipart/form-data;boundary=XX;",
  ])("whose content type is %s", (type) => {
    expect(readMultipart(formOf([named("a", "b")]), type)?.fields).toHaveLength(1)
  })

  test.each([
    "",
    "application/json",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/mixed; boundary=XX",
    "multipart/form-datax; boundary=XX",
    "multipart/form-data; boundary=XX; boundary=YY",
    `multipart/form-data; boundary=${"X".repeat(71)}`,
    'multipart/form-data; boundary="XX',
  ])("is none where the content type is %j", (type) => {
    expect(readMultipart(formOf([named("a", "b")]), type)).toBeNull()
  })

  const head = 'Content-Disposition: form-data; name="model"'
  test.each([
    ["nothing", ""],
    ["no end", `--XX\r\n${head}\r\n\r\na\r\n`],
    ["no parts' headers", "--XX\r\n\r\na\r\n--XX--"],
    ["no name", "--XX\r\nContent-Disposition: form-data\r\n\r\na\r\n--XX--"],
    ["two names", `--XX\r\n${head}; name="b"\r\n\r\na\r\n--XX--`],
    ["a name in another spelling", `--XX\r\n${head}; name*=utf-8''b\r\n\r\na\r\n--XX--`],
    ["an escape in its name", '--XX\r\nContent-Disposition: form-data; name="mo\\del"\r\n\r\na\r\n--XX--'],
    ["two dispositions", `--XX\r\n${head}\r\n${head}\r\n\r\na\r\n--XX--`],
    ["a folded header", `--XX\r\nContent-Disposition: form-data;\r\n name="model"\r\n\r\na\r\n--XX--`],
    ["a control character", `--XX\r\n${head}\r\nX: \0\r\n\r\na\r\n--XX--`],
    ["an encoding that some undo", `--XX\r\n${head}\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--XX--`],
    ["line feeds alone", `--XX\n${head}\n\na\n--XX--`],
    ["a delimiter after a line feed alone", `--XX\r\n${head}\r\n\r\na\n--XX\n${head}\n\nb\r\n--XX--`],
    ["a delimiter that goes on", `--XX\r\n${head}\r\n\r\na\r\n--XXX\r\n\r\n--XX--`],
    ["parts after its end", `--XX\r\n${head}\r\n\r\na\r\n--XX--\r\n--XX\r\n${head}\r\n\r\nb\r\n--XX--`],
    ["an end that goes on", `--XX\r\n${head}\r\n\r\na\r\n--XX--x`],
    ["a part without room for its value", `--XX\r\n${head}\r\n\r\n--XX--`],
  ])("with %s is none, since servers read it in more than one way", (_, body) => {
    expect(readMultipart(Buffer.from(body), MULTIPART.contentType)).toBeNull()
  })

  test("has at most 1,000 parts", () => {
    const parts = (count: number) => formOf(Array.from({ length: count }, (_, index) => named(`f${index}`, "x")))
    expect(readMultipart(parts(1_000), MULTIPART.contentType)?.fields).toHaveLength(1_000)
    expect(readMultipart(parts(1_001), MULTIPART.contentType)).toBeNull()
  })

  test("of any fields and files comes back as it went in", () => {
    const name = fc.stringMatching(/^[\w[\]. %-]{1,20}$/)
    const part = fc.record(
      { name, value: fc.oneof(fc.string(), fc.uint8Array().map(Buffer.from)), filename: name },
      { requiredKeys: ["name", "value"] },
    )
    const boundary = fc.stringMatching(/^-{2,8}[A-Za-z0-9]{24}$/)
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 8 }), boundary, (parts, mark) => {
        const body = formOf(parts, mark)
        const form = readMultipart(body, `multipart/form-data; boundary=${mark}`)
        const texts = parts.filter(({ filename }) => filename === undefined)
        const files = parts.filter(({ filename }) => filename !== undefined)
        expect(form?.fields.map(({ name, value }) => ({ name, value }))).toEqual(
          texts.map(({ name, value }) => ({ name, value: Buffer.from(value).toString("utf8") })),
        )
        expect(filesOf(body, form)).toEqual(
          files.map(({ name, value, filename }) => ({ name, filename, bytes: Buffer.from(value) })),
        )
      }),
    )
  })

  test("of any bytes at all is read or not, and throws nothing", () => {
    const bits = [
      "--XX",
      "--",
      "\r\n",
      "\r\n\r\n",
      "\n",
      head,
      'Content-Disposition: form-data; name="',
      '"',
      "\\",
      ";",
    ]
    const piece = fc.oneof(
      fc.constantFrom(...bits).map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 4 }).map(Buffer.from),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const body = Buffer.concat(pieces)
        const form = readMultipart(body, MULTIPART.contentType)
        for (const { valueStart, valueEnd } of form?.fields ?? []) {
          expect(valueStart >= 0 && valueEnd >= valueStart && valueEnd <= body.length).toBe(true)
        }
        for (const dialect of [openAiImages, openAiTranscription]) {
          expect(["read", "invalid"]).toContain(asked(dialect, body, MULTIPART).kind)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

describe.each([
  ["images as JSON", openAiImages, JSON_FORM],
  ["images as a form", openAiImages, MULTIPART],
  ["a transcription", openAiTranscription, MULTIPART],
] as const)("the model of %s", (_, dialect, form) => {
  const isForm = form === MULTIPART
  const body = (...pairs: readonly (readonly [string, string])[]) =>
    isForm
      ? formOf([file, ...pairs.map(([name, value]) => named(name, value))])
      : Buffer.from(`{${pairs.map((pair) => pair.map((text) => JSON.stringify(text)).join(" :\t")).join(" ,\n")}}`)

  test("is refused where it is empty, or stands twice", () => {
    for (const sent of [body(["model", ""]), body(["model", "cheap"], ["prompt", "x"], ["model", "dear"])]) {
      expect(asked(dialect, sent, form)).toMatchObject({ kind: "invalid", code: "invalid_request", param: "model" })
    }
  })
  test("stays where it is not another", () => {
    const sent = body(["model", "a"], ["prompt", "x"])
    expect(rewritten(dialect, sent, "a", form)).toEqual(sent)
  })
  test("is all that changes", () => {
    const text = fc.string({ minLength: 1 }).filter((value) => !value.includes("--XX"))
    fc.assert(
      fc.property(text, text, text, (prompt, model, other) => {
        const sent = (name: string) => body(["prompt", prompt], ["model", name], ["user", "model"])
        expect(rewritten(dialect, sent(model), other, form).equals(sent(other))).toBe(true)
      }),
    )
  })
})

describe("a model sent as a file", () => {
  test.each([openAiImages, openAiTranscription])("is refused by $name", (dialect) => {
    const alone = formOf([{ name: "model", value: "dear", filename: "m" }])
    const beside = formOf([named("model", "cheap"), { name: "model", value: "dear", filename: "m" }])
    for (const sent of [alone, beside]) {
      expect(asked(dialect, sent, MULTIPART)).toMatchObject({ kind: "invalid", param: "model" })
    }
  })
})

describe("images", () => {
  test("facts of everything that counts", () => {
    const expected = {
      model: "gpt-image-1",
      isStream: true,
      asksUsage: true,
      outputTokensMax: null,
      tier: "",
      endCustomer: "u",
      conversation: "",
      units: { quantity: 3, unitType: "images" },
      isFree: false,
    }
    expect(facts(openAiImages, '{"model":"gpt-image-1","n":3,"stream":true,"user":"u","prompt":"x"}')).toEqual(expected)
    const pairs = [named("model", "gpt-image-1"), named("n", "3"), named("stream", "true"), named("user", "u")]
    expect(facts(openAiImages, formOf([...pairs, { ...file, name: "image[]" }]), MULTIPART)).toEqual(expected)
  })
  test("one image of the default model, where nothing else is asked", () => {
    const expected = { model: "dall-e-2", isStream: false, units: { quantity: 1, unitType: "images" } }
    for (const body of ["{}", '{"model":null,"n":null}']) expect(facts(openAiImages, body)).toMatchObject(expected)
    expect(facts(openAiImages, formOf([file]), MULTIPART)).toMatchObject(expected)
  })
  test.each([
    [{ quality: "hd", size: "1024x1792" }, "images:hd:1024x1792"],
    [{ size: "512x512" }, "images:512x512"],
    [{ quality: "low", size: "auto" }, "images:low"],
    [{ quality: 7, size: "a:b" }, "images"],
  ])("images of %j are sold as %s", (request, unitType) => {
    expect(facts(openAiImages, JSON.stringify({ model: "dall-e-3", ...request })).units).toEqual({
      quantity: 1,
      unitType,
    })
  })
  test("a model that the request does not name is added only where it is another", () => {
    expect(rewritten(openAiImages, '{"n":1}', "dall-e-2").toString()).toBe('{"n":1}')
    expect(rewritten(openAiImages, '{"n":1}', "b").toString()).toBe('{"model":"b","n":1}')
    expect(rewritten(openAiImages, formOf([file]), "dall-e-2", MULTIPART)).toEqual(formOf([file]))
    expect(rewritten(openAiImages, formOf([file]), "b", MULTIPART)).toEqual(formOf([named("model", "b"), file]))
  })
  test.each(['{"n":"a lot"}', '{"n":true}', '{"n":{}}', '{"n":1,"n":9}'])("%s: how many images?", (body) => {
    expect(asked(openAiImages, body)).toMatchObject({ kind: "invalid", param: "n" })
  })
  test.each([" 9", "9.0", "", "1e1"])("n of a form as %j: how many images?", (n) => {
    expect(asked(openAiImages, formOf([named("n", n)]), MULTIPART)).toMatchObject({ kind: "invalid", param: "n" })
  })
  test("a body that is neither JSON nor a form is refused", () => {
    expect(asked(openAiImages, '{"n":')).toMatchObject({ code: "invalid_json" })
    expect(asked(openAiImages, "{}", MULTIPART)).toMatchObject({ kind: "invalid", code: "invalid_request" })
  })

  const usage = {
    total_tokens: 100,
    input_tokens: 50,
    output_tokens: 50,
    input_tokens_details: { text_tokens: 10, image_tokens: 40 },
  }
  const figures = {
    ...ZERO_USAGE,
    inputUncachedTokens: 50,
    imageInputTokens: 40,
    outputTokens: 50,
    imageOutputTokens: 50,
  }
  test("report tokens, or nothing", () => {
    expect(answered(openAiImages, { created: 1, data: [{ b64_json: "AA==" }], usage })).toEqual({
      ...newReading(),
      usage: { ...figures, units: 1, unitType: "images" },
      usageRaw: usage,
      hasContent: true,
      isFinished: true,
    })
    expect(answered(openAiImages, { created: 1, data: [{ url: "x" }] })).toMatchObject({
      usage: null,
      isFinished: true,
    })
    expect(answered(openAiImages, { error: { message: "no" } })).toMatchObject({ hasError: true, hasContent: false })
  })
  test("text beside an image is output, and no image", () => {
    const output_tokens_details = { text_tokens: 5, image_tokens: 45 }
    expect(answered(openAiImages, { usage: { ...usage, output_tokens_details } }).usage).toEqual({
      ...figures,
      imageOutputTokens: 45,
    })
  })
  test.each(["image_generation", "image_edit"])("of a stream of %s report at its end", (kind) => {
    const partial = { type: `${kind}.partial_image`, b64_json: "AA==", partial_image_index: 0 }
    expect(streamed(openAiImages, [partial])).toMatchObject({ usage: null, hasContent: true, isFinished: false })
    const completed = { type: `${kind}.completed`, b64_json: "AA==", usage }
    const ofOne = { ...figures, units: 1, unitType: "images" }
    expect(streamed(openAiImages, [partial, completed])).toMatchObject({ usage: ofOne, isFinished: true })
  })
})

describe("speech", () => {
  test("is billed by its characters, each counted once", () => {
    expect(facts(openAiSpeech, '{"model":"tts-1","voice":"alloy","input":"Hé ✨ \\ud83d\\ude00"}')).toEqual({
      model: "tts-1",
      isStream: false,
      asksUsage: true,
      outputTokensMax: null,
      tier: "",
      endCustomer: "",
      conversation: "",
      units: { quantity: 6, unitType: "characters" },
      isFree: false,
    })
    expect(facts(openAiSpeech, '{"model":"a","input":"x","stream_format":"sse"}').isStream).toBe(true)
  })
  test("is refused without a model, or a text", () => {
    expect(asked(openAiSpeech, '{"input":"x"}')).toMatchObject({ param: "model" })
    for (const body of ['{"model":"a"}', '{"model":"a","input":["x"]}', '{"model":"a","input":"x","input":"xx"}']) {
      expect(asked(openAiSpeech, body)).toMatchObject({ kind: "invalid", param: "input" })
    }
  })
  test("gets its alias replaced, and no byte else", () => {
    expect(rewritten(openAiSpeech, '{ "input":"model" ,"model" : "a"}\n', "b").toString()).toBe(
      '{ "input":"model" ,"model" : "b"}\n',
    )
  })
  test("is sound, or an error", () => {
    expect(answered(openAiSpeech, SOUND)).toEqual({ ...newReading(), hasContent: true, isFinished: true })
    expect(answered(openAiSpeech, { error: { message: "no" } })).toMatchObject({ hasError: true, hasContent: false })
  })
  test("of a stream reports its tokens", () => {
    const usage = { input_tokens: 14, output_tokens: 101, total_tokens: 115 }
    const events = [
      { type: "speech.audio.delta", audio: "AA==" },
      { type: "speech.audio.done", usage },
    ]
    expect(streamed(openAiSpeech, events)).toMatchObject({
      usage: { ...ZERO_USAGE, inputUncachedTokens: 14, outputTokens: 101, audioOutputTokens: 101 },
      hasContent: true,
      isFinished: true,
    })
  })
})

describe("a transcription", () => {
  const tokens = {
    type: "tokens",
    input_tokens: 14,
    input_token_details: { text_tokens: 4, audio_tokens: 10 },
    output_tokens: 45,
    total_tokens: 59,
  }
  const figures = { ...ZERO_USAGE, inputUncachedTokens: 14, audioInputTokens: 10, outputTokens: 45 }

  test("facts", () => {
    const body = formOf([file, named("model", "whisper-1"), named("stream", "true")])
    expect(facts(openAiTranscription, body, MULTIPART)).toMatchObject({
      model: "whisper-1",
      isStream: true,
      outputTokensMax: null,
      units: null,
      isFree: false,
    })
  })
  test("is refused where it is no form, or names no model", () => {
    expect(asked(openAiTranscription, '{"model":"whisper-1"}')).toMatchObject({ code: "invalid_request" })
    expect(asked(openAiTranscription, formOf([file]), MULTIPART)).toMatchObject({ param: "model" })
    expect(asked(openAiTranscription, "--XX", MULTIPART)).toMatchObject({ code: "invalid_request" })
  })
  test.each([
    [tokens, figures],
    [
      { type: "duration", seconds: 7 },
      { ...ZERO_USAGE, units: 7, unitType: "seconds" },
    ],
    [
      { type: "duration", seconds: 7.5 },
      { ...ZERO_USAGE, units: 7.5, unitType: "seconds" },
    ],
    [{ type: "duration", seconds: null }, null],
    [{}, null],
  ])("that reports %j", (usage, expected) => {
    const reading = answered(openAiTranscription, { text: "Hi", usage })
    expect(reading).toMatchObject({ usage: expected, isMismatch: false, isFinished: true })
    expect(reading.outputText).toBe(expected === null ? "Hi" : "")
  })
  test("as plain text reports nothing, and leaves its text for an estimate", () => {
    const text = "1\n00:00:00,000 --> 00:00:02,000\nHi\n"
    expect(answered(openAiTranscription, text)).toMatchObject({ usage: null, outputText: text, isFinished: true })
    expect(answered(openAiTranscription, '{"text":"Hi')).toEqual(newReading())
  })
  test("of a stream reports at its end", () => {
    const deltas = ["Hi", " there"].map((delta) => ({ type: "transcript.text.delta", delta }))
    expect(streamed(openAiTranscription, deltas)).toMatchObject({
      usage: null,
      outputText: "Hi there",
      isFinished: false,
    })
    const done = { type: "transcript.text.done", text: "Hi there", usage: tokens }
    expect(streamed(openAiTranscription, [...deltas, done])).toMatchObject({
      usage: figures,
      outputText: "Hi there",
      isFinished: true,
    })
  })
})

describe.each([openAiImages, openAiSpeech, openAiTranscription])("$name, hostile input", (dialect) => {
  const anything = fc.jsonValue()
  const counts = fc.oneof(fc.nat(), fc.double(), fc.bigInt().map(String), anything)
  const details = fc.oneof(anything, fc.record({ image_tokens: counts, audio_tokens: counts, cached_tokens: counts }))
  const answer = fc.record(
    {
      type: fc.oneof(anything, fc.constantFrom("image_edit.completed", "speech.audio.done", "transcript.text.delta")),
      text: anything,
      delta: anything,
      data: anything,
      model: anything,
      error: anything,
      usage: fc.record(
        {
          type: fc.oneof(anything, fc.constantFrom("tokens", "duration")),
          seconds: counts,
          input_tokens: counts,
          output_tokens: counts,
          total_tokens: counts,
          input_tokens_details: details,
          input_token_details: details,
          output_tokens_details: details,
        },
        { requiredKeys: [] },
      ),
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
          const { unitType: _, units, ...figures } = reading.usage ?? ZERO_USAGE
          for (const figure of Object.values(figures)) expect(Number.isSafeInteger(figure) && figure >= 0).toBe(true)
          expect(Number.isFinite(units) && units >= 0).toBe(true)
          expect(typeof reading.model).toBe("string")
        }
      }),
    )
  })

  test("is read or refused as a request", () => {
    const member = fc.constantFrom("n", "input", "stream", "user", "stream_format")
    const odd = fc.tuple(member, anything).map(([name, value]) => JSON.stringify({ model: "a", [name]: value }))
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), odd), (body) => {
        for (const form of [JSON_FORM, MULTIPART]) {
          const read = asked(dialect, body, form)
          const quantity = read.kind === "read" ? (read.facts.units?.quantity ?? 0) : 0
          expect(Number.isSafeInteger(quantity) && quantity >= 0).toBe(true)
        }
      }),
    )
  })
})

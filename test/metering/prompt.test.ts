/** What is read as a prompt out of the requests of each API, and what pictures, sounds and documents count. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { mediaTokens, pixelsOf, secondsOf } from "../../src/metering/media-tokens.ts"
import { familyNameOf } from "../../src/metering/model-family.ts"
import { type Medium, readPrompt } from "../../src/metering/prompt.ts"
import { openTokenizer } from "../../src/metering/tokenizer.ts"

const tokenizer = openTokenizer()

function png(width: number, height: number): string {
  const head = Buffer.alloc(256)
  head.writeUInt32BE(0x89504e47, 0)
  head.writeUInt32BE(width, 16)
  head.writeUInt32BE(height, 20)
  return head.toString("base64")
}

const PNG = png(1_024, 768)
const WAV = Buffer.alloc(64_044)
WAV.write("RIFF", 0)
WAV.write("WAVE", 8)
WAV.writeUInt32LE(32_000, 28)

describe("hostile bodies", () => {
  test("of any shape are counted, none throws", () => {
    const odd = [null, 7, [], {}, { messages: [null, 3, {}] }, { messages: "text" }, { messages: [{ content: 4 }] }]
    for (const body of [
      ...odd,
      { tools: [null, 1, { function: {} }], messages: [] },
      { input: { deep: [[[["x"]]]] } },
    ]) {
      expect(tokenizer.promptTokens(body, "gpt-4o").input).toBeGreaterThanOrEqual(0)
    }
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom("messages", "contents", "input", "tools", "system"),
        (value, root) => {
          const { input, image, audio } = tokenizer.promptTokens({ [root]: value, messages: [] }, "gpt-4o")
          expect(input).toBeGreaterThanOrEqual(image + audio)
        },
      ),
      { numRuns: 200 },
    )
  })

  test("nested deeper than a stack is are counted as far as they are read", () => {
    const text = `{"messages":${"[".repeat(5_000)}"x"${"]".repeat(5_000)}}`
    expect(tokenizer.promptTokens(JSON.parse(text), "gpt-4o").input).toBe(0)
  })

  test("a schema that holds itself in words is not followed without end", () => {
    let schema: object = { type: "string" }
    for (let depth = 0; depth < 1_000; depth++) schema = { type: "object", properties: { a: schema } }
    const body = { messages: [], tools: [{ function: { name: "f", parameters: schema } }] }
    expect(tokenizer.promptTokens(body, "gpt-4o").input).toBeLessThan(1_000)
  })
})

test.each<[string, object]>([
  ["chat completions", { model: "m", messages: [{ role: "user", content: [{ type: "text", text: "TEXT" }] }] }],
  ["responses", { model: "m", instructions: "TEXT", input: [], text: { format: { type: "json_schema", name: "no" } } }],
  ["responses, one text", { input: "TEXT", previous_response_id: "resp_1" }],
  ["completions", { prompt: ["TEXT"], model: "m" }],
  ["Anthropic", { system: [{ type: "text", text: "TEXT", cache_control: { type: "ephemeral" } }], messages: [] }],
  [
    "Anthropic, a document",
    {
      messages: [{ content: [{ type: "document", source: { type: "text", media_type: "text/plain", data: "TEXT" } }] }],
    },
  ],
  [
    "Google",
    { systemInstruction: { parts: [{ text: "TEXT" }] }, contents: [], generationConfig: { topP: 1, x: "no" } },
  ],
  ["Bedrock", { system: [{ text: "TEXT" }], messages: [], inferenceConfig: { maxTokens: 5 } }],
  ["Cohere", { message: "TEXT", temperature: 0.5, conversation_id: "no" }],
  ["Ollama", { prompt: "TEXT", options: { stop: ["no"] } }],
])("%s: texts that a model reads, and no others", (_name, body) => {
  expect(readPrompt(body)).toMatchObject({ texts: ["TEXT"], media: [] })
})

test("prompts that came as token ids are counted as they are", () => {
  expect(tokenizer.promptTokens({ prompt: [[1, 2, 3], [4]] }, "babbage-002").input).toBe(4)
  expect(tokenizer.promptTokens({ input: [1, 2, 3] }, "text-embedding-3-small").input).toBe(3)
})

describe("media", () => {
  const message = (...content: object[]) => ({ messages: [{ role: "user", content }] })
  test.each<[string, object, Medium]>([
    [
      "chat completions, inline",
      message({ type: "image_url", image_url: { url: `data:image/png;base64,${PNG}`, detail: "low" } }),
      { kind: "image", base64: PNG, isLowDetail: true },
    ],
    [
      "chat completions, by address",
      message({ type: "image_url", image_url: { url: "https://example.test/a.png" } }),
      { kind: "image", base64: null, isLowDetail: false },
    ],
    [
      "responses",
      { input: [{ role: "user", content: [{ type: "input_image", image_url: `data:image/png;base64,${PNG}` }] }] },
      { kind: "image", base64: PNG, isLowDetail: false },
    ],
    [
      "a sound",
      message({ type: "input_audio", input_audio: { data: PNG, format: "wav" } }),
      { kind: "audio", base64: PNG, isLowDetail: false },
    ],
    [
      "a file",
      message({ type: "file", file: { filename: "a.pdf", file_data: `data:application/pdf;base64,${PNG}` } }),
      { kind: "document", base64: PNG, isLowDetail: false },
    ],
    [
      "Anthropic",
      message({ type: "image", source: { type: "base64", media_type: "image/png", data: PNG } }),
      { kind: "image", base64: PNG, isLowDetail: false },
    ],
    [
      "Google",
      { contents: [{ parts: [{ inlineData: { mimeType: "audio/wav", data: PNG } }] }] },
      { kind: "audio", base64: PNG, isLowDetail: false },
    ],
    [
      "Google, by address",
      { contents: [{ parts: [{ file_data: { mime_type: "video/mp4", file_uri: "gs://a/b" } }] }] },
      { kind: "video", base64: null, isLowDetail: false },
    ],
    [
      "Bedrock",
      message({ image: { format: "png", source: { bytes: PNG } } }),
      { kind: "image", base64: PNG, isLowDetail: false },
    ],
    [
      "Ollama",
      { messages: [{ role: "user", content: "", images: [PNG] }] },
      { kind: "image", base64: PNG, isLowDetail: false },
    ],
  ])("%s: found, and its bytes count as no text", (_name, body, medium) => {
    const prompt = readPrompt(body)
    expect(prompt.media).toEqual([medium])
    expect(prompt.texts.join("")).toBe("")
  })

  const tokens = (model: string, kind: Medium["kind"], base64: string | null, isLowDetail = false) => {
    const { image, audio, other } = mediaTokens([{ kind, base64, isLowDetail }], model, familyNameOf(model))
    return image + audio + other
  }

  test.each<[string, number, string]>([
    ["gpt-4o", 765, png(1_024, 1_024)],
    ["gpt-4o", 1_105, png(2_048, 4_096)],
    ["gpt-4o", 765, "QUJDRA=="],
    ["gpt-4o-mini", 2_833 + 4 * 5_667, png(1_024, 1_024)],
    ["gpt-4.1-mini", Math.ceil(1_024 * 1.62), png(1_024, 1_024)],
    ["gpt-4.1-mini", Math.ceil(1_536 * 1.62), png(9_999, 9_999)],
    ["claude-3-5-sonnet", 54, png(200, 200)],
    ["claude-3-5-sonnet", 1_600, png(2_000, 1_500)],
    ["claude-opus-4-7", 4_000, png(2_000, 1_500)],
    ["gemini-2.0-flash", 258, png(384, 384)],
    ["gemini-2.0-flash", 258 * 6, png(960, 540)],
    ["gemini-3-pro-preview", 1_120, png(960, 540)],
  ])("a picture for %s: %i tokens", (model, expected, base64) => expect(tokens(model, "image", base64)).toBe(expected))

  test("low detail costs OpenAI's base alone", () =>
    expect(tokens("gpt-4o", "image", png(1_024, 1_024), true)).toBe(85))

  test("two seconds of sound", () => {
    expect(secondsOf(WAV, 64_000)).toBe(2)
    expect(tokens("gpt-4o-audio-preview", "audio", WAV.toString("base64"))).toBe(21)
    expect(tokens("gemini-2.5-flash", "audio", WAV.toString("base64"))).toBe(65)
  })

  test("the pages of a document", () => {
    const pdf = Buffer.from("%PDF-1.4 << /Type /Pages /Count 2 >> << /Type /Page >> <</Type/Page/Parent 1 0 R>>")
    expect(tokens("gemini-2.5-flash", "document", pdf.toString("base64"))).toBe(2 * 258)
    expect(tokens("claude-3-opus", "document", pdf.toString("base64"))).toBe(4_000)
  })

  test("pictures and sounds stand apart in the count, since they may have prices of their own", () => {
    const body = message(
      { type: "image_url", image_url: { url: `data:image/png;base64,${png(1_024, 1_024)}` } },
      { type: "input_audio", input_audio: { data: WAV.toString("base64"), format: "wav" } },
    )
    expect(tokenizer.promptTokens(body, "gpt-4o")).toEqual({ input: 3 + 4 + 765 + 21, image: 765, audio: 21 })
  })
})

describe("the size of a picture", () => {
  const bytes = (...values: (number | string)[]) =>
    Buffer.concat(values.map((value) => (typeof value === "string" ? Buffer.from(value, "latin1") : Buffer.of(value))))
  test.each<[string, Buffer]>([
    ["GIF", bytes("GIF89a", 0x20, 0x03, 0x58, 0x02)],
    ["JPEG", bytes(0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 1, 0xff, 0xc2, 0, 17, 8, 0x02, 0x58, 0x03, 0x20)],
    ["WebP, extended", bytes("RIFF....WEBPVP8X", "........", 0x1f, 0x03, 0, 0x57, 0x02, 0)],
    ["WebP, lossless", bytes("RIFF....WEBPVP8L....", 0x2f, 0x1f, 0xc3, 0x95, 0, "......")],
    ["WebP, lossy", bytes("RIFF....WEBPVP8 ..........", 0x20, 0x03, 0x58, 0x02)],
  ])("%s", (_name, head) => expect(pixelsOf(head)).toEqual({ width: 800, height: 600 }))

  test("of a file that is cut or another is not known", () => {
    for (const head of [
      bytes(),
      bytes(0xff, 0xd8, 0xff),
      bytes("GIF8"),
      bytes("not a picture at all, but long enough"),
    ]) {
      expect(pixelsOf(head)).toBeNull()
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (head) => void pixelsOf(Buffer.from(head))))
  })
})

import { expect, test } from "vitest"
import { boundOfRequest, markOf } from "../support/request-bounds.ts"

const HI = { contents: [{ role: "user", parts: [{ text: "hi" }] }] }

function generate(members: object, model = "gemini-2.5-flash") {
  const request = { ...HI, generationConfig: { maxOutputTokens: 50 }, ...members }
  return boundOfRequest("google", `/models/${model}:generateContent`, request)
}

const said = (...parts: object[]) => ({ contents: [{ parts }] })

test.each<[string, object, string?]>([
  ["cached_context", { cachedContent: "cachedContents/1" }],
  ["cached_context", { cached_content: "cachedContents/1" }],
  ["server_tool", { tools: [{ googleSearch: {} }] }],
  ["server_tool", { tools: [{ google_search_retrieval: {} }] }],
  ["server_tool", { tools: [{ functionDeclarations: [] }, { codeExecution: {} }] }],
  ["server_tool", { tools: [{ urlContext: {} }] }],
  ["file_content", said({ fileData: { fileUri: "https://generativelanguage.googleapis.com/v1beta/files/a" } })],
  ["file_content", said({ file_data: { file_uri: "gs://bucket/a.mp4" } })],
  ["remote_content", said({ fileData: { fileUri: "https://www.youtube.com/watch?v=1" } })],
  ["image", said({ inlineData: { mimeType: "image/png", data: "AAAA" } })],
  ["audio", said({ inline_data: { mime_type: "audio/wav", data: "AAAA" } })],
  ["audio", said({ inlineData: { mimeType: "video/mp4", data: "AAAA" } })],
  ["document", said({ inlineData: { mimeType: "application/pdf", data: "AAAA" } })],
  ["document", { systemInstruction: { parts: [{ inlineData: { mimeType: "application/pdf", data: "AAAA" } }] } }],
  ["document", said({ functionResponse: { parts: [{ inlineData: { mimeType: "text/rtf", data: "AAAA" } }] } })],
  ["generated_media", { generationConfig: { responseModalities: ["TEXT", "IMAGE"] } }],
  ["generated_media", { generationConfig: undefined, generation_config: { response_modalities: ["AUDIO"] } }],
  ["generated_media", {}, "gemini-2.5-flash-image"],
  ["unknown_content", said({ hologram: {} })],
  ["unknown_member", { dreams: [] }],
])("is unbounded by %s: %j", (reason, members, model) => {
  expect(markOf(generate(members, model))).toBe(reason)
})

test("is bounded by its bytes, and by the output of all its candidates", () => {
  const tools = [{ functionDeclarations: [{ name: "f", parameters: { type: "OBJECT" } }] }]
  const parts = [
    { functionCall: { name: "f", args: { inlineData: 1 } } },
    { functionResponse: { name: "f", response: { a: 1 } } },
  ]
  const config = { generationConfig: { maxOutputTokens: 50, candidateCount: 2, responseModalities: ["TEXT"] } }
  const members = { ...said(...parts, { text: "x", thoughtSignature: "AAAA" }), tools, ...config }
  const bound = generate(members)
  expect(bound).toMatchObject({
    kind: "bounded",
    most: { outputTokens: 100, asksForOutput: false, outputTokensMin: 2 },
  })
  expect(bound.most.inputTokens).toBeGreaterThan(Buffer.byteLength(JSON.stringify(members)))
  expect(generate({ generationConfig: {} }).most).toMatchObject({ outputTokens: 65_535, asksForOutput: true })
})

test("a picture has a most since Gemini 3", () => {
  const image = said({ inlineData: { mimeType: "image/png", data: "A".repeat(100_000) } })
  const bound = generate(image, "gemini-3-pro-preview")
  expect(bound.kind).toBe("bounded")
  expect(bound.most.inputTokens).toBeGreaterThan(2_240)
  expect(bound.most.inputTokens).toBeLessThan(3_000)
})

test("embeddings of texts are bounded, one by one and in a batch; of pictures they are not", () => {
  const embed = (request: object, action = "embedContent") =>
    boundOfRequest("google", `/models/gemini-embedding-2:${action}`, request)
  const text = { content: { parts: [{ text: "hi" }] } }
  expect(embed(text)).toMatchObject({ kind: "bounded", most: { outputTokens: 0 } })
  expect(markOf(embed({ requests: [text, text] }, "batchEmbedContents"))).toBe("bounded")
  const image = { content: { parts: [{ inlineData: { mimeType: "image/png", data: "AAAA" } }] } }
  expect(markOf(embed({ requests: [text, image] }, "batchEmbedContents"))).toBe("image")
})

test("Imagen's pictures are as many as were asked for; what else is predicted nobody bounds", () => {
  const predict = (model: string) =>
    boundOfRequest("google", `/models/${model}:predict`, { instances: [{ prompt: "x" }] })
  expect(markOf(predict("imagen-4.0-generate-001"))).toBe("bounded")
  expect(markOf(predict("veo-3"))).toBe("generated_media")
})

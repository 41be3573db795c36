/** The bounds of OpenAI's endpoints beside chat and responses. */
import { expect, test } from "vitest"
import { boundOfRequest, markOf } from "../support/request-bounds.ts"

const form = (fields: Record<string, string>, file: string) => {
  const parts = Object.entries(fields).map(
    ([name, value]) => `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  )
  const sent = `--b\r\ncontent-disposition: form-data; name="${file}"; filename="x"\r\n\r\nDATA\r\n--b--\r\n`
  return Buffer.from(parts.join("") + sent)
}
const MULTIPART = "multipart/form-data; boundary=b"

test("completions are as many as prompts and tries, as long as the request or the API's own default says", () => {
  const completions = (members: object) =>
    boundOfRequest("openai", "/completions", { model: "babbage-002", prompt: "hi", ...members })
  expect(completions({})).toMatchObject({ kind: "bounded", most: { outputTokens: 16, asksForOutput: false } })
  expect(completions({ prompt: ["a", "b"], max_tokens: 10, n: 2, best_of: 5 }).most.outputTokens).toBe(100)
  expect(markOf(completions({ dreams: {} }))).toBe("unknown_member")
})

test("embeddings are bounded by their bytes, as text and as tokens; objects among them are not", () => {
  const embed = (input: unknown) => boundOfRequest("openai", "/embeddings", { model: "text-embedding-3-small", input })
  for (const input of ["hi", ["a{", "b}"], [1, 2], [[1], [2, 3]]]) expect(markOf(embed(input))).toBe("bounded")
  expect(embed("hi").most).toMatchObject({ inputTokens: 47, outputTokens: 0 })
  expect(markOf(embed([{ image: "https://example.com/a.png" }]))).toBe("unknown_content")
})

test("pictures are bounded by the piece, or by the dearest of a model that counts tokens", () => {
  const images = (model: string, members = {}) =>
    boundOfRequest("openai", "/images/generations", { model, prompt: "x", ...members })
  expect(images("dall-e-3")).toMatchObject({ kind: "bounded", most: { outputTokens: 0 } })
  expect(images("gpt-image-1", { n: 2 })).toMatchObject({ kind: "bounded", most: { outputTokens: 13_080 } })
  expect(markOf(images("gpt-image-9"))).toBe("generated_media")
  const edit = form({ model: "gpt-image-1", prompt: "x" }, "image")
  expect(markOf(boundOfRequest("openai", "/images/edits", edit, MULTIPART))).toBe("image")
})

test("speech is bounded where it is sold by the character; a sound that comes in never is", () => {
  const speech = (model: string) => boundOfRequest("openai", "/audio/speech", { model, input: "x", voice: "alloy" })
  expect(markOf(speech("tts-1-hd"))).toBe("bounded")
  expect(markOf(speech("gpt-4o-mini-tts"))).toBe("generated_media")
  const sound = form({ model: "whisper-1" }, "file")
  expect(markOf(boundOfRequest("openai", "/audio/transcriptions", sound, MULTIPART))).toBe("audio")
})

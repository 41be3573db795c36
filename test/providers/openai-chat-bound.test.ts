import { expect, test } from "vitest"
import { boundOfRequest, markOf } from "../support/request-bounds.ts"

const USER = { role: "user", content: "hi" }
const PNG = `data:image/png;base64,${"A".repeat(40_000)}`

function chat(members: object, model = "gpt-4o-mini") {
  return boundOfRequest("openai", "/chat/completions", { model, messages: [USER], max_tokens: 50, ...members })
}

function saying(...content: object[]) {
  return { messages: [{ role: "user", content }] }
}

test.each<[string, object, string?]>([
  ["predicted_output", { prediction: { type: "content", content: "what comes" } }],
  ["server_tool", { web_search_options: {} }],
  ["server_tool", { plugins: [{ id: "web" }] }],
  ["server_tool", { search_parameters: { mode: "on" } }],
  ["server_tool", { tools: [{ type: "web_search" }] }],
  ["server_tool", { tools: [{ type: "function", function: { name: "f" } }, { type: "mcp" }] }],
  ["server_tool", {}, "gpt-4o-search-preview"],
  ["server_tool", {}, "sonar-pro"],
  ["routed_model", { models: ["a", "b"] }],
  ["routed_model", {}, "openrouter/auto"],
  ["routed_model", {}, "model-router"],
  ["hidden_output", {}, "grok-4"],
  ["unknown_member", { what_is_new: { of: "tomorrow" } }],
  ["audio", saying({ type: "input_audio", input_audio: { data: "AAAA", format: "wav" } })],
  ["document", saying({ type: "file", file: { file_data: "data:application/pdf;base64,AAAA" } })],
  ["file_content", saying({ type: "file", file: { file_id: "file-1" } })],
  ["image", saying({ type: "image_url", image_url: { url: PNG } }), "llama-4"],
  ["remote_content", saying({ type: "image_url", image_url: { url: "https://example.com/a.png" } }), "llama-4"],
  ["unknown_content", saying({ type: "video_url", video_url: { url: "https://example.com/a.mp4" } })],
  ["unknown_content", saying({ image_url: { url: PNG } })],
  ["server_context", { messages: [{ role: "assistant", audio: { id: "audio_1" } }, USER] }],
])("is unbounded by %s: %j", (reason, members, model) => {
  expect(markOf(chat(members, model))).toBe(reason)
})

test("is unbounded however its names are escaped or spaced", () => {
  const body = (part: string) =>
    Buffer.from(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":[${part}]}],"max_tokens":5}`)
  const audio = '"input_audio":{"data":"AAAA","format":"wav"}'
  for (const part of [
    `{"type":"input_audio",${audio}}`,
    `{"type":"input\\u005faudio",${audio}}`,
    `{"ty\\u0070e":"input_audio","input\\u005Faudio":{}}`,
    `{"type"${" ".repeat(40_000)}:${"\n".repeat(300)}"input_audio",${audio}}`,
    `{"type":"text","text":"${"x".repeat(70_000)}"},{"type":"input_audio",${audio}}`,
  ]) {
    expect(markOf(boundOfRequest("openai", "/chat/completions", body(part)))).toBe("audio")
  }
})

test("is bounded by its bytes and the output that it asks for", () => {
  const request = { model: "gpt-4o-mini", messages: [USER], max_tokens: 50, n: 3 }
  const bytes = Buffer.byteLength(JSON.stringify(request))
  const bound = boundOfRequest("openai", "/chat/completions", request)
  expect(bound).toMatchObject({
    kind: "bounded",
    most: { inputTokens: bytes, outputTokens: 150, asksForOutput: false, outputTokensMin: 48, fees: {} },
  })
})

test("stays bounded with functions, schemas and texts that only speak of other things", () => {
  const parameters = { type: "object", properties: { type: { type: "string" }, path: { type: ["string", "null"] } } }
  const tools = [
    { type: "function", function: { name: "f", parameters: { ...parameters, required: ["type"] } } },
    { type: "custom", custom: { name: "g" } },
  ]
  const format = { type: "json_schema", json_schema: { name: "s", schema: parameters } }
  const told = 'send {"type":"image_url"} or {"type":"file"} in parts'
  const messages = [USER, { role: "user", content: [{ type: "text", text: told }] }]
  expect(markOf(chat({ tools, response_format: format, messages }))).toBe("bounded")
  // A tool that has a `file` of its own costs a closer look and changes nothing.
  const filing = [{ type: "function", function: { name: "f", parameters: { properties: { file: parameters } } } }]
  expect(markOf(chat({ tools: filing, messages }))).toBe("bounded")
})

test("an open answer is as long as the model can write, for each choice", () => {
  const open = { max_tokens: undefined }
  expect(chat(open).most).toMatchObject({ outputTokens: 16_384, asksForOutput: true })
  expect(chat({ ...open, n: 2 }, "gpt-5").most).toMatchObject({ outputTokens: 256_000, asksForOutput: true })
  expect(chat(open, "ft:gpt-4.1:acme::1").most.outputTokens).toBe(32_768)
})

test("a provider that takes no bound beside a prediction is not asked for one", () => {
  const open = { prediction: { type: "content", content: "x" }, max_tokens: undefined }
  expect(chat(open).most).toMatchObject({ asksForOutput: false, outputTokensMin: null })
})

test("of two names for one bound the larger counts, and a name that servers may not heed is said again", () => {
  expect(chat({ max_tokens: 900, max_completion_tokens: 5 }).most).toMatchObject({
    outputTokens: 900,
    asksForOutput: true,
  })
  expect(chat({ max_tokens: undefined, max_completion_tokens: 5 }).most).toMatchObject({
    outputTokens: 5,
    asksForOutput: false,
  })
  const heeded = chat({ max_tokens: undefined, max_completion_tokens: 5 }, "mistral-small-latest")
  expect(heeded.most).toMatchObject({ outputTokens: 5, asksForOutput: true })
})

test("a picture is what its provider scales it down to, whatever its bytes", () => {
  const text = Buffer.byteLength(
    JSON.stringify({ model: "gpt-4o", ...saying({ type: "image_url", image_url: { url: "" } }), max_tokens: 50 }),
  )
  const small = chat(saying({ type: "image_url", image_url: { url: PNG } }), "gpt-4o")
  expect(small.kind).toBe("bounded")
  expect(small.most.inputTokens).toBeGreaterThanOrEqual(1_445)
  expect(small.most.inputTokens).toBeLessThan(text + 2_000)
  expect(small.most.inputClasses).toContain("input_image")
  const remote = chat(saying({ type: "image_url", image_url: { url: "https://example.com/huge.png" } }), "gpt-4o")
  expect(remote.kind).toBe("bounded")
})

test("sound is billed as sound only where it is asked for, and the dearer tier where it may serve", () => {
  expect(chat({}).most).toMatchObject({ outputClasses: ["output", "reasoning"], mayBePriority: true })
  expect(chat({ audio: { voice: "alloy", format: "wav" } }).most.outputClasses).toContain("output_audio")
  expect(chat({ service_tier: "auto" }).most.mayBePriority).toBe(true)
  expect(chat({ service_tier: "priority" }).most.mayBePriority).toBe(true)
  expect(chat({ service_tier: "default" }).most.mayBePriority).toBe(false)
  expect(chat({ service_tier: "flex" }).most.mayBePriority).toBe(false)
})

test("servers that put a template before the messages are given room for it", () => {
  const input = (model: string) => chat({}, model).most.inputTokens
  expect(input("openai/gpt-oss-120b") - input("gpt-4o-mini-0123456")).toBe(128)
})

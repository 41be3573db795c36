import { expect, test } from "vitest"
import { boundOfRequest, markOf } from "../support/request-bounds.ts"

function response(members: object, model = "gpt-5-mini") {
  return boundOfRequest("openai", "/responses", { model, input: "hi", max_output_tokens: 50, ...members })
}

function items(...input: object[]) {
  return { input }
}

const said = (...content: object[]) => items({ role: "user", content })

test.each<[string, object, string?]>([
  ["server_context", { previous_response_id: "resp_1" }],
  ["server_context", { conversation: "conv_1" }],
  ["server_context", { conversation: { id: "conv_1" } }],
  ["server_context", { prompt: { id: "pmpt_1" } }],
  ["server_context", items({ type: "item_reference", id: "msg_1" })],
  ["server_context", items({ type: "reasoning", id: "rs_1", summary: [] })],
  ["later_usage", { background: true }],
  ["server_tool", { tools: [{ type: "web_search" }] }],
  ["server_tool", { tools: [{ type: "file_search", vector_store_ids: ["vs_1"] }] }],
  ["server_tool", { tools: [{ type: "code_interpreter", container: { type: "auto" } }] }],
  ["server_tool", { tools: [{ type: "mcp", server_url: "https://example.com" }] }],
  ["server_tool", { tools: [{ type: "image_generation" }] }],
  ["server_tool", { tools: [{ type: "computer_use_preview" }] }],
  ["server_tool", { context_management: [{ type: "compaction" }] }],
  ["server_tool", items({ type: "web_search_call", id: "ws_1" })],
  ["file_content", said({ type: "input_file", file_id: "file-1" })],
  ["remote_content", said({ type: "input_file", file_url: "https://example.com/a.pdf" })],
  ["document", said({ type: "input_file", filename: "a.pdf", file_data: "data:application/pdf;base64,AAAA" })],
  ["file_content", said({ type: "input_image", file_id: "file-1" }), "gpt-6"],
  ["remote_content", said({ type: "input_image", image_url: "https://example.com/a.png" }), "gpt-6"],
  ["audio", said({ type: "input_audio", input_audio: { data: "AAAA" } })],
  [
    "document",
    items({ type: "function_call_output", call_id: "c", output: [{ type: "input_file", file_data: "AAAA" }] }),
  ],
  ["unknown_content", items({ type: "hologram" })],
  ["unknown_member", { dreams: [1] }],
])("is unbounded by %s: %j", (reason, members, model) => {
  expect(markOf(response(members, model))).toBe(reason)
})

test("is bounded where an agent goes on from what it sends itself", () => {
  const input = [
    { type: "message", role: "user", content: [{ type: "input_text", text: "go" }] },
    {
      type: "reasoning",
      id: "rs_1",
      summary: [{ type: "summary_text", text: "s" }],
      encrypted_content: "gAAAA".repeat(9),
    },
    { type: "function_call", call_id: "c1", name: "shell", arguments: '{"command":"ls"}' },
    { type: "function_call_output", call_id: "c1", output: "a.ts" },
    { type: "custom_tool_call", call_id: "c2", name: "apply", input: "*** Begin" },
    { type: "custom_tool_call_output", call_id: "c2", output: "done" },
  ]
  const tools = [{ type: "function", name: "shell", parameters: { type: "object" } }, { type: "local_shell" }]
  const bound = response({ input, tools, include: ["reasoning.encrypted_content"], store: false })
  expect(bound).toMatchObject({
    kind: "bounded",
    most: { outputTokens: 50, asksForOutput: false, outputTokensMin: 16 },
  })
})

test("pictures of models with a formula are bounded, by address and by id as well", () => {
  for (const image of [
    { image_url: "https://example.com/a.png" },
    { file_id: "file-1" },
    { image_url: "data:image/png;base64,AAAA" },
  ]) {
    expect(markOf(response(said({ type: "input_image", ...image })))).toBe("bounded")
  }
})

test("what a tool may cost is held where the request says how often it may run", () => {
  const bound = response({ tools: [{ type: "web_search" }, { type: "file_search" }], max_tool_calls: 4 })
  expect(bound.most.fees).toEqual({ web_search: 4, file_search: 4 })
})

test("compacting takes no bound of its output", () => {
  const bound = boundOfRequest("openai", "/responses/compact", { model: "gpt-5-mini", input: "hi" })
  expect(bound).toMatchObject({ kind: "unbounded", reason: "open_output", most: { outputTokensMin: null } })
})

test.each(["prompt", "previous_response_id", "input", "tools", "conversation"])("%s may stand once only", (name) => {
  const body = Buffer.from(`{"model":"m","${name}":null,"${name}":[]}`)
  expect(() => boundOfRequest("openai", "/responses", body)).toThrow("stands more than once")
})
